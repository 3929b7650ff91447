"""How puzzles enter a state and how answers are read from it: embeddings and heads.

A state is a sequence of L positions. In the published models they are P positions of the puzzle
embedding and the S cells of the canvas (`CellEmbedding`, `CellHeads`). A block may need positions
that stand for something else, and then names its own embedding and heads
(`arc_trm.models.layers.Block`).

Shape letters: B batch, S cells of a canvas, P positions of the puzzle embedding, L positions of a
state, D hidden size, V vocabulary size.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.linear import Linear, truncated_normal

IMPOSSIBLE_LOGIT = -1e4
"""Logit of a token that a model cannot predict."""
HALT_BIAS = -5.0
"""Initial bias of the halting head: a new model does not halt early."""


class Embedding(nn.Module, ABC):
    """Embeds puzzles into x, which has the shape of a state.

    Args:
        config: of the model.
        generator: of the initial weights, on the CPU; None is PyTorch's global generator.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config

    @classmethod
    @abstractmethod
    def state_length(cls, config: ModelConfig, seq_len: int) -> int:
        """Return L for a canvas of S = `seq_len` cells.

        Raises:
            ValueError: the model cannot take such a canvas.
        """

    @abstractmethod
    def forward(self, inputs: Tensor, puzzle_embeddings: Tensor, dtype: torch.dtype) -> Tensor:
        """Embed puzzles and tokens.

        Args:
            inputs: (B, S) int tokens.
            puzzle_embeddings: (B, N) float32, rows of a table (N = puzzle_emb_dim) or composed;
                N is at most P·D.
            dtype: of the activations.

        Returns:
            x (B, L, D).
        """


class Heads(nn.Module, ABC):
    """Reads the logits of the tokens and of halting from an answer y. See `Embedding`."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def token_logits(self, y: Tensor) -> Tensor:
        """Return logits (B, S, V) of the answer y (B, L, D), in the dtype of the activations."""

    @property
    def has_trained_halting(self) -> bool:
        """Whether the halting logits depend on the answer; new heads that `build_halt_head` made
        as `halt` do not."""
        head = getattr(self, "halt", None)
        return not isinstance(head, nn.Linear) or bool(head.weight.any())

    @abstractmethod
    def halt_logits(self, y: Tensor) -> Tensor:
        """Return (B, 2) float32, halt and continue, of the answer y (B, L, D)."""


def build_halt_head(width: int) -> nn.Linear:
    """Build a linear layer to the halting logits, whose first output is always `HALT_BIAS`."""
    # skip_init: PyTorch's own initialisation would draw random numbers that nothing uses.
    head: nn.Linear = nn.utils.skip_init(nn.Linear, width, 2)  # type: ignore[no-untyped-call]
    nn.init.zeros_(head.weight)
    nn.init.constant_(head.bias, HALT_BIAS)
    return head


class CellEmbedding(Embedding):
    """The puzzle embedding as P positions, then one position for each cell; times sqrt(D).

    Learned positions are added if the config asks for them (docs/model.md, section 3).
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        width = config.hidden_size
        tokens = truncated_normal((config.vocab_size, width), width**-0.5, generator)
        self.tokens = nn.Parameter(tokens)
        self.positions: nn.Parameter | None = None
        if config.pos_encoding == "learned":
            positions = truncated_normal((config.length, width), width**-0.5, generator)
            self.positions = nn.Parameter(positions)

    @classmethod
    def state_length(cls, config: ModelConfig, seq_len: int) -> int:
        length = config.puzzle_emb_len + seq_len
        canvas_position_ids(config, length, torch.device("cpu"))  # raises if there is no canvas
        return length

    def forward(self, inputs: Tensor, puzzle_embeddings: Tensor, dtype: torch.dtype) -> Tensor:
        config = self.config
        padding = config.puzzle_emb_len * config.hidden_size - puzzle_embeddings.shape[1]
        puzzle = F.pad(puzzle_embeddings.to(dtype), (0, padding))
        puzzle = puzzle.view(-1, config.puzzle_emb_len, config.hidden_size)
        tokens = F.embedding(inputs.int(), self.tokens.to(dtype))
        x = torch.cat([puzzle, tokens], dim=1)
        if self.positions is not None:
            positions = self.positions.to(dtype)
            position_ids = canvas_position_ids(config, x.shape[1], x.device)
            if position_ids is not None:
                positions = positions[position_ids]
            x = math.sqrt(0.5) * (x + positions)
        return math.sqrt(config.hidden_size) * x


class CellHeads(Heads):
    """The logits of a cell by a linear layer from its position; halting from the first position."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.token = Linear(config.hidden_size, config.vocab_size, generator)
        self.halt = build_halt_head(config.hidden_size)

    def token_logits(self, y: Tensor) -> Tensor:
        logits: Tensor = self.token(y)[:, self.config.puzzle_emb_len :]
        return logits

    def halt_logits(self, y: Tensor) -> Tensor:
        logits: Tensor = self.halt(y[:, 0].float())
        return logits


def canvas_position_ids(config: ModelConfig, length: int, device: torch.device) -> Tensor | None:
    """Return the positions on the full canvas of a smaller square one of length P + S.

    Returns:
        (length,) int64, or None if `length` is that of the full canvas.

    Raises:
        ValueError: there is no such canvas, or the mixer takes the full canvas only.
    """
    if length == config.length:
        return None
    cells = length - config.puzzle_emb_len
    side, full_side = math.isqrt(max(0, cells)), math.isqrt(config.seq_len)
    square = side * side == cells and full_side * full_side == config.seq_len
    if not square or not 0 < side < full_side or config.mixer != "attention":
        raise ValueError(
            f"{cells} cells are neither the canvas of {config.seq_len} nor a smaller square of "
            "it that a model with attention can take"
        )
    return _square_position_ids(config.puzzle_emb_len, side, full_side, device)


@cache
def _square_position_ids(
    puzzle_emb_len: int, side: int, full_side: int, device: torch.device
) -> Tensor:
    """Return the puzzle positions, then those of the cells of a square in the full canvas."""
    rows, columns = torch.meshgrid(*[torch.arange(side, device=device)] * 2, indexing="ij")
    cells = puzzle_emb_len + (rows * full_side + columns).flatten()
    return torch.cat([torch.arange(puzzle_emb_len, device=device), cells])
