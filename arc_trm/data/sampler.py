"""Training batches made when they are needed, each from (seed, step) alone.

Sampling (SPEC 2 in docs/model.md): an epoch visits every group once in random order; a visit draws
one of the group's puzzles and takes its pairs in random order, as many as still fit into the batch.
Epochs follow each other without a gap, so that small sets fill large batches too. A batch is of one
canvas size: visits wait until those of their size fill one, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import PAD, Tokens
from arc_trm.rng import rng_for

IGNORE = -100
"""Label of cells without a label, as in `arc_trm.training.losses`, which this room does not import."""

Batch = dict[str, npt.NDArray[np.int32]]


class Group(Protocol):
    """A task with all its augmentations: so many puzzles, each of as many `pairs` to learn from."""

    def __len__(self) -> int:
        """Number of puzzles."""

    @property
    def pairs(self) -> int:
        """Number of pairs of every puzzle; a group of none is never visited."""

    @property
    def cells(self) -> int:
        """S of its canvas."""

    def row(self, puzzle: int) -> int:
        """The row of a puzzle in the embedding table."""

    def example(self, puzzle: int, pair: int, place: int | None) -> tuple[Tokens, Tokens]:
        """Input and label tokens of a puzzle's pair, (S,) uint8 each; labels of PAD do not count.

        `place` seeds the offset on the canvas, None is the corner, where that is not fixed before.
        """


class BatchSampler:
    """BatchSampler over the pairs of `groups`.

    Args:
        groups: each on a canvas of its own number of cells.
        batch_size: examples in a global batch.
        share: (rank, world): which part of every batch to make.

    Raises ValueError if there is no pair at all.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        batch_size: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.groups, self.batch_size, self.seed, self.share = groups, batch_size, seed, share
        self._counts = np.array([group.pairs for group in groups])
        self._cells = [group.cells for group in groups]
        if not self._counts.sum():
            raise ValueError("there is no pair with a known output to learn from")
        self._rewind()

    def _rewind(self) -> None:
        self._step, self._epoch, self._visit = 0, -1, 0
        self._order = np.empty(0, np.int64)
        self._waiting: dict[int, tuple[list[int], int]] = {}  # by cells: visits, their pairs

    @property
    def mean_pairs(self) -> float:
        """Mean number of pairs of a visit to a group."""
        return float(self._counts.mean())

    def canvases(self) -> dict[int, tuple[float, BatchSampler]]:
        """By cells of a canvas, largest first, its share of all pairs and batches of it alone."""
        parts = {}
        for cells in sorted(set(self._cells), reverse=True):
            there = [group for group in self.groups if group.cells == cells]
            pairs = sum(group.pairs for group in there)
            if pairs:
                alone = BatchSampler(there, self.batch_size, self.seed, self.share)
                parts[cells] = (pairs / int(self._counts.sum()), alone)
        return parts

    def _next_visits(self) -> list[int]:
        """The groups of the next batch; the last one's pairs may be more than still fit."""
        while True:
            if self._visit == len(self._order):
                self._epoch, self._visit = self._epoch + 1, 0
                self._order = rng_for(self.seed, "epoch", self._epoch).permutation(
                    np.flatnonzero(self._counts)
                )
            group = int(self._order[self._visit])
            self._visit += 1
            cells = self._cells[group]
            visits, filled = self._waiting.pop(cells, ([], 0))
            visits.append(group)
            filled += int(self._counts[group])
            if filled >= self.batch_size:
                self._step += 1
                return visits
            self._waiting[cells] = visits, filled

    def __call__(self, step: int) -> Batch:
        """The batch of training step `step` (0 is the first), this process's share of it.

        Returns `inputs` and `labels` (B, S) int32, S the same for all processes, `puzzle_ids` (B,)
        int32. What a group raises for an example that cannot be used passes through.
        """
        if step < self._step:
            self._rewind()
        while self._step < step:  # only the counts of pairs matter here, so this is quick
            self._next_visits()
        rng = rng_for(self.seed, "batch", step)
        rank, world = self.share
        size = self.batch_size // world
        mine = range(rank * size, (rank + 1) * size)
        examples: list[tuple[Tokens, Tokens]] = []
        puzzle_ids: list[int] = []
        slot = 0
        for visited in self._next_visits():
            group = self.groups[visited]
            puzzle = int(rng.integers(len(group)))
            order = rng.permutation(group.pairs)
            unmoved = rng.integers(group.pairs)
            for pair in order[: self.batch_size - slot].tolist():
                # Drawn whether used or not, so that every rank stays at the same place.
                place = int(rng.integers(2**63))
                if slot in mine:
                    examples.append(group.example(puzzle, pair, None if pair == unmoved else place))
                    puzzle_ids.append(group.row(puzzle))
                slot += 1
        inputs, labels = (np.stack(part).astype(np.int32) for part in zip(*examples, strict=True))
        labels[labels == PAD] = IGNORE
        return {
            "inputs": inputs,
            "labels": labels,
            "puzzle_ids": np.array(puzzle_ids, np.int32),
        }
