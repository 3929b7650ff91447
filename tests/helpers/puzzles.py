"""Augmented pairs, and the puzzles that the names of puzzle ids mean."""

from __future__ import annotations

from arc_trm.data.dataset import parse_augmentation
from arc_trm.puzzles import KINDS, SEPARATOR, Augmentation
from arc_trm.tasks import Pair


def augment_pair(augmentation: Augmentation, pair: Pair) -> Pair:
    """Return a pair with both grids augmented."""
    return Pair(*(augmentation.apply(grid) for grid in pair.grids))


def parse_puzzle_name(name: str) -> tuple[str, Augmentation]:
    """Return the task id and the augmentation in the name of an ARC puzzle id."""
    task_id, _, augmentation = name.partition(SEPARATOR)
    return task_id, parse_augmentation(KINDS["arc"], augmentation)
