"""ARC tasks in JSON lines: a task, the pairs of one, or a single pair a line (`records`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.data.readers.records import build_tasks, is_record, tasks_of_records
from arc_trm.errors import UserError
from arc_trm.file_kind import is_log_header
from arc_trm.io import json_value
from arc_trm.tasks import TaskSet
from submission import parse_json
from submission.content import Content
from submission.errors import format_value

MAX_LINE = 2**26
"""Characters of the longest line."""


def matches(content: Content) -> bool:
    """Return whether the first line of a file is a JSON object or list of its own."""
    named = content.name.lower().endswith((".jsonl", ".ndjson"))
    with content.open_text("\n") as file:
        first = file.readline(MAX_LINE).strip()
        if first[:1] not in ("{", "[") or first[-1:] not in ("}", "]"):
            return False
        if not named and not file.readline(MAX_LINE).strip():
            return False  # the only line of a JSON file
    try:
        json_value(first)
    except ValueError:
        return named
    return True


def read(content: Content, invalid: InvalidItems) -> TaskSet:
    """Read a file of tasks line by line."""
    with content.open_text("\n") as file:
        values = _values(file, content, invalid)
        number, first = next(values, (0, None))
        if is_log_header(first):
            raise NoTasks(
                f"{content.place}: is a log of predictions, which has no tasks: score it with "
                "`arc-trm score`"
            )
        if not is_record(first):
            raise NoTasks(
                f"{content.place}: line {number} is {format_value(first)}, expected a task or a "
                "pair with the id of its task"
            )
        found = tasks_of_records(chain([(number, first)], values), content.stem)
        return TaskSet.unique(content.place, build_tasks(found, invalid, content.place))


def _values(file: IO[str], content: Content, invalid: InvalidItems) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line that is not empty."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        place = f"{content.place}, line {number}"
        if len(line) == MAX_LINE:
            raise UserError(f"{place} has more than {MAX_LINE} characters: split the file")
        if not line.strip():
            continue
        try:
            value = parse_json(line.encode("utf-8", "surrogateescape"), place)
        except UserError as error:
            invalid.total += 1
            invalid.add(f"line {number}", str(error).removeprefix(f"{place}: "), str(error))
            continue
        yield number, value
