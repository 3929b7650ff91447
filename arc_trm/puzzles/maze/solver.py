"""Find shortest paths in many mazes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WALL, FREE, START, GOAL, PATH = range(5)
"""Values of cells; `#`, space, S, G and o in files."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
Flags = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int32]


def _neighbours(cells: Flags) -> Flags:
    """Return the neighbours (N, h, w) of cells, be they walls or cells of the argument."""
    neighbours = np.zeros_like(cells)
    neighbours[:, 1:] |= cells[:, :-1]
    neighbours[:, :-1] |= cells[:, 1:]
    neighbours[:, :, 1:] |= cells[:, :, :-1]
    neighbours[:, :, :-1] |= cells[:, :, 1:]
    return neighbours


def distances(passable: Flags, start: Flags) -> Steps:
    """Return the number of steps from the start of each maze to every cell (breadth-first search).

    Args:
        passable: (N, h, w) cells that a path may enter.
        start: (N, h, w) with one cell in each maze.

    Returns:
        (N, h, w) int32, -1 for cells that cannot be reached.
    """
    steps = np.where(start, 0, -1).astype(np.int32)
    frontier, unseen = start, passable & ~start
    for step in range(1, passable.shape[1] * passable.shape[2]):
        frontier = _neighbours(frontier) & unseen
        if not frontier.any():
            break
        steps[frontier] = step
        unseen &= ~frontier
    return steps


def shortest_paths(steps: Steps, goals: npt.NDArray[np.int64]) -> Flags:
    """Return the cells between start and goal of one shortest path.

    The path is followed back from the goal. Where several cells are one step nearer to the start,
    it takes the first of `MOVES`.

    Args:
        steps: (N, h, w), `distances` from the start.
        goals: (N,) index of the goal, row by row; it can be reached.

    Returns:
        (N, h, w) bool.
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
