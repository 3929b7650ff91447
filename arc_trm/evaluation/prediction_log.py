"""The log of predictions, predictions.jsonl, which keeps every prediction if the job is killed.

The first line is a header: the key, which is everything that the files of the job depend on, and
metadata. Each other line is one prediction, or a status: what a submission beside the log holds,
appended before that is written. Lines are only appended; several processes may do so at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from arc_trm.config.inference import MAX_ANSWERS
from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import (
    InputPrediction,
    Prediction,
    PredictionSet,
    TraceStep,
    changed_steps,
    to_rows,
)
from arc_trm.evaluation.selection import SELECTION_RULES, VOTES, selection_label
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.io import atomic_write, check_ordinary, json_value, write_error
from arc_trm.puzzles import KINDS, PuzzleKind, kind_of
from arc_trm.tasks import DEFAULT_KIND, Grid, TaskSet, as_grid
from submission import FormatError, Submission, grid_problems
from submission.errors import format_value

FORMAT = "arc-trm predictions 4"
STATUS_START = b'{"status":'


NUM_VALUES = 1 << 8
"""How many values the cells of a grid can have."""
MAX_NUMBER = 1 << 31
"""What is not below it counts nothing that there is."""
MAX_LINE = 1 << 26
"""Bytes of the longest line, 64 MiB; a trace of 1000 steps on 30×30 cells has 1 MB."""
NO_KEY = ("format", "metadata")
"""Fields of the header that are not of the key."""


class _LineError(ValueError):
    """An invalid line; the message is a part of a sentence."""


def _to_record(prediction: Prediction) -> dict[str, Any]:
    task, test, puzzle = prediction.task_id, prediction.test, prediction.puzzle
    record: dict[str, Any] = {"task": task, "test": test, "puzzle": puzzle}
    names = ("sample", "order", "steps", "confidence")
    record |= {name: value for name in names if (value := getattr(prediction, name))}
    if prediction.is_draft:
        record["draft"] = True
    if prediction.valid is not None:
        record["valid"] = prediction.valid
    if prediction.grid is not None:
        record["halt_prob"] = prediction.halt_prob
        record["grid"] = prediction.grid.tolist()
        if prediction.runner_up is not None:
            ((row, column),) = np.argwhere(prediction.runner_up != prediction.grid).tolist()
            record["runner_up"] = [row, column, int(prediction.runner_up[row, column])]
    if prediction.trace:
        record["trace"] = _trace_record(prediction.trace)
    return record


def _trace_record(trace: Sequence[TraceStep]) -> list[list[Any]]:
    """Return per step the halting probability, and the grid if it differs from the step before."""
    records: list[list[Any]] = []
    for step, changed in zip(trace, changed_steps(trace), strict=True):
        record: list[Any] = [round(step.halt_prob, 4)]
        if changed:
            record.append(to_rows(step.grid))
        records.append(record)
    return records


def _trace(records: list[list[Any]]) -> tuple[TraceStep, ...]:
    trace: list[TraceStep] = []
    grid: Grid | None = None
    for halt_prob, *changed in records:
        for rows in changed:  # one, or none if the grid is that of the step before
            grid = None if rows is None else _grid(rows)
        trace.append(TraceStep(grid, _probability(halt_prob)))
    return tuple(trace)


def _probability(value: Any, name: str = "halting probability") -> float:
    probability = float(value)
    if not 0 <= probability <= 1:
        raise _LineError(f"its {name} is {probability}, not 0 to 1")
    return probability


def _flag(record: Mapping[str, Any], name: str) -> bool | None:
    flag = record.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise _LineError(f"its {name} is {format_value(flag)}, not true or false")
    return flag


def _number(value: Any) -> int:
    number = int(value)
    if not 0 <= number < MAX_NUMBER:
        raise _LineError(f"it has the number {format_value(number)}, not 0 to {MAX_NUMBER - 1}")
    return number


def _grid(rows: Any) -> Grid:
    if problems := grid_problems(rows, num_values=NUM_VALUES):
        raise _LineError(str(FormatError(problems)))
    return as_grid(rows)


def _from_record(record: Any) -> Prediction:
    """Return the prediction in a parsed line.

    Raises:
        ValueError, KeyError, TypeError, IndexError, OverflowError: the line has none.
    """
    if not isinstance(record, dict):
        raise _LineError("it is not a JSON object")
    grid, runner_up, halt_prob = None, None, 0.0
    if "grid" in record:
        grid = _grid(record["grid"])
        halt_prob = _probability(record["halt_prob"])
        if "runner_up" in record:
            row, column, value = map(int, record["runner_up"])
            if min(row, column) < 0 or not 0 <= value < NUM_VALUES:
                raise _LineError(f"its runner_up is {format_value(record['runner_up'])}")
            changed = grid.copy()
            changed[row, column] = value
            runner_up = as_grid(changed)
    task, test, puzzle = str(record["task"]), int(record["test"]), str(record["puzzle"])
    order, sample, steps = (_number(record.get(each, 0)) for each in ("order", "sample", "steps"))
    return Prediction(
        task,
        test,
        puzzle,
        order,
        grid,
        halt_prob,
        runner_up,
        _trace(record.get("trace", [])),
        sample,
        steps,
        bool(_flag(record, "draft")),
        _probability(record.get("confidence", 0.0), "confidence"),
        _flag(record, "valid"),
    )


def _check_fits(prediction: Prediction, tasks: TaskSet | None) -> None:
    """Raise _LineError if a grid cannot be a prediction for its task; None is any one of ARC."""
    if tasks is not None and prediction.task_id not in tasks:
        return
    traced = (step.grid for step in prediction.trace)
    for grid in (prediction.grid, prediction.runner_up, *traced):
        if grid is None:
            continue
        if tasks is None:
            arc = KINDS[DEFAULT_KIND]
            error = arc.value_error(grid, arc.default_side)
        else:
            error = kind_of(tasks).prediction_error(grid, tasks[prediction.task_id])
        if error:
            raise _LineError(error)


def submission_digest(submission: Submission) -> str:
    """Return the SHA-256 of a submission, whatever the order of its tasks."""
    text = json.dumps(submission, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class LogStatus:
    """What a submission holds.

    Attributes:
        submission: its digest.
        voters: number of votes per test input: mean, smallest, largest.
        guessed: test inputs without a candidate, (task id, test index).
        is_last: whether no prediction follows the status in the log.
    """

    submission: str
    voters: tuple[float, int, int]
    guessed: tuple[tuple[str, int], ...]
    is_last: bool = True

    @classmethod
    def of(cls, predictions: Iterable[InputPrediction], submission: str = "") -> LogStatus:
        """Return the status of the predictions for all test inputs."""
        votes = {(each.task_id, each.test): each.votes for each in predictions}
        counts = list(votes.values()) or [0]
        voters = (sum(counts) / len(counts), min(counts), max(counts))
        return cls(submission, voters, tuple(key for key, number in votes.items() if not number))

    def to_dict(self) -> dict[str, Any]:
        return {
            "submission": self.submission,
            "voters": list(self.voters),
            "guessed": [list(each) for each in self.guessed],
        }

    @classmethod
    def parse(cls, line: bytes, submission: str) -> LogStatus | None:
        """Return the status in a line of a log, None if it is not one of this submission."""
        try:
            status = json_value(line)["status"]
            mean, least, most = status["voters"]
            guessed = tuple((str(task), int(test)) for task, test in status["guessed"])
            voters = (float(mean), int(least), int(most))
            found = cls(str(status["submission"]), voters, guessed)
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        valid = 0 <= voters[1] <= voters[0] <= voters[2] and all(test >= 0 for _, test in guessed)
        valid = valid and len(set(guessed)) == len(guessed)
        return found if valid and found.submission == submission else None


class PredictionLog:
    """A predictions.jsonl to append to and to read; each read continues where the last one ended.

    The file is opened once for reading and once for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: BinaryIO | None = None
        self._writer: int | None = None
        self._header: dict[str, Any] | None = None
        self._read_to, self._lines = 0, 1

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            os.close(self._writer)
        self._reader = self._writer = self._header = None

    def __del__(self) -> None:
        self.close()

    @property
    def header(self) -> Mapping[str, Any]:
        """The first line. Raises UserError if it is not that of a prediction log."""
        if self._header is None:
            try:
                record = json_value(self._read_first_line())
            except ValueError:
                raise self._invalid(1, "it is not JSON") from None
            if not isinstance(record, dict) or record.get("format") != FORMAT:
                raise UserError(
                    f"{self.path}, line 1 is not a prediction log's, because it does not say "
                    f"{FORMAT!r}: name another file, or use the version of arc-trm that wrote it"
                )
            self._header = record
        return self._header

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata in the header; empty if they are damaged."""
        metadata = self.header.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.path.stat().st_size

    def matches_tasks(self, tasks: TaskSet) -> bool | None:
        """Return whether the log is for exactly these tasks; None if it does not say."""
        fingerprint = self.header.get("tasks")
        return None if fingerprint is None else bool(fingerprint == tasks.fingerprint(False))

    def attempts(self, tasks: TaskSet) -> int:
        """Return the number of attempts per test input; if it is not known, the maximum."""
        most = kind_of(tasks).max_attempts
        found = self.header.get("attempts")
        return found if type(found) is int and 1 <= found <= most else most

    @property
    def answers(self) -> int:
        """Largest number of answers to a test input under one augmentation; 1 if unknown."""
        counts = [self.header.get(name) for name in ("samples", "views")]
        known = [each for each in counts if type(each) is int and 1 <= each <= MAX_ANSWERS]
        return math.prod(known)

    @property
    def is_plain(self) -> bool:
        """Whether every query is asked once and takes all its supervision steps."""
        return self.answers == 1 and self.header.get("early_exit") is not True

    def selected_by(self, kind: PuzzleKind) -> str:
        """Return the rule that selected among several answers to puzzles of a kind, as of `Scored`.

        It is "" if the log does not say it.
        """
        select = self.header.get("select")
        return selection_label(select, self.answers, kind) if isinstance(select, str) else ""

    def digest(self) -> str:
        """Return the SHA-256 of the lines with predictions.

        Header and statuses, which a job that is resumed may write again, do not count.
        """
        found, reader = hashlib.sha256(), self._open_reader()
        try:
            reader.seek(0)
            reader.readline(MAX_LINE)
            for line in self._lines_of(reader):
                text = line.removesuffix(b"\n")
                if text and not text.startswith(STATUS_START):
                    found.update(text + b"\n")  # resuming adds a break to a line that was cut off
        except OSError as error:
            raise self._unreadable(error) from None
        return found.hexdigest()

    def differences(self, key: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, str]:
        """Return how the log's key differs from another one: a text for each field that does."""
        own = {name: self.header.get(name) for name in self.header if name not in NO_KEY}
        return {
            name: _difference(name, own.get(name), key.get(name))
            for name in [*own, *(set(key) - own.keys())]
            if name not in ignored and own.get(name) != key.get(name)
        }

    def check_key(self, key: Mapping[str, Any]) -> None:
        """Raise UserError if the log has predictions of a job with another key."""
        if found := self.differences(key):
            raise UserError(
                f"{self.path} has predictions of another job ({'; '.join(found.values())}): name "
                "another folder with --out"
            )

    def begin(
        self, key: Mapping[str, Any], metadata: Mapping[str, Any], fresh: bool = False
    ) -> bool:
        """Continue the log with this key, or start one; return whether it was started.

        Args:
            key: everything that the predictions depend on, as JSON.
            metadata: facts for readers, which replace earlier ones except for `started_at`.
            fresh: start the log anew, without the predictions that it has.

        Raises:
            UserError: the log has another key.
        """
        header = {"format": FORMAT, **key}
        exists = os.path.lexists(self.path)
        if exists:
            self.check_key(key)
        if fresh or not exists:
            self.close()
            self._write({**header, "metadata": dict(metadata)})
            return True
        updated = dict(metadata)
        if "started_at" in self.metadata:
            updated["started_at"] = self.metadata["started_at"]
        if updated != self.metadata:
            self._read_first_line()
            self._write({**header, "metadata": updated}, self._open_reader())
            self.close()
        return False

    def _write(self, header: Mapping[str, Any], lines: BinaryIO | None = None) -> None:
        """Replace the file by one with this header and the lines that are left to read."""
        with atomic_write(self.path, "wb") as file:
            file.write((json.dumps(header) + "\n").encode())
            if lines is not None:
                shutil.copyfileobj(lines, file)

    def _open_reader(self) -> BinaryIO:
        if self._reader is None:
            try:
                check_ordinary(self.path)
                self._reader = self.path.open("rb")
            except OSError as error:
                raise self._unreadable(error) from None
        return self._reader

    def _read_first_line(self) -> bytes:
        """Return the first line; the next read starts after it."""
        reader = self._open_reader()
        reader.seek(0)
        line = reader.readline(MAX_LINE)
        self._read_to = reader.tell()
        return line

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Append predictions by one write, so that writes of several processes do not mix.

        The text begins with a line break, because a kill may have cut off the line before.

        Raises:
            UserError: another job has replaced the file.
            WriteError: the file system refuses.
        """
        self._append(_to_record(each) for each in predictions)

    def append_status(self, status: LogStatus) -> None:
        """Append a status, as `append` does."""
        self._append([{"status": status.to_dict()}])

    def _append(self, records: Iterable[Mapping[str, Any]]) -> None:
        lines = (json.dumps(each, separators=(",", ":")) for each in records)
        data = memoryview(("\n" + "".join(line + "\n" for line in lines)).encode())
        try:
            if self._writer is None:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            self._check_same_file(self._reader.fileno() if self._reader else self._writer)
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError as error:
            raise write_error(self.path, error) from None

    def _check_same_file(self, descriptor: int) -> None:
        """Raise UserError if the path is that of another file by now."""
        if not os.path.samestat(os.fstat(descriptor), self.path.stat()):
            raise UserError(
                f"another job has started {self.path} anew: run one job at a time in a folder"
            )

    def read(self, tasks: TaskSet | None = None, size: int | None = None) -> Iterator[Prediction]:
        """Yield the predictions since the last call; lines that a kill cut off are skipped.

        Args:
            tasks: the grids must be possible predictions for them; None is any tasks of ARC.
            size: read only the first `size` bytes of the file; None is all.

        Raises:
            UserError: a line is not a prediction, or the file was replaced.
        """
        assert self.header  # sets the position to the first prediction
        for line in self._new_lines(size):
            self._lines += 1
            if line.startswith(STATUS_START):
                continue
            try:
                record = json_value(line, nan=True)
            except ValueError:
                continue
            try:
                prediction = _from_record(record)
                _check_fits(prediction, tasks)
            except _LineError as error:
                raise self._invalid(self._lines, str(error)) from None
            except KeyError as error:
                raise self._invalid(self._lines, f"it lacks {error}") from None
            except (ValueError, TypeError, IndexError, OverflowError):
                reason = "one of its fields is not what `arc-trm predict` writes"
                raise self._invalid(self._lines, reason) from None
            yield prediction

    def status_of(self, submission: Submission) -> LogStatus | None:
        """Return the last status of this submission; None if no job with this log wrote it."""
        digest, found, is_last = submission_digest(submission), None, True
        reader = self._open_reader()
        try:
            reader.seek(0)
            for line in self._lines_of(reader):
                if line.startswith(STATUS_START) and digest.encode() in line:
                    found, is_last = line, True
                elif line.strip():
                    is_last = False
        except OSError as error:
            raise self._unreadable(error) from None
        status = None if found is None else LogStatus.parse(found, digest)
        return None if status is None else replace(status, is_last=is_last)

    def _new_lines(self, size: int | None) -> Iterator[bytes]:
        """Yield complete lines one by one, because a log may have hundreds of megabytes."""
        reader = self._open_reader()
        try:
            self._check_same_file(reader.fileno())
            reader.seek(self._read_to)
            for line in self._lines_of(reader):
                incomplete = not line.endswith(b"\n")  # another process is writing it
                if incomplete or (size is not None and self._read_to + len(line) > size):
                    return
                self._read_to += len(line)
                yield line
        except OSError as error:
            raise self._unreadable(error) from None

    def _lines_of(self, reader: BinaryIO) -> Iterator[bytes]:
        """Yield the lines that are left. Raises UserError if one is too long."""
        while line := reader.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise UserError(
                    f"{self.path} has a line of more than {MAX_LINE >> 20} MiB, which is no "
                    "prediction: remove it and predict again"
                )
            yield line

    def _unreadable(self, error: OSError) -> UserError:
        return UserError(f"cannot read predictions {self.path}: {error.strerror}")

    def _invalid(self, line: int, reason: str) -> UserError:
        advice = "remove that line and predict again"
        if line == 1:
            advice = "name another file, or remove it and predict again"
        return UserError(f"{self.path}, line {line} is not a prediction: {reason}; {advice}")


def _difference(name: str, own: object, other: object) -> str:
    """Return in words how a field of a key differs."""
    if name in ("weights", "tasks", "code"):
        return f"other {name}"
    return f"{name} {format_value(own)}, not {format_value(other)}"


def read_predictions(log: PredictionLog, tasks: TaskSet) -> PredictionSet:
    """Return the logged predictions for `tasks`, voted and with attempts as in the job.

    A rule that is not registered here is replaced by votes.

    Raises:
        UserError: a line is invalid.
    """
    select = str(log.header.get("select"))
    if select not in SELECTION_RULES:
        select = VOTES
    counter = VoteCounter(tasks, SELECTION_RULES[select], log.attempts(tasks))
    counter.add(log.read(tasks))
    found = (each for each in counter if counter.has(each.task_id, each.test))
    selected_by = selection_label(select, log.answers, kind_of(tasks))
    return PredictionSet(tasks, found, selected_by=selected_by)
