"""The four official kinds of file, and the checks of their data.

- task: `{"train": [{"input": grid, "output": grid}, ...], "test": [{"input": grid}, ...]}`,
  a test pair with its `output` where that is public;
- challenges: `{task id: task, ...}`;
- solutions: `{task id: [grid, ...], ...}`, one grid per test input, in order;
- submission: `{task id: [{"attempt_1": grid, "attempt_2": grid}, ...], ...}`, one object per test
  input, in order.

A task id is any string that is not empty. `schema(kind)` returns the JSON Schema of a kind. The
checks here cover the schema and what a schema cannot express: rows of equal length, integers
written as integers, and, if the challenges are given, the same tasks and numbers of outputs. Extra
keys of a task or a pair are allowed, because public datasets have some. Extra keys in a submission
are problems.

Source: https://www.kaggle.com/competitions/arc-prize-2025/data
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Literal, TypeAlias, get_args

from submission.errors import Problem, format_name, format_value, pluralise

Grid: TypeAlias = list[list[int]]
"""1 to 30 rows of 1 to 30 integers 0 to 9, all equally long."""

Kind: TypeAlias = Literal["task", "challenges", "solutions", "submission"]
Pair: TypeAlias = dict[str, Grid]
Task: TypeAlias = dict[str, list[Pair]]
Challenges: TypeAlias = dict[str, Task]
Solutions: TypeAlias = dict[str, list[Grid]]
Attempts: TypeAlias = dict[str, Grid]
Submission: TypeAlias = dict[str, list[Attempts]]
Ranked: TypeAlias = Mapping[str, Sequence[Sequence[Grid]]]
"""Candidates per task and test output, from best to worst, any number of them. An empty grid is a
failed attempt."""

KINDS: tuple[Kind, ...] = get_args(Kind)
FORMS = {
    "task": "a task (train and test pairs)",
    "challenges": "a challenges file (tasks with train and test pairs)",
    "solutions": (
        "a solutions file (tasks map to lists of grids, one right output per test input)"
    ),
    "submission": "a submission (two attempts per test output)",
    "benchmarking": "an ARC Prize benchmarking folder",
}
"""What a file or folder of each kind is, with its article."""
ATTEMPTS = ("attempt_1", "attempt_2")
MAX_SIDE = 30
NUM_COLOURS = 10


def schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of file, as parsed JSON."""
    text = resources.files("submission").joinpath("schemas", f"{kind}.json").read_text("utf-8")
    return dict(json.loads(text))


def recognise(data: object) -> Kind | None:
    """Return the kind that parsed JSON resembles most, valid or not; None if it resembles none."""
    if not isinstance(data, dict):
        return None
    votes = Counter(kind for key, value in data.items() if (kind := _kind_of_entry(key, value)))
    if {"train", "test"} <= data.keys() and votes.keys() & {"task", "solutions"}:
        return "task"  # whose pairs may be lists
    return votes.most_common(1)[0][0] if votes else None


def _kind_of_entry(key: object, value: object) -> Kind | None:
    match value:
        case {"train": _} | {"test": _}:
            return "challenges"
        case [{"input": _}, *_] | [{"output": _}, *_]:
            return "task"
        case [] if key in ("train", "test"):
            return "task"
        case [dict(), *_] | [[dict(), *_], *_]:
            return "submission"
        case [[int(), *_], *_] | [[[[*_], *_], *_], *_]:  # a grid, or lists of grids
            return "submission"
        case [list(), *_]:
            return "solutions"
    return None


def kind_problems(kind: Kind, data: object, challenges: Challenges | None) -> list[Problem]:
    """List what is wrong with parsed JSON of an expected kind.

    If invalid data resembles another kind, the first problem says so. Only solutions and
    submissions must match `challenges`.
    """
    if kind in ("task", "challenges"):
        found = task_problems(data) if kind == "task" else challenges_problems(data)
    else:
        check = solutions_problems if kind == "solutions" else submission_problems
        found = check(data, challenges)
    looks_like = recognise(data)
    if found and looks_like not in (None, kind):
        found.insert(0, Problem("", f"looks like a {looks_like} file, expected a {kind} file"))
    return found


