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


def encode_pair(
    pair: Pair, side: int = FULL_SIDE, offset: tuple[int, int] = (0, 0)
) -> tuple[Tokens, Tokens]:
    """Return input and label tokens, (side²,) uint8 each, both grids at the same offset.

    If the output is unknown, all labels are PAD, which the loss ignores. EOS is below each grid and
    to its right. `offset` is row and column of the grids' first cell.

    Raises:
        ValueError: a grid does not fit.
    """
    tokens = np.zeros((2, side, side), np.uint8)
    row, column = offset
    for canvas, grid in zip(tokens, pair.grids, strict=False):
        height, width = grid.shape
        bottom, right = row + height, column + width
        if max(bottom, right) > side:
            shape = f"{height}×{width}"
            raise ValueError(f"a grid of {shape} at {offset} does not fit a {side}×{side} canvas")
        canvas[row:bottom, column:right] = grid + FIRST_COLOUR
        canvas[bottom : bottom + 1, column:right] = EOS
        canvas[row:bottom, right : right + 1] = EOS
    return tokens[0].reshape(-1), tokens[1].reshape(-1)


def random_offset(pair: Pair, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Sample an offset uniformly from all at which both grids of a pair fit."""
    height = max(grid.shape[0] for grid in pair.grids)
    width = max(grid.shape[1] for grid in pair.grids)
    return int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))


def decode(tokens: Tokens) -> Grid | None:
    """Return the grid in (side²,) predicted tokens, or None if they form no grid.

    The grid is the largest rectangle with a corner at (0, 0) that holds colours only; of equally
    large ones, the one with the fewest rows.
    """
    side = round(len(tokens) ** 0.5)
    canvas = np.asarray(tokens).reshape(side, side)
    # Colours at the start of each row, no more than in the rows above.
    widths = np.logical_and.accumulate(canvas >= FIRST_COLOUR, axis=1).sum(1)
    widths = np.minimum.accumulate(widths)
    height = int((widths * np.arange(1, side + 1)).argmax()) + 1
    width = widths[height - 1]
    return as_grid(canvas[:height, :width] - FIRST_COLOUR) if width else None
