"""Distinct augmentations: a linear hash tells the puzzles of a task apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.arc.tokenizer import FULL_SIDE
from arc_trm.puzzles.base import Tokens
from arc_trm.puzzles.symmetry import INVERSE, transform
from arc_trm.tasks import Task

# Random numbers of a linear hash, fixed for good: see `PuzzleHash`.
_hash_rng = np.random.default_rng(0x7A3C)
_CELL_KEYS = _hash_rng.integers(2**64, size=(FULL_SIDE, FULL_SIDE), dtype=np.uint64)
_COLOUR_KEYS = _hash_rng.integers(2**64, size=10, dtype=np.uint64)
_SHAPE_KEYS = _hash_rng.integers(2**64, size=(FULL_SIDE + 1, FULL_SIDE + 1), dtype=np.uint64)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A bijective scrambling of 64-bit integers, so that sums of them stay independent."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class PuzzleHash:
    """Hashes the pairs of a task, as a multiset, under many augmentations at once, to 64 bits.

    The hash of one grid is linear in its cells, sum over cells of colour key × cell key. Grouped by
    colour, the sums of cell keys depend on the dihedral transform alone, so recolouring costs ten
    multiplications a grid however large it is.
    """

    def __init__(self, task: Task) -> None:
        sums = np.zeros((8, len(task.train) + len(task.test), 2, 10), np.uint64)
        shapes = np.zeros(sums.shape[:3], np.uint64)
        for index, pair in enumerate((*task.train, *task.test)):
            for slot, grid in enumerate(pair.grids):
                height, width = grid.shape
                for dihedral in range(8):
                    # Moving the keys backwards instead of the grid forwards keeps colours in place.
                    moved = height if dihedral not in (1, 3, 6, 7) else width
                    keys = _CELL_KEYS[:moved, : height + width - moved]
                    keys = transform(keys, INVERSE[dihedral])
                    np.add.at(sums[dihedral, index, slot], grid.ravel(), keys.ravel())
                    shapes[dihedral, index, slot] = _SHAPE_KEYS[moved, height + width - moved]
        self._sums, self._shapes = sums, shapes

    @property
    def original(self) -> npt.NDArray[np.uint64]:
        """Hash (1,) of the task as it is."""
        return self(np.zeros(1, np.uint8), np.arange(10, dtype=np.uint8)[None])

    def __call__(self, dihedrals: npt.NDArray[np.uint8], colours: Tokens) -> npt.NDArray[np.uint64]:
        """Hashes (N,) of the puzzle under N augmentations: dihedral ids (N,), colours (N, 10)."""
        hashes = np.empty(len(dihedrals), np.uint64)
        keys = _COLOUR_KEYS[colours]
        for dihedral in np.unique(dihedrals):
            chosen = dihedrals == dihedral
            pairs = self._sums[dihedral].reshape(-1, 10)
            grids = np.zeros((int(chosen.sum()), len(pairs)), np.uint64)
            for colour in range(10):  # uint64 has no fast matrix product
                if pairs[:, colour].any():
                    grids += keys[chosen, colour, None] * pairs[None, :, colour]
            mixed = _mix(grids.reshape(len(grids), -1, 2) + self._shapes[dihedral])
            hashes[chosen] = _mix(mixed[..., 0] * np.uint64(3) + mixed[..., 1]).sum(axis=1)
        return hashes


TRIALS = 5
"""Augmentations drawn for each that is wanted, at most, as in the published datasets."""


def distinct_augmentations(
    task: Task, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Tokens]:
    """Draw random augmentations that make distinct puzzles of a task.

    At most `TRIALS` · `count` are drawn. An augmentation is kept if its puzzle differs from the
    original and from all kept before. Known test outputs count as part of the puzzle.

    Returns:
        Dihedral ids (K,) uint8 and colour permutations (K, 10) uint8, K ≤ `count`.
    """
    puzzle_hash = PuzzleHash(task)
    dihedrals, colours = np.empty(0, np.uint8), np.empty((0, 10), np.uint8)
    seen = puzzle_hash.original
    for _ in range(TRIALS):
        if len(dihedrals) >= count:
            break
        new_dihedrals = rng.integers(8, size=count, dtype=np.uint8)
        digits = np.tile(np.arange(10, dtype=np.uint8), (count, 1))
        rng.permuted(digits[:, 1:], axis=1, out=digits[:, 1:])
        hashes = np.concatenate([seen, puzzle_hash(new_dihedrals, digits)])
        _, first = np.unique(hashes, return_index=True)
        fresh = np.sort(first[first >= len(seen)])
        seen = np.concatenate([seen, hashes[fresh]])
        fresh -= len(hashes) - count
        dihedrals = np.concatenate([dihedrals, new_dihedrals[fresh]])
        colours = np.concatenate([colours, digits[fresh]])
    return dihedrals[:count], colours[:count]
