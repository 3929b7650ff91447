"""ARC Prize benchmarking folders: one TASK.json per task with the attempts at it.

A file is a list with one object per test input. Its keys `attempt_1`, `attempt_2`, ... hold null or
an object with the `answer` and the `metadata` of the request that returned it.

The benchmarking's scorer takes the folder for everything there is:
- It leaves a task without a file out of the mean.
- It counts a pair twice that is there twice.
- It stops at an attempt whose `choices` are empty.

Folders written here avoid these traps. Files are read by the indices in their metadata, not by the
order of their items.

Source: https://github.com/arcprize/arc-agi-benchmarking
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from submission.errors import (
    FormatError,
    Problem,
    WriteError,
    format_name,
    format_names,
    format_path,
    format_value,
)
from submission.files import StrPath, json_value, read_json, write_json
from submission.formats import ATTEMPTS, Challenges, Grid, Ranked, grid_problems
from submission.temporary import remove_leftovers, temporary_folder

RESULTS = "results.json"
"""The file that the scorer writes into a folder and ignores when it reads one."""

MAX_INDEX = 100
"""The bound of a pair's index if the number of test inputs is unknown."""

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
MAX_FILE_NAME = 200
"""Bytes of a task id as a file name: systems allow 255 with an ending."""
_DEVICE = re.compile(r"CON|PRN|AUX|NUL|(COM|LPT)[0-9¹²³]", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever their ending."""
_NO_FILES = Problem(
    "",
    "has no files, expected one TASK.json per task as in an ARC Prize benchmarking folder, or a "
    "submission.json",
)
_NO_COST = {"prompt_cost": 0.0, "completion_cost": 0.0, "reasoning_cost": 0.0, "total_cost": 0.0}


@dataclass(frozen=True)
class Provenance:
    """Who answered, when and how: the metadata of every attempt.

    The times should have a time zone. The settings are plain JSON: what else answers depend on.
    """

    model: str
    provider: str
    started_at: datetime
    ended_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_arcprize(
    folder: StrPath, ranked: Ranked, provenance: Provenance, overwrite: bool = False
) -> None:
    """Write the first two candidates of every output: one TASK.json per task, nothing else.

    A missing candidate becomes an attempt with the answer `[]`, so that the output counts as tried.

    Args:
        folder: a new or an empty folder; the whole folder is written or nothing.
        ranked: candidates per task and output.
        provenance: the metadata of the attempts.
        overwrite: replace a folder of the same format.

    Raises:
        FormatError: a task has no output, an id that cannot be a file name on every system, or one
            that differs from another only in upper and lower case or in how accents are written.
        WriteError: the folder cannot be written.
    """
    found = []
    names: dict[str, str] = {}
    for task_id, outputs in ranked.items():
        place = f"task {format_name(task_id)}"
        other = names.setdefault(_file_key(task_id), task_id)
        if not _is_file_name(task_id):
            found.append(Problem(place, "has an id that cannot be a file name"))
        elif other != task_id:
            same = f"has an id that some systems take for that of task {format_name(other)}"
            found.append(Problem(place, f"{same}, expected file names that differ"))
        if not outputs:
            found.append(Problem(place, "has no test output, expected at least one"))
    if found:
        raise FormatError(found)
    target = Path(os.path.realpath(folder))
    remove_leftovers(target)
    try:
        replaced = target.is_dir() and any(target.iterdir())
        if replaced and overwrite:
            _check_replaceable(folder)
        elif replaced or (os.path.lexists(target) and not target.is_dir()):
            raise WriteError(folder, "it already exists: name another, or use --overwrite")
        if target.exists() and target.samefile(os.curdir):
            raise WriteError(folder, "it is the current folder, expected a folder inside it")
        with temporary_folder(target.parent) as temporary:
            _write_attempts(temporary / "new", ranked, provenance)
            previous = temporary / "previous"
            if replaced:
                target.rename(previous)
            try:
                with suppress(FileNotFoundError):
                    target.rmdir()
                (temporary / "new").rename(target)
            except BaseException:
                if replaced:
                    previous.rename(target)
                raise
    except WriteError as error:  # name the user's folder, not the temporary one
        raise WriteError(folder, error.reason) from None
    except FileNotFoundError:
        reason = f"the folder {format_path(target.parent)} does not exist"
        raise WriteError(folder, reason) from None
    except OSError as error:
        raise WriteError(folder, error.strerror or str(error)) from None


def _write_attempts(folder: Path, ranked: Ranked, provenance: Provenance) -> None:
    folder.mkdir()
    for task_id, outputs in ranked.items():
        pairs = [
            {
                name: _to_attempt(candidate, task_id, index, provenance)
                for name, candidate in zip(ATTEMPTS, [*candidates, [], []], strict=False)
            }
            for index, candidates in enumerate(outputs)
        ]
        write_json(folder / f"{task_id}.json", pairs)


def _check_replaceable(folder: StrPath) -> None:
    """Raise FormatError if a folder holds anything but attempts and their results."""
    try:
        attempts = read_arcprize(folder)
    except FormatError as error:
        message = f"is not a folder of attempts, so it is not overwritten ({error})"
        raise FormatError([Problem("", f"{message}: name another folder")], folder) from None
    expected = {f"{name}.json" for name in attempts} | {RESULTS}
    if others := sorted(set(os.listdir(folder)) - expected):
        message = f"holds more than attempts ({format_names(others)}), so it is not overwritten"
        raise FormatError([Problem("", f"{message}: name another folder")], folder)


def _to_attempt(
    candidate: Grid, task_id: str, index: int, provenance: Provenance
) -> dict[str, Any]:
    """Build the attempt of one candidate; an empty grid is a failed attempt."""
    grid = [list(row) for row in candidate]
    content = json.dumps(grid) if grid else ""
    return {
        "answer": grid,
        "metadata": {
            "model": provenance.model,
            "provider": provenance.provider,
            "start_timestamp": provenance.started_at.isoformat(),
            "end_timestamp": provenance.ended_at.isoformat(),
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}],
            "reasoning_summary": None,
            "kwargs": dict(provenance.settings),
            "usage": _NO_TOKENS,
            "cost": _NO_COST,
            "task_id": task_id,
            "pair_index": index,
            "test_id": provenance.model,
        },
        "correct": None,
    }


def _is_file_name(task_id: str) -> bool:
    """Return whether every system can have a file TASK.json, with no meaning of its own."""
    odd = not task_id.isprintable() or set(task_id) & set('/\\:*?"<>|') or task_id[:1] in ("", ".")
    device = _DEVICE.fullmatch(task_id.partition(".")[0].strip())
    reserved = device or f"{task_id}.json".casefold() == RESULTS
    return not (odd or reserved or len(os.fsencode(task_id)) > MAX_FILE_NAME)


def _file_key(task_id: str) -> str:
    """Return what is equal for names that some systems take for the same file."""
    return unicodedata.normalize("NFC", task_id).casefold()


def read_arcprize(folder: StrPath) -> Ranked:
    """Read the attempts in a folder, in their order, for every output that its files mention.

    A failed attempt (null, an invalid grid, text that is not a grid) becomes the empty grid `[]`,
    which solves nothing but keeps its rank. If a pair occurs again, its attempts follow those of
    the first occurrence.

    Raises:
        FormatError: the folder cannot be read or has no files, or a file is in another format.
    """
    data = read_folder(folder)
    if not data:
        raise FormatError([_NO_FILES], folder)
    for content in data.values():
        if isinstance(content, FormatError):
            raise content
    return {name: to_candidates(each, Path(folder, f"{name}.json")) for name, each in data.items()}


def read_folder(folder: StrPath) -> dict[str, Any]:
    """Return parsed JSON by task id, or a FormatError in place of a file that cannot be read."""
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    except OSError as error:
        raise FormatError([Problem("", f"cannot be read: {error.strerror}")], folder) from None
    data: dict[str, Any] = {}
    for path in files:
        if path.suffix == ".json" and path.name != RESULTS and not path.name.startswith("."):
            try:
                data[path.stem] = read_json(path)
            except FormatError as error:
                data[path.stem] = error
    return data


def folder_problems(data: Mapping[str, Any], challenges: Challenges | None = None) -> list[Problem]:
    """List what would stop the benchmarking's scorer or distort its score.

    Args:
        data: what `read_folder` returns.
        challenges: valid challenges that the folder should answer, if known.
    """
    found = [] if data else [_NO_FILES]
    for task_id, content in data.items():
        name = f"{task_id}.json"
        if challenges is not None and task_id not in challenges:
            found.append(Problem(name, "is of an unknown task, expected only the challenges"))
        elif isinstance(content, FormatError):
            found += [Problem(name, str(problem)) for problem in content.problems]
        else:
            count = None if challenges is None else len(challenges[task_id]["test"])
            found += _task_problems(content, name, count)
    missing = [task_id for task_id in challenges or () if task_id not in data]
    message = "is missing, which the scorer leaves out of its mean"
    return found + [Problem(f"{task_id}.json", message) for task_id in missing]


def _task_problems(data: object, name: str, count: int | None) -> Iterator[Problem]:
    """Yield what is wrong with a task's file; `count` is the number of test inputs, if known."""
    if not isinstance(data, list) or not data:
        expected = "expected a list with one item per test input"
        yield Problem(name, f"is {format_value(data)}, {expected}")
        return
    seen = set()
    for place, pair in enumerate(data):
        where = f"{name}, item {place + 1}"
        attempts = _attempts(pair)
        if not attempts:
            yield Problem(where, _no_attempts(pair))
            continue
        for number, attempt in attempts.items():
            yield from _attempt_problems(attempt, f"{where}, attempt_{number}")
        index = _pair_index(attempts.values(), place)
        has_index = f"has the pair_index {format_value(index)}"
        if index in seen:
            yield Problem(where, f"{has_index} again, which the scorer counts twice")
        elif not 0 <= index < (MAX_INDEX if count is None else count):
            yield Problem(where, f"{has_index}, expected the index of a test input")
        seen.add(index)
    for index in range(count or 0):
        if index not in seen:
            yield Problem(name, f"has no item for test input {index + 1}")


def _attempt_problems(attempt: object, where: str) -> Iterator[Problem]:
    if attempt is None:  # the benchmarking writes null for a failed attempt
        return
    metadata = attempt.get("metadata") if isinstance(attempt, dict) else None
    if not isinstance(attempt, dict) or "answer" not in attempt:
        yield Problem(where, 'has no "answer"')
    elif not isinstance(metadata, dict):
        yield Problem(where, 'has no "metadata", expected an object')
    else:
        place = f"{where}, metadata"
        for key, (is_valid, expected) in _METADATA.items():
            if key not in metadata:
                yield Problem(place, f'has no "{key}"')
            elif not is_valid(metadata[key]):
                value = format_value(metadata[key])
                yield Problem(place, f'has "{key}" that is {value}, expected {expected}')
        if metadata.get("choices") == []:
            yield Problem(where, 'has an empty list of "choices", which ends the scorer')


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return isinstance(value, int | float)  # seconds since 1970
    return True


def _has_numbers(*keys: str) -> tuple[Callable[[Any], bool], str]:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(value.get(key), int | float) for key in keys
        )

    return check, f"an object with numbers as {', '.join(keys)}"


