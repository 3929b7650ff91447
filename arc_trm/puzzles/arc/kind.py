"""ARC puzzles as the model sees them: tokens on a canvas, augmentation, decoding.

Tokens: PAD 0, EOS 1, colour c is c + 2 (HRM and TRM papers, section on ARC-AGI). The canvas is a
square of `side` × `side` cells read row by row; 30 in the published model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Domain, Tokens
from arc_trm.puzzles.symmetry import INVERSE, transform
from arc_trm.tasks import Grid, Pair, Task, as_grid

EOS, FIRST_COLOUR = 1, 2
VOCABULARY = 12
FULL_SIDE = 30
IDENTITY_COLOURS = bytes(range(10))
SEPARATOR = "|||"
"""Between a task's id and the parts of its augmentation in a puzzle's name."""
BLANK = "<blank>"
"""Name of the embedding table's row 0, which belongs to no puzzle."""

CANVAS_SIDES = (8, 11, 13, 15, 16, 18, 20, 22, 24, 26, 28)
"""Sides of canvases below the full one that `canvas_side` chooses from: of all sets of eleven the
one with which the training mix of ARC-AGI-1 costs least (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A permutation of the colours 1..9 followed by one of the eight dihedral transforms.

    `colours` holds the image of each colour 0..9 as ten bytes. `name` is the published spelling
    `tD|||PPPPPPPPPP`; the identity's name is empty.
    """

    dihedral: int = 0
    colours: bytes = IDENTITY_COLOURS

    def __post_init__(self) -> None:
        if not 0 <= self.dihedral < 8:
            raise ValueError(f"dihedral id must be 0..7, got {self.dihedral}")
        if len(self.colours) != 10 or self.colours[0] != 0 or set(self.colours) != set(range(10)):
            raise ValueError(
                f"colours must be a permutation of 0..9 that keeps 0, got {list(self.colours)}"
            )

    def apply(self, grid: Grid) -> Grid:
        """Recolour, then transform: (h, w) uint8 to (h, w) or (w, h) uint8."""
        return transform(np.frombuffer(self.colours, np.uint8)[grid], self.dihedral)

    def invert(self, grid: Grid) -> Grid:
        """Undo `apply`."""
        inverse = np.empty(10, np.uint8)
        inverse[np.frombuffer(self.colours, np.uint8)] = np.arange(10, dtype=np.uint8)
        return inverse[transform(grid, INVERSE[self.dihedral])]

    def apply_pair(self, pair: Pair) -> Pair:
        output = None if pair.output is None else self.apply(pair.output)
        return Pair(self.apply(pair.input), output)

    @property
    def name(self) -> str:
        if self == IDENTITY:
            return ""
        return f"t{self.dihedral}{SEPARATOR}{''.join(map(str, self.colours))}"

    @classmethod
    def from_name(cls, name: str) -> Augmentation:
        """Read `name` back. Raises ValueError if it is not one."""
        if not name:
            return IDENTITY
        dihedral, separator, colours = name.partition(SEPARATOR)
        if not separator or dihedral not in {f"t{d}" for d in range(8)}:
            raise ValueError(f"augmentation must read tD|||PPPPPPPPPP, got {name!r}")
        if len(colours) != 10 or not (colours.isascii() and colours.isdigit()):
            raise ValueError(f"augmentation must end in ten digits, got {name!r}")
        return cls(int(dihedral[1]), bytes(map(int, colours)))


IDENTITY = Augmentation()


def augmentation_names(dihedrals: npt.NDArray[np.uint8], colours: Tokens) -> list[str]:
    """`Augmentation.name` of many that are not the identity: ids (N,), colours (N, 10) uint8."""
    images = (colours + ord("0")).tobytes().decode("ascii")
    return [
        f"t{dihedral}{SEPARATOR}{images[10 * index : 10 * index + 10]}"
        for index, dihedral in enumerate(dihedrals.tolist())
    ]


def puzzle_name(task_id: str, augmentation: Augmentation) -> str:
    """`TASK` or `TASK|||tD|||PPPPPPPPPP`: the name of a row in the embedding table."""
    return f"{task_id}{SEPARATOR}{augmentation.name}" if augmentation.name else task_id


