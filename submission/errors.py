"""Errors with one sentence each, and how messages show numbers, names, paths and values."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

MAX_NAMED = 5
MAX_WORD = 200
"""Characters of a word in a message; of a longer one, such as a path, the middle is left out."""
MAX_SENTENCE = 600
"""Characters of a message; of a longer one the middle is left out."""
JOINERS = "\u200c\u200d"
"""Invisible characters within words of Persian and within emoji."""
MAX_QUOTED = 2**16
"""Characters of a message that are looked at; the rest is left out from the middle at once."""


class Problem(NamedTuple):
    """One thing that is wrong with some data.

    Attributes:
        place: where, as in `task 007bbfb7, train pair 2, input, row 3`. Pairs, rows, cells and test
            outputs are counted from 1. It is empty if the data as a whole is wrong.
        message: what is wrong and what was expected.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UserError(Exception):
    """A user's mistake in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with status 2. As text the
    error is one line of at most `MAX_SENTENCE` characters, whatever the sentence repeats.
    """

    def __str__(self) -> str:
        return one_line(self._sentence())

    def _sentence(self) -> str:
        return super().__str__()


class SubmissionError(UserError):
    """The base class of every error that this package raises on purpose."""


class FormatError(SubmissionError):
    """Invalid data.

    Args:
        problems: everything that is wrong; the message has the first problem only.
        path: the file or folder that holds the data.
        command: arguments of `python -m submission` that list all problems.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        path: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(problems, path, command)  # pickle needs all arguments
        self.problems, self.path, self.command = tuple(problems), path, command

    def _sentence(self) -> str:
        return self.describe("python -m submission")

    def describe(self, program: str) -> str:
        """Return the message, in which this program lists all problems."""
        sentence = str(self.problems[0])
        if self.path is not None:
            sentence = f"{format_path(self.path)}: {sentence}"
        if more := len(self.problems) - 1:
            hint = f"; `{program} {self.command}` lists them" if self.command else ""
            sentence += f" (and {pluralise(more, 'more problem')}{hint})"
        return one_line(sentence)


class WriteError(SubmissionError):
    """A file or folder that cannot be written; an earlier file at `path` is unchanged."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def _sentence(self) -> str:
        return f"{format_path(self.path)}: cannot be written: {self.reason}"


def pluralise(number: int, noun: str) -> str:
    """Return the number with its noun: `1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def verb(number: int, singular: str, plural: str) -> str:
    """Return the form of a verb for so many: `1 of 2 rows has`, `2 of 2 rows have`."""
    return singular if number == 1 else plural


def one_line(sentence: str) -> str:
    """Return a message that a terminal shows on one line, whatever names and values it repeats."""
    text = escape_controls(shorten(sentence, MAX_QUOTED))
    words = " ".join(shorten(word, MAX_WORD) for word in text.split(" "))
    return shorten(words, MAX_SENTENCE, " ... ")


def escape_controls(text: str) -> str:
    """Return a text on which no terminal acts, in one line.

    Characters that are not printable, or that change the direction of text, become escapes.
    """
    if is_printable(text):
        return text
    return "".join(c if c.isprintable() or c in JOINERS else repr(c)[1:-1] for c in text)


def is_printable(text: str) -> bool:
    """Return whether a terminal shows a text as it is, in one line and one direction."""
    return text.isprintable() or all(c.isprintable() or c in JOINERS for c in text)


def shorten(text: str, length: int, gap: str = "...") -> str:
    """Return a text of at most so many characters; `gap` replaces the middle of a longer one."""
    if len(text) <= length:
        return text
    end = (length - len(gap)) // 2
    return f"{text[: length - len(gap) - end]}{gap}{text[len(text) - end :]}"


def format_name(name: object) -> str:
    """Format a task id or a key for a message; quote and shorten it if it would break the line."""
    if isinstance(name, str) and is_printable(name) and 0 < len(name) <= 60:
        return name
    return format_value(name)


def format_names(names: Sequence[str], limit: int = MAX_NAMED) -> str:
    """Format names for a message; if there are more than `limit`, only the first `MAX_NAMED`."""
    if len(names) > limit:
        return ", ".join(map(format_name, names[:MAX_NAMED])) + ", ..."
    return ", ".join(map(format_name, names))


def format_path(path: str | os.PathLike[str]) -> str:
    """Format a path for a message: what is not text as replacement characters, nothing as `""`."""
    return _as_text(path) or '""'


def quote_path(path: str | os.PathLike[str]) -> str:
    """Format a path as one word of a command that a message repeats, for a shell.

    One that begins with a dash gets `./`, so that no program takes it for an option.
    """
    text = _as_text(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _as_text(path: str | os.PathLike[str]) -> str:
    return re.sub("[\ud800-\udfff]+", "\ufffd", os.fspath(path))


def format_value(value: object) -> str:
    """Format any value for a message, in JSON's words; a large value is summarised."""
    match value:
        case None | bool() | float():
            return json.dumps(value)
        case int():
            return str(value) if abs(value) < 10**12 else "a huge integer"
        case str():
            return json.dumps(value if len(value) <= 60 else value[:57] + "...")
        case list():
            return f"a list of {pluralise(len(value), 'item')}" if value else "an empty list"
        case dict():
            return f"an object of {pluralise(len(value), 'key')}" if value else "an empty object"
    return f"of the Python type {type(value).__name__}"
