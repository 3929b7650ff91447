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
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any, Literal, TypeAlias, get_args

from submission.errors import Problem, format_name, format_value, pluralise
from submission.grids import Grid, grid_problems

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
ATTEMPTS = ("attempt_1", "attempt_2")


def schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of file, as parsed JSON."""
    text = resources.files("submission").joinpath("schemas", f"{kind}.json").read_text("utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def recognise(data: object) -> Kind | None:
    """Return the kind that parsed JSON resembles most, valid or not; None if it resembles none."""
    if not isinstance(data, dict):
        return None
    votes = Counter(kind for key, value in data.items() if (kind := _kind_of_entry(key, value)))
    return votes.most_common(1)[0][0] if votes else None


def _kind_of_entry(key: object, value: object) -> Kind | None:
    match value:
        case {"train": _} | {"test": _}:
            return "challenges"
        case [{"input": _}, *_] | [{"output": _}, *_]:
            return "task"
        case [] if key in ("train", "test"):
            return "task"
        case [dict(), *_]:
            return "submission"
        case [list(), *_]:
            return "solutions"
    return None


def kind_problems(kind: Kind, data: object, challenges: Challenges | None) -> list[Problem]:
    """List what is wrong with data of an expected kind.

    Args:
        kind: the expected kind.
        data: parsed JSON.
        challenges: the tasks that solutions or a submission must match, if known.

    Returns:
        The problems. If invalid data resembles another kind, the first problem says so.
    """
    match kind:
        case "task":
            found = task_problems(data)
        case "challenges":
            found = challenges_problems(data)
        case "solutions":
            found = solutions_problems(data, challenges)
        case "submission":
            found = submission_problems(data, challenges)
    looks_like = recognise(data)
    if found and looks_like not in (None, kind):
        found.insert(0, Problem("", f"looks like a {looks_like} file, expected a {kind} file"))
    return found


def task_problems(data: object) -> list[Problem]:
    """List what is wrong with a single task."""
    return _task_problems(data, "")


def challenges_problems(data: object) -> list[Problem]:
    """List what is wrong with challenges."""
    return _tasks_problems(data, _task_problems)


def solutions_problems(data: object, challenges: Challenges | None = None) -> list[Problem]:
    """List what is wrong with solutions and, given valid challenges, where they do not match."""
    return _tasks_problems(data, _outputs_problems) + _mismatches(data, challenges)


def submission_problems(data: object, challenges: Challenges | None = None) -> list[Problem]:
    """List what is wrong with a submission and, given valid challenges, what it does not answer."""
    return _tasks_problems(data, _attempts_problems) + _mismatches(data, challenges)


def summarise(kind: str, data: Mapping[str, Any]) -> str:
    """Describe valid data: `a valid submission file of 400 tasks with 419 test outputs`."""
    if kind == "task":
        train = pluralise(len(data["train"]), "train pair")
        return f"a valid task file of {train} and {pluralise(len(data['test']), 'test pair')}"
    if kind == "challenges":
        data = {task_id: task["test"] for task_id, task in data.items()}
    what = "ARC Prize benchmarking folder" if kind == "benchmarking" else f"{kind} file"
    outputs = pluralise(sum(map(len, data.values())), "test output")
    return f"a valid {what} of {pluralise(len(data), 'task')} with {outputs}"


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


def _mismatches(data: object, challenges: Challenges | None) -> list[Problem]:
    if challenges is None:
        return []
    expected = {task_id: len(task["test"]) for task_id, task in challenges.items()}
    return count_problems(data, expected, "the challenges")


def _tasks_problems(data: object, check: Callable[[object, str], list[Problem]]) -> list[Problem]:
    if not isinstance(data, dict):
        return [Problem("", f"is {format_value(data)}, expected an object with task ids as keys")]
    if not data:
        return [Problem("", "has no tasks, expected at least one")]
    found = []
    for task_id, value in data.items():
        place = f"task {format_name(task_id)}"
        if not isinstance(task_id, str) or not task_id:
            message = f"has the id {format_value(task_id)}, expected a string that is not empty"
            found.append(Problem(place, message))
        found += check(value, place)
    return found


def _task_problems(data: object, place: str) -> list[Problem]:
    if not isinstance(data, dict):
        message = f'is {format_value(data)}, expected an object with the keys "train" and "test"'
        return [Problem(place, message)]
    found = []
    for part in ("train", "test"):
        if part not in data:
            found.append(Problem(place, f'has no "{part}", expected a list of pairs'))
            continue
        pairs = data[part]
        if not isinstance(pairs, list) or not pairs:
            message = f"is {format_value(pairs)}, expected a list of at least one pair"
            found.append(Problem(_join(place, part), message))
            continue
        for number, pair in enumerate(pairs, 1):
            found += _pair_problems(pair, _join(place, f"{part} pair {number}"), part == "train")
    return found


def _pair_problems(pair: object, place: str, needs_output: bool) -> list[Problem]:
    if not isinstance(pair, dict):
        return [Problem(place, f'is {format_value(pair)}, expected an object with the key "input"')]
    found = []
    for side, needed in (("input", True), ("output", needs_output)):
        if side in pair:
            found += grid_problems(pair[side], f"{place}, {side}")
        elif needed:
            found.append(Problem(place, f'has no "{side}", expected a grid'))
    return found


def _outputs_problems(outputs: object, place: str) -> list[Problem]:
    if not isinstance(outputs, list) or not outputs:
        return [Problem(place, f"is {format_value(outputs)}, expected a list of at least one grid")]
    found = []
    for number, grid in enumerate(outputs, 1):
        found += grid_problems(grid, f"{place}, test output {number}")
    return found


def _attempts_problems(answers: object, place: str) -> list[Problem]:
    if not isinstance(answers, list) or not answers:
        message = f"is {format_value(answers)}, expected a list with two attempts per test output"
        return [Problem(place, message)]
    found = []
    for number, answer in enumerate(answers, 1):
        where = f"{place}, test output {number}"
        if not isinstance(answer, dict):
            message = (
                f'is {format_value(answer)}, expected an object with "attempt_1" and "attempt_2"'
            )
            found.append(Problem(where, message))
            continue
        for attempt in ATTEMPTS:
            if attempt in answer:
                found += grid_problems(answer[attempt], f"{where}, {attempt}")
            else:
                found.append(Problem(where, f'has no "{attempt}", expected a grid'))
        for key in answer:
            if key not in ATTEMPTS:
                message = (
                    f'has the key {format_value(key)}, expected only "attempt_1" and "attempt_2"'
                )
                found.append(Problem(where, message))
    return found


def _join(place: str, part: str) -> str:
    return f"{place}, {part}" if place else part
