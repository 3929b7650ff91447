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
from functools import cached_property
from operator import itemgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import PAD, Tokens
from arc_trm.rng import rng_for

IGNORE_LABEL = -100
"""Label of cells that the loss ignores."""

Batch = dict[str, npt.NDArray[np.int32]]
Visits = npt.NDArray[np.int64]
"""Indices of groups, in the order in which a batch visits them."""


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
        """Return the index of a puzzle in the puzzle embedding."""

    def augmentation_code(self, puzzle: int) -> Tokens | None:
        """Return how a puzzle differs from its task, (A,) uint8, for a composed puzzle embedding.

        None for a table, in which the puzzle id says it.
        """

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
        self._counts, self._seq_lens = np.array(sizes, np.int64).reshape(-1, 2).T
        if not self._counts.any():
            raise ValueError("there is no pair with a known output to train on")
        self._sizes = np.unique(self._seq_lens[self._counts > 0]).tolist()
        self._rewind()

    def _rewind(self) -> None:
        self._epoch, self._first_step = -1, 0
        self._batches: list[Visits] = []  # that the epoch fills, from `_first_step` on
        self._waiting = dict.fromkeys(self._sizes, np.empty(0, np.int64))

    @property
    def part_size(self) -> int:
        """B, the examples of this process in a batch."""
        return self.batch_size // self.world_size

    @property
    def max_seq_len(self) -> int:
        """The largest S of all batches."""
        return int(max(self._sizes))

    @cached_property
    def code_size(self) -> int:
        """A, the numbers of an augmentation in a batch; 0 without a composed puzzle embedding."""
        code = self.dataset[0].augmentation_code(0)
        return 0 if code is None else len(code)

    @property
    def mean_pairs(self) -> float:
        """Mean number of pairs per visit."""
        return float(self._counts.mean())

    def by_canvas_size(self) -> dict[int, tuple[float, BatchSampler]]:
        """Map S, largest first, to its share of all pairs and a sampler of its groups."""
        parts = {}
        for seq_len in reversed(self._sizes):
            groups = [group for group in self.dataset if group.seq_len == seq_len]
            share = sum(group.num_pairs for group in groups) / int(self._counts.sum())
            parts[seq_len] = share, replace(self, dataset=groups)
        return parts

    def _plan_epoch(self) -> None:
        """Cut the visits of the next epoch into batches, which it fills one after the other."""
        self._first_step += len(self._batches)
        self._epoch += 1
        rng = rng_for(self.seed, "epoch", self._epoch)
        order = rng.permutation(np.flatnonzero(self._counts))
        filled = []  # index in `order` of the last visit of each batch, and its visits
        for seq_len, waiting in self._waiting.items():
            indices = np.flatnonzero(self._seq_lens[order] == seq_len)
            visits = np.concatenate([waiting, order[indices]])
            pairs = np.cumsum(self._counts[visits])
            start = before = 0
            while (last := int(pairs.searchsorted(before + self.batch_size))) < len(visits):
                filled.append((int(indices[last - len(waiting)]), visits[start : last + 1]))
                start, before = last + 1, int(pairs[last])
            self._waiting[seq_len] = visits[start:]
        self._batches = [visits for _, visits in sorted(filled, key=itemgetter(0))]

    def _visits(self, step: int) -> Visits:
        """Return the groups of a batch; the last one may have more pairs than still fit."""
        if step < self._first_step:
            self._rewind()
        while step >= self._first_step + len(self._batches):  # reads only the numbers of pairs
            self._plan_epoch()
        return self._batches[step - self._first_step]

    def __call__(self, step: int) -> Batch:
        """Return this process's part of the batch of a training step, counted from 0.

        Returns:
            `inputs` and `labels` (B, S) int32, S the same on all processes, and `puzzle_ids` (B,)
            int32; for a composed puzzle embedding also `augmentations` (B, A) int32.

        Raises:
            UserError: a group has an invalid example.
        """
        rng = rng_for(self.seed, "batch", step)
        size = self.part_size
        own = range(self.rank * size, (self.rank + 1) * size)
        examples, puzzle_ids, codes = [], [], []
        index = 0
        for visited in self._visits(step).tolist():
            group = self.dataset[visited]
            puzzle = int(rng.integers(len(group)))
            code = group.augmentation_code(puzzle)
            pairs, pair_in_corner = [0], 0
            if group.num_pairs > 1:  # of one pair nothing is drawn, which would take its time
                order = rng.permutation(group.num_pairs)
                pair_in_corner = int(rng.integers(group.num_pairs))
                pairs = order[: self.batch_size - index].tolist()
            for pair in pairs:
                # Sampled on every rank, so that the generators of all ranks stay equal.
                offset_seed = int(rng.integers(2**63))
                if index in own:
                    seed = None if pair == pair_in_corner else offset_seed
                    examples.append(group.example(puzzle, pair, seed))
                    puzzle_ids.append(group.puzzle_id(puzzle))
                    codes.append(code)
                index += 1
        inputs, labels = map(np.stack, zip(*examples, strict=True))
        batch = {
            "inputs": inputs.astype(np.int32),
            "labels": np.where(labels == PAD, np.int32(IGNORE_LABEL), labels),
            "puzzle_ids": np.array(puzzle_ids, np.int32),
        }
        if self.code_size:
            batch["augmentations"] = np.array(codes, np.int32)
        return batch
