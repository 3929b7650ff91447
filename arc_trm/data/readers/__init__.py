"""Readers of files with tasks or puzzles.

A reader recognises its format by the content of a file, which may come from a folder or an archive
(`arc_trm.data.files`), and reads it. Of several readers that match, the one registered last reads
the file. Folders in the published trainer's format are read as a whole (`prebuilt`).
"""

from __future__ import annotations

from typing import Protocol

from arc_trm.data.invalid import InvalidItems
from arc_trm.data.readers import json_file, json_lines, parquet, puzzle_text
from arc_trm.registry import Registry
from arc_trm.tasks import TaskSet
from submission import Solutions
from submission.content import Content


class Reader(Protocol):
    """Reads one format; a module with these functions is a reader too."""

    def matches(self, content: Content) -> bool:
        """Return whether a file is in this format."""

    def read(self, content: Content, invalid: InvalidItems) -> TaskSet | Solutions:
        """Return the tasks of a file, or official solutions for challenges in the same folder.

        Args:
            content: the file.
            invalid: gets the tasks that are invalid.

        Raises:
            NoTasks: the file has another purpose; it says which.
            UserError: something is invalid, which is not skipped. It is one sentence that names
                what is wrong, and where.
        """


READERS: Registry[Reader] = Registry("reader")
register_reader = READERS.register

register_reader("puzzle_text")(puzzle_text)
register_reader("json")(json_file)
register_reader("json_lines")(json_lines)
register_reader("parquet")(parquet)


def find_reader(content: Content) -> Reader | None:
    """Return the reader of a file, or None if it is in no known format."""
    return next((reader for reader in reversed(READERS.values()) if reader.matches(content)), None)


__all__ = ["READERS", "Reader", "find_reader", "register_reader"]
