"""Layers and blocks of the networks (docs/model.md, section 3; TRM paper, section 4).

Shape letters: B batch, L positions (those of the puzzle embedding, then the cells), D hidden size,
H heads. Weights are float32 and are cast to the dtype of the activations when they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from arc_trm.config import ModelConfig
from arc_trm.models.ops import Ops
from arc_trm.registry import Registry

ROPE_BASE = 10000.0
# Standard deviation of a standard normal distribution truncated at ±2.
_TRUNCATED_STD = math.sqrt(
    1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(2 / math.sqrt(2))
)


def truncated_normal(
    shape: tuple[int, ...], std: float, generator: torch.Generator | None
) -> Tensor:
    """Draw float32 numbers from a normal distribution truncated at ±2σ.

    `std` is the standard deviation after truncation; σ is chosen accordingly. `generator` is on the
    CPU; None is PyTorch's global one.
    """
    sigma = std / _TRUNCATED_STD
    values = torch.empty(shape)
    return nn.init.trunc_normal_(values, 0.0, sigma, -2 * sigma, 2 * sigma, generator=generator)


class _CachedLinear(torch.autograd.Function):
    """x W^T with a cached cast of W; the gradient of W is in W's own dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cached_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, cached_weight)
        ctx.dtype = weight.dtype
        return F.linear(x, cached_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, cached_weight = ctx.saved_tensors
        grad_x = grad @ cached_weight if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        grad_rows, x_rows = grad.flatten(0, -2), x.flatten(0, -2)
        return grad_x, (grad_rows.t() @ x_rows).to(ctx.dtype), None


class Linear(nn.Module):
    """x W^T without bias, W (n_out, n_in) initialised by fan-in."""

    cached_weight: Tensor | None = None
    """The weight in the dtype of the activations, within `PuzzleModel.cache_cast_weights`; None
    casts the weight at every use."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(truncated_normal((n_out, n_in), n_in**-0.5, generator))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out `cached_weight`, for the weight of a copy may change."""
        return {name: value for name, value in self.__dict__.items() if name != "cached_weight"}

    def forward(self, x: Tensor) -> Tensor:
        if self.cached_weight is None:
            return F.linear(x, self.weight.to(x.dtype))
        if not torch.is_grad_enabled():
            return F.linear(x, self.cached_weight)
        out: Tensor = _CachedLinear.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.cached_weight
        )
        return out


def swiglu_width(width: int, expansion: float) -> int:
    """Hidden width of a SwiGLU: round(expansion · width · 2/3), up to a multiple of 256."""
    return math.ceil(round(expansion * width * 2 / 3) / 256) * 256


class SwiGLU(nn.Module):
    """W_down (SiLU(gate) · up), with gate and up from one projection.

    Source: "GLU Variants Improve Transformer" (arXiv 2002.05202), equation 6.
    """

    def __init__(self, width: int, expansion: float, generator: torch.Generator | None) -> None:
        super().__init__()
        hidden = swiglu_width(width, expansion)
        self.gate_up = Linear(width, 2 * hidden, generator)
        self.down = Linear(hidden, width, generator)

    def forward(self, x: Tensor, ops: Ops) -> Tensor:
        """Map x (..., width) to (..., width)."""
        out: Tensor = self.down(ops.silu_mul(self.gate_up(x)))
        return out


def build_rope_cache(length: int, head_size: int) -> Tensor:
    """Compute cosines and sines (2, L, head size / 2) float32 of rotary position embedding.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    frequencies = ROPE_BASE ** -(torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
    return torch.stack([angles.cos(), angles.sin()])


class Attention(nn.Module):
    """Self-attention of all positions to all positions, with one projection to q, k and v."""

    def __init__(self, hidden_size: int, num_heads: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(hidden_size, 3 * hidden_size, generator)
        self.out = Linear(hidden_size, hidden_size, generator)

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        """Map h (B, L, D) to (B, L, D); see `Ops.attention` for `rope_cache`."""
        batch, length, width = h.shape
        qkv = self.qkv(h).view(batch, length, 3 * self.num_heads, width // self.num_heads)
        out: Tensor = self.out(ops.attention(qkv, rope_cache).reshape(batch, length, width))
        return out


BlockFactory = Callable[[ModelConfig, torch.Generator | None], nn.Module]
"""A function or class of (config, generator) that makes a block: a module that maps h (B, L, D) to
(B, L, D). A subclass of `Block` also receives the rope cache and `Ops`."""
BLOCKS: Registry[BlockFactory] = Registry("block", "model.block")
register_block = BLOCKS.register
"""Decorator that registers a `BlockFactory` under a name, for `model.block`."""


@register_block("post_norm")
class Block(nn.Module):
    """The published post-norm block.

    h = norm(h + token_mixer(h)), then h = norm(h + swiglu(h)). The token mixer is self-attention,
    or, with the mixer "mlp", a SwiGLU over the positions of each channel. The norm after such a
    SwiGLU also runs over positions.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        self.token_mixer: Attention | SwiGLU
        if config.mixer == "attention":
            self.token_mixer = Attention(config.hidden_size, config.num_heads, generator)
        else:
            self.token_mixer = SwiGLU(config.length, config.expansion, generator)
        self.swiglu = SwiGLU(config.hidden_size, config.expansion, generator)

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        """Map h (B, L, D) to (B, L, D); see `Ops.attention` for `rope_cache`."""
        if isinstance(self.token_mixer, Attention):
            h = ops.residual_norm(h, self.token_mixer(h, rope_cache, ops))
        else:
            h = h.transpose(1, 2)
            h = ops.residual_norm(h, self.token_mixer(h, ops)).transpose(1, 2)
        return ops.residual_norm(h, self.swiglu(h, ops))


class BlockAdapter(nn.Module):
    """A module (B, L, D) -> (B, L, D) that is called like a `Block`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        out: Tensor = self.module(h)
        return out


def build_block(config: ModelConfig, generator: torch.Generator | None) -> nn.Module:
    """Build the block that `config.block` names, callable as `block(h, rope_cache, ops)`."""
    block = BLOCKS[config.block](config, generator)
    return block if isinstance(block, Block) else BlockAdapter(block)


def run_blocks(
    blocks: nn.ModuleList, h: Tensor, injection: Tensor | None, rope_cache: Tensor | None, ops: Ops
) -> Tensor:
    """Run `h` + `injection`, both (B, L, D), through blocks that `build_block` made."""
    if injection is not None:
        h = h + injection
    for block in blocks:
        h = block(h, rope_cache, ops)
    return h
