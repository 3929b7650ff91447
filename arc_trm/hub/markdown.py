"""Text of others in Markdown: what it holds is shown, and is no link, heading, image or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable

from arc_trm.errors import escape_controls, one_line

_PLAIN = re.compile(r"(?:[^\W_]|[ ,.;:()'/%=+-]|(?<=[^\W_])_(?=[^\W_]))*")
"""Characters that mean themselves within a line; underscores do between letters."""
_LINKS = ("://", "www.")
"""Of these, some pages make links by themselves, also if they are escaped."""


def show(text: object) -> str:
    """Return text for the middle of a line: as it is if Markdown shows that, otherwise as code."""
    line = one_line(str(text))
    if _PLAIN.fullmatch(line) and not any(each in line.lower() for each in _LINKS):
        return line
    fence = _fence(line, 1)
    pad = " " if "`" in line[:1] + line[-1:] else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def code_block(lines: Iterable[str]) -> str:
    """Return lines as a block of code, which none of them can end."""
    text = "\n".join(map(escape_controls, lines))
    fence = _fence(text, 3)
    return f"{fence}\n{text}\n{fence}"


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of settings, without those that are None."""
    shown = [(key, show(value).replace("|", "\\|")) for key, value in rows if value is not None]
    lines = [f"| {key} | {value} |" for key, value in shown]
    return "\n".join(["| setting | value |", "| --- | --- |", *lines])


def _fence(text: str, least: int) -> str:
    """Return more backticks than there are in a row in a text, and at least so many."""
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])
