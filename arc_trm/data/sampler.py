"""Training batches, each made from (seed, step) alone.

Sampling (docs/model.md, section 2): an epoch visits every group once in random order. A visit
samples one of the group's puzzles and takes its pairs in random order, as many as still fit into
the batch. Epochs follow each other without a gap, so that small datasets fill large batches too.
All examples of a batch have the same canvas size: visits wait until those of their size fill a
batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import PAD, Tokens
from arc_trm.rng import rng_for

IGNORE_LABEL = -100
"""Label of cells that the loss ignores."""

Batch = dict[str, npt.NDArray[np.int32]]


class PuzzleGroup(Protocol):
    """A task with all its augmentations: its puzzles, each with the same number of pairs."""

    def __len__(self) -> int:
        """Return the number of puzzles."""

    @property
    def num_pairs(self) -> int:
        """Pairs of every puzzle; a group without pairs is never visited."""

    @property
    def seq_len(self) -> int:
        """S, the cells of the group's canvas."""

    def puzzle_id(self, puzzle: int) -> int:
        """Return the index of a puzzle in the embedding table."""

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        """Return input and label tokens of a pair, (S,) uint8 each; PAD labels are not scored.

        `offset_seed` seeds the random offset on the canvas; None is the corner.
        """


@dataclass(eq=False)
class BatchSampler:
    """A sampler of batches of a dataset's pairs. Raises ValueError if there is no pair at all."""

    dataset: Sequence[PuzzleGroup]
    """Groups, each with its own canvas size."""
    batch_size: int
    """Examples in a global batch."""
    seed: int
    """Seed of the order of the groups and of the sampled puzzles."""
    rank: int = 0
    """Index, from 0, of the part of every batch to make."""
    world_size: int = 1
    """Number of parts."""

    def __post_init__(self) -> None:
        sizes = [(group.num_pairs, group.seq_len) for group in self.dataset]
        self._counts = np.array([num_pairs for num_pairs, _ in sizes])
        self._seq_lens = [seq_len for _, seq_len in sizes]
        if not self._counts.sum():
            raise ValueError("there is no pair with a known output to train on")
        self._rewind()

    def _rewind(self) -> None:
        self._step, self._epoch, self._visit = 0, -1, 0
        self._order = np.empty(0, np.int64)
        self._waiting: dict[int, tuple[list[int], int]] = {}  # by canvas: groups, their pairs

    @property
    def mean_pairs(self) -> float:
        """Mean number of pairs per visit."""
        return float(self._counts.mean())

    def by_canvas_size(self) -> dict[int, tuple[float, BatchSampler]]:
        """Map S, largest first, to its share of all pairs and a sampler of its groups."""
        parts = {}
        for seq_len in sorted(set(self._seq_lens), reverse=True):
            groups = [group for group in self.dataset if group.seq_len == seq_len]
            if pairs := sum(group.num_pairs for group in groups):
                share = pairs / int(self._counts.sum())
                parts[seq_len] = share, replace(self, dataset=groups)
        return parts

    def _next_visits(self) -> list[int]:
        """Return the groups of the next batch; the last one may have more pairs than still fit."""
        while True:
            if self._visit == len(self._order):
                self._epoch, self._visit = self._epoch + 1, 0
                rng = rng_for(self.seed, "epoch", self._epoch)
                self._order = rng.permutation(np.flatnonzero(self._counts))
            group = int(self._order[self._visit])
            self._visit += 1
            seq_len = self._seq_lens[group]
            visits, filled = self._waiting.pop(seq_len, ([], 0))
            visits.append(group)
            filled += int(self._counts[group])
            if filled >= self.batch_size:
                self._step += 1
                return visits
            self._waiting[seq_len] = visits, filled

    def __call__(self, step: int) -> Batch:
        """Return this process's part of the batch of a training step, counted from 0.

        Returns:
            `inputs` and `labels` (B, S) int32, S the same on all processes, and `puzzle_ids` (B,)
            int32.

        Raises:
            UserError: a group has an invalid example.
        """
        if step < self._step:
            self._rewind()
        while self._step < step:  # fast, because it reads only the numbers of pairs
            self._next_visits()
        rng = rng_for(self.seed, "batch", step)
        size = self.batch_size // self.world_size
        own = range(self.rank * size, (self.rank + 1) * size)
        examples, puzzle_ids = [], []
        index = 0
        for visited in self._next_visits():
            group = self.dataset[visited]
            puzzle = int(rng.integers(len(group)))
            order = rng.permutation(group.num_pairs)
            pair_in_corner = rng.integers(group.num_pairs)
            for pair in order[: self.batch_size - index].tolist():
                # Sampled on every rank, so that the generators of all ranks stay equal.
                offset_seed = int(rng.integers(2**63))
                if index in own:
                    seed = None if pair == pair_in_corner else offset_seed
                    examples.append(group.example(puzzle, pair, seed))
                    puzzle_ids.append(group.puzzle_id(puzzle))
                index += 1
        inputs, labels = (np.stack(part).astype(np.int32) for part in zip(*examples, strict=True))
        labels[labels == PAD] = IGNORE_LABEL
        return {"inputs": inputs, "labels": labels, "puzzle_ids": np.array(puzzle_ids, np.int32)}
