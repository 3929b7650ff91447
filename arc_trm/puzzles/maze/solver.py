"""Find shortest paths in many mazes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Flags

WALL, FREE, START, GOAL, PATH = range(5)
"""Values of cells; `#`, space, S, G and o in files."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
Steps = npt.NDArray[np.int32]


def path_lengths(passable: Flags, start: Flags, goal: Flags) -> npt.NDArray[np.int64]:
    """Return the steps (N,) of a shortest path from start to goal, -1 where there is no path.

    The cells (N, h, w) of each maze are the bits of one integer, with a wall after every row, so
    that shifts move a whole frontier of the breadth-first search at once.
    """
    width, lengths = passable.shape[2] + 1, []
    for unseen, frontier, end in zip(*map(_as_integers, (passable, start, goal)), strict=True):
        steps = 0
        while frontier and not frontier & end:
            unseen &= ~frontier
            moved = frontier << 1 | frontier >> 1 | frontier << width | frontier >> width
            frontier, steps = moved & unseen, steps + 1
        lengths.append(steps if frontier else -1)
    return np.array(lengths, np.int64)


def _as_integers(cells: Flags) -> list[int]:
    padded = np.pad(cells, ((0, 0), (0, 0), (0, 1)))
    return [int.from_bytes(np.packbits(maze).tobytes()) for maze in padded]


def distances(passable: Flags, start: Flags) -> Steps:
    """Return the number of steps from the start of each maze to every cell (breadth-first search).

    All arrays are (N, h, w); a path may enter the `passable` cells, `start` has one cell in each
    maze, and -1 is for cells that cannot be reached.
    """
    steps = np.where(start, 0, -1).astype(np.int32)
    frontier, unseen = start, passable & ~start
    for step in range(1, passable.shape[1] * passable.shape[2]):
        neighbours = np.zeros_like(frontier)
        neighbours[:, 1:] |= frontier[:, :-1]
        neighbours[:, :-1] |= frontier[:, 1:]
        neighbours[:, :, 1:] |= frontier[:, :, :-1]
        neighbours[:, :, :-1] |= frontier[:, :, 1:]
        frontier = neighbours & unseen
        if not frontier.any():
            break
        steps[frontier] = step
        unseen &= ~frontier
    return steps


def shortest_paths(steps: Steps, goals: npt.NDArray[np.int64]) -> Flags:
    """Return the cells (N, h, w) between start and goal of one shortest path.

    The path is followed back from the goal. Where several cells are one step nearer to the start,
    it takes the first of `MOVES`.

    Args:
        steps: (N, h, w), `distances` from the start.
        goals: (N,) index of the goal, row by row; it can be reached.
    """
    num_mazes, height, width = steps.shape
    padded = np.pad(steps, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    found = np.zeros((num_mazes, height, width), np.bool_)
    rows, columns = np.divmod(goals, width)
    active = np.arange(num_mazes)
    remaining = steps[active, rows, columns]
    while len(active := active[remaining[active] > 1]):
        row, column = rows[active], columns[active]
        neighbours = np.stack(
            [padded[active, row + 1 + down, column + 1 + right] for down, right in MOVES]
        )
        move = np.array(MOVES)[(neighbours == remaining[active] - 1).argmax(0)]
        rows[active], columns[active] = row + move[:, 0], column + move[:, 1]
        found[active, rows[active], columns[active]] = True
        remaining[active] -= 1
    return found
