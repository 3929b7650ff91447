"""predictions.jsonl: every answer of a model as it comes, so that a kill loses none.

The first line says of which weights and tasks the answers are; each other line is what one puzzle
says of one test input. Lines are only ever added, by several processes at once if need be.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arc_trm.data.dataset import digest
from arc_trm.data.loader import content_digest
from arc_trm.errors import UserError
from arc_trm.evaluation.voting import (
    InputPrediction,
    Prediction,
    PredictionSet,
    Step,
    changed_steps,
    rank,
    two_attempts,
)
from arc_trm.puzzles import BOARDS
from arc_trm.tasks import Boards, Grid, TaskSet, as_grid
from submission import FormatError, WriteError, atomic_write, grid_problems

FORMAT = "arc-trm predictions 1"


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """What a puzzle says of a task's test input `test` (from 0); None if it draws no grid.

    `steps` are its drafts, kept of the task as it is only.
    """

    task: str
    test: int
    puzzle: str
    prediction: Prediction | None
    steps: tuple[Step, ...] = ()


def _line(answer: Answer) -> str:
    record: dict[str, Any] = {"task": answer.task, "test": answer.test, "puzzle": answer.puzzle}
    prediction = answer.prediction
    if prediction is not None:
        record |= {
            "order": prediction.order,
            "halt": prediction.halt,
            "grid": prediction.grid.tolist(),
        }
        if prediction.runner_up is not None:
            ((row, column),) = np.argwhere(prediction.runner_up != prediction.grid).tolist()
            record["second"] = [row, column, int(prediction.runner_up[row, column])]
    if answer.steps:
        record["steps"] = _steps_record(answer.steps)
    return json.dumps(record, separators=(",", ":"))


def _steps_record(steps: Sequence[Step]) -> list[list[Any]]:
    """Per step its halting score, and its draft where that is another than the step's before."""
    return [
        [round(step.halt, 4), *([None if step.grid is None else step.grid.tolist()] * new)]
        for step, new in zip(steps, changed_steps(steps), strict=True)
    ]


def _steps(record: list[list[Any]]) -> tuple[Step, ...]:
    steps: list[Step] = []
    grid: Grid | None = None
    for halt, *draft in record:
        for rows in draft:  # one, or none where it is as before
            grid = None if rows is None else _grid(rows)
        steps.append(Step(grid, _halt(halt)))
    return tuple(steps)


class _Told(ValueError):
    """What is wrong with a line, in words for a person."""


def _halt(value: Any) -> float:
    halt = float(value)
    if not 0 <= halt <= 1:
        raise _Told(f"its halting score is {halt}, not 0 to 1")
    return halt


def _grid(rows: Any) -> Grid:
    problems = grid_problems(rows)
    if problems:
        raise _Told(str(FormatError(problems)))
    return as_grid(rows)


def _answer(record: Any) -> Answer:
    """Raises ValueError, KeyError, TypeError or IndexError if it is none."""
    if not isinstance(record, dict):
        raise _Told("it is no JSON object")
    prediction, puzzle = None, str(record["puzzle"])
    if "grid" in record:
        grid = _grid(record["grid"])
        runner_up = None
        if "second" in record:
            row, column, colour = map(int, record["second"])
            if min(row, column) < 0 or not 0 <= colour <= 9:
                raise _Told(f"its second thought is {record['second']}")
            changed = grid.copy()
            changed[row, column] = colour
            runner_up = as_grid(changed)
        prediction = Prediction(
            puzzle, grid, _halt(record["halt"]), runner_up, int(record["order"])
        )
    steps = _steps(record.get("steps", []))
    return Answer(str(record["task"]), int(record["test"]), puzzle, prediction, steps)


def _check_fits(answer: Answer, tasks: TaskSet) -> None:
    """Raises _Told if the grids cannot be a model's answer to a Sudoku or maze of these."""
    board = BOARDS.get(tasks.domain)
    if board is None or answer.task not in tasks:
        return
    side, values = tasks.boards.side, len(board.symbols)
    said = [answer.prediction.grid] if answer.prediction else []
    for grid in [*said, *(step.grid for step in answer.steps if step.grid is not None)]:
        if grid.shape != (side, side):
            height, width = grid.shape
            raise _Told(f"a grid is {height}×{width}, the puzzle {side}×{side}")
        if grid.max() >= values:
            raise _Told(f"a grid has the value {grid.max()}, a {board.name} 0 to {values - 1}")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _told_apart(header: str) -> str:
    """A header without what tells no answers apart."""
    try:
        record = json.loads(header)
    except (ValueError, RecursionError):
        return header
    if not isinstance(record, dict):
        return header
    record.pop("about", None)
    return json.dumps(record)


