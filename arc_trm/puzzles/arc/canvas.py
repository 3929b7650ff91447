"""Canvas sizes: the smallest of a few squares that fits a task."""

from __future__ import annotations

import math
from fractions import Fraction

from arc_trm.puzzles.arc.tokenizer import FULL_SIDE
from arc_trm.tasks import Task

CANVAS_SIDES = (8, 11, 13, 15, 16, 18, 20, 22, 24, 26, 28)
"""Sides of the canvases below the full one: the set of eleven sides that makes training on
ARC-AGI-1 cheapest (docs/performance.md)."""


def canvas_side(task: Task, full: int = FULL_SIDE) -> int:
    """Return the side of the smallest canvas, of `CANVAS_SIDES` and `full`, that fits a task.

    The canvas holds every known grid and the EOS below it and to its right. It also holds the
    output of every test input, if the output grows at most as much as in the demonstrations.
    """
    sides = [
        side for pair in (*task.train, *task.test) for grid in pair.grids for side in grid.shape
    ]
    for axis in (0, 1):
        growths = [
            Fraction(pair.output.shape[axis], pair.input.shape[axis])
            for pair in task.train
            if pair.output is not None
        ]
        growth = max(growths, default=Fraction(1))
        sides += [math.ceil(pair.input.shape[axis] * growth) for pair in task.test]
    largest = max(sides, default=0)
    return min((side for side in CANVAS_SIDES if largest < side < full), default=full)
