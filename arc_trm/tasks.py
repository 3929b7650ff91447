"""Grids, pairs, tasks and sets of tasks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.display import Displayed
from arc_trm.errors import UserError, escape_controls, pluralise
from submission import Solutions

Grid = npt.NDArray[np.uint8]
"""(height, width) uint8, read-only; 1..30 rows and columns of colours 0..9, or of the values of
another kind of puzzle."""

DEFAULT_KIND = "arc"
"""The kind of tasks whose files do not name another."""


def as_grid(rows: Sequence[Sequence[int]] | npt.NDArray[np.integer]) -> Grid:
    """Return a read-only grid of nested lists or an array that were checked before."""
    grid = np.array(rows, dtype=np.uint8)
    grid.flags.writeable = False
    return grid


def same_grid(grid: Grid | None, other: Grid | None) -> bool:
    """Return whether two grids have equal shapes and cells, or are both None."""
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
        """The input, and the output if it is known."""
        return (self.input,) if self.output is None else (self.input, self.output)

    def to_json(self) -> dict[str, Any]:
        """Return the pair in the official file format."""
        return dict(zip(("input", "output"), (g.tolist() for g in self.grids), strict=False))


@dataclass(frozen=True, eq=False, repr=False)
class Task(Displayed):
    """Demonstration pairs (`train`) and test pairs, whose outputs may be unknown.

    Attributes:
        id: of the task in its set.
        train: demonstrations.
        test: test pairs; none if the task is only to be trained on.
        kind: name of its puzzle kind (`arc_trm.puzzles`).
        generated: more pairs of the same rule, made by a program (`arc-gen` in Google's Code Golf
            set). They are trained on if `data.generated_pairs` says so, and count for nothing else.
    """

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    kind: str = DEFAULT_KIND
    generated: tuple[Pair, ...] = ()

    @property
    def visible_grids(self) -> tuple[Grid, ...]:
        """Every grid that a solver may see: demonstrations and test inputs."""
        shown = tuple(grid for pair in self.train for grid in pair.grids)
        return (*shown, *(pair.input for pair in self.test))

    @property
    def max_side(self) -> int:
        """The longest side of all visible grids."""
        return int(max(max(grid.shape) for grid in self.visible_grids))

    @property
    def solutions(self) -> list[Grid] | None:
        """The test outputs, or None if one is unknown or the task has no test pair."""
        outputs = [pair.output for pair in self.test if pair.output is not None]
        return outputs if outputs and len(outputs) == len(self.test) else None

    def test_digest(self) -> str:
        """Return eight hexadecimal digits that tell the task's test inputs from others."""
        inputs = [pair.input.tolist() for pair in self.test]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:8]

    def input_digests(self) -> list[str]:
        """Return sixteen hexadecimal digits for each test input, by which sets are compared."""
        texts = (json.dumps(pair.input.tolist()).encode() for pair in self.test)
        return [hashlib.sha256(text).hexdigest()[:16] for text in texts]

    def to_json(self, solutions: bool = True) -> dict[str, Any]:
        """Return the task in the official file format, with known test outputs if `solutions`."""
        task = self if solutions else self.without_solutions()
        return {
            "train": [pair.to_json() for pair in task.train],
            "test": [pair.to_json() for pair in task.test],
        }

    def without_solutions(self) -> Task:
        """Return the task as a solver gets it."""
        return replace(self, test=tuple(Pair(pair.input) for pair in self.test))

    def with_solutions(self, outputs: Sequence[Sequence[Sequence[int]]]) -> Task:
        """Return the task with these test outputs, one per test input."""
        pairs = zip(self.test, outputs, strict=True)
        return replace(self, test=tuple(Pair(pair.input, as_grid(grid)) for pair, grid in pairs))

    def __repr__(self) -> str:
        train, test = pluralise(len(self.train), "demonstration"), pluralise(len(self.test), "test")
        return f"<Task {escape_controls(self.id)}: {self.kind}, {train}, {test}>"


