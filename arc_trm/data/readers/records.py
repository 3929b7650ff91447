"""Tasks from JSON values in the shapes in which ARC-like sets are distributed.

- a task: `{"train": [pair, ...], "test": [pair, ...]}`, with pairs under `arc-gen` beside them in
  the set of Google's Code Golf competition;
- a list of pairs, or `{"examples": [pair, ...]}` (re-arc, BARC): a task with these demonstrations
  and nothing to predict;
- a single pair with the id of its task.

A pair is `{"input": grid, "output": grid}` or `[input, output]`. The output of a test pair is
unknown if it is missing, null or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arc_trm.data.invalid import InvalidItems
from arc_trm.errors import format_name, pluralise
from arc_trm.io import json_value
from arc_trm.tasks import Pair, Task, as_grid
from submission import Problem
from submission.formats import pairs_problems

ID_KEYS = ("id", "task_id", "name", "uuid")
"""Keys of a record's id; the first that it has counts."""
PART_KEYS = ("split", "type", "set", "part")
"""Keys of a single pair that may say whether it is a demonstration."""
DEMONSTRATION = frozenset(["train", "training", "demo", "demonstration", "example", "support"])
"""What such a key says of a demonstration; the output of any other pair is not trained on."""
EXAMPLES, GENERATED = "examples", "arc-gen"


@dataclass
class RawTask:
    """A task before its grids are checked.

    Attributes:
        id: of the task.
        train, test, generated: pairs as they are in the file, of any type.
        needs_test: whether a task without test pairs is invalid.
        alone: whether it is the only task of its file, so that messages need not name it.
    """

    id: str
    train: Any = field(default_factory=list)
    test: Any = field(default_factory=list)
    generated: Any = field(default_factory=list)
    needs_test: bool = False
    alone: bool = False


def is_task(value: object) -> bool:
    """Return whether a value has the keys of a task."""
    return isinstance(value, dict) and not value.keys().isdisjoint(("train", "test", EXAMPLES))


def is_pair(value: object) -> bool:
    """Return whether a value is a pair: an object with an input, or a list of two grids."""
    if isinstance(value, dict):
        return "input" in value
    return isinstance(value, list) and len(value) == 2 and all(map(_resembles_grid, value))


def is_pairs(value: object) -> bool:
    """Return whether a value is a list of pairs, by its first item."""
    return isinstance(value, list) and bool(value) and is_pair(value[0])


def _resembles_grid(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def task_of(value: Mapping[str, Any], task_id: str) -> RawTask:
    """Return a task of a value with its keys."""
    if EXAMPLES in value and "train" not in value:
        return RawTask(task_id, value[EXAMPLES], value.get("test") or [])
    parts = (value.get(part) for part in ("train", "test", GENERATED))
    train, test, generated = ([] if part is None else part for part in parts)
    return RawTask(task_id, train, test, generated, needs_test=True)


def tasks_of_records(records: Iterable[tuple[int, Any]], stem: str) -> Iterator[RawTask]:
    """Yield the tasks of records: tasks, lists of pairs, or single pairs with the id of their task.

    Args:
        records: their number in the file, from 1, and their value. One that is no record becomes a
            task that fails the check.
        stem: name of the file, of which `STEM-NUMBER` is the id of a record without one.
    """
    by_id: dict[str, RawTask] = {}
    for number, record in records:
        task_id = record_id(record)
        if isinstance(record, dict):
            record = {key: _parsed(value) for key, value in record.items()}
        if is_task(record):
            yield task_of(record, task_id or f"{stem}-{number}")
        elif isinstance(record, dict) and "input" in record and task_id:
            task = by_id.setdefault(task_id, RawTask(task_id))
            part = next((str(record[key]) for key in PART_KEYS if key in record), "train")
            is_shown = part.strip().casefold() in DEMONSTRATION and record.get("output")
            (task.train if is_shown else task.test).append(record)
        else:
            yield RawTask(f"{stem}-{number}", record)
    yield from by_id.values()


def is_record(value: object) -> bool:
    """Return whether a value is a task, a list of pairs, or a pair with the id of its task."""
    has_id = record_id(value) is not None
    return is_task(value) or is_pairs(value) or (has_id and is_pair(value))


def record_id(record: object) -> str | None:
    """Return the id that a record has under one of `ID_KEYS`, None without one."""
    if not isinstance(record, dict):
        return None
    found = next((record[key] for key in ID_KEYS if key in record), None)
    return str(found) if isinstance(found, str | int) and found != "" else None


def _parsed(value: Any) -> Any:
    """Return the value of a JSON text, as some tables keep grids; anything else as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json_value(value)
        except ValueError:
            return value
    return value


def build_tasks(found: Iterable[RawTask], invalid: InvalidItems, place: str) -> list[Task]:
    """Check tasks and return the valid ones.

    Args:
        found: the tasks.
        invalid: gets the others.
        place: where they are, for messages.

    Raises:
        UserError: a task is invalid, and invalid ones are not skipped.
    """
    tasks = []
    seen = set[str]()
    for raw in found:
        invalid.total += 1
        train, test, generated = map(_plain_pairs, (raw.train, raw.test, raw.generated))
        test = _without_unknown(test)
        problems = [
            *_part_problems(train, "train", raw.needs_test or not test),
            *_part_problems(test, "test", raw.needs_test),
            *_part_problems(generated, GENERATED, False),
        ]
        if raw.id in seen:
            problems = [Problem("", "has the id of an earlier task, expected different ids")]
        seen.add(raw.id)
        if problems:
            more = f" (and {pluralise(len(problems) - 1, 'more problem')})" if problems[1:] else ""
            name, reason = f"task {format_name(raw.id)}", f"{problems[0]}{more}"
            where = f"{place}: {reason}" if raw.alone else f"{place}: {name}, {reason}"
            invalid.add(name, reason, where)
        else:
            parts = (tuple(map(_pair, pairs)) for pairs in (train, test, generated))
            tasks.append(Task(raw.id, next(parts), next(parts), generated=next(parts)))
    return tasks


def _part_problems(pairs: Any, part: str, required: bool) -> Sequence[Problem]:
    return () if pairs == [] and not required else pairs_problems(pairs, part, part)


def _plain_pairs(pairs: Any) -> Any:
    """Return pairs as objects; what is no list of pairs as it is, for the check."""
    if not isinstance(pairs, list):
        return pairs
    return [
        dict(zip(("input", "output"), pair, strict=True))
        if isinstance(pair, list) and len(pair) == 2
        else pair
        for pair in pairs
    ]


def _without_unknown(pairs: Any) -> Any:
    """Return test pairs without outputs that are null or empty, which are unknown."""
    if not isinstance(pairs, list):
        return pairs
    return [
        {key: value for key, value in pair.items() if key != "output"}
        if isinstance(pair, dict) and pair.get("output") in (None, [], [[]])
        else pair
        for pair in pairs
    ]


def _pair(pair: Mapping[str, Any]) -> Pair:
    """Return a checked pair."""
    output = pair.get("output")
    return Pair(as_grid(pair["input"]), None if output is None else as_grid(output))
