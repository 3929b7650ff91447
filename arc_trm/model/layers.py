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

RMS_EPSILON = 1e-5
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


class _RMSNorm(torch.autograd.Function):
    """By hand, because autograd would walk the tensor twice as often; the same bits in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPSILON)
        ctx.save_for_backward(x, scale)
        return (wide * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, scale = ctx.saved_tensors
        wide, gradient = x.float(), gradient.float()
        to_scale = (gradient * wide).sum(-1, keepdim=True)
        to_square = -0.5 * to_scale * scale.pow(3) / x.shape[-1]
        out: Tensor = (gradient * scale).add_(wide * (2 * to_square)).to(x.dtype)
        return out


def rms_norm(x: Tensor) -> Tensor:
    """x / sqrt(mean(x²) + ε) over the last axis, computed in float32, no weight."""
    out: Tensor = _RMSNorm.apply(x)  # type: ignore[no-untyped-call]
    return out


class _GatedSiLU(torch.autograd.Function):
    """SiLU(gate) · up; both gradients go straight into one tensor, which autograd would copy."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        to_gate, to_up = out.chunk(2, dim=-1)
        torch.mul(gradient, F.silu(gate), out=to_up)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=to_gate)
        return out


class Linear(nn.Module):
    """x W^T, fan-in initialised, without bias unless asked."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(truncated_normal((n_out, n_in), n_in**-0.5, generator))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


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

    def forward(self, x: Tensor) -> Tensor:
        gated = _GatedSiLU.apply(self.gate_up(x))  # type: ignore[no-untyped-call]
        out: Tensor = self.down(gated)
        return out


class Rotary(nn.Module):
    """Rotary positions, halves rotated (RoFormer, 2104.09864); tables (L, head size) float32."""

    cos: Tensor
    sin: Tensor

    def __init__(self, length: int, head_size: int) -> None:
        super().__init__()
        inverse = ROTARY_BASE ** -(torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)  # (L, hs/2)
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, L, any heads, hs)
        wide = x.float()
        first, second = wide.chunk(2, dim=-1)
        rotated = torch.cat([-second, first], dim=-1)
        return (wide * self.cos[:, None] + rotated * self.sin[:, None]).to(x.dtype)


class Attention(nn.Module):
    """Bidirectional attention over all positions, no mask; fused projection to q, k, v."""

    def __init__(self, hidden_size: int, heads: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(hidden_size, 3 * hidden_size, generator)
        self.out = Linear(hidden_size, hidden_size, generator)

    def forward(self, h: Tensor, rotary: Rotary | None) -> Tensor:
        batch, length, width = h.shape
        qkv = self.qkv(h).view(batch, length, 3 * self.heads, width // self.heads)
        qk, value = qkv[:, :, : 2 * self.heads], qkv[:, :, 2 * self.heads :]
        if rotary is not None:
            qk = rotary(qk)
        query, key = qk.transpose(1, 2).chunk(2, dim=1)  # (B, H, L, hs) each
        value = value.transpose(1, 2)
        if h.device.type == "cpu":  # its bfloat16 kernel is several times slower backwards
            query, key, value = query.float(), key.float(), value.float()
        mixed = F.scaled_dot_product_attention(query, key, value).to(h.dtype)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
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

    def forward(self, h: Tensor, rotary: Rotary | None) -> Tensor:  # (B, L, D) -> (B, L, D)
        if isinstance(self.mix, Attention):
            h = rms_norm(h + self.mix(h, rotary))
        else:
            h = h.transpose(1, 2)
            h = rms_norm(h + self.mix(h)).transpose(1, 2)
        return rms_norm(h + self.swiglu(h))
