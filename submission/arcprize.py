"""Folders of ARC Prize's benchmarking: one TASK.json per task with everybody's attempts at it.

A file is a list with an object per test input; its `attempt_1`, `attempt_2`, ... hold an `answer`
and the `metadata` of the request that gave it, or are null. Its scorer takes what is in the folder
for all there is: a task without a file is left out of the mean, a pair that is there twice counts
twice, and an attempt without `choices` ends it. What is written here has none of these, and what is
read here is read by what it says, not by where it stands.

Source: https://github.com/arcprize/arc-agi-benchmarking
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from submission.errors import FormatError, Problem, WriteError, shown, shown_name, shown_path
from submission.files import StrPath, read_json, write_json
from submission.formats import ATTEMPTS, Ranked
from submission.grids import Grid, grid_problems

RESULTS = "results.json"
"""What the scorer writes into such a folder, and leaves out when it reads one."""

MAX_INDEX = 100
_ATTEMPT = re.compile(r"attempt_([1-9][0-9]?)")
_NO_TOKENS = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_NO_FILES = Problem(
    "", "has no files, expected one TASK.json per task, as ARC Prize's benchmarking does"
)
_NO_COST = {"prompt_cost": 0.0, "completion_cost": 0.0, "reasoning_cost": 0.0, "total_cost": 0.0}


@dataclass(frozen=True)
class Origin:
    """Who answered, when and how: what the metadata of every attempt says.

    `settings` are what the answers depend on besides the model, as plain JSON. The times should
    have a time zone.
    """

    model: str
    provider: str
    began: datetime
    ended: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_arcprize(folder: StrPath, ranked: Ranked, origin: Origin) -> None:
    """Write the first two candidates of every output, one TASK.json per task, nothing else.

    An output with fewer gets attempts with the answer `[]`, so that it counts as tried. The folder
    is new or empty before, and whole or not there after. Raises FormatError for a task whose id can
    be no file's name or that has no output, WriteError.
    """
    problems = [_name_problem(task_id) for task_id in ranked]
    problems += [
        Problem(f"task {shown_name(task_id)}", "has no test output, expected at least one")
        for task_id, outputs in ranked.items()
        if not outputs
    ]
    if found := [problem for problem in problems if problem is not None]:
        raise FormatError(found)
    target = Path(os.path.realpath(folder))
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise WriteError(folder, "it is there already, expected a new or an empty folder")
        if target.exists() and target.samefile(os.curdir):
            raise WriteError(folder, "it is the current folder, expected one inside of it")
        temporary.mkdir()
        for task_id, outputs in ranked.items():
            pairs = [
                {
                    name: _attempt(candidates[number : number + 1], task_id, index, origin)
                    for number, name in enumerate(ATTEMPTS)
                }
                for index, candidates in enumerate(outputs)
            ]
            write_json(temporary / f"{task_id}.json", pairs)
        with suppress(FileNotFoundError):
            target.rmdir()
        temporary.rename(target)
    except FileNotFoundError:
        raise WriteError(folder, f"the folder {shown_path(target.parent)} does not exist") from None
    except OSError as error:
        raise WriteError(folder, error.strerror or str(error)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _attempt(answer: Sequence[Grid], task_id: str, index: int, origin: Origin) -> dict[str, Any]:
    grid = [list(row) for row in answer[0]] if answer else []
    said = json.dumps(grid) if grid else ""
    return {
        "answer": grid,
        "metadata": {
            "model": origin.model,
            "provider": origin.provider,
            "start_timestamp": origin.began.isoformat(),
            "end_timestamp": origin.ended.isoformat(),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}}],
            "reasoning_summary": None,
            "kwargs": dict(origin.settings),
            "usage": _NO_TOKENS,
            "cost": _NO_COST,
            "task_id": task_id,
            "pair_index": index,
            "test_id": origin.model,
        },
        "correct": None,
    }


def _name_problem(task_id: str) -> Problem | None:
    odd = not task_id.isprintable() or set(task_id) & set('/\\:*?"<>|') or task_id[:1] in ("", ".")
    if odd or f"{task_id}.json" == RESULTS or len(os.fsencode(task_id)) > 200:
        return Problem(f"task {shown_name(task_id)}", "has an id that can be no file's name")
    return None


def read_arcprize(folder: StrPath) -> Ranked:
    """Everybody's attempts in a folder, in their order, for the outputs that its files speak of.

    A failed attempt (null, no grid, text that is none) is the empty grid `[]`, which solves nothing
    but uses up its rank. If a pair is there more than once, the attempts of the later ones follow
    those of the first. Raises FormatError naming the file and the pair that is not in this format.
    """
    files = _files(folder)
    if not files:
        raise FormatError([_NO_FILES], folder)
    return {each.stem: _read_task(each) for each in files}


def arcprize_problems(
    folder: StrPath, challenges: Mapping[str, Any] | None = None
) -> list[Problem]:
    """What would end the benchmarking's scorer or make its score another than it seems.

    Given valid `challenges`, also tasks and pairs that are missing or not among them. Raises
    FormatError if the folder cannot be read.
    """
    files = {each.stem: each for each in _files(folder)}
    found = [] if files else [_NO_FILES]
    for task_id, path in files.items():
        count = None if challenges is None else len(challenges.get(task_id, {}).get("test", ()))
        if count == 0:
            found.append(Problem(path.name, "is of an unknown task, expected only the challenges"))
            continue
        try:
            data = read_json(path)
        except FormatError as error:
            found += [Problem(path.name, str(problem)) for problem in error.problems]
            continue
        found += _task_problems(data, path.name, count)
    lacking = [task_id for task_id in challenges or () if task_id not in files]
    return found + [
        Problem(f"{task_id}.json", "is missing, which the scorer leaves out of its mean")
        for task_id in lacking
    ]


def _files(folder: StrPath) -> list[Path]:
    try:
        return sorted(
            each
            for each in Path(folder).iterdir()
            if each.suffix == ".json"
            and each.name != RESULTS
            and not each.name.startswith(".")
            and each.is_file()
        )
    except OSError as error:
        raise FormatError([Problem("", f"cannot be read: {error.strerror}")], folder) from None


def _task_problems(data: object, name: str, count: int | None) -> list[Problem]:
    """What is wrong with a task's file; `count` is its number of test inputs, if known."""
    if not isinstance(data, list) or not data:
        return [Problem(name, f"is {shown(data)}, expected a list with one item per test input")]
    found, seen = [], set()
    for place, pair in enumerate(data):
        where = f"{name}, item {place + 1}"
        attempts = _attempts(pair)
        if not attempts:
            found.append(_no_attempts(pair, where))
            continue
        for number, attempt in attempts.items():
            found += _attempt_problems(attempt, f"{where}, attempt_{number}")
        index = _pair_index(attempts.values(), place)
        if index in seen:
            message = f"has the pair_index {shown(index)} again, which the scorer counts twice"
            found.append(Problem(where, message))
        elif not 0 <= index < (MAX_INDEX if count is None else count):
            found.append(Problem(where, f"has the pair_index {shown(index)}, which is no test's"))
        seen.add(index)
    if count is not None:
        found += [
            Problem(name, f"has no item for test input {index + 1}")
            for index in range(count)
            if index not in seen
        ]
    return found