class PredictionLog:
    """A predictions.jsonl that is added to, and read on from where it was read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to, self._lines = 0, 0
        self._file: tuple[int, int] | None = None  # which the path means since it was first opened

    def begin(self, of: Mapping[str, Any], about: Mapping[str, Any]) -> Path | None:
        """Go on with the answers that are `of` the same, in the file or beside it, or begin it.

        `about` is what else a reader wants to know of them; it tells no answers apart, and what
        is said last counts, but for when they `began`. Returns where answers of something else are
        now, which were in it; there they are found again when their turn comes.
        """
        header = {"format": FORMAT, **of}
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                found = file.readline().strip()
        except FileNotFoundError:
            found = ""
        before, wanted = _told_apart(found), json.dumps(header)
        moved = None
        if before != wanted:
            if found:
                moved = self._aside(before)
                self.path.replace(moved)
            aside = self._aside(wanted)
            if not aside.exists():
                with atomic_write(self.path) as file:
                    file.write(json.dumps({**header, "about": dict(about)}) + "\n")
                return moved
            aside.replace(self.path)
        self._tell(header, about)
        return moved

    def _tell(self, header: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Say this about the answers in the file, if it is anything new."""
        said = self.header().get("about")
        said = said if isinstance(said, dict) else {}
        now = {**about, **({"began": said["began"]} if "began" in said else {})}
        if now == said:
            return
        with self.path.open("rb") as old, atomic_write(self.path, "wb") as new:
            old.readline()
            new.write((json.dumps({**header, "about": now}) + "\n").encode())
            shutil.copyfileobj(old, new)

    def _aside(self, told_apart: str) -> Path:
        """Where the answers under this header are while the file holds others."""
        digest = hashlib.sha256(told_apart.encode()).hexdigest()[:8]
        return self.path.with_name(f"{self.path.stem}.{digest}{self.path.suffix}")

    def header(self) -> dict[str, Any]:
        """What the first line says. Raises UserError if it is not that of predictions."""
        try:
            with self.path.open("rb") as file:
                return self._header(file.readline())
        except OSError as error:
            raise self._unreadable(error) from None

    def _header(self, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise self._wrong(1, "it is not JSON") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise self._wrong(1, f"it does not say {FORMAT!r}")
        return record

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.path.stat().st_size

    def _open(self, flags: int) -> int:
        """A descriptor of the file. Raises UserError if the path means another one by now."""
        descriptor = os.open(self.path, flags)
        status = os.fstat(descriptor)
        file = (status.st_dev, status.st_ino)
        self._file = self._file or file
        if file != self._file:
            os.close(descriptor)
            raise UserError(
                f"another job has begun {self.path} anew, with other weights, tasks or settings: "
                "give each job a folder of its own"
            )
        return descriptor

    def add(self, answers: Iterable[Answer]) -> None:
        """Add lines in one piece, which no other process's can get into.

        They begin with a line break, as a kill may have cut off the line before.
        """
        data = memoryview(("\n" + "".join(_line(each) + "\n" for each in answers)).encode())
        try:
            descriptor = self._open(os.O_WRONLY | os.O_APPEND)
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise WriteError(self.path, error.strerror or str(error)) from None

    def read(self, tasks: TaskSet | None = None, size: int | None = None) -> Iterator[Answer]:
        """The answers since the last call, of the first `size` bytes of the file or of all.

        Lines that a kill cut off are left out. Raises UserError naming any other that is none, or
        that is none to `tasks`.
        """
        for line in self._new_lines(size):
            self._lines += 1
            if self._lines == 1:
                self._header(line)
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            try:
                answer = _answer(record)
                if tasks is not None:
                    _check_fits(answer, tasks)
            except _Told as error:
                raise self._wrong(self._lines, str(error)) from None
            except KeyError as error:
                raise self._wrong(self._lines, f"it lacks {error}") from None
            except (ValueError, TypeError, IndexError, OverflowError):
                strange = "a field of it is not what `arc-trm predict` writes"
                raise self._wrong(self._lines, strange) from None
            yield answer

    def _new_lines(self, size: int | None) -> Iterator[bytes]:
        """Whole lines, one after the other: a day's are hundreds of megabytes."""
        try:
            with open(self._open(os.O_RDONLY), "rb") as file:
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # somebody is writing it
                    if size is not None and self._read_to + len(line) > size:
                        return
                    self._read_to += len(line)
                    yield line
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> UserError:
        return UserError(f"cannot read predictions {self.path}: {error.strerror}")

    def _wrong(self, line: int, reason: str) -> UserError:
        what = "the file" if line == 1 else "that line"
        return UserError(
            f"{self.path}, line {line} is not a prediction: {reason}; remove {what} and "
            "predict again"
        )


def are_of(log: Path, tasks: TaskSet) -> bool | None:
    """Whether a predictions.jsonl answers exactly these tasks; None if it does not say."""
    said = PredictionLog(log).header().get("tasks")
    return None if said is None else bool(said == digest_of(tasks))


def digest_of(tasks: TaskSet) -> str:
    """SHA-256 of what a solver sees of the tasks."""
    if isinstance(tasks.tasks, Boards):
        return digest(tasks.tasks, answers=False)
    return content_digest(task.without_solutions() for task in tasks)


class VoteCounter:
    """The answers to every test input of `tasks` so far; those of other tasks are not counted.

    `voters` holds the puzzles whose votes count, None is all.
    """

    def __init__(self, tasks: TaskSet, voters: Mapping[str, object] | None = None) -> None:
        self.tasks, self.voters = tasks, voters
        self._answered: dict[tuple[str, int], set[str]] = {}
        self._grids: dict[tuple[tuple[int, ...], bytes], Grid] = {}
        self._said: dict[tuple[str, int], list[Prediction]] = {}
        self._surest: dict[tuple[str, int], Prediction] = {}
        self._steps: dict[tuple[str, int], tuple[Step, ...]] = {}
        self._ranked: dict[tuple[str, int], InputPrediction] = {}

    def add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            key = (answer.task, answer.test)
            unknown = answer.task not in self.tasks or not (
                0 <= answer.test < len(self.tasks[answer.task].test)
            )
            if unknown or self.has(*key, answer.puzzle):
                continue
            self._answered.setdefault(key, set()).add(answer.puzzle)
            if answer.steps:
                self._steps[key] = answer.steps
                self._ranked.pop(key, None)
            said = answer.prediction
            if said is None or (self.voters is not None and answer.puzzle not in self.voters):
                continue
            surest = self._surest.get(key)
            if surest is None or (said.halt, -said.order) > (surest.halt, -surest.order):
                self._surest[key] = said  # the one whose second thought may be needed
            slim = Prediction(said.puzzle, self._kept(said.grid), said.halt, None, said.order)
            self._said.setdefault(key, []).append(slim)
            self._ranked.pop(key, None)

    def has(self, task: str, test: int, puzzle: str | None = None) -> bool:
        """Whether there is an answer, of this puzzle or of any."""
        puzzles = self._answered.get((task, test), set())
        return bool(puzzles) if puzzle is None else puzzle in puzzles

    def _kept(self, grid: Grid) -> Grid:
        """An equal grid, of which there is one however often it is predicted."""
        cells = grid.tobytes()
        if (grid.shape, cells) not in self._grids:
            shared = np.frombuffer(cells, np.uint8).reshape(grid.shape)  # with its own key
            self._grids[grid.shape, cells] = shared
        return self._grids[grid.shape, cells]

    def __getitem__(self, key: tuple[str, int]) -> InputPrediction:
        """Candidates and attempts of (task, test input)."""
        if key not in self._ranked:
            candidates = rank(self._said.get(key, ()))
            surest = [self._surest[key]] if key in self._surest else []
            task, test = key
            attempts: tuple[Grid, ...] = tuple(each.grid for each in candidates[:1])
            if self.tasks.is_arc:
                attempts = two_attempts(candidates, self.tasks[task].test[test].input, surest)
            steps = self._steps.get(key, ())
            self._ranked[key] = InputPrediction(task, test, tuple(candidates), attempts, steps)
        return self._ranked[key]

    def __iter__(self) -> Iterator[InputPrediction]:
        """Of all test inputs, in order."""
        for task in self.tasks:
            for test in range(len(task.test)):
                yield self[task.id, test]


def read_predictions(path: Path, tasks: TaskSet) -> PredictionSet:
    """What the answers in a predictions.jsonl come to, for the test inputs of `tasks` it names.

    Raises UserError naming the file and line.
    """
    votes = VoteCounter(tasks)
    votes.add(PredictionLog(path).read(tasks))
    return PredictionSet.of(tasks, (each for each in votes if votes.has(each.task, each.test)))
