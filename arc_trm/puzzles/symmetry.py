"""The eight symmetries of the square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from arc_trm.tasks import Grid

SYMMETRIES = 8
INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
"""The inverse of each symmetry."""

DType = TypeVar("DType", bound=np.generic)


def transform(grid: npt.NDArray[DType], dihedral: int) -> npt.NDArray[DType]:
    """Return a view of the grid under one of the eight symmetries of the square.

    0 identity; 1, 2, 3 counter-clockwise rotations by 90, 180, 270 degrees; 4 left-right flip;
    5 up-down flip; 6 transpose; 7 left-right flip of rotation 1 (the anti-transpose).
    """
    if dihedral in (1, 3, 6, 7):
        grid = grid.T
    if dihedral in (1, 2, 5, 7):
        grid = grid[::-1]
    if dihedral in (2, 3, 4, 7):
        grid = grid[:, ::-1]
    return grid


def _products() -> tuple[tuple[int, ...], ...]:
    """Multiply all pairs of symmetries."""
    grids = [transform(np.arange(6).reshape(2, 3), each).tolist() for each in range(SYMMETRIES)]
    return tuple(
        tuple(grids.index(transform(np.array(grid), second).tolist()) for grid in grids)
        for second in range(SYMMETRIES)
    )


PRODUCTS = _products()
"""`PRODUCTS[a][b]` is the symmetry that does b and then a."""


@dataclass(frozen=True, slots=True)
class Dihedral:
    """One of the eight symmetries as an augmentation; it does not change the values of cells."""

    number: int

    @property
    def name(self) -> str:
        return f"t{self.number}"

    def apply(self, grid: Grid) -> Grid:
        """Transform a grid (h, w) uint8 to (h, w) or (w, h) uint8."""
        return transform(grid, self.number)

    def invert(self, grid: Grid) -> Grid:
        return transform(grid, INVERSE[self.number])
