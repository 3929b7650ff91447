"""What a kind of puzzle must say of itself to be learnt, predicted, judged and shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from arc_trm.tasks import Grid, Pair, as_grid

PAD = 0
"""The token of nothing, in every domain; as a label it is not asked for."""

Tokens = npt.NDArray[np.uint8]


class Reversible(Protocol):
    """A change of a grid that leaves a puzzle the same puzzle, and its way back."""

    def apply(self, grid: Grid) -> Grid: ...
    def invert(self, grid: Grid) -> Grid: ...


class Domain(ABC):
    """One kind of puzzle. Stateless; the instances are in `arc_trm.puzzles.DOMAINS`."""

    name: ClassVar[str]
    title: ClassVar[str]
    """The name as it is written in sentences."""
    vocabulary: ClassVar[int]
    """Number of tokens, PAD included."""
    by_examples: ClassVar[bool]
    """Whether a task shows by demonstrations what is asked, and has rows of its own; else all share
    the blank row and the test pair is all there is."""

    @abstractmethod
    def encode(self, pair: Pair, side: int) -> tuple[Tokens, Tokens]:
        """Input and label tokens, (side²,) uint8 each; labels of an unknown output are all PAD.

        Raises ValueError if a grid does not fit a canvas of `side` × `side`.
        """

    @abstractmethod
    def decode(self, tokens: Tokens) -> Grid | None:
        """The grid in (side²,) predicted tokens, or None if there is none."""


class Board(Domain):
    """Puzzles that fill their canvas cell by cell and have a rule by which answers are right.

    A cell's token is its value + 1. `symbols` are the characters of the values, in files and on
    screens.
    """

    by_examples: ClassVar[bool] = False
    symbols: ClassVar[str]
    spellings: ClassVar[dict[str, str]] = {}
    """Characters that files have for one of `symbols`."""
    most_augmentations: ClassVar[int | None] = None
    """How many there are beside the puzzle itself; None is too many to count."""
    solved: ClassVar[str]
    """What a valid answer is, as a part of a sentence."""

    def encode(self, pair: Pair, side: int) -> tuple[Tokens, Tokens]:
        if any(grid.shape != (side, side) for grid in pair.grids):
            raise ValueError(f"grids of {pair.input.shape} do not fill a canvas of side {side}")
        question = pair.input.reshape(-1) + 1
        return question, np.zeros_like(question) if pair.output is None else (
            pair.output.reshape(-1) + 1
        )

    def decode(self, tokens: Tokens) -> Grid | None:
        """None if a cell is PAD, which is no value."""
        side = round(len(tokens) ** 0.5)
        return None if (tokens == PAD).any() else as_grid(tokens.reshape(side, side) - 1)

    @abstractmethod
    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> Reversible:
        """The augmentation `number` of a puzzle of that side, from 1 on; 0 is the puzzle itself."""

    @abstractmethod
    def wrong_size(self, side: int) -> str | None:
        """What is wrong with puzzles of that side, if they cannot be."""

    def values(self, side: int) -> int:
        """How many values a cell of a puzzle of that side can have."""
        return len(self.symbols)

    @abstractmethod
    def problems(self, questions: Grid, answers: Grid, known: npt.NDArray[np.bool_]) -> list[str]:
        """Of each puzzle the first thing that is wrong with it, "" for nothing.

        Sudokus are not solved for that.

        Args:
            questions, answers: (N, side, side) uint8 of values.
            known: (N,), which answers there are.
        """

    @abstractmethod
    def solutions(self, questions: Grid) -> npt.NDArray[np.int64]:
        """(N,) how many solutions questions without problems have: 0, 1, 2 or more, -1 if that
        takes too long to find out; 1 where any solution is as good as another."""

    @abstractmethod
    def guesses(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """What somebody would answer who knows the rule and does not think: (N, side, side) uint8
        values to the same."""

    def valid(self, question: Grid, answer: Grid) -> bool:
        """Whether an answer (side, side) keeps the question and the rule, the known one or not."""
        if answer.shape != question.shape:
            return False
        return not any(self.problems(question[None], answer[None], np.ones(1, np.bool_)))
