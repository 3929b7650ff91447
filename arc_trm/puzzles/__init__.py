"""The kinds of puzzles. A new kind is a folder and a registration."""

from __future__ import annotations

from arc_trm.puzzles.arc.kind import Arc
from arc_trm.puzzles.base import (
    BLANK,
    IDENTITY,
    PAD,
    SEPARATOR,
    Augmentation,
    PuzzleKind,
    register_augmenter,
)
from arc_trm.puzzles.grid_puzzle import GridPuzzle, PuzzleScore
from arc_trm.puzzles.maze.kind import Maze
from arc_trm.puzzles.sudoku.kind import Sudoku
from arc_trm.puzzles.theme import Theme
from arc_trm.registry import Registry
from arc_trm.tasks import TaskSet

KINDS: Registry[PuzzleKind] = Registry("kind of puzzle")


def register_kind(kind: PuzzleKind) -> PuzzleKind:
    """Register a kind of puzzle under its name."""
    return KINDS.register(kind.name)(kind)


for _kind in (Arc(), Sudoku(), Maze()):
    register_kind(_kind)


def kind_of(tasks: TaskSet) -> PuzzleKind:
    """Return the kind of a set's tasks."""
    return KINDS[tasks.kind]


def kinds_with_vocab(vocab_size: int) -> list[PuzzleKind]:
    """Return the kinds that have this number of tokens on canvases of some size."""
    return [kind for kind in KINDS.values() if kind.usual_side(vocab_size) is not None]


def grid_kinds(vocab_size: int | None = None) -> list[GridPuzzle]:
    """Return the kinds of puzzles on square grids with a rule; None is any number of tokens."""
    kinds = KINDS.values() if vocab_size is None else kinds_with_vocab(vocab_size)
    return [kind for kind in kinds if isinstance(kind, GridPuzzle)]


__all__ = [
    "BLANK",
    "IDENTITY",
    "KINDS",
    "PAD",
    "SEPARATOR",
    "Augmentation",
    "GridPuzzle",
    "PuzzleKind",
    "PuzzleScore",
    "Theme",
    "grid_kinds",
    "kind_of",
    "kinds_with_vocab",
    "register_augmenter",
    "register_kind",
]
