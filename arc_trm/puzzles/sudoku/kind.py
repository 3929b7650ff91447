"""Sudoku: tokens, symmetries and the rule.

Tokens: PAD 0, blank 1, digit d is d + 1 (TRM paper, arXiv 2510.04871, section 5). Values are 0 for
a blank cell and 1..side for digits. Beside 9×9 there are the small sizes 4×4 and 6×6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.grid_puzzle import GridPuzzle
from arc_trm.puzzles.sudoku.generator import full_grids, remove_digits
from arc_trm.puzzles.sudoku.solver import BOXES, solve, units
from arc_trm.puzzles.theme import Theme
from arc_trm.tasks import Grid


def unit_name(number: int, side: int) -> str:
    """Return `row 3`, counted from 1."""
    return f"{('row', 'column', 'box')[number // side]} {number % side + 1}"


@dataclass(frozen=True)
class SudokuAugmentation:
    """Digits permuted, then rows and columns permuted within what boxes allow, then transposed.

    Attributes:
        digits: (side + 1,) the image of each value; 0 stays.
        rows, columns: row r of the result is row `rows[r]` of the original, likewise columns.
        transposed: whether the result is transposed last.
    """

    digits: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    transposed: bool

    name = ""

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


class Sudoku(GridPuzzle):
    """Every row, column and box holds every digit once."""

    name: ClassVar[str] = "sudoku"
    title: ClassVar[str] = "Sudoku"
    vocab_size: ClassVar[int] = 11
    default_side: ClassVar[int] = 9
    symbols: ClassVar[str] = ".123456789"
    spellings: ClassVar[dict[str, str]] = {"0": "."}
    rule: ClassVar[str] = "every row, column and box holds every digit, and the given cells stay"
    theme: ClassVar[Theme] = Theme(
        colours=("#FFFFFF",) * 10,
        symbols=" 123456789",
        text_symbols=".123456789",
        given="#E4E0D6",
        boxes=BOXES,
        task="Sudoku",
        input="Question",
        answer="Answer",
        output="Known answer",
        solution="Known answer",
        numbered=False,
    )
    rating_unit: ClassVar[str] = "guesses"
    hard_rating: ClassVar[int] = 10
    has_clues: ClassVar[bool] = True

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> SudokuAugmentation:
        height, width = BOXES[side]
        digits = np.concatenate([[0], 1 + rng.permutation(side)]).astype(np.uint8)
        rows, columns = (_shuffled_lines(side, group, rng) for group in (height, width))
        # Boxes that are not square would lie on their side.
        transposed = bool(rng.integers(2)) and height == width
        return SudokuAugmentation(digits, rows, columns, transposed)

    def side_error(self, side: int) -> str | None:
        if side in BOXES:
            return None
        *few, most = map(str, BOXES)
        return f"a Sudoku has {', '.join(few)} or {most} cells a side, not {side}"

    def num_values(self, side: int) -> int:
        return side + 1

    def validate(self, questions: Grid, answers: Grid, known: npt.NDArray[np.bool_]) -> list[str]:
        faults = [""] * len(questions)
        possible = known[:, None, None] & (answers <= questions.shape[1])
        for grids, part in ((questions, "question"), (np.where(possible, answers, 0), "answer")):
            for number, (unit, digit) in repeated_digits(grids).items():
                where = unit_name(unit, grids.shape[1])
                fault = f"the {part} has the digit {digit} more than once in {where}"
                faults[number] = faults[number] or fault
        missing = known[:, None, None] & (answers == 0)
        strange = known[:, None, None] & (answers > questions.shape[1])
        changed = known[:, None, None] & (questions != 0) & (answers != questions)
        for cells, fault in (
            (strange, "the answer has no digit of the puzzle in row {}, column {}"),
            (missing, "the answer leaves row {}, column {} blank"),
            (changed, "the answer changes the given digit in row {}, column {}"),
        ):
            for number in np.flatnonzero(cells.any((1, 2))).tolist():
                row, column = np.argwhere(cells[number])[0] + 1
                faults[number] = faults[number] or fault.format(row, column)
        return faults

    def count_solutions(self, questions: Grid) -> npt.NDArray[np.int64]:
        return solve(questions).count

    def guess(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """Fill each cell with a digit that its row, column and box lack, else with any digit."""
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

    def generate(
        self, count: int, side: int, min_rating: int, clues: int, rng: np.random.Generator
    ) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
        """Return Sudokus with one solution, rated by the digits that a solver has to guess."""
        answers = full_grids(side, count, rng)
        questions = remove_digits(answers, clues, rng)
        return questions, answers, solve(questions).guesses


def repeated_digits(grids: Grid) -> dict[int, tuple[int, int]]:
    """Map the index of each puzzle with a repeated digit to its first such unit and the digit.

    Args:
        grids: (N, side, side) uint8 values; blanks may repeat.
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
