"""Grids, pairs, tasks and sets of tasks: what every room above talks about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError
from submission import Solutions
from submission.errors import pluralise

Grid = npt.NDArray[np.uint8]
"""(height, width) uint8, read-only; 1..30 rows and columns of colours 0..9, or of the values of
another domain, which are fewer."""


def as_grid(rows: Sequence[Sequence[int]] | npt.NDArray[np.integer]) -> Grid:
    """A read-only grid out of nested lists or an array that were checked before."""
    grid = np.array(rows, dtype=np.uint8)
    grid.flags.writeable = False
    return grid


def same_grid(grid: Grid | None, other: Grid | None) -> bool:
    """Whether two grids have the same shape and cells; without a grid, whether both lack it."""
    if grid is None or other is None:
        return grid is other
    return np.array_equal(grid, other)


@dataclass(frozen=True, eq=False)
class Pair:
    """An input grid and, where it is known, its output grid."""

    input: Grid
    output: Grid | None = None

    @property
    def grids(self) -> tuple[Grid, ...]:
        return (self.input,) if self.output is None else (self.input, self.output)

    def to_json(self) -> dict[str, Any]:
        """The pair in the official file format."""
        return dict(zip(("input", "output"), (g.tolist() for g in self.grids), strict=False))


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """Demonstration pairs (`train`) and test pairs, whose outputs may be unknown.

    Of another `domain` than arc there is one test pair and no demonstration.
    """

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    domain: str = "arc"

    @property
    def visible_grids(self) -> tuple[Grid, ...]:
        """Every grid a solver may see: demonstrations and test inputs."""
        shown = tuple(grid for pair in self.train for grid in pair.grids)
        return (*shown, *(pair.input for pair in self.test))

    @property
    def max_side(self) -> int:
        """The longest side of all grids a solver may see."""
        sides: list[int] = [side for grid in self.visible_grids for side in grid.shape]
        return max(sides)

    @property
    def solutions(self) -> list[Grid] | None:
        """The test outputs, or None where one is unknown."""
        outputs = [pair.output for pair in self.test if pair.output is not None]
        return outputs if len(outputs) == len(self.test) else None

    def to_json(self, solutions: bool = True) -> dict[str, Any]:
        """The task in the official file format, test outputs only where asked for and known."""
        return {
            "train": [pair.to_json() for pair in self.train],
            "test": [
                pair.to_json() if solutions else Pair(pair.input).to_json() for pair in self.test
            ],
        }

    def without_solutions(self) -> Task:
        """The task as a solver gets it."""
        return replace(self, test=tuple(Pair(pair.input) for pair in self.test))

    def __repr__(self) -> str:
        if self.domain != "arc":
            return f"<Task {self.id}: {self.domain}>"
        return (
            f"<Task {self.id}: {pluralise(len(self.train), 'demonstration')}, "
            f"{pluralise(len(self.test), 'test input')}>"
        )

    def _repr_html_(self) -> str:
        from arc_trm.viz import task_html  # with Pillow, which holding tasks does not need

        return task_html(self)


class Boards(Mapping[str, Task]):
    """Puzzles without demonstrations, as tasks of one test pair each; they stay in arrays.

    A set of millions takes no more memory than its cells. A puzzle's id is its row in the file that
    it comes from.

    Args:
        domain: the name of their kind (`arc_trm.puzzles`).
        questions, answers: (N, side, side) uint8 of values.
        known: (N,) bool, which answers there are; None is all.
        rows: (N,) int64, ascending; None counts from 1.
    """

    def __init__(
        self,
        domain: str,
        questions: npt.NDArray[np.uint8],
        answers: npt.NDArray[np.uint8],
        known: npt.NDArray[np.bool_] | None = None,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.domain, self.questions, self.answers = domain, questions, answers
        self.known = np.ones(len(questions), np.bool_) if known is None else known
        self.rows = np.arange(1, len(questions) + 1) if rows is None else rows
        for array in (self.questions, self.answers):
            array.flags.writeable = False

    @property
    def side(self) -> int:
        """Cells a side."""
        return int(self.questions.shape[1])

    @classmethod
    def joined(cls, parts: Sequence[Boards]) -> Boards:
        """Puzzles of one size in one; where their rows do not ascend, they are counted anew."""
        if len(parts) == 1:
            return parts[0]
        rows = np.concatenate([each.rows for each in parts])
        return cls(
            parts[0].domain,
            np.concatenate([each.questions for each in parts]),
            np.concatenate([each.answers for each in parts]),
            np.concatenate([each.known for each in parts]),
            rows if (np.diff(rows) > 0).all() else None,
        )

    def pair(self, place: int) -> Pair:
        """Question and answer of the puzzle at a place, from 0."""
        answer = self.answers[place] if self.known[place] else None
        return Pair(self.questions[place], answer)

    def at(self, places: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Boards:
        """The puzzles at these places."""
        return Boards(
            *(self.domain, self.questions[places], self.answers[places]),
            *(self.known[places], self.rows[places]),
        )

    def _place(self, task_id: object) -> int | None:
        if not isinstance(task_id, str) or not task_id.isdecimal() or len(task_id) > 18:
            return None
        row = int(task_id)
        place = int(np.searchsorted(self.rows, row))
        there = place < len(self.rows) and self.rows[place] == row and task_id == str(row)
        return place if there else None

    def __getitem__(self, task_id: str) -> Task:
        place = self._place(task_id)
        if place is None:
            raise KeyError(task_id)
        return Task(task_id, (), (self.pair(place),), self.domain)

    def __contains__(self, task_id: object) -> bool:
        return self._place(task_id) is not None

    def __iter__(self) -> Iterator[str]:
        return map(str, self.rows.tolist())

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class TaskSet:
    """Tasks by id, in the order of their source. `name` is what the user asked for.

    Those of other kinds than arc are `Boards`. `notes` are sentences on what was left out.
    """

    name: str
    tasks: Mapping[str, Task]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, tasks: Iterable[Task]) -> TaskSet:
        return cls(name, {task.id: task for task in tasks})

    @property
    def domain(self) -> str:
        """The name of their kind (`arc_trm.puzzles`)."""
        return self.tasks.domain if isinstance(self.tasks, Boards) else "arc"

    @property
    def is_arc(self) -> bool:
        """Whether they have demonstrations, attempts, votes and submissions."""
        return not isinstance(self.tasks, Boards)

    @property
    def boards(self) -> Boards:
        """The tasks of another kind than arc. Raises TypeError of arc's."""
        if not isinstance(self.tasks, Boards):
            raise TypeError(f"{self.name} holds tasks of {self.domain}, which are no boards")
        return self.tasks

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks.values())

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, task_id: str) -> Task:
        return self.tasks[task_id]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self.tasks

    @property
    def test_outputs(self) -> int:
        """Number of grids to predict."""
        if isinstance(self.tasks, Boards):
            return len(self.tasks)
        return sum(len(task.test) for task in self)

    def known_solutions(self) -> Solutions:
        """The official solutions of the tasks whose test outputs are all known."""
        return {
            task.id: [grid.tolist() for grid in task.solutions]
            for task in self
            if task.solutions is not None
        }

    def with_outputs(self, solutions: Solutions) -> TaskSet:
        """The same tasks, but the test outputs that are known are those of official solutions.

        Raises UserError if they are of none of the tasks, or a task has other numbers of them.
        """
        if not self.tasks.keys() & solutions.keys():
            raise UserError(
                f"the solutions are of none of the {len(self)} tasks of {self.name}: give those of "
                "the same tasks"
            )
        return TaskSet.of(self.name, (self._with(task, solutions.get(task.id)) for task in self))

    def _with(self, task: Task, outputs: Sequence[Sequence[Sequence[int]]] | None) -> Task:
        if outputs is None:
            return task.without_solutions()
        if len(outputs) != len(task.test):
            raise UserError(
                f"task {task.id} of {self.name} has {len(task.test)} test inputs, but the "
                f"solutions hold {len(outputs)} test outputs: give those of the same tasks"
            )
        pairs = zip(task.test, outputs, strict=True)
        return replace(task, test=tuple(Pair(pair.input, as_grid(grid)) for pair, grid in pairs))

    def to_json(self, solutions: bool = True) -> dict[str, Any]:
        """The tasks as an official challenges file; test outputs as in `Task.to_json`."""
        return {task.id: task.to_json(solutions) for task in self}

    @property
    def size(self) -> str:
        """How many there are, in words."""
        if self.domain != "arc":
            return f"{pluralise(len(self), 'puzzle')} of {self.domain}"
        return f"{pluralise(len(self), 'task')}, {pluralise(self.test_outputs, 'test output')}"

    def __repr__(self) -> str:
        return f"<TaskSet {self.name}: {self.size}>"

    def _repr_html_(self) -> str:
        from arc_trm.viz import tasks_html

        return tasks_html(f"{self.name}: {self.size}", self, len(self))

    def only(self, task_id: str) -> TaskSet:
        """The set of this one task."""
        tasks = self.tasks
        if isinstance(tasks, Boards):
            return TaskSet(self.name, tasks.at(tasks.rows == int(task_id)))
        return TaskSet(self.name, {task_id: tasks[task_id]})

    def smallest(self, max_grid_size: int) -> TaskSet:
        """The tasks whose demonstrations and test inputs are all at most `max_grid_size` a side."""
        return TaskSet.of(self.name, (task for task in self if task.max_side <= max_grid_size))