def _attempt_problems(attempt: object, where: str) -> list[Problem]:
    if attempt is None:  # the benchmarking's own way to say that it failed
        return []
    if not isinstance(attempt, dict) or "answer" not in attempt:
        return [Problem(where, 'has no "answer"')]
    metadata = attempt.get("metadata")
    if not isinstance(metadata, dict):
        return [Problem(where, 'has no "metadata", expected an object')]
    found = [
        Problem(f"{where}, metadata", f'has no "{key}"')
        if key not in metadata
        else Problem(
            f"{where}, metadata", f'has "{key}" that is {shown(metadata[key])}, expected {expected}'
        )
        for key, (is_right, expected) in _METADATA.items()
        if not is_right(metadata.get(key))
    ]
    if metadata.get("choices") == []:
        found.append(Problem(where, 'has an empty list of "choices", which ends the scorer'))
    return found


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return isinstance(value, int | float)  # seconds since 1970 are one, too
    return True


def _is(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def _numbers(*keys: str) -> tuple[Callable[[object], bool], str]:
    """An object that has these keys with numbers."""
    return (
        lambda value: (
            isinstance(value, dict) and all(isinstance(value.get(key), int | float) for key in keys)
        ),
        f"an object with numbers as {', '.join(keys)}",
    )


_METADATA: dict[str, tuple[Callable[[object], bool], str]] = {
    "model": (_is(str), "a text"),
    "provider": (_is(str), "a text"),
    "start_timestamp": (_is_time, "a time"),
    "end_timestamp": (_is_time, "a time"),
    "choices": (_is(list), "a list"),
    "kwargs": (_is(dict), "an object"),
    "usage": _numbers("prompt_tokens", "completion_tokens", "total_tokens"),
    "cost": _numbers("prompt_cost", "completion_cost", "total_cost"),
}
"""What the benchmarking requires in every attempt's metadata: a check, and what it wants."""


def _read_task(path: Path) -> list[list[Grid]]:
    data = read_json(path)
    if not isinstance(data, list):
        message = f"is {shown(data)}, expected a list with the attempts at each test input"
        raise FormatError([Problem("", message)], path)
    outputs: dict[int, list[Grid]] = {}
    for place, pair in enumerate(data):
        where = f"item {place + 1}"
        named = _attempts(pair)
        if not named:
            raise FormatError([_no_attempts(pair, where)], path)
        index = _pair_index(named.values(), place)
        if not 0 <= index < MAX_INDEX:
            raise FormatError([Problem(where, f"has the pair_index {shown(index)}")], path)
        last = max(named)
        grids = [_grid(named.get(number)) for number in range(1, last + 1)]
        outputs.setdefault(index, []).extend(grids)
    return [outputs.get(index, []) for index in range(max(outputs, default=-1) + 1)]


def _attempts(pair: object) -> dict[int, Any]:
    """The attempts of one test input by their numbers, from 1."""
    if not isinstance(pair, dict):
        return {}
    numbers = {key: _ATTEMPT.fullmatch(str(key)) for key in pair}
    return {int(match[1]): pair[key] for key, match in numbers.items() if match}


def _no_attempts(pair: object, where: str) -> Problem:
    return Problem(where, f'is {shown(pair)}, expected an object with "attempt_1"')


def _pair_index(attempts: Iterable[Any], place: int) -> int:
    """What the first attempt's metadata says, as the scorer has it; else its place in the file.

    Whole numbers may be written as text or with a point, which the benchmarking reads alike; -1 is
    what is no number.
    """
    for attempt in attempts:
        match attempt:
            case {"metadata": {"pair_index": None}}:
                continue
            case {"metadata": {"pair_index": bool()}}:
                return -1
            case {"metadata": {"pair_index": int(index)}}:
                return index
            case {"metadata": {"pair_index": float(number)}} if number.is_integer():
                return int(number)
            case {"metadata": {"pair_index": str(text)}} if re.fullmatch("[0-9]{1,9}", text):
                return int(text)
            case {"metadata": {"pair_index": _}}:
                return -1
    return place


def _grid(attempt: object) -> Grid:
    """The grid of an attempt, which early files hold without metadata; [] if there is none."""
    answer = attempt.get("answer") if isinstance(attempt, dict) else attempt
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except (ValueError, RecursionError):
            return []
    return answer if isinstance(answer, list) and not grid_problems(answer) else []