class TaskSet(Displayed):
    """Tasks of one kind by id, in the order of their source.

    Args:
        name: the user's name or path of the data.
        tasks: by id.
        notes: sentences on what was left out.
        kind: the name of their kind; None is that of the first task.
    """

    def __init__(
        self,
        name: str,
        tasks: Mapping[str, Task],
        notes: Sequence[str] = (),
        kind: str | None = None,
    ) -> None:
        self.name, self.notes = name, tuple(notes)
        self._tasks = tasks
        self.kind = kind or next((task.kind for task in tasks.values()), DEFAULT_KIND)

    @classmethod
    def from_tasks(cls, name: str, tasks: Iterable[Task], notes: Sequence[str] = ()) -> TaskSet:
        """Return the set of these tasks; of several with one id the last stays."""
        return TaskSet(name, {task.id: task for task in tasks}, notes)

    @classmethod
    def unique(cls, name: str, tasks: Sequence[Task], notes: Sequence[str] = ()) -> TaskSet:
        """Return the set of these tasks. Raises UserError if two of them have the same id."""
        task_set = cls.from_tasks(name, tasks, notes)
        if len(task_set) < len(tasks):
            repeated = Counter(task.id for task in tasks).most_common(1)[0][0]
            raise UserError(f"{name} has more than one task {repeated}, expected different ids")
        return task_set

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all tasks, in order."""
        return list(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, task_id: str) -> Task:
        return self._tasks[task_id]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    def renamed(self, name: str, notes: Sequence[str] | None = None) -> TaskSet:
        """Return the same tasks under another name, with other notes if given."""
        return TaskSet(name, self._tasks, self.notes if notes is None else notes, self.kind)

    def select(self, ids: Iterable[str]) -> TaskSet:
        """Return the tasks with these ids, which must exist."""
        return TaskSet(self.name, {each: self[each] for each in ids}, self.notes, self.kind)

    def first(self, count: int | None) -> list[Task]:
        """Return the first tasks; None is all."""
        return list(islice(self, count))

    def filter_by_size(self, max_side: int) -> TaskSet:
        """Return the tasks whose demonstrations and test inputs are at most `max_side` a side."""
        fitting = (task for task in self if task.max_side <= max_side)
        return TaskSet.from_tasks(self.name, fitting, self.notes)

    def with_tests(self) -> TaskSet:
        """Return the tasks that have test inputs, with a note on the others."""
        found = [task for task in self if task.test]
        if not (left := len(self) - len(found)):
            return self
        note = (
            f"{left} of {pluralise(len(self), 'task')} of {self.name} have demonstrations only, so "
            "that there is nothing to predict"
        )
        return TaskSet(self.name, {task.id: task for task in found}, [*self.notes, note], self.kind)

    @property
    def test_outputs(self) -> int:
        """Number of grids to predict."""
        return sum(len(task.test) for task in self)

    def known_solutions(self) -> Solutions:
        """Return the official solutions of the tasks whose test outputs are all known."""
        found = ((task.id, task.solutions) for task in self)
        return {
            name: [grid.tolist() for grid in grids] for name, grids in found if grids is not None
        }

    @property
    def has_known_outputs(self) -> bool:
        """Whether all test outputs of at least one task are known."""
        return any(task.solutions is not None for task in self)

    def with_solutions(self, solutions: Solutions) -> TaskSet:
        """Return the tasks with the outputs of official solutions as the only known ones.

        Raises:
            UserError: the solutions have none of the tasks, or another number of outputs.
        """
        if not any(task_id in self for task_id in solutions):
            raise UserError(
                f"the solutions have none of the {len(self)} tasks of {self.name}: name the "
                "solutions of the same tasks"
            )
        return TaskSet.from_tasks(self.name, (self._solved(task, solutions) for task in self))

    def _solved(self, task: Task, solutions: Solutions) -> Task:
        outputs = solutions.get(task.id)
        if outputs is None:
            return task.without_solutions()
        if len(outputs) != len(task.test):
            raise UserError(
                f"task {task.id} of {self.name} has {len(task.test)} test inputs, but the "
                f"solutions have {len(outputs)} test outputs: name the solutions of the same tasks"
            )
        return task.with_solutions(outputs)

    def without_solutions(self) -> TaskSet:
        """Return the tasks as a solver gets them."""
        return TaskSet.from_tasks(self.name, (task.without_solutions() for task in self))

    def to_json(self, solutions: bool = True) -> dict[str, Any]:
        """Return the tasks as an official challenges file, as `Task.to_json` each."""
        return {task.id: task.to_json(solutions) for task in self}

    def fingerprint(self, solutions: bool = True) -> str:
        """Return a SHA-256 that does not depend on the files or the order of the tasks.

        It is that of `json.dumps(tasks, separators=(",", ":"))` of the official challenges format
        with ids in ascending order; a test pair whose output is unknown has no "output".

        Args:
            solutions: whether known test outputs count.
        """
        plain = dict(sorted(self.to_json(solutions).items()))
        return hashlib.sha256(json.dumps(plain, separators=(",", ":")).encode()).hexdigest()

    @property
    def summary(self) -> str:
        """How many tasks and test outputs there are, in words."""
        return f"{pluralise(len(self), 'task')}, {pluralise(self.test_outputs, 'test output')}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {escape_controls(self.name)}: {self.summary}>"


_ARRAYS = ("questions", "answers", "known", "rows")
_FIELDS = ("name", "kind", *_ARRAYS, "notes")


class PuzzleArray(TaskSet):
    """Puzzles of one size in arrays, each a task of one test pair and no demonstration.

    A task is made when it is looked up, so a set of millions is as large as its cells. A puzzle's
    id is its row in its file.

    Args:
        name: the user's name or path of the data.
        kind: the name of their kind.
        questions, answers: (N, side, side) uint8 values of cells.
        known: (N,) bool, whether an answer is known; None is yes for all.
        rows: (N,) int64, ascending; None counts from 1.
        notes: sentences on what was left out.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        questions: npt.NDArray[np.uint8],
        answers: npt.NDArray[np.uint8],
        known: npt.NDArray[np.bool_] | None = None,
        rows: npt.NDArray[np.int64] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name, self.kind, self.notes = name, kind, tuple(notes)
        self.questions, self.answers = questions, answers
        self.known = np.ones(len(questions), np.bool_) if known is None else known
        self.rows = np.arange(1, len(questions) + 1) if rows is None else rows
        for array in (self.questions, self.answers):
            array.flags.writeable = False

    @classmethod
    def concatenate(cls, parts: Sequence[PuzzleArray]) -> PuzzleArray:
        """Return puzzles of one size as one set; rows that do not ascend are counted anew."""
        if len(parts) == 1:
            return parts[0]
        name = ", ".join(dict.fromkeys(part.name for part in parts))
        arrays = {key: np.concatenate([getattr(part, key) for part in parts]) for key in _ARRAYS}
        rows = arrays.pop("rows")
        ascending = (np.diff(rows) > 0).all()
        return parts[0]._with(name=name, notes=(), rows=rows if ascending else None, **arrays)

    @property
    def side(self) -> int:
        """Cells per side."""
        return int(self.questions.shape[1])

    def take(self, indices: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> PuzzleArray:
        """Return the puzzles at these indices, counted from 0, or under this mask."""
        return self._with(**{name: getattr(self, name)[indices] for name in _ARRAYS})

    def with_answers(
        self, answers: npt.NDArray[np.uint8], known: npt.NDArray[np.bool_]
    ) -> PuzzleArray:
        """Return the puzzles whose answers are `known`, with these answers (N, side, side)."""
        return self._with(answers=answers, known=known).take(known)

    def _with(self, **changes: Any) -> PuzzleArray:
        return PuzzleArray(**{**{key: getattr(self, key) for key in _FIELDS}, **changes})

    def pair(self, index: int) -> Pair:
        """Return question and answer of the puzzle at an index, counted from 0."""
        return Pair(self.questions[index], self.answers[index] if self.known[index] else None)

    def _index(self, task_id: object) -> int | None:
        if not isinstance(task_id, str) or not task_id.isdecimal() or len(task_id) > 18:
            return None
        row = int(task_id)
        index = int(np.searchsorted(self.rows, row))
        found = index < len(self.rows) and self.rows[index] == row and task_id == str(row)
        return index if found else None

    @property
    def ids(self) -> Sequence[str]:
        return [str(row) for row in self.rows.tolist()]

    def __iter__(self) -> Iterator[Task]:
        for index, row in enumerate(self.rows.tolist()):
            yield Task(str(row), (), (self.pair(index),), self.kind)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, task_id: str) -> Task:
        index = self._index(task_id)
        if index is None:
            raise KeyError(task_id)
        return Task(task_id, (), (self.pair(index),), self.kind)

    def __contains__(self, task_id: object) -> bool:
        return self._index(task_id) is not None

    def renamed(self, name: str, notes: Sequence[str] | None = None) -> PuzzleArray:
        return self._with(name=name, notes=self.notes if notes is None else notes)

    def with_tests(self) -> PuzzleArray:
        return self

    def select(self, ids: Iterable[str]) -> PuzzleArray:
        return self.take(np.isin(self.rows, [int(each) for each in ids]))

    def filter_by_size(self, max_side: int) -> PuzzleArray:
        return self if self.side <= max_side else self.take(np.zeros(len(self), np.bool_))

    @property
    def test_outputs(self) -> int:
        return len(self)

    @property
    def has_known_outputs(self) -> bool:
        return bool(self.known.any())

    def without_solutions(self) -> PuzzleArray:
        return self._with(known=np.zeros(len(self), np.bool_), notes=())

    def fingerprint(self, solutions: bool = True) -> str:
        """Return a SHA-256 of the puzzles in their order.

        It covers rows, questions and, with `solutions`, the known answers.
        """
        digest = hashlib.sha256(f"{self.questions.shape}".encode())
        digest.update(self.rows.astype("<i8").tobytes())
        digest.update(self.questions.tobytes())
        if solutions:
            digest.update(self.known.tobytes())
            digest.update(np.where(self.known[:, None, None], self.answers, 0).tobytes())
        return digest.hexdigest()

    @property
    def summary(self) -> str:
        return f"{pluralise(len(self), 'puzzle')} of kind {self.kind}"