def parse_puzzle_name(name: str) -> tuple[str, Augmentation]:
    """Invert `puzzle_name`. Raises ValueError if the augmentation does not read."""
    task_id, _, augmentation = name.partition(SEPARATOR)
    return task_id, Augmentation.from_name(augmentation)


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
    """64-bit hashes of a task's pairs, as a multiset, under many augmentations at once.

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
"""Augmentations tried for each that is wanted, at most (SPEC of the published sets)."""


def distinct_augmentations(
    task: Task, count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Tokens]:
    """Up to `count` random augmentations under which the task's pairs all look different.

    At most `TRIALS` · `count` are drawn; an augmentation is kept if
    its puzzle differs from the original and from all kept before. Known test outputs take part.

    Returns dihedral ids (K,) uint8 and colour permutations (K, 10) uint8, K ≤ `count`.
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


def canvas_side(task: Task, full: int = FULL_SIDE) -> int:
    """The smallest canvas, of `CANVAS_SIDES` and `full`, for all that is known of a task.

    It holds every grid and the line of EOS that ends it, and the output of every test input if that
    grows as much as the demonstrations' outputs do at most. Unknown outputs may be larger still.
    """
    sides = [
        side for pair in (*task.train, *task.test) for grid in pair.grids for side in grid.shape
    ]
    for axis in (0, 1):
        growths = [
            Fraction(pair.output.shape[axis], pair.input.shape[axis])
            for pair in task.train
            if pair.output is not None
        ]
        growth = max(growths, default=Fraction(1))
        sides += [math.ceil(pair.input.shape[axis] * growth) for pair in task.test]
    largest = max(sides, default=0)
    return min((side for side in CANVAS_SIDES if largest < side < full), default=full)


def draw(canvas: Tokens, grid: Grid, row: int, column: int) -> None:
    """Write a grid and the EOS lines under and beside it into a (side, side) canvas of PAD."""
    side = len(canvas)
    bottom, right = row + grid.shape[0], column + grid.shape[1]
    canvas[row:bottom, column:right] = grid + FIRST_COLOUR
    if bottom < side:
        canvas[bottom, column:right] = EOS
    if right < side:
        canvas[row:bottom, right] = EOS


def encode_pair(
    pair: Pair, side: int = FULL_SIDE, offset: tuple[int, int] = (0, 0)
) -> tuple[Tokens, Tokens]:
    """Input and label tokens, (side²,) uint8 each, both grids at the same offset (row, column).

    Labels of an unknown output are all PAD, which the loss ignores. Raises ValueError if a grid
    does not fit.
    """
    tokens = np.zeros((2, side, side), np.uint8)
    for canvas, grid in zip(tokens, pair.grids, strict=False):
        if grid.shape[0] + offset[0] > side or grid.shape[1] + offset[1] > side:
            shape = f"{grid.shape[0]}×{grid.shape[1]}"
            raise ValueError(f"a grid of {shape} at {offset} does not fit a {side}×{side} canvas")
        draw(canvas, grid, *offset)
    return tokens[0].reshape(-1), tokens[1].reshape(-1)


def random_offset(pair: Pair, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """An offset drawn uniformly from all at which both grids of the pair fit."""
    height = max(grid.shape[0] for grid in pair.grids)
    width = max(grid.shape[1] for grid in pair.grids)
    return int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))


def decode(tokens: Tokens) -> Grid | None:
    """The grid in (side²,) predicted tokens, or None if there is none.

    Of all rectangles with their corner at (0, 0) that hold colours only, the largest; scanning
    downwards, the first on ties.
    """
    side = round(len(tokens) ** 0.5)
    canvas = np.asarray(tokens).reshape(side, side)
    best_area, best = 0, (0, 0)
    width = side
    for row in range(side):
        stop = np.flatnonzero(canvas[row, :width] < FIRST_COLOUR)
        if len(stop):
            width = int(stop[0])
        if width == 0:
            break
        if (row + 1) * width > best_area:
            best_area, best = (row + 1) * width, (row + 1, width)
    if best_area == 0:
        return None
    return as_grid(canvas[: best[0], : best[1]] - FIRST_COLOUR)


class Arc(Domain):
    """ARC-AGI: demonstrations say what is asked, colours are tokens, EOS ends a grid."""

    name: ClassVar[str] = "arc"
    title: ClassVar[str] = "ARC"
    vocabulary: ClassVar[int] = VOCABULARY
    by_examples: ClassVar[bool] = True

    def encode(self, pair: Pair, side: int) -> tuple[Tokens, Tokens]:
        return encode_pair(pair, side)

    def decode(self, tokens: Tokens) -> Grid | None:
        return decode(tokens)
