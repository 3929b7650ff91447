"""Sudokus and mazes as training draws from them: each a group of its own, all on the blank row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import overload

import numpy as np

from arc_trm.puzzles import Board
from arc_trm.puzzles.base import Tokens
from arc_trm.rng import rng_for
from arc_trm.tasks import Boards, Pair


class BoardGroup:
    """A puzzle with its augmentations, each of which is drawn anew when it is asked for."""

    pairs = 1

    def __init__(self, groups: BoardGroups, place: int) -> None:
        self._groups, self._place = groups, place

    def __len__(self) -> int:
        return 1 + self._groups.augmentations

    @property
    def cells(self) -> int:
        return self._groups.boards.side**2

    def row(self, puzzle: int) -> int:
        """The blank row: all puzzles are asked the same."""
        return 0

    def example(self, puzzle: int, pair: int, place: int | None) -> tuple[Tokens, Tokens]:
        """As `arc_trm.data.sampler.Group`; a board fills its canvas, so it has no other place."""
        board, boards = self._groups.board, self._groups.boards
        plain = boards.pair(self._place)
        assert plain.output is not None, "only known answers are learnt from"
        rng = rng_for(self._groups.seed, "augmentation", self._place, puzzle)
        augmentation = board.augmentation(puzzle, boards.side, rng)
        changed = Pair(augmentation.apply(plain.input), augmentation.apply(plain.output))
        return board.encode(changed, boards.side)


class BoardGroups(Sequence[BoardGroup]):
    """The groups of all `boards`, whose answers are known.

    Args:
        board: their kind.
        boards: of one size.
        augmentations: of each beside itself.
        seed: of the augmentations.
    """

    def __init__(self, board: Board, boards: Boards, augmentations: int, seed: int) -> None:
        most = board.most_augmentations
        self.augmentations = augmentations if most is None else min(most, augmentations)
        self.board, self.boards, self.seed = board, boards, seed

    @overload
    def __getitem__(self, place: int) -> BoardGroup: ...
    @overload
    def __getitem__(self, place: slice) -> list[BoardGroup]: ...
    def __getitem__(self, place: int | slice) -> BoardGroup | list[BoardGroup]:
        places = range(len(self))[place]
        if isinstance(places, int):
            return BoardGroup(self, places)
        return [BoardGroup(self, each) for each in places]

    def __len__(self) -> int:
        return len(self.boards)


def drawn(boards: Boards, count: int | None) -> Boards:
    """So many of the puzzles, in order: the same ones whenever so many of so many are drawn."""
    if count is None or count >= len(boards):
        return boards
    rng = rng_for("drawn puzzles", len(boards))
    return boards.at(np.sort(rng.permutation(len(boards))[:count]))


def shared_questions(first: Boards, second: Boards) -> int:
    """How many questions of `first` are among those of `second`."""
    if first.side != second.side:
        return 0
    # A byte above 0, as NumPy's texts end at the first 0.
    here, there = (
        np.ascontiguousarray(each.questions.reshape(len(each), -1) + 1).view(f"S{each.side**2}")
        for each in (first, second)
    )
    return int(np.isin(here, there).sum())


def digest(boards: Boards, answers: bool = True) -> str:
    """SHA-256 of puzzles in their order: rows, questions and, where asked for, known answers."""
    found = hashlib.sha256(f"{boards.questions.shape}".encode())
    found.update(boards.rows.astype("<i8").tobytes())
    found.update(boards.questions.tobytes())
    if answers:
        found.update(boards.known.tobytes())
        found.update(np.where(boards.known[:, None, None], boards.answers, 0).tobytes())
    return found.hexdigest()
