"""The post-norm block with a short convolution over positions inside its SwiGLU.

Shape letters: B batch, L positions, D hidden size. Source: Universal Reasoning Model (arXiv
2512.14693), "ConvSwiGLU".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.layers import PostNormBlock, SwiGLU, register_block, swiglu_width
from arc_trm.models.linear import truncated_normal
from arc_trm.models.ops import Ops

KERNEL_SIZE = 2


class ConvSwiGLU(SwiGLU):
    """W_down SiLU(conv(SiLU(gate) · up)), with gate and up from one projection.

    The convolution is depthwise, of kernel size 2 and causal in the order of the sequence: channel
    c of position t is a_c · u[t - 1, c] + b_c · u[t, c] + bias_c, where u is 0 before the start.
    """

    def __init__(self, width: int, hidden: int, generator: torch.Generator | None) -> None:
        super().__init__(width, hidden, generator)
        # Of the shape that nn.Conv1d has: optimisers for matrices should leave it alone.
        kernel = truncated_normal((hidden, 1, KERNEL_SIZE), KERNEL_SIZE**-0.5, generator)
        self.kernel = nn.Parameter(kernel)
        self.bias = nn.Parameter(torch.zeros(hidden))

    def combine(self, gate_up: Tensor, ops: Ops) -> Tensor:
        """Map both projections (B, L, 2 hidden) to (B, L, width)."""
        u = ops.silu_mul(gate_up)
        previous, current = self.kernel.squeeze(1).T.to(u.dtype).contiguous()
        shifted = F.pad(u, (0, 0, 1, -1))
        mixed = torch.addcmul(self.bias.to(u.dtype) + current * u, previous, shifted)
        out: Tensor = self.down(F.silu(mixed))
        return out


@register_block("conv_swiglu")
class ConvSwiGLUBlock(PostNormBlock):
    """`post_norm` with a `ConvSwiGLU` over the channels; the token mixer is the same."""

    swiglu_type = ConvSwiGLU

    @classmethod
    def saved_activations(cls, config: ModelConfig) -> int:
        hidden = swiglu_width(config.hidden_size, config.expansion)
        return super().saved_activations(config) + config.length * 4 * hidden
