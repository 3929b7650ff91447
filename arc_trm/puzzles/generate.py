"""Puzzles made from a seed: as hard as is asked for, all different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError
from arc_trm.puzzles import BOARDS
from arc_trm.puzzles.maze.solver import random_mazes
from arc_trm.puzzles.sudoku.solver import full_grids, solve, thinned
from arc_trm.rng import rng_for
from arc_trm.tasks import Boards, Grid

Progress = Callable[[int, int], None]
SIDES = {"sudoku": 9, "maze": 30}
AT_ONCE = {"sudoku": 1000, "maze": 2000}
HOPELESS = 20  # times as many that are made without one that is kept


@dataclass(frozen=True)
class Recipe:
    """What puzzles are made: `count`, from `seed`, of `side` cells a side or of the usual size.

    `hardest` and `easiest` bound their rating: of a Sudoku the digits that a backtracking solver
    with naked and hidden singles has to guess until it knows all solutions, of a maze the steps of
    a shortest path. Of a Sudoku digits are taken away as long as one solution is left, or until
    `clues` remain. Raises UserError for a size that no such puzzle has and bounds that exclude all.
    """

    domain: str
    count: int
    seed: int = 0
    side: int | None = None
    easiest: int = 0
    hardest: int | None = None
    clues: int = 0

    def __post_init__(self) -> None:
        if wrong := BOARDS[self.domain].wrong_size(self.cells_a_side):
            raise UserError(f"{wrong}: ask for another side")
        if self.clues > self.cells_a_side**2:
            raise UserError(
                f"there are {self.cells_a_side**2} cells, fewer than {self.clues} clues: ask for "
                "fewer"
            )
        if self.hardest is not None and self.hardest < self.easiest:
            raise UserError(
                f"the hardest rating ({self.hardest}) is below the easiest ({self.easiest})"
            )

    @property
    def cells_a_side(self) -> int:
        """`side`, or the usual one."""
        return SIDES[self.domain] if self.side is None else self.side


@dataclass(frozen=True, eq=False)
class Made:
    """Puzzles with answers and `ratings` (N,) int64."""

    boards: Boards
    ratings: npt.NDArray[np.int64]


def generated(recipe: Recipe, progress: Progress = lambda done, total: None) -> Made:
    """The puzzles of a recipe, the same for the same recipe.

    Raises UserError if such puzzles are too rare to be found.
    """
    kept: dict[bytes, tuple[Grid, Grid, int]] = {}
    vain = 0
    progress(0, recipe.count)
    for questions, answers, ratings in _batches(recipe):
        before = len(kept)
        for question, answer, rating in zip(questions, answers, ratings.tolist(), strict=True):
            kept.setdefault(question.tobytes(), (question, answer, rating))
            if len(kept) == recipe.count:
                break
        progress(len(kept), recipe.count)
        if len(kept) == recipe.count:
            break
        vain = 0 if len(kept) > before else vain + 1
        if vain == HOPELESS:
            raise UserError(
                f"of the last {vain * AT_ONCE[recipe.domain]} puzzles none was new and of the "
                f"difficulty that is wanted; {len(kept)} were found: ask for fewer, for other "
                "ratings or for another seed"
            )
    columns = zip(*kept.values(), strict=True)
    questions, answers, found = (np.array(column) for column in columns)
    return Made(Boards(recipe.domain, questions, answers), found.astype(np.int64))


def _batches(recipe: Recipe) -> Iterator[tuple[Grid, Grid, npt.NDArray[np.int64]]]:
    """Puzzles of the wanted rating, without end: questions, answers and ratings."""
    rng, size = rng_for(recipe.seed, "generate", recipe.domain), AT_ONCE[recipe.domain]
    while True:
        if recipe.domain == "sudoku":
            answers = full_grids(recipe.cells_a_side, size, rng)
            questions = thinned(answers, recipe.clues, rng)
            ratings = solve(questions).guesses
        else:
            chosen = size, recipe.cells_a_side, recipe.easiest
            questions, answers, ratings = random_mazes(*chosen, rng)
        wanted = ratings >= recipe.easiest
        if recipe.hardest is not None:
            wanted &= ratings <= recipe.hardest
        yield questions[wanted], answers[wanted], ratings[wanted]
