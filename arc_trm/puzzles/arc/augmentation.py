"""Augmentations of ARC tasks: permuted colours, then one of the eight dihedral transforms."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import SEPARATOR, AugmentationList, Tokens
from arc_trm.puzzles.symmetry import INVERSE, transform
from arc_trm.tasks import Grid

IDENTITY_COLOURS = bytes(range(10))


@dataclass(frozen=True, slots=True)
class ArcAugmentation:
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
        inverse = np.argsort(np.frombuffer(self.colours, np.uint8)).astype(np.uint8)
        return inverse[transform(grid, INVERSE[self.dihedral])]

    @property
    def code(self) -> Tokens:
        """Id of the dihedral transform, then the image of each colour 0..9; (11,) uint8."""
        return np.frombuffer(bytes([self.dihedral]) + self.colours, np.uint8)

    @property
    def name(self) -> str:
        if self == IDENTITY:
            return ""
        return f"t{self.dihedral}{SEPARATOR}{''.join(map(str, self.colours))}"

    @classmethod
    def from_name(cls, name: str) -> ArcAugmentation:
        """Return the augmentation with this name. An invalid name is a ValueError."""
        if not name:
            return IDENTITY
        found = re.fullmatch(rf"t([0-7]){re.escape(SEPARATOR)}([0-9]{{10}})", name)
        if found is None:
            raise ValueError(f"augmentation must read tD|||PPPPPPPPPP with digits, got {name!r}")
        return cls(int(found[1]), bytes(map(int, found[2])))


IDENTITY = ArcAugmentation()


@dataclass(frozen=True, eq=False)
class ArcAugmentations(AugmentationList):
    """Augmentations of one task, not the identity, stored as eleven bytes each."""

    dihedrals: npt.NDArray[np.uint8]
    """(N,) ids of dihedral transforms."""
    colours: npt.NDArray[np.uint8]
    """(N, 10) images of the colours."""

    def __len__(self) -> int:
        return len(self.dihedrals)

    def at(self, index: int) -> ArcAugmentation:
        return ArcAugmentation(int(self.dihedrals[index]), self.colours[index].tobytes())

    def names(self) -> list[str]:
        images = (self.colours + ord("0")).tobytes().decode("ascii")
        return [
            f"t{dihedral}{SEPARATOR}{images[10 * index : 10 * index + 10]}"
            for index, dihedral in enumerate(self.dihedrals.tolist())
        ]
