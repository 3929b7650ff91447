"""Generate many mazes with long shortest paths at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.maze.solver import (
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    Flags,
    distances,
    shortest_paths,
)
from arc_trm.tasks import Grid

WALL_DENSITY = (0.34, 0.42)
"""Range of the share of walls: fewer walls make paths short, more cut them off."""


def random_mazes(
    count: int, side: int, min_steps: int, rng: np.random.Generator
) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
    """Draw random mazes and keep those whose shortest path has at least `min_steps` steps.

    Walls are independent of each other, as in the mazes of Lehnert et al. (arXiv 2402.14083), which
    the HRM paper (arXiv 2506.21734) makes its own like. The start is a cell farthest from a random
    one, the goal any that is far enough from it. Then free cells of other shortest paths become
    walls, so that one answer follows from the question.

    Returns:
        Questions and answers (K, side, side) uint8 and steps (K,), K ≤ `count`.
    """
    shape = (count, side, side)
    passable = rng.random(shape) >= rng.uniform(*WALL_DENSITY, (count, 1, 1))
    steps = distances(passable, _one_of(passable, rng))
    start = _one_of((steps == steps.max((1, 2), keepdims=True)) & passable, rng)
    steps = distances(passable, start)
    far = _one_of(steps >= max(1, min_steps), rng)
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
    """Return (N, h, w) with one random cell of each maze's cells, none where there is none."""
    draws = np.where(cells, rng.random(cells.shape), -1.0).reshape(len(cells), -1)
    chosen = np.zeros_like(cells).reshape(len(cells), -1)
    chosen[np.arange(len(cells)), draws.argmax(1)] = True
    return chosen.reshape(cells.shape) & cells