def task_problems(data: object) -> list[Problem]:
    """List what is wrong with a single task."""
    return list(_task_problems(data, ""))


def challenges_problems(data: object) -> list[Problem]:
    """List what is wrong with challenges."""
    return list(_tasks_problems(data, _task_problems))


def solutions_problems(data: object, challenges: Challenges | None = None) -> list[Problem]:
    """List what is wrong with solutions and, given valid challenges, where they do not match."""
    return [*_tasks_problems(data, _outputs_problems), *_mismatches(data, challenges)]


def submission_problems(data: object, challenges: Challenges | None = None) -> list[Problem]:
    """List what is wrong with a submission and, given valid challenges, what it does not answer."""
    return [*_tasks_problems(data, _attempts_problems), *_mismatches(data, challenges)]


def summarise(kind: str, data: Mapping[str, Any]) -> str:
    """Count what valid data of a kind holds: `400 tasks with 419 test outputs`."""
    if kind == "task":
        train = pluralise(len(data["train"]), "train pair")
        return f"{train} and {pluralise(len(data['test']), 'test pair')}"
    if kind == "challenges":
        data = {task_id: task["test"] for task_id, task in data.items()}
    outputs = pluralise(sum(map(len, data.values())), "test output")
    return f"{pluralise(len(data), 'task')} with {outputs}"


def title(kind: str) -> str:
    """Return what something of a kind is called: `submission file`."""
    return "ARC Prize benchmarking folder" if kind == "benchmarking" else f"{kind} file"


def count_problems(data: object, expected: Mapping[str, int], reference: str) -> list[Problem]:
    """List where tasks or their numbers of outputs differ from the expected ones.

    Args:
        data: outputs by task id. Entries that are not lists are ignored: other checks list them.
        expected: the number of outputs per task.
        reference: what `expected` comes from, for messages: `the challenges`.
    """
    if not isinstance(data, dict):
        return []
    found = []
    for task_id, outputs in data.items():
        place = f"task {format_name(task_id)}"
        if task_id not in expected:
            found.append(Problem(place, f"is unknown, expected only tasks of {reference}"))
        elif isinstance(outputs, list) and len(outputs) != expected[task_id]:
            has, wanted = pluralise(len(outputs), "test output"), expected[task_id]
            found.append(Problem(place, f"has {has}, expected {wanted} as in {reference}"))
    found += [
        Problem(f"task {format_name(task_id)}", f"is missing, expected every task of {reference}")
        for task_id in expected
        if task_id not in data
    ]
    return found


def grid_problems(grid: object, place: str = "", num_values: int = NUM_COLOURS) -> list[Problem]:
    """List what is wrong with a grid at a place: at most one problem per row.

    Cells are integers from 0, below `num_values`, and of the type int exactly. JSON Schema also
    accepts 1.0 as an integer; this check rejects floats, booleans and NumPy's integers.
    """
    if not isinstance(grid, list):
        return [Problem(place, f"is {format_value(grid)}, expected a grid (a list of rows)")]
    problems = []
    if not 1 <= len(grid) <= MAX_SIDE:
        message = f"has {pluralise(len(grid), 'row')}, expected 1 to {MAX_SIDE}"
        problems.append(Problem(place, message))
    width = first = 0  # width and number of the first row with a valid width
    for number, row in enumerate(grid[:MAX_SIDE], 1):
        if not isinstance(row, list):
            message = f"is {format_value(row)}, expected a list of cells"
        elif not 1 <= len(row) <= MAX_SIDE:
            message = f"has {pluralise(len(row), 'cell')}, expected 1 to {MAX_SIDE}"
        elif width and len(row) != width:
            message = f"has {pluralise(len(row), 'cell')}, expected {width} as in row {first}"
        else:
            if not width:
                width, first = len(row), number
            # Types first: integers can be compared.
            if set(map(type, row)) == {int} and min(row) >= 0 and max(row) < num_values:
                continue
            message = _bad_cells_message(row, num_values)
        problems.append(Problem(f"{place}, row {number}" if place else f"row {number}", message))
    return problems