_TEXT = (lambda value: isinstance(value, str), "a text")
_METADATA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": _TEXT,
    "provider": _TEXT,
    "start_timestamp": (_is_time, "a time"),
    "end_timestamp": (_is_time, "a time"),
    "choices": (lambda value: isinstance(value, list), "a list"),
    "kwargs": (lambda value: isinstance(value, dict), "an object"),
    "usage": _has_numbers("prompt_tokens", "completion_tokens", "total_tokens"),
    "cost": _has_numbers("prompt_cost", "completion_cost", "total_cost"),
}
"""What the benchmarking requires in every attempt's metadata: key -> (check, what is expected)."""


def to_candidates(data: Any, path: StrPath) -> list[list[Grid]]:
    """Convert the content of a task's file to candidates per output, or raise FormatError."""
    if not isinstance(data, list):
        message = f"is {format_value(data)}, expected a list with the attempts at each test input"
        raise FormatError([Problem("", message)], path)
    outputs: dict[int, list[Grid]] = {}
    for place, pair in enumerate(data):
        where = f"item {place + 1}"
        attempts = _attempts(pair)
        if not attempts:
            raise FormatError([Problem(where, _no_attempts(pair))], path)
        index = _pair_index(attempts.values(), place)
        if not 0 <= index < MAX_INDEX:
            raise FormatError([Problem(where, f"has the pair_index {format_value(index)}")], path)
        grids = [_grid(attempts.get(number)) for number in range(1, max(attempts) + 1)]
        outputs.setdefault(index, []).extend(grids)
    return [outputs.get(index, []) for index in range(max(outputs, default=-1) + 1)]


