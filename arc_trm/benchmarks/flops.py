"""How many floating-point operations a model takes: matrix products only, 2 for each product."""

from __future__ import annotations

from arc_trm.config import ModelConfig
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import swiglu_width


def layer_flops(config: ModelConfig, length: int) -> int:
    """One block on one sequence of `length` positions, forward."""
    width = config.hidden_size
    swiglu = 6 * length * width * swiglu_width(width, config.expansion)
    if config.mixer == "mlp":
        return swiglu + 6 * length * width * swiglu_width(length, config.expansion)
    return swiglu + 8 * length * width * width + 4 * length * length * width


def supervision_flops(model: PuzzleModel, length: int, training: bool) -> int:
    """One supervision step on one sequence: all passes forward, those with gradient thrice.

    15 · 15.9 and 25 · 15.9 GFLOP for TRM in its published size (docs/performance.md).
    """
    passes = model.blocks_per_step
    if training:
        passes += 2 * model.blocks_with_gradient
        if model.has_continue_head:  # one more supervision step, without gradient
            passes += model.blocks_per_step
    return passes * layer_flops(model.config, length)
