"""Floating-point operations of a model: matrix products only, 2 for each multiplication."""

from __future__ import annotations

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import swiglu_width


def block_flops(config: ModelConfig, length: int) -> int:
    """Return the FLOP of one block on one example of L = `length` positions, forward.

    Raises:
        UserError: the operations of the block are not known.
    """
    products = 0 if config.mixer == "mlp" else 4 * length * length * config.hidden_size
    return _weight_flops(config, length) + products


def _weight_flops(config: ModelConfig, length: int) -> int:
    """Return the FLOP of those products of a block that have a weight as a factor."""
    if config.block != "post_norm":
        raise UserError(
            f"the operations of the block {config.block!r} are not known, so its utilisation "
            "cannot be measured: `arc-trm bench scaling` measures its seconds"
        )
    width = config.hidden_size
    swiglu = 6 * length * width * swiglu_width(width, config.expansion)
    if config.mixer == "mlp":
        return swiglu + 6 * length * width * swiglu_width(length, config.expansion)
    return swiglu + 8 * length * width * width


def supervision_flops(
    model: PuzzleModel, length: int, training: bool, embedding_only: bool = False
) -> int:
    """Return the FLOP of one supervision step on one example of L = `length` positions.

    Blocks with gradient count three times in training, forward and twice as much backward. For TRM
    in its published size a step takes 15 · 15.9 GFLOP in prediction and 25 · 15.9 in training
    (docs/performance.md). Training includes the loss of the continue head. If it is
    `embedding_only`, backward leaves out the gradients of the weights.
    """
    blocks = model.blocks_per_step
    if training:
        blocks += 2 * model.blocks_with_gradient
        if model.has_continue_head:  # one more supervision step, without gradient
            blocks += model.blocks_per_step
    flops = blocks * block_flops(model.config, length)
    if training and embedding_only:
        flops -= model.blocks_with_gradient * _weight_flops(model.config, length)
    return flops
