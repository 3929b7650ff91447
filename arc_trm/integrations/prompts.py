"""Grids as text: prompts for language models, and the grids in their completions."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from arc_trm.tasks import Task
from submission import Grid, grid_problems

Found: TypeAlias = tuple[int, list[list[int] | None]]  # where it ends, its rows; None is no row

# Possessive throughout: nothing is tried twice, so that hostile text takes linear time.
_ROW = r"\[\s*+[0-9]++(?:\s*+,\s*+[0-9]++)*+\s*+\]"
_GRID = re.compile(rf"\[\s*+{_ROW}(?:\s*+,\s*+{_ROW})*+\s*+,?+\s*+\]")
_ATTEMPT = re.compile(r"""["']attempt_([12])["']\s*+:\s*+(?:\{\s*+["']answer["']\s*+:\s*+)?+""")
_RULE = re.compile(r"[-|+: \t]*+")  # under the head of a table
_SEPARATORS = str.maketrans("[]|,\"'", "      ")
_END_OF_THOUGHT = "</think>"
"""How some models end their reasoning, in which there may be grids too."""


def grid_text(grid: Sequence[Sequence[int]]) -> str:
    """Return rows of digits with spaces between them, one a line."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def prompt(task: Task, test: int) -> str:
    """Return a prompt with everything that is needed to answer test input `test`, from 0."""
    grids = []
    for number, pair in enumerate(task.train, 1):
        named = zip(("input", "output"), pair.grids, strict=False)
        grids += [(f"Demonstration {number}, {name}", grid) for name, grid in named]
    grids.append(("Test input", task.test[test].input))
    shown = "\n\n".join(f"{title}:\n{grid_text(grid.tolist())}" for title, grid in grids)
    return f"""\
Below is a puzzle of ARC-AGI. Its grids have 1 to 30 rows and 1 to 30 columns of cells, and every \
cell is a colour, written as a digit from 0 to 9. One and the same rule makes the output of each \
demonstration out of its input. Find the rule and apply it to the test input.

{shown}

Give the output grid of the test input in the same form, one row a line with spaces between the \
digits, in a fenced block like this one, which holds a grid of 2 rows and 3 columns:

```
0 1 2
3 4 5
```

You may think aloud before. What is graded is the last grid in your answer alone: it is right if \
its numbers of rows and columns and all its cells are right."""


def parse_attempts(completions: Sequence[str]) -> list[Grid | None]:
    """Return one attempt of each completion, None where there is no grid in it.

    A completion may hold two as JSON with `attempt_1` and `attempt_2`, bare or with an `answer`.
    """
    return [grid for text in completions for grid in (_both_attempts(text) or [last_grid(text)])]


def last_grid(text: str) -> Grid | None:
    """Return the last grid in a text; None if it is invalid or the text has no grid.

    A grid is JSON, or lines of digits with spaces, commas, bars or nothing between them.
    """
    text = text.rpartition(_END_OF_THOUGHT)[2]
    last_json = deque(_GRID.finditer(text), maxlen=1)
    found: list[Found] = [(each.end(), _json_rows(each[0])) for each in last_json]
    found += _line_grids(text)
    return _checked(max(found, key=lambda each: each[0])[1]) if found else None


def _both_attempts(text: str) -> list[Grid | None] | None:
    found: dict[str, Grid | None] = {}
    for key in _ATTEMPT.finditer(text):
        grid = _GRID.match(text, key.end())
        found[key[1]] = _checked(_json_rows(grid[0])) if grid else None
    if "2" in found:
        return [found.get("1"), found["2"]]
    return [found["1"]] if found else None


def _checked(rows: list[list[int] | None]) -> Grid | None:
    whole = [row for row in rows if row is not None]
    return whole if len(whole) == len(rows) and not grid_problems(whole) else None


def _cells(words: Sequence[str]) -> list[int] | None:
    """Return digits as cells, None if one is no colour."""
    colours = all(len(word) == 1 and word in "0123456789" for word in words)
    return [int(word) for word in words] if colours else None


def _json_rows(text: str) -> list[list[int] | None]:
    return [_cells(re.findall("[0-9]+", row)) for row in re.findall(r"\[([0-9,\s]+)\]", text)]


def _line_grids(text: str) -> Iterator[Found]:
    """Yield blocks of lines of digits, which may have the rules of a Markdown table in them."""
    rows: list[list[int] | None] = []
    start = end = 0
    for line in (*text.split("\n"), ""):
        # Some write matrices with a semicolon after every row.
        parts = [_line_row(part) for part in line.rstrip().rstrip(";").split(";")]
        if None not in parts:
            rows += [_cells(row) for row in parts if row is not None]
            end = start + len(line.rstrip())
        elif rows and not ("-" in line and "|" in line and _RULE.fullmatch(line.strip())):
            yield end, rows
            rows = []
        start += len(line) + 1


def _line_row(line: str) -> list[str] | None:
    """Return the cells of a line, which may be those of a list in Python, None if it is no row."""
    if line.count("[") > 2 or line.count("]") > 2:  # the first and last row of an array have two
        return None
    words = line.translate(_SEPARATORS).split()
    if not words or not all(word.isascii() and word.lstrip("-").isdigit() for word in words):
        return None
    return list(words[0]) if len(words) == 1 else words
