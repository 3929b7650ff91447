"""ARC grids as tokens on a square canvas (HRM and TRM papers, sections on ARC-AGI).

PAD is 0, EOS 1, colour c is c + 2. A canvas is read row by row; it is 30 × 30 in the published
model.
"""

from __future__ import annotations

import numpy as np

from arc_trm.puzzles.base import Tokens
from arc_trm.tasks import Grid, Pair, as_grid

EOS, FIRST_COLOUR = 1, 2
VOCAB_SIZE = 12
FULL_SIDE = 30


def draw(canvas: Tokens, grid: Grid, row: int, column: int) -> None:
    """Write a grid, and EOS below it and to its right, into a (side, side) canvas of PAD."""
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
    """Return input and label tokens, (side²,) uint8 each, both grids at the same offset.

    Args:
        pair: if its output is unknown, all labels are PAD, which the loss ignores.
        side: of the canvas.
        offset: row and column of the grids' first cell.

    Raises:
        ValueError: a grid does not fit.
    """
    tokens = np.zeros((2, side, side), np.uint8)
    for canvas, grid in zip(tokens, pair.grids, strict=False):
        if grid.shape[0] + offset[0] > side or grid.shape[1] + offset[1] > side:
            shape = f"{grid.shape[0]}×{grid.shape[1]}"
            raise ValueError(f"a grid of {shape} at {offset} does not fit a {side}×{side} canvas")
        draw(canvas, grid, *offset)
    return tokens[0].reshape(-1), tokens[1].reshape(-1)


def random_offset(pair: Pair, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Sample an offset uniformly from all at which both grids of a pair fit."""
    height = max(grid.shape[0] for grid in pair.grids)
    width = max(grid.shape[1] for grid in pair.grids)
    return int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))


def decode(tokens: Tokens) -> Grid | None:
    """Return the grid in (side²,) predicted tokens, or None if there is none.

    The grid is the largest rectangle with a corner at (0, 0) that holds colours only; of equally
    large ones, the one with the fewest rows.
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