def _bad_cells_message(row: list[object], num_values: int) -> str:
    """Describe the first bad cell of a row and count the others."""
    bad = [
        number
        for number, cell in enumerate(row, 1)
        if type(cell) is not int or not 0 <= cell < num_values
    ]
    cell, last = row[bad[0] - 1], num_values - 1
    message = f"cell {bad[0]} is {format_value(cell)}, expected an integer 0 to {last}"
    if len(bad) > 1:
        message += f" ({pluralise(len(bad) - 1, 'more such cell')} in this row)"
    return message


def _mismatches(data: object, challenges: Challenges | None) -> list[Problem]:
    if challenges is None:
        return []
    expected = {task_id: len(task["test"]) for task_id, task in challenges.items()}
    return count_problems(data, expected, "the challenges")


def _tasks_problems(
    data: object, check: Callable[[object, str], Iterator[Problem]]
) -> Iterator[Problem]:
    if not isinstance(data, dict):
        yield Problem("", f"is {format_value(data)}, expected an object with task ids as keys")
    elif not data:
        yield Problem("", "has no tasks, expected at least one")
    else:
        for task_id, value in data.items():
            place = f"task {format_name(task_id)}"
            if not isinstance(task_id, str) or not task_id:
                expected = "expected a string that is not empty"
                yield Problem(place, f"has the id {format_value(task_id)}, {expected}")
            yield from check(value, place)


def _task_problems(data: object, place: str) -> Iterator[Problem]:
    if not isinstance(data, dict):
        expected = 'expected an object with the keys "train" and "test"'
        yield Problem(place, f"is {format_value(data)}, {expected}")
        return
    for part in ("train", "test"):
        if part in data:
            yield from pairs_problems(data[part], part, f"{place}, {part}" if place else part)
        else:
            yield Problem(place, f'has no "{part}", expected a list of pairs')


def pairs_problems(pairs: object, part: str, place: str) -> list[Problem]:
    """List what is wrong with the pairs of a task.

    Args:
        pairs: the pairs.
        part: the key of the pairs; those under `test` may lack an output.
        place: where they are, for messages.
    """
    if not isinstance(pairs, list) or not pairs:
        expected = "expected a list of at least one pair"
        return [Problem(place, f"is {format_value(pairs)}, {expected}")]
    found: list[Problem] = []
    for number, pair in enumerate(pairs, 1):
        where = f"{place} pair {number}"
        if isinstance(pair, dict):
            keys = ["input", "output"] if part != "test" or "output" in pair else ["input"]
            found += _grids_problems(pair, where, keys)
        else:
            expected = 'expected an object with the key "input"'
            found.append(Problem(where, f"is {format_value(pair)}, {expected}"))
    return found


def _outputs_problems(outputs: object, place: str) -> Iterator[Problem]:
    if not isinstance(outputs, list) or not outputs:
        yield Problem(place, f"is {format_value(outputs)}, expected a list of at least one grid")
        return
    for number, grid in enumerate(outputs, 1):
        yield from grid_problems(grid, f"{place}, test output {number}")


def _attempts_problems(answers: object, place: str) -> Iterator[Problem]:
    if not isinstance(answers, list) or not answers:
        expected = "expected a list with two attempts per test output"
        yield Problem(place, f"is {format_value(answers)}, {expected}")
        return
    both = '"attempt_1" and "attempt_2"'
    for number, answer in enumerate(answers, 1):
        where = f"{place}, test output {number}"
        if not isinstance(answer, dict):
            yield Problem(where, f"is {format_value(answer)}, expected an object with {both}")
            continue
        yield from _grids_problems(answer, where, ATTEMPTS)
        for key in answer:
            if key not in ATTEMPTS:
                yield Problem(where, f"has the key {format_value(key)}, expected only {both}")


def _grids_problems(data: dict[str, Any], place: str, keys: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the grids at these keys, all of which are required."""
    for key in keys:
        if key in data:
            yield from grid_problems(data[key], f"{place}, {key}")
        else:
            yield Problem(place, f'has no "{key}", expected a grid')
