"""The names of puzzle ids, which number the rows of the puzzle embedding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from arc_trm.errors import UserError, format_value
from arc_trm.io import read_json
from arc_trm.puzzles.base import BLANK, SEPARATOR, Augmentation, PuzzleKind


def read_puzzle_ids(path: Path) -> list[str]:
    """Read the names of puzzle ids from a JSON list of distinct strings, `<blank>` first.

    Raises:
        UserError: the file holds anything else.
    """
    return check_puzzle_ids(read_json(path), path)


def parse_puzzle_name(kind: PuzzleKind, name: str) -> tuple[str, Augmentation]:
    """Return the task and the augmentation in the name of a puzzle id, as published.

    Raises:
        ValueError: it is no name of a puzzle under one of the kind's own augmentations.
    """
    task_id, separator, rest = name.partition(SEPARATOR)
    if not task_id or (separator and (task_id == BLANK or not rest)):
        raise ValueError(f"{format_value(name)} names no task")
    try:
        return task_id, kind.parse_augmentation(rest)
    except ValueError as error:
        raise ValueError(f"{format_value(name)} names no augmentation of a task: {error}") from None


def check_puzzle_ids(names: Any, path: Path) -> list[str]:
    """Return parsed JSON as the names of puzzle ids. Raises UserError as `read_puzzle_ids`."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} is not a list of names: copy it again")
    if names[:1] != [BLANK]:
        raise UserError(f"{path} must begin with {BLANK!r}, the name of puzzle id 0: copy it again")
    if len(set(names)) < len(names):
        repeated = Counter(names).most_common(1)[0][0]
        raise UserError(
            f"{path} names the puzzle {format_value(repeated)} more than once: copy it again"
        )
    return names
