"""How much of a puzzle embedding's variance is known structure: task, symmetry and colours.

A table has a row for every augmented task. Each fit predicts the rows by least squares from what
their names say, and the share of the variance that it explains says how much of the table a
composed puzzle embedding could replace.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from arc_trm.callbacks import Progress, ignore
from arc_trm.checkpoint.expansion import parse_code
from arc_trm.checkpoint.weights_dir import PUZZLE_IDS_FILE, WeightsDir, check_finite
from arc_trm.errors import UserError, pluralise
from arc_trm.models.composition import CODE_SIZE, COLOURS
from arc_trm.puzzles.base import SEPARATOR
from arc_trm.puzzles.symmetry import SYMMETRIES
from arc_trm.runs.checkpoints import EMBEDDING_FILE

CHUNK = 2**14
"""Rows that are fitted at once."""
TOLERANCE = 1e-9
"""Relative size of an eigenvalue below which columns of a fit count as dependent."""


@dataclass(frozen=True)
class Fit:
    """A fit of all rows by parts of their names.

    Attributes:
        parts: of the names, in words.
        vectors: independent vectors that the fit has for the rows, besides their mean.
        explained: share of the variance around the mean row.
        adjusted: the same less what as many random vectors would explain; None if the rows are
            equal, or too few.
    """

    parts: str
    vectors: int
    explained: float
    adjusted: float | None


@dataclass(frozen=True)
class EmbeddingFit:
    """What the parts of names explain of a table.

    Attributes:
        folder: of the weights.
        rows, tasks: of the table, without the blank row.
        size: numbers in a row.
        variance: of a number around the mean row.
        fits: each with all parts of the one before.
    """

    folder: str
    rows: int
    tasks: int
    size: int
    variance: float
    fits: tuple[Fit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fits as plain JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the fits as a table for a person."""
        width = max(len(each.parts) for each in self.fits)
        return [
            f"{self.folder}: {self.rows:,} rows of {pluralise(self.tasks, 'task')}, {self.size} "
            f"numbers each, variance {self.variance:.4g}",
            f"{'fitted by':<{width}}  {'vectors':>9}  {'explained':>9}  {'adjusted':>9}",
            *(
                f"{each.parts:<{width}}  {each.vectors:>9,}  {_percent(each.explained)}  "
                f"{_percent(each.adjusted)}"
                for each in self.fits
            ),
        ]


def _percent(share: float | None) -> str:
    return f"{'unknown':>9}" if share is None else f"{100 * share:>7.2f} %"


def fit_embedding(weights: WeightsDir, progress: Progress = ignore) -> EmbeddingFit:
    """Fit the rows of a table by least squares. Takes a pass over the table, task by task.

    Args:
        weights: with a table.
        progress: called with the number of tasks fitted so far and their total.

    Raises:
        UserError: the weights have no table with augmented tasks, or an invalid one.
    """
    names, embedding = weights.parts.puzzle_names, weights.parts.embedding
    path = weights.folder / PUZZLE_IDS_FILE
    if weights.config.puzzle_embedding == "composed":
        raise UserError(
            f"{weights.folder} has a composed puzzle embedding, of which nothing is left to "
            "explain: name weights with a table"
        )
    if embedding is None or not any(SEPARATOR in name for name in names):
        raise UserError(
            f"{weights.folder} has no puzzle embedding of augmented tasks, which the fit compares: "
            "convert published weights with --published-set or --identifiers"
        )
    check_finite(embedding, weights.folder / EMBEDDING_FILE)
    rows_of = defaultdict[str, list[int]](list)
    codes = torch.empty(len(names), CODE_SIZE, dtype=torch.uint8)
    for row, name in enumerate(names[1:], 1):
        task_id, code = parse_code(name, path)
        rows_of[task_id].append(row)
        codes[row] = torch.from_numpy(code.copy())
    sums = _Sums(embedding.shape[1])
    for done, rows in enumerate(rows_of.values(), 1):
        sums.add(codes[rows], embedding, rows)
        progress(done, len(rows_of))
    total = sums.total()
    variance = total / sums.rows / sums.size
    return EmbeddingFit(
        str(weights.folder), sums.rows, len(rows_of), sums.size, variance, sums.fits(total)
    )


