"""Solve and rate many Sudokus at once.

A state holds the candidates of every cell of one puzzle as bit masks, bit d - 1 for digit d. States
are stored as (cells, states), so that every operation runs along contiguous memory over all states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from arc_trm.tasks import Grid

Masks = npt.NDArray[np.uint16]

SEARCH_BATCH_SIZE = 256
"""States that a long search expands in one round; a round with fewer takes as long."""
DEPTH_FIRST_ROUNDS = 64
"""The search begins depth first, with the newest state of each puzzle. After every so many rounds
it expands one state more of each puzzle in a round."""
MAX_GUESSES = 5000
"""Guesses after which the search of a puzzle is given up. The hardest 9×9 Sudokus known need some
hundred, but a puzzle without a solution, or one of 16×16, can take this kind of solver any
number."""

QUICK_SIDE = 9
"""The largest side of puzzles of which a search takes milliseconds, and thousands little memory."""
LARGE_BATCH_SIZE = 100
"""Larger puzzles that are generated, or whose solutions are counted, at once: the search of an
empty one of 16×16 takes 0.7 MB."""

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
"""Rows and columns of a box, by the side of the puzzle."""


@dataclass(frozen=True)
class Units:
    """The rows, columns and boxes of a Sudoku, numbered in this order."""

    cells: npt.NDArray[np.int64]
    """(3 · side, side), the cells of each unit."""
    of_cell: npt.NDArray[np.int64]
    """(3, side²), the row, column and box of each cell."""


@cache
def units(side: int) -> Units:
    """Return the units of a Sudoku with so many cells a side, one of `BOXES`."""
    height, width = BOXES[side]
    rows = np.arange(side * side).reshape(side, side)
    boxes = rows.reshape(side // height, height, side // width, width).swapaxes(1, 2)
    cells = np.concatenate([rows, rows.T, boxes.reshape(side, side)])
    of_cell = np.empty((3, side * side), np.int64)
    for unit, members in enumerate(cells):
        of_cell[unit // side, members] = unit
    return Units(cells, of_cell)


@dataclass(frozen=True)
class SearchResult:
    """The result of a search for N puzzles."""

    count: npt.NDArray[np.int64]
    """(N,) number of solutions found, at least `max_solutions` if there are so many; -1 if the
    search was given up."""
    solution: Grid
    """(N, side, side), the first solution; zeros without one."""
    guesses: npt.NDArray[np.int64]
    """(N,) number of digits that the search assumed, right or wrong. If a puzzle has at most one
    solution, its number does not depend on the other puzzles."""


def candidate_masks(questions: Grid) -> Masks:
    """Return the candidates (side², N) of every cell: one digit if it is given, else all."""
    side = questions.shape[1]
    masks = digit_masks(side, blank=2**side - 1)
    return np.ascontiguousarray(masks[questions.reshape(len(questions), -1)].T)


def digit_masks(side: int, blank: int) -> Masks:
    """Return the bit mask of each value (side + 1,): `blank`, then those of the digits."""
    return np.array([blank, *(1 << np.arange(side))], np.uint16)


def _propagate(states: Masks, side: int) -> npt.NDArray[np.bool_]:
    """Apply naked and hidden singles in place until nothing changes.

    Returns:
        Whether each of the states (side², M) may still have a solution, (M,) bool.
    """
    layout, all_digits = units(side), np.uint16(2**side - 1)
    consistent = np.ones(states.shape[1], np.bool_)
    active = np.arange(states.shape[1])
    while len(active):
        masks = states[:, active]
        before = masks.copy()
        # Naked singles: the only candidate of a cell is no candidate of the cell's peers.
        single = (masks & (masks - 1)) == 0
        at_least_once, repeated = count_digits(np.where(single, masks, 0)[layout.cells])
        no_conflict = ~repeated.any(0)
        row, column, box = (at_least_once[unit] for unit in layout.of_cell)
        masks &= np.where(single, all_digits, ~(row | column | box))
        # Hidden singles: a digit that only one cell of a unit may hold belongs there.
        at_least_once, repeated = count_digits(masks[layout.cells])
        no_conflict &= (at_least_once == all_digits).all(0)
        exactly_once = at_least_once & ~repeated
        row, column, box = (exactly_once[unit] for unit in layout.of_cell)
        hidden = (row | column | box) & masks
        np.copyto(masks, hidden, where=hidden != 0)
        no_conflict &= (masks != 0).all(0)
        states[:, active] = masks
        consistent[active] = no_conflict
        active = active[no_conflict & (masks != before).any(0)]
    return consistent


def count_digits(unit_masks: Masks) -> tuple[Masks, Masks]:
    """Return the digits (units, M) that are in at least one, and in at least two, cells of a unit.

    Args:
        unit_masks: (units, cells of a unit, M) uint16 bit masks.
    """
    at_least_once, repeated = np.zeros((2, unit_masks.shape[0], unit_masks.shape[2]), np.uint16)
    for cell in range(unit_masks.shape[1]):
        repeated |= at_least_once & unit_masks[:, cell]
        at_least_once |= unit_masks[:, cell]
    return at_least_once, repeated


def search(
    states: Masks,
    side: int,
    max_solutions: int = 2,
    rng: np.random.Generator | None = None,
    max_guesses: int = MAX_GUESSES,
) -> SearchResult:
    """Find solutions by propagation and, where propagation stops, by guessing.

    A guess assumes each candidate in turn for the first of the cells with the fewest candidates.
    With `rng`, the cell is a random one of them and the candidates come in random order, so that
    the first solution of an empty grid is a random one.

    Args:
        states: (side², N) uint16 bit masks, as of `candidate_masks`; not changed.
        side: cells a side.
        max_solutions: number of solutions after which the search of a puzzle ends.
        rng: source of the random choices.
        max_guesses: guesses after which the search of a puzzle is given up. Several are tried at
            once, so there may be some more.
    """
    num_puzzles = states.shape[1]
    count, guesses = np.zeros((2, num_puzzles), np.int64)
    solution = np.zeros((num_puzzles, side * side), np.uint8)
    # States are rows of a pool, so that none is copied when the stack changes. The stack has their
    # row and their puzzle.
    pool, row, puzzle = np.ascontiguousarray(states.T), *np.tile(np.arange(num_puzzles), (2, 1))
    free = np.empty(0, np.int64)
    popcount = np.array([mask.bit_count() for mask in range(2**side)], np.uint8)
    rounds = 0
    while len(puzzle):
        # Expand only the newest states of every puzzle, so that the stack stays small.
        by_puzzle = np.argsort(puzzle, kind="stable")
        ends = np.bincount(puzzle, minlength=num_puzzles).cumsum()[puzzle[by_puzzle]]
        age = ends - np.arange(len(puzzle))  # 1 is the newest state of its puzzle
        per_puzzle = max(
            1, min(SEARCH_BATCH_SIZE // int((age == 1).sum()), rounds // DEPTH_FIRST_ROUNDS)
        )
        popped = by_puzzle[age <= per_puzzle]
        masks, mask_puzzle = np.ascontiguousarray(pool[row[popped]].T), puzzle[popped]
        kept = np.ones(len(puzzle), np.bool_)
        kept[popped] = False
        if rounds:  # the first states are the questions, which hold no guess
            np.add.at(guesses, mask_puzzle, 1)
        rounds += 1
        consistent = _propagate(masks, side)
        num_candidates = popcount[masks]
        solved = consistent & (num_candidates == 1).all(0)
        solved_puzzle = mask_puzzle[solved]
        _, first = np.unique(solved_puzzle, return_index=True)
        first = first[count[solved_puzzle[first]] == 0]
        # The mask of digit d is 2^(d-1), and 2^(d-1) - 1 has d - 1 bits.
        digits = popcount[masks[:, solved][:, first] - 1] + 1
        solution[solved_puzzle[first]] = digits.T
        np.add.at(count, solved_puzzle, 1)
        count[(guesses > max_guesses) & (count < max_solutions)] = -1
        unfinished = (count >= 0) & (count < max_solutions)
        kept &= unfinished[puzzle]
        branching = consistent & ~solved & unfinished[mask_puzzle]
        children, parents = _branch(masks[:, branching], num_candidates[:, branching], rng)
        free = np.concatenate([free, row[~kept]])
        if (missing := len(parents) - len(free)) > 0:
            rows = np.arange(len(pool), 2 * len(pool) + missing)
            free = np.concatenate([free, rows])
            pool = np.concatenate([pool, np.empty((len(rows), side * side), np.uint16)])
        used, free = np.split(free, [len(parents)])
        pool[used] = children.T
        row = np.concatenate([row[kept], used])
        puzzle = np.concatenate([puzzle[kept], mask_puzzle[branching][parents]])
    return SearchResult(count, solution.reshape(num_puzzles, side, side), guesses)


def _branch(
    states: Masks, num_candidates: npt.NDArray[np.uint8], rng: np.random.Generator | None
) -> tuple[Masks, npt.NDArray[np.int64]]:
    """Return a copy of each state (cells, M) for each candidate of one of its cells.

    `rng` chooses among the cells with the fewest candidates, and the order of the candidates.

    Returns:
        The new states (cells, K), of which the search tries the last of each state first, and the
        index of the state (K,) that each comes from.
    """
    priority = np.where(num_candidates > 1, num_candidates, 255).astype(np.float64)
    if rng is not None:
        priority += rng.random(priority.shape)
    cell = priority.argmin(0)
    candidates = states[cell, np.arange(states.shape[1])]
    order = np.arange(16)[::-1] if rng is None else rng.permutation(16)
    is_candidate = (candidates[:, None] >> order) & 1 == 1  # (M, 16)
    parents, order_index = np.nonzero(is_candidate)
    children = states[:, parents]
    assumed = np.uint16(1) << order[order_index].astype(np.uint16)
    children[cell[parents], np.arange(len(parents))] = assumed
    return children, parents


def solve(questions: Grid, max_guesses: int = MAX_GUESSES) -> SearchResult:
    """Solve Sudokus (N, side, side) uint8 and see whether each has more than one solution.

    The search of a puzzle is given up after `max_guesses`. Large ones are searched
    `LARGE_BATCH_SIZE` at a time, because a search keeps many states.
    """
    side = questions.shape[1]
    if side <= QUICK_SIDE or len(questions) <= LARGE_BATCH_SIZE:
        return search(candidate_masks(questions), side, max_guesses=max_guesses)
    starts = range(LARGE_BATCH_SIZE, len(questions), LARGE_BATCH_SIZE)
    parts = [
        search(candidate_masks(part), side, max_guesses=max_guesses)
        for part in np.split(questions, starts)
    ]
    return SearchResult(
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.solution for part in parts]),
        np.concatenate([part.guesses for part in parts]),
    )
