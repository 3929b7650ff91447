"""Readers of files and folders with tasks.

A reader recognises its format by the path and reads it. Of several readers that match a path, the
one registered last reads it; `arc_json`, which matches any path that exists, is registered first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from arc_trm.data.readers import arc_json, csv, prebuilt
from arc_trm.registry import Registry
from arc_trm.tasks import TaskSet


class Reader(Protocol):
    """Reads one format; a module with these functions is a reader too."""

    def matches(self, path: Path) -> bool:
        """Return whether a path, which may not exist, is in this format."""

    def read(self, path: Path, skip_invalid: bool) -> TaskSet:
        """Return the tasks at a path.

        With `skip_invalid`, invalid rows are skipped, and the notes say so.

        Raises:
            UserError: one sentence that names what is wrong, and where.
        """


READERS: Registry[Reader] = Registry("reader")
register_reader = READERS.register

register_reader("arc_json")(arc_json)
register_reader("csv")(csv)
register_reader("prebuilt")(prebuilt)


def find_reader(path: Path) -> Reader | None:
    """Return the reader of a path, or None if there is nothing at it."""
    return next((reader for reader in reversed(READERS.values()) if reader.matches(path)), None)


__all__ = ["READERS", "Reader", "find_reader", "register_reader"]
