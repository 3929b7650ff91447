"""Puzzles: every (task, augmentation) with a row of its own in the embedding table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError
from arc_trm.puzzles.arc.kind import (
    BLANK,
    SEPARATOR,
    Augmentation,
    augmentation_names,
    distinct_augmentations,
    encode_pair,
    random_offset,
)
from arc_trm.puzzles.base import Tokens
from arc_trm.rng import rng_for
from arc_trm.tasks import Pair, Task
from submission import read_json


@dataclass(frozen=True, eq=False)
class TaskPuzzles:
    """A task and its augmentations; its puzzle k has the row `first_row + k`, 0 the task itself."""

    task: Task
    first_row: int
    dihedrals: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return 1 + len(self.dihedrals)

    def augmentation(self, index: int) -> Augmentation:
        if index == 0:
            return Augmentation()
        return Augmentation(int(self.dihedrals[index - 1]), self.colours[index - 1].tobytes())


class TaskGroup:
    """A task's puzzles as `arc_trm.data.sampler` draws from them: pairs with a known output.

    They are encoded when asked for, on a canvas of `side` × `side`; without `shift` they are all
    at its corner.
    """

    def __init__(self, puzzles: TaskPuzzles, side: int, shift: bool = True) -> None:
        self.puzzles, self.side, self.shift = puzzles, side, shift
        task = puzzles.task
        self._pairs: list[Pair] = [
            pair for pair in (*task.train, *task.test) if pair.output is not None
        ]

    def __len__(self) -> int:
        return len(self.puzzles)

    @property
    def pairs(self) -> int:
        return len(self._pairs)

    @property
    def cells(self) -> int:
        return self.side**2

    def row(self, puzzle: int) -> int:
        return self.puzzles.first_row + puzzle

    def example(self, puzzle: int, pair: int, place: int | None) -> tuple[Tokens, Tokens]:
        augmented = self.puzzles.augmentation(puzzle).apply_pair(self._pairs[pair])
        offset = (0, 0)
        if self.shift and place is not None:
            offset = random_offset(augmented, self.side, np.random.default_rng(place))
        return encode_pair(augmented, self.side, offset)


def assign_puzzle_ids(tasks: Sequence[Task], augmentations: int, seed: int) -> list[TaskPuzzles]:
    """Draw every task's augmentations and number the rows from 1 on, in the order of the tasks.

    A task's augmentations depend on the seed, its id and what it shows to a solver, never on its
    test outputs or on other tasks. Raises UserError if an id cannot be part of a row's name.
    """
    numbered, row = [], 1
    for task in tasks:
        if SEPARATOR in task.id or task.id == BLANK:
            raise UserError(
                f"task {task.id!r} cannot be learnt under this id: {SEPARATOR} stands between a "
                f"task and its augmentation, {BLANK} is no task; rename it"
            )
        drawn = distinct_augmentations(
            task.without_solutions(), augmentations, rng_for(seed, "augmentations", task.id)
        )
        numbered.append(TaskPuzzles(task, row, *drawn))
        row += len(numbered[-1])
    return numbered


def read_puzzle_ids(path: Path) -> list[str]:
    """The names of a table's rows out of a JSON file: different strings, `<blank>` first.

    Raises UserError or submission.FormatError if it holds anything else.
    """
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} is not a list of names: copy it again")
    if names[:1] != [BLANK]:
        raise UserError(f"{path} must begin with {BLANK!r}, the name of row 0: copy it again")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path} names the puzzle {twice!r} more than once: copy it again")
    return names


def row_names(puzzles: Sequence[TaskPuzzles]) -> Iterator[str]:
    """The name of every row, `<blank>` first."""
    yield BLANK
    for task in puzzles:
        yield task.task.id
        for name in augmentation_names(task.dihedrals, task.colours):
            yield f"{task.task.id}{SEPARATOR}{name}"
