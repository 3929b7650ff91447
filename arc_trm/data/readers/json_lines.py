"""ARC tasks in JSON lines: a task, the pairs of one, or a single pair a line (`records`)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.data.readers.records import build_tasks, tasks_of_records
from arc_trm.errors import UserError
from arc_trm.file_kind import is_log_header
from arc_trm.tasks import TaskSet
from submission import parse_json
from submission.content import HEAD, Content, text_encoding
from submission.errors import format_value

MAX_LINE = 2**26
"""Bytes of the longest line, 64 MiB."""


def matches(content: Content) -> bool:
    """Return whether the first line of a file is a JSON object or list of its own."""
    if text_encoding(content.head) != "utf-8-sig":
        return False
    whole = len(content.head) < HEAD
    with io.BytesIO(content.head) if whole else content.open() as stream:
        first = stream.readline(MAX_LINE).removeprefix(b"\xef\xbb\xbf").strip()
        if first[:1] not in (b"{", b"[") or first[-1:] not in (b"}", b"]"):
            return False
        named = content.name.lower().endswith((".jsonl", ".ndjson"))
        if not named and not stream.readline(MAX_LINE).strip():
            return False  # the only line of a JSON file
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return named
    return True


def read(content: Content, invalid: InvalidItems) -> TaskSet:
    """Read a file of tasks line by line."""
    with content.open() as stream:
        values = _values(stream, content, invalid)
        first = next(values, None)
        if first is None:
            raise NoTasks(f"{content.place}: is empty, expected a task a line")
        value = first[1]
        if is_log_header(value):
            raise NoTasks(
                f"{content.place}: is a log of predictions, which has no tasks: score it with "
                "`arc-trm score`"
            )
        try:
            found = tasks_of_records(chain([first], values), content.stem)
            return TaskSet.unique(content.place, build_tasks(found, invalid, content.place))
        except ValueError as error:
            number, value = error.args
    raise NoTasks(
        f"{content.place}: line {number} is {format_value(value)}, expected a task or a pair with "
        "the id of its task"
    )


def _values(
    stream: IO[bytes], content: Content, invalid: InvalidItems
) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line that is not empty."""
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        place = f"{content.place}, line {number}"
        if len(line) == MAX_LINE:
            raise UserError(f"{place} is longer than {MAX_LINE >> 20} MiB: split the file")
        if not line.strip():
            continue
        try:
            value = parse_json(line, place)
        except UserError as error:
            invalid.total += 1
            invalid.add(f"line {number}", str(error).removeprefix(f"{place}: "), str(error))
            continue
        yield number, value
