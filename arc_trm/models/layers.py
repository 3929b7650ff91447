"""Layers of the recursive model (TRM paper, section 4; SPEC 3 in docs/model.md).

Shape letters: B batch, L positions (puzzle positions, then cells), D hidden size, H heads.
Weights are float32 and cast to the type of the activations at use.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from arc_trm.models.ops import Ops

ROTARY_BASE = 10000.0
# Standard deviation of the standard normal distribution cut off at ±2.
_TRUNCATED_STD = math.sqrt(
    1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(2 / math.sqrt(2))
)


def truncated_normal(
    shape: tuple[int, ...], std: float, generator: torch.Generator | None
) -> Tensor:
    """Normal numbers cut off at ±2σ, σ such that what is left has the given `std`; float32."""
    values = torch.empty(shape)
    sigma = std / _TRUNCATED_STD
    return nn.init.trunc_normal_(values, 0.0, sigma, -2 * sigma, 2 * sigma, generator=generator)


class _CastLinear(torch.autograd.Function):
    """x W^T with W cast before; the gradient of W is in its own type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cast: Tensor) -> Tensor:
        ctx.save_for_backward(x, cast)
        ctx.dtype = weight.dtype
        return F.linear(x, cast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, cast = ctx.saved_tensors
        to_x = gradient @ cast if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_x, None, None
        slopes, rows = gradient.flatten(0, -2), x.flatten(0, -2)
        return to_x, (slopes.t() @ rows).to(ctx.dtype), None


class Linear(nn.Module):
    """x W^T, fan-in initialised, without bias unless asked.

    `cast` is the weight in the type of the activations for as long as it does not change
    (`PuzzleModel.cache_cast_weights`); None is cast at every use.
    """

    cast: Tensor | None = None

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(truncated_normal((n_out, n_in), n_in**-0.5, generator))

    def __getstate__(self) -> dict[str, Any]:
        """Without `cast`: a copy's weight may change."""
        return {name: value for name, value in self.__dict__.items() if name != "cast"}

    def forward(self, x: Tensor) -> Tensor:
        if self.cast is None:
            return F.linear(x, self.weight.to(x.dtype))
        if not torch.is_grad_enabled():
            return F.linear(x, self.cast)
        out: Tensor = _CastLinear.apply(x, self.weight, self.cast)  # type: ignore[no-untyped-call]
        return out


def swiglu_width(width: int, expansion: float) -> int:
    """Hidden width of a SwiGLU: round(expansion · width · 2/3) up to a multiple of 256."""
    return -(-round(expansion * width * 2 / 3) // 256) * 256


class SwiGLU(nn.Module):
    """W_down (SiLU(gate) · up), gate and up out of one projection (GLU paper, 2002.05202)."""

    def __init__(self, width: int, expansion: float, generator: torch.Generator | None) -> None:
        super().__init__()
        hidden = swiglu_width(width, expansion)
        self.gate_up = Linear(width, 2 * hidden, generator)
        self.down = Linear(hidden, width, generator)

    def forward(self, x: Tensor, operations: Ops) -> Tensor:
        out: Tensor = self.down(operations.silu_mul(self.gate_up(x)))
        return out


def build_rope_cache(length: int, head_size: int) -> Tensor:
    """Cosines and sines (2, L, head size / 2) float32 of rotary positions (arXiv 2104.09864)."""
    inverse = ROTARY_BASE ** -(torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)
    return torch.stack([angles.cos(), angles.sin()])


class Attention(nn.Module):
    """Bidirectional attention over all positions, no mask; fused projection to q, k, v."""

    def __init__(self, hidden_size: int, heads: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(hidden_size, 3 * hidden_size, generator)
        self.out = Linear(hidden_size, hidden_size, generator)

    def forward(self, h: Tensor, angles: Tensor | None, operations: Ops) -> Tensor:
        batch, length, width = h.shape
        qkv = self.qkv(h).view(batch, length, 3 * self.heads, width // self.heads)
        out: Tensor = self.out(operations.attention(qkv, angles).reshape(batch, length, width))
        return out


class Block(nn.Module):
    """Post-norm block: h = norm(h + mix(h)); h = norm(h + swiglu(h)).

    `mix` is attention, or a SwiGLU over the positions of each channel; the norm after the latter
    runs over positions too.
    """

    def __init__(
        self,
        mixer: Literal["attention", "mlp"],
        length: int,
        hidden_size: int,
        heads: int,
        expansion: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.mix: Attention | SwiGLU
        if mixer == "attention":
            self.mix = Attention(hidden_size, heads, generator)
        else:
            self.mix = SwiGLU(length, expansion, generator)
        self.swiglu = SwiGLU(hidden_size, expansion, generator)

    def forward(self, h: Tensor, angles: Tensor | None, operations: Ops) -> Tensor:
        """(B, L, D) of `h` (B, L, D); `angles` as `Ops.attention` takes them."""
        if isinstance(self.mix, Attention):
            h = operations.residual_norm(h, self.mix(h, angles, operations))
        else:
            h = h.transpose(1, 2)
            h = operations.residual_norm(h, self.mix(h, operations)).transpose(1, 2)
        return operations.residual_norm(h, self.swiglu(h, operations))