def _features(codes: Tensor) -> Tensor:
    """Return codes of augmentations (N, A) as 0 and 1: each symmetry, each image of each colour."""
    symmetries = torch.nn.functional.one_hot(codes[:, 0].long(), SYMMETRIES)
    images = torch.nn.functional.one_hot(codes[:, 2:].long(), COLOURS).flatten(1)
    return torch.cat([symmetries, images], dim=1).double()


class _Sums:
    """Sums over tasks, from which all fits follow; rows are taken relative to their task's mean."""

    def __init__(self, size: int) -> None:
        self.rows, self.size, self.tasks = 0, size, 0
        columns = SYMMETRIES + COLOURS * (COLOURS - 1)
        self._row_sum = torch.zeros(size, dtype=torch.float64)
        self._squares = self._between = 0.0
        self._gram = torch.zeros(columns, columns, dtype=torch.float64)
        self._products = torch.zeros(columns, size, dtype=torch.float64)
        self._own, self._own_vectors = 0.0, 0

    def add(self, codes: Tensor, embedding: Tensor, rows: list[int]) -> None:
        """Add the rows of a task, whose augmentations have the codes (N, A)."""
        parts = [slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)]
        row_sum = torch.stack([embedding[rows[part]].double().sum(0) for part in parts]).sum(0)
        feature_sum = torch.stack([_features(codes[part]).sum(0) for part in parts]).sum(0)
        mean, feature_mean = row_sum / len(rows), feature_sum / len(rows)
        self.rows += len(rows)
        self.tasks += 1
        self._row_sum += row_sum
        self._between += len(rows) * float(mean.square().sum())
        gram, products = torch.zeros_like(self._gram), torch.zeros_like(self._products)
        for part in parts:
            each = embedding[rows[part]].double()
            self._squares += float(each.square().sum())
            features = _features(codes[part]) - feature_mean
            gram += features.T @ features
            products += features.T @ (each - mean)
        self._gram += gram
        self._products += products
        explained, vectors = _explained(gram, products)
        self._own += explained
        self._own_vectors += vectors

    def total(self) -> float:
        """Return the sum of squares around the mean row."""
        return self._squares - float(self._row_sum.square().sum()) / self.rows

    def fits(self, total: float) -> tuple[Fit, ...]:
        tasks = self._between - float(self._row_sum.square().sum()) / self.rows
        only = slice(SYMMETRIES)
        symmetry = _explained(self._gram[only, only], self._products[only])
        everything = _explained(self._gram, self._products)
        found = {
            "task": (0.0, 0),
            "task + symmetry": symmetry,
            "task + symmetry + images of colours": everything,
            "symmetry and images of each task alone": (self._own, self._own_vectors),
        }
        return tuple(
            self._fit(parts, tasks + explained, self.tasks - 1 + vectors, total)
            for parts, (explained, vectors) in found.items()
        )

    def _fit(self, parts: str, explained: float, vectors: int, total: float) -> Fit:
        share = explained / total if total > 0 else 0.0
        left = self.rows - 1 - vectors
        adjusted = None
        if left > 0 and total > 0:
            adjusted = 1 - (1 - share) * (self.rows - 1) / left
        return Fit(parts, vectors, share, adjusted)


def _explained(gram: Tensor, products: Tensor) -> tuple[float, int]:
    """Return the sum of squares that a fit explains, and its number of independent vectors.

    Args:
        gram: (K, K) products of the centred columns.
        products: (K, size) products of the columns and the centred rows.
    """
    values, vectors = torch.linalg.eigh(gram)
    kept = values > TOLERANCE * values.abs().max().clamp(min=1.0)
    projected = vectors[:, kept].T @ products
    return float((projected.square() / values[kept, None]).sum()), int(kept.sum())
