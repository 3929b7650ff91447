"""Shortest paths in mazes, and mazes with long ones, many at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arc_trm.tasks import Grid

WALL, FREE, START, GOAL, PATH = range(5)
"""Values of cells; `#`, space, S, G and o in files."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
WALLS = (0.34, 0.42)
"""Between which shares of walls mazes are drawn: fewer make paths short, more cut them off."""

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


def random_mazes(
    count: int, side: int, least: int, rng: np.random.Generator
) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
    """Of `count` random mazes those with a way of at least `least` steps: question, answer, steps.

    Walls are independent of each other, as in the mazes of Lehnert et al. (arXiv 2402.14083), which
    the HRM paper (arXiv 2506.21734) makes its own like. The start is a cell farthest from a random
    one, the goal any that is far enough from it. Then free cells of other shortest paths become
    walls, so that there is one answer, which follows from the question. (K, side, side) uint8, the
    same, and (K,), K ≤ `count`.
    """
    shape = (count, side, side)
    passable = rng.random(shape) >= rng.uniform(*WALLS, (count, 1, 1))
    steps = distances(passable, _one_of(passable, rng))
    start = _one_of((steps == steps.max((1, 2), keepdims=True)) & passable, rng)
    steps = distances(passable, start)
    far = _one_of(steps >= max(1, least), rng)
    kept = far.any((1, 2))
    questions = np.where(passable, FREE, WALL).astype(np.uint8)
    questions[start], questions[far] = START, GOAL
    questions, steps = questions[kept], steps[kept]
    goal, needed = far[kept], steps[far[kept]]
    path = shortest_paths(steps, goal.reshape(-1, side * side).argmax(1))
    back = distances(questions != WALL, goal)
    on_any = (steps >= 0) & (steps + back == needed[:, None, None])
    questions[on_any & (questions == FREE) & ~path] = WALL
    return questions, np.where(path, PATH, questions), needed.astype(np.int64)


def _one_of(cells: Flags, rng: np.random.Generator) -> Flags:
    """(N, h, w): one random cell of each maze's, none where there is none."""
    draws = np.where(cells, rng.random(cells.shape), -1.0).reshape(len(cells), -1)
    chosen = np.zeros_like(cells).reshape(len(cells), -1)
    chosen[np.arange(len(cells)), draws.argmax(1)] = True
    return chosen.reshape(cells.shape) & cells
