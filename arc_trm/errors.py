"""The error that users see, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from submission.errors import (
    UserError,
    escape_controls,
    format_name,
    format_names,
    format_path,
    format_value,
    one_line,
    pluralise,
    quote_path,
    verb,
)

__all__ = [
    "UserError",
    "close_match",
    "escape_controls",
    "format_name",
    "format_names",
    "format_path",
    "format_value",
    "one_line",
    "pluralise",
    "quote_path",
    "suggestion",
    "verb",
]

MAX_COMPARED = 200
"""Characters of a name that may be a misspelt one."""


def close_match(name: str, known: Iterable[str], similarity: float = 0.5) -> str | None:
    """Return the known name that resembles a misspelt one most, None if none does.

    `similarity` is the least ratio of `difflib`, 0 to 1.
    """
    if len(name) > MAX_COMPARED:  # the comparison takes the square of the length
        return None
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=similarity)
    return close[0] if close else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` if a known name is close, otherwise the known names."""
    known = sorted(known)
    if close := close_match(name, known):
        return f"; did you mean {format_value(close)}?"
    return f"; known: {', '.join(known)}" if known else ""
