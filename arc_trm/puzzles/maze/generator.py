"""Generate many mazes with long shortest paths at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Flags
from arc_trm.puzzles.maze.solver import FREE, GOAL, PATH, START, WALL, distances, shortest_paths
from arc_trm.tasks import Grid

WALL_DENSITY = (0.34, 0.42)
"""Range of the fraction of walls. Fewer walls make paths short; more walls block them."""


def random_mazes(
    count: int, side: int, min_steps: int, rng: np.random.Generator
) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
    """Generate random mazes and keep those whose shortest path has at least `min_steps` steps.

    Walls are independent of each other, as in the mazes of Lehnert et al. (arXiv 2402.14083), whom
    the HRM paper (arXiv 2506.21734) follows. The start is a cell farthest from a random cell, the
    goal a random cell that is far enough from the start. Then free cells of other shortest paths
    become walls, so that the question has one answer.

    Returns:
        Questions and answers (K, side, side) uint8 and steps (K,), K ≤ `count`.
    """
    shape = (count, side, side)
    passable = rng.random(shape) >= rng.uniform(*WALL_DENSITY, (count, 1, 1))
    steps = distances(passable, _choose_cell(passable, rng))
    start = _choose_cell((steps == steps.max((1, 2), keepdims=True)) & passable, rng)
    steps = distances(passable, start)
    goal = _choose_cell(steps >= max(1, min_steps), rng)
    questions = np.where(passable, FREE, WALL).astype(np.uint8)
    questions[start], questions[goal] = START, GOAL
    kept = goal.any((1, 2))
    questions, steps, goal = questions[kept], steps[kept], goal[kept]
    path_length = steps[goal]
    path = shortest_paths(steps, goal.reshape(-1, side * side).argmax(1))
    steps_to_goal = distances(questions != WALL, goal)
    on_shortest = (steps >= 0) & (steps + steps_to_goal == path_length[:, None, None])
    questions[on_shortest & (questions == FREE) & ~path] = WALL
    return questions, np.where(path, PATH, questions), path_length.astype(np.int64)


def _choose_cell(cells: Flags, rng: np.random.Generator) -> Flags:
    """Return (N, h, w) with one random cell of the given cells of each maze, none if none is."""
    priority = np.where(cells, rng.random(cells.shape), -1.0).reshape(len(cells), -1)
    chosen = np.zeros_like(cells).reshape(len(cells), -1)
    chosen[np.arange(len(cells)), priority.argmax(1)] = True
    return chosen.reshape(cells.shape) & cells
