"""Training batches made when they are needed, each from (seed, step) alone.

Sampling (SPEC 2 in docs/model.md): an epoch visits every task once in random order; a visit draws
one of the task's puzzles and takes its pairs in random order, as many as still fit into the batch.
Epochs follow each other without a gap, so that small sets fill large batches too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arc_trm.data.puzzles import TaskPuzzles, generator
from arc_trm.domains.arc import PAD, encode_pair, random_offset
from arc_trm.tasks import Pair

IGNORE = -100
"""Label of cells without a label, as in `arc_trm.objective`, which this room does not import."""

Batch = dict[str, npt.NDArray[np.int32]]


class Batches:
    """Batches over the pairs of `puzzles` that have a known output.

    Args:
        puzzles: tasks with their augmentations; test pairs with an output are learnt from.
        side: of the square canvas.
        batch_size: examples in a global batch.
        shift: place pairs at random offsets, but for one pair of each visited puzzle.
        share: (rank, world): which part of every batch to make.
    """

    def __init__(
        self,
        puzzles: Sequence[TaskPuzzles],
        side: int,
        batch_size: int,
        seed: int,
        shift: bool = True,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.puzzles, self.side, self.batch_size = puzzles, side, batch_size
        self.seed, self.shift, self.share = seed, shift, share
        self._pairs: list[list[Pair]] = [
            [pair for pair in (*p.task.train, *p.task.test) if pair.output is not None]
            for p in puzzles
        ]
        self._counts = np.array([len(pairs) for pairs in self._pairs])
        if not self._counts.sum():
            raise ValueError("there is no pair with a known output to learn from")
        self._rewind()

    def _rewind(self) -> None:
        self._step, self._epoch, self._visit = 0, -1, 0
        self._order = np.empty(0, np.int64)

    @property
    def mean_pairs(self) -> float:
        """Mean number of pairs of a puzzle."""
        return float(self._counts.mean())

    def _next_visits(self) -> list[int]:
        """The tasks of the next batch; the last one's pairs may be more than still fit."""
        visits, filled = [], 0
        while filled < self.batch_size:
            if self._visit == len(self._order):
                self._epoch, self._visit = self._epoch + 1, 0
                self._order = generator(self.seed, "epoch", self._epoch).permutation(
                    np.flatnonzero(self._counts)
                )
            task = int(self._order[self._visit])
            visits.append(task)
            filled += int(self._counts[task])
            self._visit += 1
        self._step += 1
        return visits

    def __call__(self, step: int) -> Batch:
        """The batch of training step `step` (0 is the first), this process's share of it.

        Returns `inputs` and `labels` (B, S) int32, `puzzle_ids` (B,) int32.
        """
        if step < self._step:
            self._rewind()
        while self._step < step:  # only the counts of pairs matter here, so this is quick
            self._next_visits()
        rng = generator(self.seed, "batch", step)
        rank, world = self.share
        size = self.batch_size // world
        mine = range(rank * size, (rank + 1) * size)
        inputs = np.zeros((size, self.side**2), np.int32)
        labels = np.zeros_like(inputs)
        puzzle_ids = np.zeros(size, np.int32)
        slot = 0
        for task in self._next_visits():
            puzzles, pairs = self.puzzles[task], self._pairs[task]
            index = int(rng.integers(len(puzzles)))
            augmentation = puzzles.augmentation(index)
            order = rng.permutation(len(pairs))
            unmoved = rng.integers(len(pairs))
            for which in order[: self.batch_size - slot]:
                pair = pairs[which]
                # Drawn whether used or not, so that every rank stays at the same place.
                seed = rng.integers(2**63)
                if slot in mine:
                    pair = augmentation.apply_pair(pair)
                    offset = (0, 0)
                    if self.shift and which != unmoved:
                        offset = random_offset(pair, self.side, np.random.default_rng(seed))
                    row = slot - mine.start
                    inputs[row], labels[row] = encode_pair(pair, self.side, offset)
                    puzzle_ids[row] = puzzles.first_row + index
                slot += 1
        labels[labels == PAD] = IGNORE
        return {"inputs": inputs, "labels": labels, "puzzle_ids": puzzle_ids}
