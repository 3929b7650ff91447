"""Sudoku as the model sees it: tokens, the symmetries of the puzzle, and its rule.

Tokens: PAD 0, blank 1, digit d is d + 1 (TRM paper, arXiv 2510.04871, section 5). Values are 0 for
a blank cell and 1..side for digits. Beside 9×9 there are the small sizes 4×4 and 6×6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Board
from arc_trm.puzzles.sudoku.solver import BOXES, solve, units
from arc_trm.tasks import Grid


def unit_name(number: int, side: int) -> str:
    """`row 3`, counted from 1."""
    return f"{('row', 'column', 'box')[number // side]} {number % side + 1}"


@dataclass(frozen=True)
class SudokuAugmentation:
    """Digits permuted, then rows and columns permuted within what boxes allow, then transposed.

    `digits` (side + 1,) has the image of each value, 0 stays. Row r of the result is `rows[r]` of
    the original, likewise `columns`.
    """

    digits: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    transposed: bool

    def apply(self, grid: Grid) -> Grid:
        """(side, side) uint8 to the same."""
        changed = self.digits[grid][self.rows][:, self.columns]
        return changed.T if self.transposed else changed

    def invert(self, grid: Grid) -> Grid:
        """Undo `apply`."""
        back = grid.T if self.transposed else grid
        back = back[np.argsort(self.rows)][:, np.argsort(self.columns)]
        digits = np.argsort(self.digits).astype(np.uint8)
        return digits[back]


def _shuffled_lines(side: int, group: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Bands permuted, and the lines in each: `group` lines a band."""
    bands = rng.permutation(side // group)
    lines = rng.permuted(np.tile(np.arange(group), (len(bands), 1)), axis=1)
    order: npt.NDArray[np.int64] = (group * bands[:, None] + lines).reshape(-1)
    return order


class Sudoku(Board):
    """Every row, column and box holds every digit once."""

    name: ClassVar[str] = "sudoku"
    title: ClassVar[str] = "Sudoku"
    vocabulary: ClassVar[int] = 11
    symbols: ClassVar[str] = ".123456789"
    spellings: ClassVar[dict[str, str]] = {"0": "."}
    solved: ClassVar[str] = "every row, column and box holds every digit, and the given cells stay"

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> SudokuAugmentation:
        height, width = BOXES[side]
        if number == 0:
            lines = np.arange(side)
            return SudokuAugmentation(np.arange(side + 1, dtype=np.uint8), lines, lines, False)
        digits = np.concatenate([[0], 1 + rng.permutation(side)]).astype(np.uint8)
        rows, columns = (_shuffled_lines(side, group, rng) for group in (height, width))
        transposed = bool(rng.integers(2)) and height == width  # else boxes would lie on their side
        return SudokuAugmentation(digits, rows, columns, transposed)

    def wrong_size(self, side: int) -> str | None:
        if side in BOXES:
            return None
        *few, most = map(str, BOXES)
        return f"a Sudoku has {', '.join(few)} or {most} cells a side, not {side}"

    def values(self, side: int) -> int:
        return side + 1

    def problems(self, questions: Grid, answers: Grid, known: npt.NDArray[np.bool_]) -> list[str]:
        texts = [""] * len(questions)
        for grids, of in (
            (questions, "question"),
            (
                np.where(known[:, None, None] & (answers <= questions.shape[1]), answers, 0),
                "answer",
            ),
        ):
            for number, (unit, digit) in repeated_digits(grids).items():
                where = unit_name(unit, grids.shape[1])
                said = f"the {of} has the digit {digit} more than once in {where}"
                texts[number] = texts[number] or said
        missing = known[:, None, None] & (answers == 0)
        strange = known[:, None, None] & (answers > questions.shape[1])
        changed = known[:, None, None] & (questions != 0) & (answers != questions)
        for cells, text in (
            (strange, "the answer has no digit of the puzzle in row {}, column {}"),
            (missing, "the answer leaves row {}, column {} blank"),
            (changed, "the answer changes the given digit in row {}, column {}"),
        ):
            for number in np.flatnonzero(cells.any((1, 2))).tolist():
                row, column = np.argwhere(cells[number])[0] + 1
                texts[number] = texts[number] or text.format(row, column)
        return texts

    def solutions(self, questions: Grid) -> npt.NDArray[np.int64]:
        return solve(questions).count

    def guesses(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """Row by row a digit that is not in its row, column or box yet, any where there is none."""
        number, side = questions.shape[:2]
        layout, cells = units(side), questions.reshape(number, side * side).copy()
        digits = np.arange(1, side + 1)
        for cell in range(side * side):
            peers = cells[:, layout.cells[layout.of_cell[:, cell]].reshape(-1)]
            free = (peers[:, :, None] != digits).all(1)
            free |= ~free.any(1, keepdims=True)
            drawn = np.where(free, rng.random(free.shape), -1.0).argmax(1) + 1
            cells[:, cell] = np.where(cells[:, cell] == 0, drawn, cells[:, cell])
        return cells.reshape(questions.shape)


def repeated_digits(grids: Grid) -> dict[int, tuple[int, int]]:
    """The puzzles of (N, side, side) with a digit twice in a unit: the first unit, and the digit.

    By the puzzle's number; blanks may repeat.
    """
    side = grids.shape[1]
    bits = (1 << grids.reshape(len(grids), side * side).astype(np.uint16)) & ~np.uint16(1)
    seen = bits[:, units(side).cells]
    once, twice = np.zeros((2, *seen.shape[:2]), np.uint16)
    for place in range(side):
        twice |= once & seen[:, :, place]
        once |= seen[:, :, place]
    found = {}
    for number in np.flatnonzero(twice.any(1)).tolist():
        unit = int(np.flatnonzero(twice[number])[0])
        mask = int(twice[number, unit])
        found[number] = unit, (mask & -mask).bit_length() - 1
    return found
