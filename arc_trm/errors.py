"""The error that users see, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from submission.errors import UserError, format_name, format_names, pluralise

__all__ = ["UserError", "format_name", "format_names", "pluralise", "suggestion"]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` if a known name is close, otherwise the known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
