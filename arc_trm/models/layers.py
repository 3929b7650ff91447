"""Layers and blocks of the networks (docs/model.md, section 3; TRM paper, section 4).

Shape letters: B batch, L positions (those of the puzzle embedding, then the cells), D hidden size,
H heads. Weights are float32 and are cast to the dtype of the activations when they are used.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models.embedding import CellEmbedding, CellHeads, Embedding, Heads
from arc_trm.models.linear import Linear
from arc_trm.models.ops import Ops
from arc_trm.puzzles import PuzzleKind
from arc_trm.registry import Registry

ROPE_BASE = 10000.0


def swiglu_width(width: int, expansion: float, multiple: int = 256) -> int:
    """Hidden width of a SwiGLU: round(expansion · width · 2/3), at least 1, up to a multiple."""
    return math.ceil(max(1, round(expansion * width * 2 / 3)) / multiple) * multiple


class SwiGLU(nn.Module):
    """W_down (SiLU(gate) · up), with gate and up from one projection.

    Source: "GLU Variants Improve Transformer" (arXiv 2002.05202), equation 6.
    """

    def __init__(self, width: int, hidden: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.gate_up = Linear(width, 2 * hidden, generator)
        self.down = Linear(hidden, width, generator)

    def forward(self, x: Tensor, ops: Ops) -> Tensor:
        """Map x (..., width) to (..., width)."""
        return self.combine(self.gate_up(x), ops)

    def fork(self, x: Tensor, ops: Ops) -> tuple[Tensor, Tensor]:
        """Return x and what `forward` maps it to, for `Ops.residual_norm`."""
        x, gate_up = self.gate_up.fork(x)
        return x, self.combine(gate_up, ops)

    def combine(self, gate_up: Tensor, ops: Ops) -> Tensor:
        """Map both projections (..., 2 hidden) to (..., width)."""
        out: Tensor = self.down(ops.silu_mul(gate_up))
        return out


def build_rope_cache(length: int, head_size: int) -> Tensor:
    """Compute cosines and sines (2, L, head size / 2) float32 of rotary position embedding.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    if torch.get_default_device().type == "meta":  # its `arange` would import a compiler for 1 s
        return torch.empty(2, length, head_size // 2)
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

    def fork(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> tuple[Tensor, Tensor]:
        """Return h (B, L, D) and what it is mapped to, of the same shape, for `Ops.residual_norm`.

        See `Ops.attention` for `rope_cache`.
        """
        batch, length, width = h.shape
        h, qkv = self.qkv.fork(h)
        qkv = qkv.view(batch, length, 3 * self.num_heads, width // self.num_heads)
        return h, self.out(ops.attention(qkv, rope_cache).reshape(batch, length, width))


class Block(nn.Module, ABC):
    """A block that receives the rope cache and `Ops`, and may bring an embedding and heads.

    Args:
        config: of the model.
        generator: of the initial weights, on the CPU; None is PyTorch's global generator.
    """

    embedding: ClassVar[type[Embedding]] = CellEmbedding
    """How puzzles enter a state that such blocks change."""
    heads: ClassVar[type[Heads]] = CellHeads
    """How logits are read from it."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        """Raise UserError if the block cannot use a setting."""
        if not config.puzzle_emb_len:
            raise UserError(f"model.puzzle_emb_len must be at least 1 for the block {config.block}")

    @classmethod
    def check_kind(cls, kind: PuzzleKind) -> None:
        """Raise UserError if the block is not for a kind of puzzles; by default it is for all."""

    @classmethod
    def largest_activation(cls, config: ModelConfig, length: int) -> int:
        """Return the numbers of the largest tensor that an example of L = `length` needs."""
        return length * 2 * swiglu_width(config.hidden_size, config.expansion)

    @classmethod
    def saved_activations(cls, config: ModelConfig) -> int:
        """Estimate the numbers that a block keeps of an example on the full canvas for backward.

        Half as many again as PyTorch's saved-tensor hooks count.
        """
        hidden = swiglu_width(config.hidden_size, config.expansion)
        return config.length * (14 * config.hidden_size + 6 * hidden)

    @abstractmethod
    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        """Map h (B, L, D) to (B, L, D); see `Ops.attention` for `rope_cache`."""


BlockFactory = Callable[[ModelConfig, torch.Generator | None], nn.Module]
"""A function or class of (config, generator) that makes a block: a module that maps h (B, L, D) to
(B, L, D), or a `Block`."""
BLOCKS: Registry[BlockFactory] = Registry("block", "model.block")
register_block = BLOCKS.register
"""Decorator that registers a `BlockFactory` under a name, for `model.block`."""


def block_class(config: ModelConfig) -> type[Block]:
    """Return the class of the block that `config.block` names, `BlockAdapter` of other modules."""
    factory = BLOCKS[config.block]
    return factory if isinstance(factory, type) and issubclass(factory, Block) else BlockAdapter


def state_length(config: ModelConfig, seq_len: int | None = None) -> int:
    """Return L, the positions of a state, for a canvas of S = `seq_len` cells; None is full.

    Raises:
        ValueError: the model cannot take such a canvas.
    """
    return block_class(config).embedding.state_length(config, seq_len or config.seq_len)


@register_block("post_norm")
class PostNormBlock(Block):
    """The published post-norm block.

    h = norm(h + token_mixer(h)), then h = norm(h + swiglu(h)). The token mixer is self-attention,
    or, with the mixer "mlp", a SwiGLU over the positions of each channel. The norm after such a
    SwiGLU also runs over positions.
    """

    swiglu_type: ClassVar[type[SwiGLU]] = SwiGLU
    """Of the SwiGLU over channels."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.token_mixer: Attention | SwiGLU
        if config.mixer == "attention":
            self.token_mixer = Attention(config.hidden_size, config.num_heads, generator)
        else:
            hidden = swiglu_width(config.length, config.expansion)
            self.token_mixer = SwiGLU(config.length, hidden, generator)
        hidden = swiglu_width(config.hidden_size, config.expansion)
        self.swiglu = self.swiglu_type(config.hidden_size, hidden, generator)

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        if isinstance(self.token_mixer, Attention):
            h = ops.residual_norm(*self.token_mixer.fork(h, rope_cache, ops))
        else:
            h = ops.mix_positions(h, self.token_mixer.gate_up, self.token_mixer.down)
        return ops.residual_norm(*self.swiglu.fork(h, ops))


class BlockAdapter(Block):
    """A module (B, L, D) -> (B, L, D) that is called like a `Block`.

    Its weights are float32. If the activations are not, it runs under torch.autocast.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.module = BLOCKS[config.block](config, generator)

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        with nullcontext() if h.dtype == torch.float32 else torch.autocast(h.device.type, h.dtype):
            out: Tensor = self.module(h)
        return out.to(h.dtype)


def run_blocks(
    blocks: nn.ModuleList, h: Tensor, injection: Tensor | None, rope_cache: Tensor | None, ops: Ops
) -> Tensor:
    """Run `h` + `injection`, both (B, L, D), through blocks."""
    if injection is not None:
        h = h + injection
    for block in blocks:
        h = block(h, rope_cache, ops)
    return h
