"""Generate many Sudokus at once."""

from __future__ import annotations

import numpy as np

from arc_trm.puzzles.sudoku.solver import masks, search
from arc_trm.tasks import Grid


def full_grids(side: int, count: int, rng: np.random.Generator) -> Grid:
    """Return random solved Sudokus (count, side, side) uint8."""
    empty = np.full((side * side, count), 2**side - 1, np.uint16)
    return search(empty, side, 1, rng).solution


def remove_digits(solutions: Grid, clues: int, rng: np.random.Generator) -> Grid:
    """Remove digits in random order as long as the rest has one solution.

    Args:
        solutions: (N, side, side) uint8.
        clues: digits to leave; fewer are left only if every other digit is needed.
        rng: of the order.

    Returns:
        Questions (N, side, side) uint8.
    """
    number, side = len(solutions), solutions.shape[1]
    every = np.uint16(2**side - 1)
    given = masks(solutions)
    states = given.copy()
    order = rng.permuted(np.tile(np.arange(side * side), (number, 1)), axis=1)
    left = np.full(number, side * side)
    for cells in order.T:
        trying = np.flatnonzero(left > clues)
        cell = cells[trying]
        changed = states[:, trying]
        # Another solution would have another digit here, for the rest had one solution before.
        changed[cell, np.arange(len(trying))] = every ^ given[cell, trying]
        free = search(changed, side, 1).count == 0
        states[cell[free], trying[free]] = every
        left[trying[free]] -= 1
    return np.where((states == given).T.reshape(solutions.shape), solutions, 0).astype(np.uint8)
