"""Solve and rate many Sudokus at once.

A state is a bit mask of candidates for every cell, bit d - 1 for digit d, laid out (cells, states)
so that every operation runs along contiguous memory over all states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from arc_trm.tasks import Grid

Masks = npt.NDArray[np.uint16]

AT_ONCE = 256  # states of a lasting search that are looked at together: one costs as much
DEEP_ROUNDS = 64  # in which one state of each puzzle is looked at, the newest: depth first
MOST_GUESSES = 5000
"""After so many a search is given up. The hardest Sudokus known take some hundred, but no solver
of this kind is safe from puzzles without a solution."""

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box, by the side of the puzzle."""


@dataclass(frozen=True)
class Units:
    """Rows, columns and boxes of a Sudoku: `cells` (3 · side, side), the cells of each unit, and
    `of_cell` (3, side²), the row, column and box of each cell."""

    cells: npt.NDArray[np.int64]
    of_cell: npt.NDArray[np.int64]


@cache
def units(side: int) -> Units:
    """Of a Sudoku of 4, 6 or 9 a side; units are counted rows first, then columns, then boxes."""
    height, width = BOXES[side]
    cells = np.arange(side * side).reshape(side, side)
    boxes = cells.reshape(side // height, height, side // width, width).swapaxes(1, 2)
    listed = np.concatenate([cells, cells.T, boxes.reshape(side, side)])
    of_cell = np.empty((3, side * side), np.int64)
    for kind in range(3):
        for number in range(kind * side, (kind + 1) * side):
            of_cell[kind, listed[number]] = number
    return Units(listed, of_cell)


@dataclass(frozen=True)
class Solved:
    """What a search found for N puzzles.

    `count` (N,) int64 of solutions, as many as were asked for or more where there are so many, -1
    where the search was given up; `solution` (N, side, side) uint8, the first one, zeros where
    there is none; `guesses` (N,) int64, the digits that were assumed in the search, wrong ones and
    right ones, which does not depend on the other puzzles where there is one solution at most.
    """

    count: npt.NDArray[np.int64]
    solution: Grid
    guesses: npt.NDArray[np.int64]


def masks(questions: Grid) -> Masks:
    """Candidates (cells, N) of questions (N, side, side): all where a cell is blank."""
    side = questions.shape[1]
    values = np.array([2**side - 1, *(1 << np.arange(side))], np.uint16)
    return np.ascontiguousarray(values[questions.reshape(len(questions), -1)].T)


def _propagated(states: Masks, side: int) -> npt.NDArray[np.bool_]:
    """Apply naked and hidden singles to (cells, M) states, in place, until nothing changes.

    Returns (M,) whether a state is still possible.
    """
    layout, every = units(side), np.uint16(2**side - 1)
    possible = np.ones(states.shape[1], np.bool_)
    active = np.arange(states.shape[1])
    while len(active):
        now = states[:, active]
        before = now.copy()
        # Naked singles: a digit that a cell must have is no candidate for its peers.
        single = (now & (now - 1)) == 0
        once, twice = _once_and_twice(np.where(single, now, 0)[layout.cells])
        alive = ~twice.any(0)
        peers = once[layout.of_cell[0]] | once[layout.of_cell[1]] | once[layout.of_cell[2]]
        now &= np.where(single, every, ~peers)
        # Hidden singles: a digit with one place in a unit belongs there.
        once, twice = _once_and_twice(now[layout.cells])
        alive &= (once == every).all(0)
        hidden = once & ~twice
        only = hidden[layout.of_cell[0]] | hidden[layout.of_cell[1]] | hidden[layout.of_cell[2]]
        only &= now
        np.copyto(now, only, where=only != 0)
        alive &= (now != 0).all(0)
        states[:, active] = now
        possible[active] = alive
        active = active[alive & (now != before).any(0)]
    return possible


def _once_and_twice(seen: Masks) -> tuple[Masks, Masks]:
    """Of (units, places, M) masks the digits in a unit at least once, and more than once."""
    once, twice = np.zeros((2, seen.shape[0], seen.shape[2]), np.uint16)
    for place in range(seen.shape[1]):
        twice |= once & seen[:, place]
        once |= seen[:, place]
    return once, twice


def search(
    states: Masks, side: int, most: int = 2, rng: np.random.Generator | None = None
) -> Solved:
    """Find solutions of (cells, N) states by propagation and, where it stops, by guessing.

    The cell with the fewest candidates is guessed at, the first one of several, each of its
    digits in turn; with `rng` a random one of several, and its digits in random order, so that the
    first solution of an empty grid is a random one.

    Args:
        states: uint16 candidates of every cell, as `masks` makes them; left as they are.
        side: of the puzzles.
        most: a puzzle's search ends when so many solutions are found.
    """
    number = states.shape[1]
    count, guesses = np.zeros((2, number), np.int64)
    solution = np.zeros((number, side * side), np.uint8)
    stack, owner = states.copy(), np.arange(number)
    bits = np.array([bin(mask).count("1") for mask in range(2**side)], np.uint8)
    rounds = 0
    while len(owner):
        # The newest states of every puzzle, so that memory stays small.
        by_owner = np.argsort(owner, kind="stable")
        ends = np.searchsorted(owner[by_owner], owner[by_owner], side="right")
        depth = ends - np.arange(len(owner))  # of its puzzle's states the newest is 1
        width = max(1, min(AT_ONCE // int((depth == 1).sum()), rounds // DEEP_ROUNDS))
        top = by_owner[depth <= width]
        now, whose = stack[:, top], owner[top]
        rest = np.ones(len(owner), np.bool_)
        rest[top] = False
        if rounds:  # what was asked for is no guess
            np.add.at(guesses, whose, 1)
        rounds += 1
        possible = _propagated(now, side)
        choices = bits[now]
        solved = possible & (choices == 1).all(0)
        found = whose[solved]
        _, first = np.unique(found, return_index=True)
        first = first[count[found[first]] == 0]
        digits = bits[now[:, solved][:, first] - 1] + 1  # of 2^k - 1 all k lower bits are set
        solution[found[first]] = digits.T
        np.add.at(count, found, 1)
        count[(guesses > MOST_GUESSES) & (count < most)] = -1
        unfinished = (count >= 0) & (count < most)
        rest &= unfinished[owner]
        going_on = possible & ~solved & unfinished[whose]
        children, parents = _guessed(now[:, going_on], choices[:, going_on], rng)
        stack = np.concatenate([stack[:, rest], children], axis=1)
        owner = np.concatenate([owner[rest], whose[going_on][parents]])
    return Solved(count, solution.reshape(number, side, side), guesses)


def _guessed(
    states: Masks, choices: npt.NDArray[np.uint8], rng: np.random.Generator | None
) -> tuple[Masks, npt.NDArray[np.int64]]:
    """Each state with each digit of one cell assumed, and the number of the state it is of.

    The last of a state's is the one to be tried first.
    """
    open_cells = np.where(choices > 1, choices, 255).astype(np.float64)
    if rng is not None:
        open_cells += rng.random(open_cells.shape)
    cell = open_cells.argmin(0)
    each = np.arange(states.shape[1])
    masks_there = states[cell, each]
    order = np.arange(16)[::-1] if rng is None else rng.permutation(16)
    digits = (masks_there[:, None] >> order) & 1 == 1  # (M, 16)
    parents, places = np.nonzero(digits)
    children = states[:, parents]
    children[cell[parents], np.arange(len(parents))] = np.uint16(1) << order[places].astype(
        np.uint16
    )
    return children, parents


def solve(questions: Grid, most: int = 2) -> Solved:
    """Solutions of (N, side, side) questions, at most so many of each; see `search`."""
    return search(masks(questions), questions.shape[1], most)
