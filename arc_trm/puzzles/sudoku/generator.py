"""Generate many Sudokus at once."""

from __future__ import annotations

import numpy as np

from arc_trm.puzzles.sudoku.solver import MAX_GUESSES, QUICK_SIDE, candidate_masks, search
from arc_trm.tasks import Grid

REMOVAL_GUESSES = 10
"""Guesses that must prove, where the side is above `QUICK_SIDE`, that a digit can be removed. More
leave a few digits less, but take long, and so does solving what they leave."""


def full_grids(side: int, count: int, rng: np.random.Generator) -> Grid:
    """Return random solved Sudokus (count, side, side) uint8.

    Each is the first solution that a search finds from the empty grid. It guesses a random digit in
    a random one of the cells with the fewest candidates, so every grid can be found, but not each
    with the same probability. A search that is given up begins anew.
    """
    empty = np.full((side * side, count), 2**side - 1, np.uint16)
    found = search(empty, side, max_solutions=1, rng=rng)
    given_up = found.count < 1
    if given_up.any():
        found.solution[given_up] = full_grids(side, int(given_up.sum()), rng)
    return found.solution


def remove_digits(solutions: Grid, clues: int, rng: np.random.Generator) -> Grid:
    """Remove digits in random order as long as one solution remains.

    `clues` digits are left, or more if no other digit can be removed; of sides above
    `QUICK_SIDE`, none for which `REMOVAL_GUESSES` prove it. Solutions and questions are
    (N, side, side) uint8.
    """
    num_puzzles, side = len(solutions), solutions.shape[1]
    all_digits = np.uint16(2**side - 1)
    max_guesses = MAX_GUESSES if side <= QUICK_SIDE else REMOVAL_GUESSES
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
        found = search(other_digits, side, max_solutions=1, max_guesses=max_guesses)
        removable = found.count == 0  # proven, not given up
        states[cell[removable], puzzles[removable]] = all_digits
        num_clues[puzzles[removable]] -= 1
    return np.where((states == given).T.reshape(solutions.shape), solutions, 0).astype(np.uint8)
