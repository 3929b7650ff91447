"""Answers in other forms than a submission: what they are, and what they say.

Solvers write their answers in many ways. `read_forms` and `read_csv` take those that leave no
doubt:

- a task maps to the attempts at its one output, to its outputs by their indices from 0, to a list
  in a list, to lists of grids, or to a single grid;
- a list of objects with task ids, one per test output;
- the CSV file of Kaggle's ARC competition of 2020.

Attempts may be null or empty, have their names in other letters (`Attempt1`), and be one or more
than two, of which the first two count. What leaves a doubt is a problem.

Where a task maps to a list of grids, these may be outputs or attempts: only the number of its
outputs tells, so `Reading.settle` decides.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from submission.errors import Problem, format_name, format_names, format_value, pluralise
from submission.formats import ATTEMPTS, FORMS, Grid, grid_problems, recognise

MAX_OUTPUTS = 100
"""The bound of the index of a test output."""
CSV_HEADER = ["output_id", "output"]
TASK_ID = "task_id"
INDICES = ("output_index", "test_index", "pair_index")
"""Keys of an object in a list that may say which test output of a task it answers, from 0."""

OBJECTS = "an answers file with an object in place of the list of test outputs"
INDEXED = "an answers file with test outputs by their indices"
NESTED = "an answers file with lists in lists of test outputs"
GRID_LISTS = "an answers file with lists of grids in place of attempt_1 and attempt_2"
GRIDS = "an answers file with one grid per task"
RECORDS = "a list of answers, each with its task id"
LINES = "a file with one JSON object per line, each with its task id"
CSV = "the CSV file of Kaggle's ARC competition of 2020 (output_id,output)"
OTHER_ATTEMPTS = "a submission with missing, renamed or further attempts"

_ATTEMPT = re.compile("attempt[ _-]?([0-9]{1,2})", re.IGNORECASE)
_INDEX = re.compile("0|[1-9][0-9]?")
_OUTPUT_ID = re.compile("(.+)_(0|[1-9][0-9]?)", re.DOTALL)
_PREDICTION = re.compile(r"\|(?:[0-9]+\|)+")


class Change(NamedTuple):
    """A kind of change that makes a submission of answers, and the noun of what it changes."""

    noun: str
    text: str


LISTED = Change("task", "the attempts became a list of one test output")
SORTED = Change("task", "the test outputs became a list in the order of their indices")
FLATTENED = Change("task", "a list in a list became one list")
ONE_GRID = Change("task", "the grid became the attempt at one test output")
OUTPUT_GRIDS = Change("task", "each grid became the attempt at a test output")
ATTEMPT_GRIDS = Change("task", "two grids became the attempts at one test output")
COLLECTED = Change("answer", "each became a test output of its task")
NAMED = Change("test output", "a grid or a list of grids became attempts")
RENAMED = Change("test output", "the attempts were renamed to attempt_1 and attempt_2")
SHORTENED = Change("test output", "the attempts after the second were left out")
REPEATED = Change("test output", "attempt 1 was repeated as the missing attempt 2")
FIRST_FILLED = Change("test output", "the missing attempt 1 became the grid [[0]]")
BOTH_FILLED = Change("test output", "the two missing attempts became the grid [[0]]")


@dataclass
class Reading:
    """What answers say.

    Attributes:
        outputs: task id -> per test output at most two candidates, [] for a failed one.
        grids: task id -> grids that may be outputs or attempts, see `settle`.
        forms: in which form the tasks are, by number.
        changes: what has to change to make a submission, by number.
        problems: what leaves a doubt.
    """

    outputs: dict[str, list[list[Grid]]] = field(default_factory=dict)
    grids: dict[str, list[Grid]] = field(default_factory=dict)
    forms: Counter[str] = field(default_factory=Counter)
    changes: Counter[Change] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def form(self) -> str:
        """What the answers are, with the article: the form of most tasks that are in another."""
        others = Counter({form: n for form, n in self.forms.items() if form != FORMS["submission"]})
        if others:
            return others.most_common(1)[0][0]
        return OTHER_ATTEMPTS if self.changes and not self.problems else FORMS["submission"]

    def settle(self, counts: Mapping[str, int]) -> Reading:
        """Decide what `grids` are, by the number of outputs per task, and return them as `outputs`.

        As many grids as outputs are an attempt each. Two grids for one output are its attempts; if
        a file has such tasks, two grids for two outputs may be either. Anything else is a problem.
        A task whose number is not known keeps an attempt per grid: nobody needs its answers.
        """
        if not self.grids:
            return self
        settled = Reading(
            dict(self.outputs), {}, self.forms, Counter(self.changes), list(self.problems)
        )
        pairs = any(len(grids) == 2 and counts.get(each) == 1 for each, grids in self.grids.items())
        for task_id, grids in self.grids.items():
            number, count = len(grids), counts.get(task_id)
            if count is None:
                settled.outputs[task_id] = [[grid] for grid in grids]
            elif number == count and not (pairs and number == 2):
                settled.changes[OUTPUT_GRIDS] += 1
                settled.outputs[task_id] = [settled._finish([grid]) for grid in grids]
            elif number == 2 and count == 1:
                settled.changes[ATTEMPT_GRIDS] += 1
                settled.outputs[task_id] = [settled._finish(grids)]
            else:
                has = f"has {pluralise(number, 'grid')} for {pluralise(count, 'test output')}"
                message = f"{has}, expected one per test output or two attempts at one"
                settled.problems.append(Problem(_place(task_id), message))
        return settled

    def _add(self, task_id: str, value: Any) -> None:
        """Add the answers to a task."""
        place = _place(task_id)
        match value:
            case dict() if any(map(_is_attempt, value)):
                self._settled(task_id, OBJECTS, LISTED, [self._read_attempts(value, place)])
            case dict() if value and all(map(_INDEX.fullmatch, value)):
                by_index = {
                    int(index): self._read_output(each, _output_place(place, int(index)))
                    for index, each in value.items()
                }
                self._settled(task_id, INDEXED, SORTED, self._in_order(by_index, place))
            case [dict(), *_]:
                self._settled(task_id, FORMS["submission"], None, self._read_list(value, place))
            case [[dict(), *_], *_] if len(value) == 1 or all(
                isinstance(each, list) and len(each) == 1 for each in value
            ):
                flat = [each for inner in value for each in inner]
                self._settled(task_id, NESTED, FLATTENED, self._read_list(flat, place))
            case [[dict(), *_], *_]:
                self.forms[NESTED] += 1
                message = "has lists with several test outputs, expected one list of them"
                self.problems.append(Problem(place, message))
            case list() if (depth := _depth(value)) >= 2:
                self._add_grids(task_id, value, depth)
            case _:
                expected = "expected a list with two attempts per test output"
                self.problems.append(Problem(place, f"is {format_value(value)}, {expected}"))

    def _add_grids(self, task_id: str, value: list[Any], depth: int) -> None:
        """Add the answers to a task that are a grid, or lists of grids."""
        place = _place(task_id)
        if depth == 2:
            output = self._finish([self._read_grid(value, place)])
            self._settled(task_id, GRIDS, ONE_GRID, [output])
        elif depth == 3:
            self.forms[FORMS["solutions"]] += 1
            self.grids[task_id] = [
                self._read_grid(grid, f"{place}, grid {number}")
                for number, grid in enumerate(value, 1)
            ]
        else:
            self._settled(task_id, GRID_LISTS, None, self._read_list(value, place))

    def _settled(
        self, task_id: str, form: str, change: Change | None, outputs: list[list[Grid]]
    ) -> None:
        self.forms[form] += 1
        if change is not None:
            self.changes[change] += 1
        self.outputs[task_id] = outputs

    def _read_list(self, outputs: list[Any], place: str) -> list[list[Grid]]:
        return [
            self._read_output(each, _output_place(place, index))
            for index, each in enumerate(outputs)
        ]

    def _read_output(self, value: Any, place: str) -> list[Grid]:
        """Return the candidates for an output: an object with attempts, or a list of grids."""
        if isinstance(value, list):
            depth = _depth(value)
            grids = [value] if depth == 2 and any(value) else value  # a grid, or a list of them
            if depth >= 2 or not any(value):
                self.changes[NAMED] += 1
                candidates = [
                    self._read_grid(grid, f"{place}, grid {number}")
                    for number, grid in enumerate(grids[: len(ATTEMPTS)], 1)
                ]
                return self._finish(candidates, len(grids))
        if isinstance(value, dict):
            return self._read_attempts(value, place)
        message = f'is {format_value(value)}, expected an object with "attempt_1" and "attempt_2"'
        self.problems.append(Problem(place, message))
        return []

    def _read_attempts(self, attempts: dict[str, Any], place: str) -> list[Grid]:
        """Return the candidates in an object, whose keys are names of attempts."""
        keys: dict[int, str] = {}
        for key in attempts:
            match = _ATTEMPT.fullmatch(key)
            if match is None:
                message = f"has the key {format_value(key)}, expected only names of attempts"
                self.problems.append(Problem(place, message))
            elif int(match[1]) in keys:
                message = f"has the keys {keys[int(match[1])]} and {key}, expected one of them"
                self.problems.append(Problem(place, message))
            else:
                keys[int(match[1])] = key
        numbers = range(1, len(keys) + 1)
        if sorted(keys) != list(numbers) or not keys:
            found = f"the attempts {format_names(list(keys.values()))}" if keys else "no attempt"
            message = f"has {found}, expected attempt_1, attempt_2 and so on"
            self.problems.append(Problem(place, message))
            return []
        if any(keys[number] != f"attempt_{number}" for number in numbers):
            self.changes[RENAMED] += 1
        grids = [
            self._read_grid(attempts[keys[number]], f"{place}, {keys[number]}")
            for number in numbers[: len(ATTEMPTS)]
        ]
        return self._finish(grids, len(keys))

    def _read_grid(self, grid: Any, place: str) -> Grid:
        """Return a grid, [] for null and for an empty grid."""
        if grid in (None, [], [[]]):
            return []
        found = grid_problems(grid, place)
        self.problems += found
        return [] if found else grid

    def _finish(self, grids: list[Grid], number: int = 0) -> list[Grid]:
        """Return the candidates without missing ones at their end, and count what changes.

        `number` counts all attempts, also those that were left out.
        """
        if number > len(ATTEMPTS):
            self.changes[SHORTENED] += 1
        while grids and not grids[-1]:
            grids = grids[:-1]
        if not grids:
            self.changes[BOTH_FILLED] += 1
        elif len(grids) < len(ATTEMPTS):
            self.changes[REPEATED] += 1
        elif not grids[0]:
            self.changes[FIRST_FILLED] += 1
        return grids

    def _in_order(self, by_index: dict[int, list[Grid]], place: str) -> list[list[Grid]]:
        """Return outputs in the order of their indices, which must be 0, 1, 2 and so on."""
        if sorted(by_index) != list(range(len(by_index))):
            names = format_names(list(map(str, sorted(by_index))))
            wanted = "expected 0" if len(by_index) == 1 else f"expected 0 to {len(by_index) - 1}"
            message = f"has the test outputs {names} by index, {wanted}"
            self.problems.append(Problem(place, message))
        return [by_index[index] for index in sorted(by_index)]

    def _collect(self, rows: Iterable[tuple[str, str, int, list[Grid]]], form: str) -> None:
        """Add outputs that come one by one: their place, task id, index and candidates."""
        tasks: dict[str, dict[int, list[Grid]]] = {}
        for place, task_id, index, candidates in rows:
            outputs = tasks.setdefault(task_id, {})
            if index in outputs:
                message = f"is test output {index + 1} of task {format_name(task_id)} again"
                self.problems.append(Problem(place, f"{message}, expected it once"))
            outputs[index] = candidates
            self.changes[COLLECTED] += 1
        for task_id, outputs in tasks.items():
            self.outputs[task_id] = self._in_order(outputs, _place(task_id))
        self.forms[form] += 1

    def _records(self, data: list[dict[str, Any]]) -> Iterable[tuple[str, str, int, list[Grid]]]:
        for number, record in enumerate(data, 1):
            place = f"item {number}"
            task_id = record.get(TASK_ID)
            indices = [key for key in INDICES if key in record]
            index = record[indices[0]] if indices else 0
            if not isinstance(task_id, str) or not task_id:
                message = f'has the "{TASK_ID}" {format_value(task_id)}, expected a task id'
                self.problems.append(Problem(place, message))
            elif len(indices) > 1 or type(index) is not int or not 0 <= index < MAX_OUTPUTS:
                what = " and ".join(f"{key} {format_value(record[key])}" for key in indices)
                message = f"has the {what}, expected one index of a test output, from 0"
                self.problems.append(Problem(place, message))
            else:
                rest = {key: record[key] for key in record if key not in (TASK_ID, *indices)}
                yield place, task_id, index, self._read_attempts(rest, place)

    def _csv_rows(self, rows: Iterable[list[str]]) -> Iterable[tuple[str, str, int, list[Grid]]]:
        for number, row in enumerate(rows, 2):
            if not any(map(str.strip, row)):
                continue
            place, parsed = f"row {number}", _OUTPUT_ID.fullmatch(row[0].strip())
            if parsed is None or len(row) != len(CSV_HEADER):
                shown = ",".join(row)
                message = f"is {format_value(shown)}, expected TASK_0,|12|34| |56|78|"
                self.problems.append(Problem(place, message))
                continue
            texts = row[1].split()
            grids = [
                self._read_text(text, f"{place}, prediction {rank}")
                for rank, text in enumerate(texts[: len(ATTEMPTS)], 1)
            ]
            yield place, parsed[1], int(parsed[2]), self._finish(grids, len(texts))

    def _read_text(self, text: str, place: str) -> Grid:
        """Return the grid that is written as |12|34|."""
        if not _PREDICTION.fullmatch(text):
            message = f"is {format_value(text)}, expected rows of digits such as |12|34|"
            self.problems.append(Problem(place, message))
            return []
        rows = [list(map(int, row)) for row in text.strip("|").split("|")]
        return self._read_grid(rows, place)


def read_forms(data: Any, list_form: str = RECORDS) -> Reading | None:
    """Read answers that were parsed from JSON; None if they resemble none of the forms.

    `list_form` is what a list of objects is called.
    """
    reading = Reading()
    if isinstance(data, dict) and TASK_ID in data:
        data = [data]
    if isinstance(data, list) and data and all(isinstance(each, dict) for each in data):
        if any(TASK_ID in each for each in data):
            reading._collect(reading._records(data), list_form)
    elif isinstance(data, dict) and recognise(data) not in ("task", "challenges"):
        if any(map(_is_attempt, data)):
            return None  # of which task?
        for task_id, value in data.items():
            if task_id:
                reading._add(task_id, value)
            else:
                message = 'has the id "", expected a string that is not empty'
                reading.problems.append(Problem(_place(task_id), message))
    return reading if reading.forms else None


def is_answers_csv(text: str) -> bool:
    """Return whether text begins as the CSV file of Kaggle's ARC competition of 2020."""
    header = text.partition("\n")[0].replace('"', "")
    return [cell.strip() for cell in header.split(",")] == CSV_HEADER


def read_csv(text: str) -> Reading | None:
    """Read the CSV file of Kaggle's ARC competition of 2020; None if it has another header."""
    if not is_answers_csv(text):
        return None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    reading = Reading()
    try:
        next(rows)
        reading._collect(reading._csv_rows(rows), CSV)
    except csv.Error as error:
        reading.problems.append(Problem(f"line {rows.line_num}", f"is not CSV: {error}"))
        reading.forms[CSV] += 1
    if not reading.outputs and not reading.problems:
        reading.problems.append(Problem("", "has no tasks, expected at least one"))
    return reading


def _depth(value: Any, most: int = 4) -> int:
    """Return how many lists are in one another, at most `most`."""
    if not isinstance(value, list):
        return 0
    return 1 if most == 1 else 1 + max((_depth(each, most - 1) for each in value), default=0)


def _is_attempt(key: str) -> bool:
    return _ATTEMPT.fullmatch(key) is not None


def _place(task_id: str) -> str:
    return f"task {format_name(task_id)}"


def _output_place(place: str, index: int) -> str:
    return f"{place}, test output {index + 1}"
