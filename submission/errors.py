"""What a caller sees when something is wrong: one base class, one sentence each."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with some data.

    `place` says where, as in `task 007bbfb7, train pair 2, input, row 3`; pairs, rows, cells and
    test outputs are counted from 1, and it is empty where the data as a whole is meant.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UserError(Exception):
    """A user's mistake in one sentence: what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class SubmissionError(UserError):
    """The base of every error that this package raises on purpose; `str()` is one sentence."""


class FormatError(SubmissionError):
    """Data that is not what it should be: all its `problems`, and its `path` if it is a file's.

    `command` is what a person can run to see all problems; the sentence tells only the first.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        path: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(problems, path, command)  # so that the error can be pickled
        self.problems = tuple(problems)
        self.path = path
        self.command = command

    def __str__(self) -> str:
        sentence = str(self.problems[0])
        if self.path is not None:
            sentence = f"{shown_path(self.path)}: {sentence}"
        more = len(self.problems) - 1
        if more:
            listing = f"; `{self.command}` lists them" if self.command else ""
            sentence += f" (and {counted(more, 'more problem')}{listing})"
        return sentence


class WriteError(SubmissionError):
    """A file that could not be written; whatever was at `path` before is still there."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: cannot be written: {self.reason}"


def counted(number: int, thing: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def shown_name(name: object) -> str:
    """A task id or key for a message: as it is, or quoted and cut if that would break the line."""
    if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 60:
        return name
    return shown(name)


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message; bytes that are no text become replacement characters."""
    return os.fsencode(path).decode("utf-8", "replace")


def shown(value: object) -> str:
    """Any value for a message, in JSON's words and short, however large it is."""
    match value:
        case None | bool() | float():
            return json.dumps(value)
        case int():
            return str(value) if abs(value) < 10**12 else "a huge integer"
        case str():
            return json.dumps(value if len(value) <= 60 else value[:57] + "...")
        case list():
            return f"a list of {counted(len(value), 'item')}" if value else "an empty list"
        case dict():
            return f"an object of {counted(len(value), 'key')}" if value else "an empty object"
    return f"of the Python type {type(value).__name__}"
