"""What a block does besides its linear layers, in PyTorch's own operations.

Shape letters: B batch, L positions, D hidden size, H heads.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

RMS_EPSILON = 1e-5


class Ops(Protocol):
    """Three formulas, which `PyTorch` and `arc_trm.models.cpu_kernels.Kernels` compute."""

    def attention(self, qkv: Tensor, angles: Tensor | None) -> Tensor:
        """Attention of all positions to all, no mask (SPEC 3 in docs/model.md).

        Args:
            qkv: (B, L, 3 H, head size) queries, keys and values.
            angles: (2, L, head size / 2) float32 cosines and sines by which queries and keys are
                rotated; None is not at all.

        Returns (B, L, H, head size).
        """

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        """`rms_norm` of h + update, (..., width) both."""

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """SiLU(gate) · up (..., width) of (..., 2 width), gates first."""


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
    if torch.compiler.is_compiling():  # which fuses all of it, the way back too
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPSILON)).to(x.dtype)
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


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions, halves rotated (RoFormer, arXiv 2104.09864), computed in float32.

    Args:
        x: (B, L, any heads, head size).
        angles: (2, L, head size / 2) float32 cosines and sines.
    """
    cos, sin = angles.unsqueeze(2)
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x.dtype)


class PyTorch:
    """`Ops` on any device and type."""

    def attention(self, qkv: Tensor, angles: Tensor | None) -> Tensor:
        heads = qkv.shape[2] // 3
        qk, value = qkv[:, :, : 2 * heads], qkv[:, :, 2 * heads :].transpose(1, 2)
        if angles is not None:
            qk = rotated(qk, angles)
        query, key = qk.transpose(1, 2).chunk(2, dim=1)  # (B, H, L, head size) each
        if qkv.device.type == "cpu":  # its bfloat16 kernel is several times slower backwards
            query, key, value = query.float(), key.float(), value.float()
        mixed = F.scaled_dot_product_attention(query, key, value).to(qkv.dtype)
        return mixed.transpose(1, 2)

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        return rms_norm(h + update)

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            gate, up = gate_up.chunk(2, dim=-1)
            return F.silu(gate) * up
        out: Tensor = _GatedSiLU.apply(gate_up)  # type: ignore[no-untyped-call]
        return out


TORCH_OPS = PyTorch()
