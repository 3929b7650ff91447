"""Attention's rotation, norms, SiLU(gate) · up and the mixer over positions in Triton, for GPUs.

Each kernel reads its operands once and writes its result once; matrix products and attention stay
PyTorch's. Nothing depends on the number of examples or positions, so that a new canvas or batch
size compiles nothing. Triton compiles a kernel when it is first needed, which takes about a second,
and keeps it in a folder of the user's cache (`TRITON_CACHE_DIR` names another).

Shape letters: B batch, L positions, D hidden size, H heads, N hidden width of a SwiGLU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from arc_trm.models import triton_kernels as kernels
from arc_trm.models.linear import ROW_MULTIPLE, Linear
from arc_trm.models.ops import RMS_EPSILON, TORCH_OPS, TorchOps

TILE, WARPS = 2048, 8
"""Numbers of a tile that one program of an elementwise kernel reads from a tensor, and the groups
of 32 threads that share it: as fast as copying (docs/performance.md)."""
MAX_WIDTH = 8192
"""Largest axis over which a program computes a norm; PyTorch computes longer ones."""
MAX_FUSED_LENGTH = 128
"""Most positions that one program mixes, without storing what lies between the two products."""
FUSED_CHANNELS, FUSED_HIDDEN = 64, 64
"""Tile of the fused mixer: channels, and hidden units at a time."""
FUSED_WARPS, FUSED_STAGES = 4, 2
"""The fastest of twelve settings on an H200 (docs/performance.md)."""


def _tile(width: int) -> tuple[int, int]:
    """Return rows and columns of a tile of an elementwise kernel, powers of two."""
    columns = TILE
    while columns > 128 and width % columns:  # a divisor leaves no lane idle
        columns //= 2
    return TILE // columns, columns


def _norm_rows(width: int) -> tuple[int, int]:
    """Return rows and columns of a tile that holds whole rows."""
    columns = triton.next_power_of_2(width)
    return max(1, TILE // columns), columns


def _position_tile(length: int, width: int) -> tuple[int, int]:
    """Return positions and channels of a tile that holds all positions."""
    positions = triton.next_power_of_2(length)
    columns = max(16, min(128, 4 * TILE // positions))
    return positions, min(columns, triton.next_power_of_2(width))


def _launch_tiles(kernel: Any, rows: int, width: int, *tensors: Tensor) -> None:
    """Run an elementwise kernel on tiles of `rows` of `width` numbers."""
    tile_rows, columns = _tile(width)
    grid = (triton.cdiv(rows, tile_rows), triton.cdiv(width, columns))
    kernel[grid](*tensors, rows, width, ROWS=tile_rows, COLUMNS=columns, num_warps=WARPS)


def _launch_rows(kernel: Any, rows: int, width: int, *tensors: Tensor, **named: float) -> None:
    """Run a kernel on tiles that hold whole rows."""
    tile_rows, columns = _norm_rows(width)
    tile = {"ROWS": tile_rows, "COLUMNS": columns, "num_warps": WARPS}
    kernel[(triton.cdiv(rows, tile_rows),)](*tensors, rows, width, **named, **tile)


def _launch_positions(kernel: Any, shape: torch.Size, *tensors: Tensor, **named: float) -> None:
    """Run a kernel on tiles that hold all positions of some channels of (B, L, D)."""
    batch, length, width = shape
    positions, columns = _position_tile(length, width)
    tile = {"LENGTH": positions, "COLUMNS": columns}
    kernel[(batch, triton.cdiv(width, columns))](*tensors, length, width, **named, **tile)


class _SiluMul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate_up = gate_up.contiguous()
        width = gate_up.shape[-1] // 2
        out = gate_up.new_empty(*gate_up.shape[:-1], width)
        ctx.save_for_backward(gate_up)
        _launch_tiles(kernels.silu_mul, out.numel() // width, width, gate_up, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        out, width = torch.empty_like(gate_up), grad.shape[-1]
        tensors = (gate_up, grad.contiguous(), out)
        _launch_tiles(kernels.silu_mul_backward, grad.numel() // width, width, *tensors)
        return out


class _ResidualNorm(torch.autograd.Function):
    """The norm of each row; backward needs the result and the scale of a row, not the sum."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, update: Tensor) -> Tensor:
        h, update = h.contiguous(), update.contiguous()
        width = h.shape[-1]
        out, scales = torch.empty_like(h), h.new_empty(h.numel() // width, dtype=torch.float32)
        tensors = (h, update, out, scales)
        _launch_rows(kernels.residual_norm, len(scales), width, *tensors, epsilon=RMS_EPSILON)
        ctx.save_for_backward(out, scales)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        y, scales = ctx.saved_tensors
        out = torch.empty_like(y)
        tensors = (y, scales, grad.contiguous(), out)
        _launch_rows(kernels.residual_norm_backward, len(scales), y.shape[-1], *tensors)
        return out, out


class _PositionNorm(torch.autograd.Function):
    """The norm over the positions of each channel of h + update, (B, L, D)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, update: Tensor) -> Tensor:
        h, update = h.contiguous(), update.contiguous()
        out = torch.empty_like(h)
        scales = h.new_empty(len(h), h.shape[2], dtype=torch.float32)
        tensors = (h, update, out, scales)
        _launch_positions(kernels.position_norm, h.shape, *tensors, epsilon=RMS_EPSILON)
        ctx.save_for_backward(out, scales)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        y, scales = ctx.saved_tensors
        out = torch.empty_like(y)
        tensors = (y, scales, grad.contiguous(), out)
        _launch_positions(kernels.position_norm_backward, y.shape, *tensors)
        return out, out


def _rotate(x: Tensor, rope_cache: Tensor, out: Tensor, direction: int) -> None:
    """Rotate the heads of x (B, L, heads, head size) into `out`, both contiguous in a head.

    `out` has the same shape, and its positions follow each other at one distance. The direction is
    1 or, back, -1; 0 copies, which for such strides PyTorch does at half the speed.
    """
    batch, length, heads, size = x.shape
    half, padded = size // 2, triton.next_power_of_2(heads)
    half_padded = triton.next_power_of_2(half)
    tokens = max(1, TILE // (padded * half_padded))
    cosines, sines = rope_cache.contiguous()
    kernels.rotate[(triton.cdiv(batch * length, tokens),)](
        x, cosines, sines, out, batch * length, length,
        x.stride(0), x.stride(1), x.stride(2), out.stride(1), float(direction),
        HEADS=heads, HEADS_PADDED=padded, HALF=half, HALF_PADDED=half_padded, TOKENS=tokens,
        ROTATE=direction != 0,
    )  # fmt: skip


class _RotateQK(torch.autograd.Function):
    """Split qkv (B, L, 3 H, size) into rotated queries and keys, and values, (B, L, H, size)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, rope_cache: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv = qkv.contiguous()
        heads = qkv.shape[2] // 3
        qk = qkv.new_empty(*qkv.shape[:2], 2 * heads, qkv.shape[3])
        _rotate(qkv[:, :, : 2 * heads], rope_cache, qk, 1)
        ctx.save_for_backward(rope_cache)
        return qk[:, :, :heads], qk[:, :, heads:], qkv[:, :, 2 * heads :]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (rope_cache,) = ctx.saved_tensors
        query, key, value = (grad if grad.stride(-1) == 1 else grad.contiguous() for grad in grads)
        batch, length, heads, size = query.shape
        out = query.new_empty(batch, length, 3 * heads, size)
        _rotate(query, rope_cache, out[:, :, :heads], -1)
        _rotate(key, rope_cache, out[:, :, heads : 2 * heads], -1)
        _rotate(value, rope_cache, out[:, :, 2 * heads :], 0)
        return out, None


class _LeftLinear(torch.autograd.Function):
    """h and W h for each example: h (B, n_in, D), W (n_out, n_in), W h (B, n_out, D).

    The products have the channels as their contiguous axis, so that any number of positions is
    aligned in memory. Backward adds the gradient of the product to that of h in the product.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, cast_weight: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(h, cast_weight)
        ctx.dtype = weight.dtype
        return h, torch.bmm(cast_weight.expand(len(h), -1, -1), h)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: Tensor | None, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        h, cast_weight = ctx.saved_tensors
        grad, transposed = grad.contiguous(), cast_weight.t().expand(len(h), -1, -1)
        if grad_h is None:
            grad_h = torch.bmm(transposed, grad)
        else:  # in place: whatever used this gradient has led to that of the product
            grad_h = grad_h.contiguous().baddbmm_(transposed, grad)
        if not ctx.needs_input_grad[1]:
            return grad_h, None, None
        n_out, n_in = cast_weight.shape
        if n_in < n_out:  # the longer axis last: the rows of a short one may not be aligned
            grad_weight = torch.bmm(h, grad.transpose(1, 2)).sum(0, dtype=ctx.dtype).t()
        else:
            grad_weight = torch.bmm(grad, h.transpose(1, 2)).sum(0, dtype=ctx.dtype)
        return grad_h, grad_weight, None


def _left_linear(linear: Linear, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return h and W h."""
    cast_weight = linear.cast_weight(h.dtype)
    if cast_weight.shape[1] % ROW_MULTIPLE:  # rows of such lengths are not aligned, columns are
        cast_weight = cast_weight.t().contiguous().t()
    h, out = _LeftLinear.apply(  # type: ignore[no-untyped-call]
        h, linear.weight, cast_weight
    )
    return h, out


class TritonOps(TorchOps):
    """`Ops` by the kernels in Triton, for contiguous activations; else by PyTorch."""

    def attention(self, qkv: Tensor, rope_cache: Tensor | None) -> Tensor:
        if rope_cache is None:
            return TORCH_OPS.attention(qkv, rope_cache)
        query, key, value = _RotateQK.apply(qkv, rope_cache)  # type: ignore[no-untyped-call]
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        return attended.transpose(1, 2)

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        if h.shape != update.shape or h.dtype != update.dtype or h.shape[-1] > MAX_WIDTH:
            return TORCH_OPS.residual_norm(h, update)
        out: Tensor = _ResidualNorm.apply(h, update)  # type: ignore[no-untyped-call]
        return out

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        out: Tensor = _SiluMul.apply(gate_up)  # type: ignore[no-untyped-call]
        return out

    def mix_positions(self, h: Tensor, gate_up: Linear, down: Linear) -> Tensor:
        length = h.shape[1]
        if length > MAX_WIDTH // 16:
            return TORCH_OPS.mix_positions(h, gate_up, down)
        if not torch.is_grad_enabled() and _can_fuse(h, down):
            return _mix_positions(h, gate_up, down)
        h, projected = _left_linear(gate_up, h)
        hidden = self.silu_mul(projected.flatten(1)).view(len(h), -1, h.shape[2])
        _, update = _left_linear(down, hidden)
        out: Tensor = _PositionNorm.apply(h, update)  # type: ignore[no-untyped-call]
        return out


def _can_fuse(h: Tensor, down: Linear) -> bool:
    """Return whether one program can mix the positions of some channels of h (B, L, D)."""
    is_short = h.shape[1] <= MAX_FUSED_LENGTH and down.weight.shape[1] % FUSED_HIDDEN == 0
    return is_short and h.dtype.itemsize == 2  # products of float32 would be slow


def _mix_positions(h: Tensor, gate_up: Linear, down: Linear) -> Tensor:
    """Compute `Ops.mix_positions` in one kernel, without gradient."""
    h = h.contiguous()
    batch, length, width = h.shape
    out = torch.empty_like(h)
    up, back = gate_up.cast_weight(h.dtype), down.cast_weight(h.dtype)
    columns = min(FUSED_CHANNELS, triton.next_power_of_2(width))
    kernels.mix_positions[(batch, triton.cdiv(width, columns))](
        h, up, back, out, length, width, up.stride(0), back.stride(0), RMS_EPSILON,
        HIDDEN=back.shape[1], LENGTH=max(16, triton.next_power_of_2(length)), COLUMNS=columns,
        CHUNK=FUSED_HIDDEN, num_warps=FUSED_WARPS, num_stages=FUSED_STAGES,
    )  # fmt: skip
    return out
