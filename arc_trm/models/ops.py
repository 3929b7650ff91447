"""The operations of a block besides its linear layers, in PyTorch.

Shape letters: B batch, L positions, D hidden size, H heads.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from arc_trm.models.linear import Linear

RMS_EPSILON = 1e-5


class Ops(Protocol):
    """Operations that have several implementations.

    `TorchOps` runs on every device; `arc_trm.models.cpu_kernels.KernelOps` is faster on some CPUs,
    `arc_trm.models.gpu_kernels.TritonOps` on GPUs.
    """

    def attention(self, qkv: Tensor, rope_cache: Tensor | None) -> Tensor:
        """Compute softmax attention without a mask: every position attends to all positions.

        Args:
            qkv: (B, L, 3 H, head size) queries, keys and values.
            rope_cache: (2, L, head size / 2) float32 cosines and sines that rotate queries and
                keys; None does not rotate them.

        Returns:
            (B, L, H, head size) in the dtype of `qkv`.
        """

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        """Compute `rms_norm(h + update)`; all tensors are of the same shape (..., width)."""

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        """Compute SiLU(gate) · up, (..., width); `gate_up` (..., 2 width) holds the gates first."""

    def mix_positions(self, h: Tensor, gate_up: Linear, down: Linear) -> Tensor:
        """Add a SwiGLU over the positions of each channel to h (B, L, D), and normalise.

        The norm runs over the L positions too. `gate_up` maps L numbers to two hidden widths,
        `down` a hidden width to L numbers.
        """


class _RMSNorm(torch.autograd.Function):
    """RMSNorm with a manual backward pass.

    Autograd would read and write the tensor twice as often. Results are equal in float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPSILON)
        ctx.save_for_backward(x, scale)
        return (wide * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, scale = ctx.saved_tensors
        wide, grad = x.float(), grad.float()
        grad_scale = (grad * wide).sum(-1, keepdim=True)
        grad_square = -0.5 * grad_scale * scale.pow(3) / x.shape[-1]
        out: Tensor = (grad * scale).add_(wide * (2 * grad_square)).to(x.dtype)
        return out


def rms_norm(x: Tensor) -> Tensor:
    """Compute x / sqrt(mean(x²) + ε) over the last axis, in float32 and without a weight."""
    if torch.compiler.is_compiling():  # the compiler fuses plain operations, backward too
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPSILON)).to(x.dtype)
    out: Tensor = _RMSNorm.apply(x)  # type: ignore[no-untyped-call]
    return out


class _SiluMul(torch.autograd.Function):
    """SiLU(gate) · up; backward writes both gradients into one tensor, which saves a copy."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        out = torch.empty_like(gate_up)
        grad_gate, grad_up = out.chunk(2, dim=-1)
        torch.mul(grad, F.silu(gate), out=grad_up)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        return out


def apply_rotary(x: Tensor, rope_cache: Tensor) -> Tensor:
    """Apply rotary position embedding to the two halves of each head, computed in float32.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.

    Args:
        x: (B, L, any number of heads, head size).
        rope_cache: (2, L, head size / 2) float32 cosines and sines.
    """
    cos, sin = rope_cache.unsqueeze(2)
    first, second = x.float().chunk(2, dim=-1)
    rotated = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return rotated.to(x.dtype)


class TorchOps:
    """`Ops` in PyTorch, for every device and dtype."""

    def attention(self, qkv: Tensor, rope_cache: Tensor | None) -> Tensor:
        heads = qkv.shape[2] // 3
        qk, value = qkv[:, :, : 2 * heads], qkv[:, :, 2 * heads :].transpose(1, 2)
        if rope_cache is not None:
            qk = apply_rotary(qk, rope_cache)
        query, key = qk.transpose(1, 2).chunk(2, dim=1)  # (B, H, L, head size) each
        if qkv.device.type == "cpu":  # PyTorch's bfloat16 backward is several times slower there
            query, key, value = query.float(), key.float(), value.float()
        attended = F.scaled_dot_product_attention(query, key, value).to(qkv.dtype)
        return attended.transpose(1, 2)

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        return rms_norm(h + update)

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            gate, up = gate_up.chunk(2, dim=-1)
            return F.silu(gate) * up
        out: Tensor = _SiluMul.apply(gate_up)  # type: ignore[no-untyped-call]
        return out

    def mix_positions(self, h: Tensor, gate_up: Linear, down: Linear) -> Tensor:
        h = h.transpose(1, 2)
        return self.residual_norm(h, down(self.silu_mul(gate_up(h)))).transpose(1, 2)


TORCH_OPS = TorchOps()
