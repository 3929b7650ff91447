"""Distinct augmentations of a task, found by a linear hash of the augmented puzzles."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.arc.tokenizer import FULL_SIDE
from arc_trm.puzzles.base import Tokens
from arc_trm.puzzles.symmetry import INVERSE, transform
from arc_trm.tasks import Task

# Random numbers of the linear hash of `PuzzleHash`. Other numbers could keep other augmentations.
_hash_rng = np.random.default_rng(0x7A3C)
_CELL_KEYS = _hash_rng.integers(2**64, size=(FULL_SIDE, FULL_SIDE), dtype=np.uint64)
_COLOUR_KEYS = _hash_rng.integers(2**64, size=10, dtype=np.uint64)
_SHAPE_KEYS = _hash_rng.integers(2**64, size=(FULL_SIDE + 1, FULL_SIDE + 1), dtype=np.uint64)


def _scramble(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Map 64-bit integers one to one to pseudo-random ones, so that equal sums are unlikely.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class PuzzleHash:
    """A 64-bit hash of the pairs of a task, in any order, under many augmentations at once.

    The hash of one grid is linear in its cells, sum over cells of colour key × cell key. Grouped by
    colour, the sums of cell keys depend on the dihedral transform alone, so recolouring costs ten
    multiplications a grid however large it is.
    """

    def __init__(self, task: Task) -> None:
        sums = np.zeros((8, len(task.train) + len(task.test), 2, 10), np.uint64)
        shapes = np.zeros(sums.shape[:3], np.uint64)
        for index, pair in enumerate((*task.train, *task.test)):
            for part, grid in enumerate(pair.grids):
                for dihedral in range(8):
                    rows, columns = transform(grid, dihedral).shape
                    # Transforming the keys back instead of the grid forward keeps the colours'
                    # order.
                    keys = transform(_CELL_KEYS[:rows, :columns], INVERSE[dihedral])
                    np.add.at(sums[dihedral, index, part], grid.ravel(), keys.ravel())
                    shapes[dihedral, index, part] = _SHAPE_KEYS[rows, columns]
        self._sums, self._shapes = sums, shapes

    @property
    def original(self) -> npt.NDArray[np.uint64]:
        """Hash (1,) of the task without augmentation."""
        return self(np.zeros(1, np.uint8), np.arange(10, dtype=np.uint8)[None])

    def __call__(self, dihedrals: npt.NDArray[np.uint8], colours: Tokens) -> npt.NDArray[np.uint64]:
        """Return the hashes (N,) uint64 of the puzzle under N augmentations.

        Args:
            dihedrals: (N,) uint8 ids of dihedral transforms.
            colours: (N, 10) uint8 images of the colours.
        """
        hashes = np.empty(len(dihedrals), np.uint64)
        keys = _COLOUR_KEYS[colours]
        for dihedral in np.unique(dihedrals):
            chosen = dihedrals == dihedral
            pairs = self._sums[dihedral].reshape(-1, 10)
            grids = np.zeros((int(chosen.sum()), len(pairs)), np.uint64)
            for colour in range(10):  # uint64 has no fast matrix product
                if pairs[:, colour].any():
                    grids += keys[chosen, colour, None] * pairs[None, :, colour]
            grids = _scramble(grids.reshape(len(grids), -1, 2) + self._shapes[dihedral])
            inputs, outputs = grids[..., 0], grids[..., 1]
            hashes[chosen] = _scramble(inputs * np.uint64(3) + outputs).sum(axis=1)
        return hashes


TRIALS = 5
"""At most so many augmentations are sampled for each one to keep, as in the published datasets."""
FIRST_SAMPLE, LAST_SAMPLE = 128, 2**16
"""Augmentations that `nested_augmentations` samples at first; then as many as before, until it
samples the second number again and again."""


def distinct_augmentations(
    task: Task, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Tokens]:
    """Sample random augmentations that make distinct puzzles of a task.

    At most `TRIALS` · `count` are sampled. An augmentation is kept if its puzzle differs from the
    original and from all kept before. Known test outputs count as part of the puzzle.

    Returns:
        Dihedral ids (K,) uint8 and colour permutations (K, 10) uint8, K ≤ `count`.
    """
    return _sample_distinct(task, count, rng, itertools.repeat(count, TRIALS))


def nested_augmentations(
    task: Task, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Tokens]:
    """Sample as `distinct_augmentations` does, so that fewer are the beginning of more.

    At least `FIRST_SAMPLE` and at most twice `TRIALS` · `count` are sampled.
    """
    return _sample_distinct(task, count, rng, _growing(TRIALS * count))


def _growing(total: int) -> Iterator[int]:
    """Yield numbers to sample that add up to at least `total`, the same first ones for all."""
    size, sampled = FIRST_SAMPLE, 0
    while sampled < total:
        yield size
        sampled += size
        size = min(sampled, LAST_SAMPLE)


def _sample_distinct(
    task: Task, count: int, rng: np.random.Generator, sizes: Iterable[int]
) -> tuple[npt.NDArray[np.uint8], Tokens]:
    puzzle_hash = PuzzleHash(task)
    dihedrals, colours = np.empty(0, np.uint8), np.empty((0, 10), np.uint8)
    seen = puzzle_hash.original
    for size in sizes:
        if len(dihedrals) >= count:
            break
        new_dihedrals = rng.integers(8, size=size, dtype=np.uint8)
        new_colours = np.tile(np.arange(10, dtype=np.uint8), (size, 1))
        rng.permuted(new_colours[:, 1:], axis=1, out=new_colours[:, 1:])
        hashes = np.concatenate([seen, puzzle_hash(new_dihedrals, new_colours)])
        _, first = np.unique(hashes, return_index=True)
        kept = np.sort(first[first >= len(seen)])
        seen = np.concatenate([seen, hashes[kept]])
        kept -= len(hashes) - size
        dihedrals = np.concatenate([dihedrals, new_dihedrals[kept]])
        colours = np.concatenate([colours, new_colours[kept]])
    return dihedrals[:count], colours[:count]
