"""Generate distinct puzzles of a given difficulty from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.callbacks import Progress, ignore
from arc_trm.errors import UserError, format_value, pluralise, suggestion
from arc_trm.puzzles import GridPuzzle, grid_kinds
from arc_trm.rng import rng_for
from arc_trm.tasks import Grid, PuzzleArray

MAX_BATCHES_WITHOUT_NEW = 20  # consecutive ones, after which generation is given up


def generator_kind(name: str) -> GridPuzzle:
    """Return the generated kind of this name. Raises UserError if the name is unknown."""
    kinds = {kind.name: kind for kind in grid_kinds() if kind.rating_unit}
    if name not in kinds:
        advice = suggestion(name, kinds)
        raise UserError(f"puzzles of the kind {format_value(name)} cannot be generated{advice}")
    return kinds[name]


@dataclass(frozen=True)
class GeneratorConfig:
    """Which puzzles to generate. Raises UserError for impossible sizes, ratings and clues."""

    kind: str
    """Name of the kind of puzzle."""
    count: int
    """Number of puzzles."""
    seed: int = 0
    """Seed of the puzzles."""
    side: int | None = None
    """Cells per side; None is the kind's usual size."""
    min_rating: int = 0
    """Smallest difficulty: for a Sudoku the number of digits that a solver with naked and hidden
    singles has to guess, for a maze the number of steps of a shortest path."""
    max_rating: int | None = None
    """Largest difficulty; None is any."""
    clues: int = 0
    """Given cells to leave; 0 is as few as possible."""

    def __post_init__(self) -> None:
        if fault := self.puzzle_kind.side_error(self.cells_per_side):
            raise UserError(f"{fault}: choose another side")
        if self.clues and not self.puzzle_kind.has_clues:
            raise UserError(f"clues are for Sudokus, not for {self.kind}: leave them out")
        if self.clues > (cells := self.cells_per_side**2):
            raise UserError(
                f"there are {cells} cells, fewer than {self.clues} clues: choose fewer clues"
            )
        if self.max_rating is not None and self.max_rating < self.min_rating:
            raise UserError(
                f"the largest rating ({self.max_rating}) is below the smallest "
                f"({self.min_rating}): raise it"
            )

    @property
    def puzzle_kind(self) -> GridPuzzle:
        return generator_kind(self.kind)

    @property
    def cells_per_side(self) -> int:
        return self.puzzle_kind.default_side if self.side is None else self.side


@dataclass(frozen=True, eq=False)
class GeneratedSet:
    """Puzzles with answers, and their `ratings` (N,) int64."""

    puzzles: PuzzleArray
    """Named after their file or dataset."""
    ratings: npt.NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return facts of a set that was written to a file, as plain JSON."""
        low, mean, high = self.ratings.min(), self.ratings.mean(), self.ratings.max()
        return {
            "file": self.puzzles.name,
            "kind": self.puzzles.kind,
            "count": len(self.puzzles),
            "side": self.puzzles.side,
            "rating": {"min": int(low), "mean": float(mean), "max": int(high)},
        }

    @property
    def summary(self) -> str:
        """The content of a set that was written to a file, in one line."""
        kind, side = generator_kind(self.puzzles.kind), self.puzzles.side
        return (
            f"{self.puzzles.name}: {pluralise(len(self.puzzles), kind.full_noun)}, {side}×{side}, "
            f"{self.ratings.min()} to {self.ratings.max()} {kind.rating_unit}, "
            f"{self.ratings.mean():.1f} on average"
        )


def generate_puzzles(
    config: GeneratorConfig, name: str = "generated", progress: Progress = ignore
) -> GeneratedSet:
    """Generate puzzles, the same for equal configs, into a set with this name.

    `progress` is called with the number of puzzles found so far and their total.

    Raises:
        UserError: such puzzles are too rare to be found.
    """
    kind, side = config.puzzle_kind, config.cells_per_side
    rng, batch_size = rng_for(config.seed, "generate", config.kind), kind.batch_size(side)
    found: dict[bytes, tuple[Grid, Grid, np.int64]] = {}
    batches_without_new = 0
    progress(0, config.count)
    while len(found) < config.count:
        questions, answers, ratings = kind.generate(
            batch_size, side, config.min_rating, config.clues, rng
        )
        accepted = ratings >= config.min_rating
        if config.max_rating is not None:
            accepted &= ratings <= config.max_rating
        num_before = len(found)
        for index in np.flatnonzero(accepted).tolist():
            puzzle = questions[index], answers[index], ratings[index]
            found.setdefault(questions[index].tobytes(), puzzle)
            if len(found) == config.count:
                break
        progress(len(found), config.count)
        batches_without_new = 0 if len(found) > num_before else batches_without_new + 1
        if batches_without_new == MAX_BATCHES_WITHOUT_NEW:
            raise UserError(
                f"of the last {batches_without_new * batch_size} puzzles none was new and of "
                f"the wanted difficulty; {len(found)} were found: choose fewer puzzles, other "
                "ratings or another seed"
            )
    questions, answers, ratings = map(np.array, zip(*found.values(), strict=True))
    return GeneratedSet(PuzzleArray(name, config.kind, questions, answers), ratings)