def _attempts(pair: object) -> dict[int, Any]:
    """Return the attempts at one test input by their numbers, from 1."""
    if not isinstance(pair, dict):
        return {}
    numbers = {key: _ATTEMPT.fullmatch(str(key)) for key in pair}
    return {int(match[1]): pair[key] for key, match in numbers.items() if match}


def _no_attempts(pair: object) -> str:
    return f'is {format_value(pair)}, expected an object with "attempt_1"'


def _pair_index(attempts: Iterable[Any], place: int) -> int:
    """Return the index of a pair's test input: from the metadata, else its place in the file.

    Like the scorer, take the first attempt that has a pair_index. The benchmarking also reads whole
    numbers written as text or as floats. Anything else gives the invalid index -1.
    """
    for attempt in attempts:
        metadata = attempt.get("metadata") if isinstance(attempt, dict) else None
        match metadata.get("pair_index") if isinstance(metadata, dict) else None:
            case None:
                continue
            case int(index) if not isinstance(index, bool):
                return index
            case float(number) if number.is_integer():
                return int(number)
            case str(text) if re.fullmatch("[0-9]{1,9}", text):
                return int(text)
            case _:
                return -1
    return place


def _grid(attempt: object) -> Grid:
    """Return the grid of an attempt, [] if it has no valid grid."""
    # In early files an attempt is a bare grid without metadata.
    answer = attempt.get("answer") if isinstance(attempt, dict) else attempt
    if isinstance(answer, str):
        try:
            answer = json_value(answer)
        except ValueError:
            return []
    return answer if isinstance(answer, list) and not grid_problems(answer) else []
