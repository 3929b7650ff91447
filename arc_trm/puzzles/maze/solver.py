"""Find shortest paths in many mazes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WALL, FREE, START, GOAL, PATH = range(5)
"""Values of cells; `#`, space, S, G and o in files."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
Flags = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int32]


def _spread(cells: Flags) -> Flags:
    """(N, h, w): the neighbours of cells, which may be walls or cells themselves."""
    near = np.zeros_like(cells)
    near[:, 1:] |= cells[:, :-1]
    near[:, :-1] |= cells[:, 1:]
    near[:, :, 1:] |= cells[:, :, :-1]
    near[:, :, :-1] |= cells[:, :, 1:]
    return near


def distances(passable: Flags, start: Flags) -> Steps:
    """Steps (N, h, w) from the one `start` of each maze to its `passable` cells, else -1."""
    steps = np.where(start, 0, -1).astype(np.int32)
    frontier, unseen = start, passable & ~start
    for step in range(1, passable.shape[1] * passable.shape[2]):
        frontier = _spread(frontier) & unseen
        if not frontier.any():
            break
        steps[frontier] = step
        unseen &= ~frontier
    return steps


def shortest_paths(steps: Steps, goals: npt.NDArray[np.int64]) -> Flags:
    """(N, h, w): the cells between start and goal of one shortest path.

    Of several it is the one that goes back from the goal up, down, left or right, whichever comes
    first in this order.

    Args:
        steps: `distances` from the start.
        goals: (N,) where the goal is, row by row; it can be reached.
    """
    number, height, width = steps.shape
    padded = np.pad(steps, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    found = np.zeros((number, height, width), np.bool_)
    rows, columns = np.divmod(goals, width)
    each = np.arange(number)
    left = steps[each, rows, columns]
    while len(each := each[left[each] > 1]):
        row, column = rows[each], columns[each]
        near = np.stack([padded[each, row + 1 + down, column + 1 + right] for down, right in MOVES])
        move = np.array(MOVES)[(near == left[each] - 1).argmax(0)]
        rows[each], columns[each] = row + move[:, 0], column + move[:, 1]
        found[each, rows[each], columns[each]] = True
        left[each] -= 1
    return found
