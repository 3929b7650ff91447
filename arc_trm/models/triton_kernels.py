"""The kernels of `arc_trm.models.gpu_kernels`, in the language of Triton.

Each program reads a tile of its operands, computes in float32 and writes a tile of the result.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def silu_mul(gate_up, out, rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    mask = (row < rows) & (column < width)
    source = gate_up + row * 2 * width + column
    gate = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(source + width, mask=mask, other=0.0).to(tl.float32)
    result = gate * tl.sigmoid(gate) * up
    tl.store(out + row * width + column, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def silu_mul_backward(gate_up, grad, out, rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    mask = (row < rows) & (column < width)
    offset = row * 2 * width + column
    gate = tl.load(gate_up + offset, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(gate_up + offset + width, mask=mask, other=0.0).to(tl.float32)
    given = tl.load(grad + row * width + column, mask=mask, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(gate)
    grad_gate = given * up * sigmoid * (1.0 + gate * (1.0 - sigmoid))
    grad_up = given * gate * sigmoid
    tl.store(out + offset, grad_gate.to(out.dtype.element_ty), mask=mask)
    tl.store(out + offset + width, grad_up.to(out.dtype.element_ty), mask=mask)


@triton.jit
def residual_norm(
    h, update, out, scales, rows, width, epsilon, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.arange(0, COLUMNS)[None, :]
    mask = (row[:, None] < rows) & (column < width)
    offset = row[:, None] * width + column
    total = tl.load(h + offset, mask=mask, other=0.0).to(tl.float32)
    total += tl.load(update + offset, mask=mask, other=0.0).to(tl.float32)
    total = total.to(out.dtype.element_ty).to(tl.float32)  # rounded as PyTorch rounds the sum
    scale = 1.0 / tl.sqrt(tl.sum(total * total, axis=1) / width + epsilon)
    tl.store(scales + row, scale, mask=row < rows)
    tl.store(out + offset, (total * scale[:, None]).to(out.dtype.element_ty), mask=mask)


@triton.jit
def residual_norm_backward(
    y, scales, grad, out, rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.arange(0, COLUMNS)[None, :]
    mask = (row[:, None] < rows) & (column < width)
    offset = row[:, None] * width + column
    normed = tl.load(y + offset, mask=mask, other=0.0).to(tl.float32)
    given = tl.load(grad + offset, mask=mask, other=0.0).to(tl.float32)
    scale = tl.load(scales + row, mask=row < rows, other=0.0)[:, None]
    mean = tl.sum(normed * given, axis=1)[:, None] / width
    result = scale * (given - normed * mean)
    tl.store(out + offset, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def position_norm(
    h, update, out, scales, length, width, epsilon, LENGTH: tl.constexpr, COLUMNS: tl.constexpr
):
    example = tl.program_id(0).to(tl.int64)
    position = tl.arange(0, LENGTH)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (position < length) & (column[None, :] < width)
    offset = example * length * width + position * width + column[None, :]
    total = tl.load(h + offset, mask=mask, other=0.0).to(tl.float32)
    total += tl.load(update + offset, mask=mask, other=0.0).to(tl.float32)
    total = total.to(out.dtype.element_ty).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(total * total, axis=0) / length + epsilon)
    tl.store(scales + example * width + column, scale, mask=column < width)
    tl.store(out + offset, (total * scale[None, :]).to(out.dtype.element_ty), mask=mask)


@triton.jit
def position_norm_backward(
    y, scales, grad, out, length, width, LENGTH: tl.constexpr, COLUMNS: tl.constexpr
):
    example = tl.program_id(0).to(tl.int64)
    position = tl.arange(0, LENGTH)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (position < length) & (column[None, :] < width)
    offset = example * length * width + position * width + column[None, :]
    normed = tl.load(y + offset, mask=mask, other=0.0).to(tl.float32)
    given = tl.load(grad + offset, mask=mask, other=0.0).to(tl.float32)
    scale = tl.load(scales + example * width + column, mask=column < width, other=0.0)[None, :]
    mean = tl.sum(normed * given, axis=0)[None, :] / length
    result = scale * (given - normed * mean)
    tl.store(out + offset, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def rotate(
    x, cosines, sines, out, tokens, length,
    batch_stride, position_stride, head_stride, out_stride, sign,
    HEADS: tl.constexpr, HEADS_PADDED: tl.constexpr, HALF: tl.constexpr, HALF_PADDED: tl.constexpr,
    TOKENS: tl.constexpr, ROTATE: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, TOKENS * HEADS_PADDED)
    token = (tl.program_id(0) * TOKENS + row // HEADS_PADDED).to(tl.int64)[:, None]
    head = (row % HEADS_PADDED)[:, None]
    column = tl.arange(0, HALF_PADDED)[None, :]
    mask = (token < tokens) & (head < HEADS) & (column < HALF)
    position = token % length
    source = x + token // length * batch_stride + position * position_stride
    source += head * head_stride + column
    first = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(source + HALF, mask=mask, other=0.0).to(tl.float32)
    if ROTATE:
        cosine = tl.load(cosines + position * HALF + column, mask=mask, other=0.0)
        sine = tl.load(sines + position * HALF + column, mask=mask, other=0.0) * sign
        first, second = first * cosine - second * sine, second * cosine + first * sine
    target = out + token * out_stride + head * 2 * HALF + column
    kind = out.dtype.element_ty
    tl.store(target, first.to(kind), mask=mask)
    tl.store(target + HALF, second.to(kind), mask=mask)


@triton.jit
def mix_positions(
    h, gate_up, down, out, length, width, gate_up_stride, down_stride, epsilon,
    HIDDEN: tl.constexpr, LENGTH: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    example = tl.program_id(0).to(tl.int64)
    position = tl.arange(0, LENGTH)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (position[:, None] < length) & (column[None, :] < width)
    offset = example * length * width + position[:, None] * width + column[None, :]
    state = tl.load(h + offset, mask=mask, other=0.0)
    kind = state.dtype
    # A product's left operand may stay in registers, so channels are the rows of all products.
    channels = tl.trans(state)  # (COLUMNS, LENGTH)
    update = tl.zeros((COLUMNS, LENGTH), dtype=tl.float32)
    # The rows of `gate_up` are filled up with zeros to `gate_up_stride`.
    in_row = position[:, None] < gate_up_stride
    in_column = position[None, :] < length
    for start in range(0, HIDDEN, CHUNK):
        unit = start + tl.arange(0, CHUNK)
        source = gate_up + unit[None, :] * gate_up_stride + position[:, None]
        weights = tl.load(source, mask=in_row, other=0.0)
        gate = tl.dot(channels, weights)
        weights = tl.load(source + HIDDEN * gate_up_stride, mask=in_row, other=0.0)
        up = tl.dot(channels, weights)
        gate = gate.to(kind).to(tl.float32)
        up = up.to(kind).to(tl.float32)
        hidden = (gate * tl.sigmoid(gate) * up).to(kind)
        source = down + position[None, :] * down_stride + unit[:, None]
        weights = tl.load(source, mask=in_column, other=0.0)
        update += tl.dot(hidden, weights)
    update = tl.trans(update.to(kind)).to(tl.float32)
    total = (state.to(tl.float32) + update).to(kind).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(total * total, axis=0) / length + epsilon)
    tl.store(out + offset, (total * scale[None, :]).to(kind), mask=mask)
