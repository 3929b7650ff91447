"""Grids, pairs, tasks and sets of tasks: what every room above talks about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError
from submission import Solutions
from submission.errors import counted

Grid = npt.NDArray[np.uint8]
"""(height, width) uint8, read-only; 1..30 rows and columns of colours 0..9."""


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
    """Demonstration pairs (`train`) and test pairs, whose outputs may be unknown."""

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]

    @property
    def known_grids(self) -> tuple[Grid, ...]:
        """Every grid a solver may see: demonstrations and test inputs."""
        shown = tuple(grid for pair in self.train for grid in pair.grids)
        return (*shown, *(pair.input for pair in self.test))

    @property
    def longest_side(self) -> int:
        """The longest side of all grids a solver may see."""
        sides: list[int] = [side for grid in self.known_grids for side in grid.shape]
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
        return (
            f"<Task {self.id}: {counted(len(self.train), 'demonstration')}, "
            f"{counted(len(self.test), 'test input')}>"
        )

    def _repr_html_(self) -> str:
        from arc_trm.pictures import task_html  # with Pillow, which holding tasks does not need

        return task_html(self)


@dataclass(frozen=True, eq=False, repr=False)
class TaskSet:
    """Tasks by id, in the order of their source. `name` is what the user asked for."""

    name: str
    tasks: dict[str, Task]

    @classmethod
    def of(cls, name: str, tasks: Iterable[Task]) -> TaskSet:
        return cls(name, {task.id: task for task in tasks})

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
        return sum(len(task.test) for task in self)

    def known_outputs(self) -> Solutions:
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

    def __repr__(self) -> str:
        outputs = counted(self.test_outputs, "test output")
        return f"<TaskSet {self.name}: {counted(len(self), 'task')}, {outputs}>"

    def _repr_html_(self) -> str:
        from arc_trm.pictures import tasks_html

        return tasks_html(self.name, self, self.test_outputs)

    def smallest(self, max_side: int) -> TaskSet:
        """The tasks whose demonstrations and test inputs are all at most `max_side` a side."""
        return TaskSet.of(self.name, (task for task in self if task.longest_side <= max_side))
