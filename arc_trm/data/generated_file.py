"""Generate puzzles into a CSV file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.data.readers import csv
from arc_trm.errors import UserError, pluralise
from arc_trm.puzzles.generate import GeneratorConfig, Progress, generate_puzzles


@dataclass(frozen=True, eq=False)
class GeneratedFile:
    """A file of generated puzzles and their `ratings` (N,) int64."""

    path: Path
    config: GeneratorConfig
    ratings: npt.NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return facts as plain JSON."""
        return {
            "file": str(self.path),
            "kind": self.config.kind,
            "count": len(self.ratings),
            "side": self.config.cells_per_side,
            "rating": {
                "min": int(self.ratings.min()),
                "mean": float(self.ratings.mean()),
                "max": int(self.ratings.max()),
            },
        }

    @property
    def summary(self) -> str:
        """The content of the file, in one line."""
        kind, side = self.config.puzzle_kind, self.config.cells_per_side
        number = pluralise(len(self.ratings), kind.singular)
        return (
            f"{self.path}: {number}, {side}×{side}, {self.ratings.min()} to {self.ratings.max()} "
            f"{kind.rating_unit}, {self.ratings.mean():.1f} on average"
        )


def generate_file(
    config: GeneratorConfig, path: Path, progress: Progress = lambda done, total: None
) -> GeneratedFile:
    """Generate puzzles into a new CSV file; `progress` is that of `generate_puzzles`.

    Raises:
        UserError: the file cannot be made, or such puzzles are too rare.
    """
    if not csv.matches(path):
        raise UserError(f"{path}: the name of a file of puzzles ends in .csv")
    _check_absent(path)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"the folder of {path} does not exist: make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder of {path} is write-protected: name another")
    generated = generate_puzzles(config, progress=progress)
    _check_absent(path)  # again, because generation takes a while
    source = f"arc-trm seed {config.seed}"
    csv.write_csv(path, generated.puzzles, source, generated.ratings.tolist())
    return GeneratedFile(path, config, generated.ratings)


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path} already exists: name another file, or remove it")
