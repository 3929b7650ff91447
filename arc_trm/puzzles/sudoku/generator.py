"""Generate many Sudokus at once."""

from __future__ import annotations

import numpy as np

from arc_trm.puzzles.sudoku.solver import candidate_masks, search
from arc_trm.tasks import Grid


def full_grids(side: int, count: int, rng: np.random.Generator) -> Grid:
    """Return random solved Sudokus (count, side, side) uint8."""
    empty = np.full((side * side, count), 2**side - 1, np.uint16)
    return search(empty, side, max_solutions=1, rng=rng).solution


def remove_digits(solutions: Grid, clues: int, rng: np.random.Generator) -> Grid:
    """Remove digits in random order as long as one solution remains.

    `clues` digits are left, or more if no other digit can be removed. Solutions and questions are
    (N, side, side) uint8.
    """
    num_puzzles, side = len(solutions), solutions.shape[1]
    all_digits = np.uint16(2**side - 1)
    given = candidate_masks(solutions)
    states = given.copy()
    order = rng.permuted(np.tile(np.arange(side * side), (num_puzzles, 1)), axis=1)
    num_clues = np.full(num_puzzles, side * side)
    for cells in order.T:
        puzzles = np.flatnonzero(num_clues > clues)
        cell = cells[puzzles]
        # With the digit there is one solution, so the digit is needed if another digit fits too.
        other_digits = states[:, puzzles]
        other_digits[cell, np.arange(len(puzzles))] = all_digits ^ given[cell, puzzles]
        removable = search(other_digits, side, max_solutions=1).count == 0
        states[cell[removable], puzzles[removable]] = all_digits
        num_clues[puzzles[removable]] -= 1
    return np.where((states == given).T.reshape(solutions.shape), solutions, 0).astype(np.uint8)
