"""A block for Sudokus that treats all digits alike, with its embedding and its heads.

A state has one position for each digit and cell, a field of S cells for every digit (docs/model.md,
section 3). The same weights serve every field, so that permuting the digits of a puzzle permutes
the digits of the answer: no digit has to be learned by augmentation.

Shape letters: B batch, N digits (the side of the Sudoku), S = N² cells, L = N·S positions, D hidden
size, V vocabulary size. Tokens: PAD 0, blank 1, digit d is d + 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models.embedding import IMPOSSIBLE_LOGIT, Embedding, Heads, build_halt_head
from arc_trm.models.layers import Block, SwiGLU, register_block, swiglu_width
from arc_trm.models.linear import Linear, truncated_normal
from arc_trm.models.ops import Ops
from arc_trm.puzzles import PuzzleKind
from arc_trm.puzzles.sudoku.kind import Sudoku

FIRST_DIGIT = 2
"""Token of the digit 1."""
WIDTH_MULTIPLE = 64
"""Hidden widths are multiples of it: of 256, as published, they would be needlessly wide for the
small hidden sizes that suffice."""


class DigitEmbedding(Embedding):
    """One of three learned roles for each digit and cell, times sqrt(D).

    The cell is empty, holds this digit, or holds another one. There is no puzzle embedding.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        width = config.hidden_size
        self.roles = nn.Parameter(truncated_normal((3, width), width**-0.5, generator))

    @classmethod
    def state_length(cls, config: ModelConfig, seq_len: int) -> int:
        if seq_len != config.seq_len:
            raise ValueError(f"{seq_len} cells are not the canvas of {config.seq_len}")
        return config.side * seq_len

    def forward(self, inputs: Tensor, puzzle_embeddings: Tensor, dtype: torch.dtype) -> Tensor:
        side = self.config.side
        digits = FIRST_DIGIT + torch.arange(side, device=inputs.device, dtype=inputs.dtype)
        cells = inputs[:, None]  # (B, 1, S)
        filled = (cells >= FIRST_DIGIT).int()
        roles = filled * 2 - (cells == digits[:, None]).int()  # empty 0, this 1, another 2
        x = F.embedding(roles, math.sqrt(self.config.hidden_size) * self.roles.to(dtype))
        return x.flatten(1, 2)


class DigitHeads(Heads):
    """The logit of a digit by one vector that all digits share; halting from the mean of y."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.digit = Linear(config.hidden_size, 1, generator)
        self.halt = build_halt_head(config.hidden_size)

    def token_logits(self, y: Tensor) -> Tensor:
        side, vocab_size = self.config.side, self.config.vocab_size
        logits = self.digit(y).view(-1, side, self.config.seq_len).transpose(1, 2)
        # No cell of a solved Sudoku holds another token than its digits.
        padding = FIRST_DIGIT, vocab_size - FIRST_DIGIT - side
        return F.pad(logits, padding, value=IMPOSSIBLE_LOGIT)

    def halt_logits(self, y: Tensor) -> Tensor:
        logits: Tensor = self.halt(y.mean(1, dtype=torch.float32))
        return logits


class _Transpose(torch.autograd.Function):
    """A transposed copy of the last two axes, whose gradient is contiguous too.

    Matrix products of what autograd would return copy it several times.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.transpose(-1, -2).contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.transpose(-1, -2).contiguous()


def _transpose(x: Tensor) -> Tensor:
    out: Tensor = _Transpose.apply(x)  # type: ignore[no-untyped-call]
    return out


def _hidden_widths(config: ModelConfig) -> tuple[int, int]:
    """Return the hidden widths of the SwiGLUs over cells and over channels."""
    over_cells, over_channels = (
        swiglu_width(width, config.expansion, WIDTH_MULTIPLE)
        for width in (config.seq_len, config.hidden_size)
    )
    return over_cells, over_channels


@register_block("digit_equivariant")
class DigitEquivariantBlock(Block):
    """Mixes cells, then digits, then channels; each adds to h and is followed by an RMS norm.

    h = norm(h + swiglu over the S cells of each field and channel),
    h = norm(h + W · mean of the other fields), h = norm(h + swiglu over the D channels).
    """

    embedding = DigitEmbedding
    heads = DigitHeads

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.num_digits = config.side
        over_cells, over_channels = _hidden_widths(config)
        self.cell_mixer = SwiGLU(config.seq_len, over_cells, generator)
        self.digit_mixer = Linear(config.hidden_size, config.hidden_size, generator)
        self.swiglu = SwiGLU(config.hidden_size, over_channels, generator)

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        side = math.isqrt(config.seq_len)
        if side**2 != config.seq_len or not 2 <= side <= config.vocab_size - FIRST_DIGIT:
            raise UserError(
                f"the block digit_equivariant is for Sudokus: model.seq_len ({config.seq_len}) "
                f"must be the square of a side, and model.vocab_size ({config.vocab_size}) at "
                "least that side + 2; for other puzzles choose another model.block"
            )
        if config.mixer != "mlp" or config.puzzle_emb_len or config.puzzle_emb_dim:
            raise UserError(
                "the block digit_equivariant has no attention and no puzzle embedding: set "
                'model.mixer = "mlp", model.puzzle_emb_len = 0 and model.puzzle_emb_dim = 0'
            )
        if config.pos_encoding == "learned":
            raise UserError(
                "the block digit_equivariant has weights for every cell and no position encoding: "
                "leave model.pos_encoding out"
            )

    @classmethod
    def check_kind(cls, kind: PuzzleKind) -> None:
        if not isinstance(kind, Sudoku):
            raise UserError(
                f"the block digit_equivariant is for Sudokus, but the data hold {kind.title}: "
                f"choose another model.block, or a preset such as {kind.quick_preset}"
            )

    @classmethod
    def largest_activation(cls, config: ModelConfig, length: int) -> int:
        over_cells, over_channels = _hidden_widths(config)
        return 2 * max(config.side * config.hidden_size * over_cells, length * over_channels)

    @classmethod
    def saved_activations(cls, config: ModelConfig) -> int:
        over_cells, over_channels = _hidden_widths(config)
        width, length = config.hidden_size, config.side * config.seq_len
        hidden = config.side * width * over_cells + length * over_channels
        return 14 * length * width + 5 * hidden

    def forward(self, h: Tensor, rope_cache: Tensor | None, ops: Ops) -> Tensor:
        length, others = h.shape[1], self.num_digits - 1
        h = h.view(-1, self.num_digits, length // self.num_digits, h.shape[2])  # (B, N, S, D)
        h = ops.residual_norm(h, _transpose(self.cell_mixer(_transpose(h), ops)))
        mixed = self.digit_mixer(h)
        total = mixed.sum(1, keepdim=True) / others
        h = ops.residual_norm(h, torch.sub(total, mixed, alpha=1 / others))
        return ops.residual_norm(h, self.swiglu(h, ops)).flatten(1, 2)
