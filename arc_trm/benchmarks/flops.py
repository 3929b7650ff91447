"""Floating-point operations of a model: matrix products only, 2 for each multiplication."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError, format_value
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import block_class
from arc_trm.models.ops import TORCH_OPS


def block_flops(config: ModelConfig, length: int) -> int:
    """Return the FLOP of one block on one example of L = `length` positions, forward.

    Raises:
        UserError: the operations of the block cannot be counted.
    """
    forward, _ = _count(config, length)
    return forward


@lru_cache
def _count(config: ModelConfig, length: int) -> tuple[int, int]:
    """Count the FLOP of a block: all products forward, and those that have a weight as a factor.

    PyTorch counts them on tensors without numbers, so that a block may be anything. The gradients
    of the weights take as many as the products that have a weight as a factor.
    """
    try:
        with torch.device("meta"):
            block = block_class(config)(config, None)
            h = torch.empty(1, length, config.hidden_size, requires_grad=True)
        # Attention as plain products: the counter does not know every fused kernel.
        with sdpa_kernel(SDPBackend.MATH):
            with FlopCounterMode(display=False) as forward:
                total = block(1 * h, None, TORCH_OPS).sum()
            with FlopCounterMode(display=False) as backward:
                torch.autograd.grad(
                    total, [h, *block.parameters()], retain_graph=True, allow_unused=True
                )
            with FlopCounterMode(display=False) as of_input:
                torch.autograd.grad(total, h)
    except (RuntimeError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"the operations of the block {format_value(config.block)} cannot be counted "
            f"({reason}), so its "
            "utilisation cannot be measured: `arc-trm bench scaling` measures its seconds"
        ) from None
    weights = backward.get_total_flops() - of_input.get_total_flops()
    return forward.get_total_flops(), weights


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
        _, of_weights = _count(model.config, length)
        flops -= model.blocks_with_gradient * of_weights
    return flops
