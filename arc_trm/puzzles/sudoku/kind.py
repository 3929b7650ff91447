"""Sudoku: tokens, symmetries and the rule.

Tokens: PAD 0, blank 1, digit d is d + 1 (TRM paper, arXiv 2510.04871, section 5). Values are 0 for
a blank cell and 1..side for digits. Beside 9×9 there are the small sizes 4×4 and 6×6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Flags
from arc_trm.puzzles.grid_puzzle import GridPuzzle
from arc_trm.puzzles.sudoku.generator import full_grids, remove_digits
from arc_trm.puzzles.sudoku.solver import BOXES, count_digits, solve, units
from arc_trm.puzzles.theme import puzzle_theme
from arc_trm.tasks import Grid

MAX_SIDE = max(BOXES)


@dataclass(frozen=True)
class SudokuAugmentation:
    """Permuted digits, then rows and columns permuted so that boxes stay, then a transpose."""

    digits: npt.NDArray[np.uint8]
    """(side + 1,), the image of each value; 0 stays."""
    rows: npt.NDArray[np.int64]
    """Row r of the result is row `rows[r]` of the original."""
    columns: npt.NDArray[np.int64]
    transposed: bool
    """Whether the result is transposed last."""

    name = ""

    def apply(self, grid: Grid) -> Grid:
        """Change a grid (side, side) uint8."""
        changed = self.digits[grid][self.rows][:, self.columns]
        return changed.T if self.transposed else changed

    def invert(self, grid: Grid) -> Grid:
        if self.transposed:
            grid = grid.T
        grid = grid[np.argsort(self.rows)][:, np.argsort(self.columns)]
        values = np.arange(MAX_SIDE + 1, dtype=np.uint8)
        values[self.digits] = np.arange(len(self.digits))
        return values[grid]  # digits above the side, which a wrong answer may hold, stay


def _shuffled_lines(side: int, group: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the order (side,) of lines: bands of `group` lines permuted, and the lines in each."""
    bands = rng.permutation(side // group)
    lines = rng.permuted(np.tile(np.arange(group), (len(bands), 1)), axis=1)
    order: npt.NDArray[np.int64] = (group * bands[:, None] + lines).reshape(-1)
    return order


class Sudoku(GridPuzzle):
    """Every row, column and box holds every digit once."""

    name = "sudoku"
    title = "Sudoku"
    vocab_size = 11
    default_side = 9
    quick_preset = "sudoku-quick"
    symbols = ".123456789"
    spellings: ClassVar[dict[str, str]] = dict.fromkeys("0_*", ".")
    rule = "every row, column and box holds every digit, and the given cells stay"
    theme = puzzle_theme(
        task="Sudoku",
        colours=("#FFFFFF",) * 10,
        symbols=" 123456789",
        text_symbols=".123456789",
        given="#E4E0D6",
        boxes=BOXES,
    )
    rating_unit = "guesses"
    hard_rating = 10
    has_clues = True
    has_solver = True

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> SudokuAugmentation:
        height, width = BOXES[side]
        digits = np.concatenate([[0], 1 + rng.permutation(side)]).astype(np.uint8)
        rows, columns = (_shuffled_lines(side, group, rng) for group in (height, width))
        # Transposed, boxes that are not square would be no boxes.
        transposed = bool(rng.integers(2)) and height == width
        return SudokuAugmentation(digits, rows, columns, transposed)

    def side_error(self, side: int) -> str | None:
        if side in BOXES:
            return None
        *smaller, largest = map(str, BOXES)
        return f"a Sudoku has {', '.join(smaller)} or {largest} cells a side, not {side}"

    def num_values(self, side: int) -> int:
        return side + 1

    def validate(self, questions: Grid, answers: Grid, known: Flags) -> list[str]:
        side, faults = questions.shape[1], [""] * len(questions)
        known = known[:, None, None]
        in_range = known & (answers <= side)
        for grids, part in ((questions, "question"), (np.where(in_range, answers, 0), "answer")):
            for number, (unit, digit) in repeated_digits(grids).items():
                where = f"{('row', 'column', 'box')[unit // side]} {unit % side + 1}"
                fault = f"the {part} has the digit {digit} more than once in {where}"
                faults[number] = faults[number] or fault
        for cells, fault in (
            (answers > side, "the answer has no digit of the puzzle in row {}, column {}"),
            (answers == 0, "the answer leaves row {}, column {} blank"),
            (
                (questions != 0) & (answers != questions),
                "the answer changes the given digit in row {}, column {}",
            ),
        ):
            cells &= known
            for number in np.flatnonzero(cells.any((1, 2))).tolist():
                row, column = np.argwhere(cells[number])[0] + 1
                faults[number] = faults[number] or fault.format(row, column)
        return faults

    def count_solutions(self, questions: Grid) -> npt.NDArray[np.int64]:
        return solve(questions).count

    def solve(self, questions: Grid) -> tuple[Grid, Flags]:
        """Solve questions; one with several solutions or none has no answer."""
        found = solve(questions)
        return found.solution, found.count == 1

    def guess(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """Fill each cell with a digit that its row, column and box lack, else with any digit."""
        num_puzzles, side = questions.shape[:2]
        layout, cells = units(side), questions.reshape(num_puzzles, side * side).copy()
        digits = np.arange(1, side + 1)
        for cell in range(side * side):
            peers = cells[:, layout.cells[layout.of_cell[:, cell]].reshape(-1)]
            allowed = (peers[:, :, None] != digits).all(1)
            allowed |= ~allowed.any(1, keepdims=True)
            sampled = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(1) + 1
            cells[:, cell] = np.where(cells[:, cell] == 0, sampled, cells[:, cell])
        return cells.reshape(questions.shape)

    def generate(
        self, count: int, side: int, min_rating: int, clues: int, rng: np.random.Generator
    ) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
        """Return Sudokus with one solution, rated by the digits that a solver has to guess."""
        answers = full_grids(side, count, rng)
        questions = remove_digits(answers, clues, rng)
        return questions, answers, solve(questions).guesses


def repeated_digits(grids: Grid) -> dict[int, tuple[int, int]]:
    """Map the index of a grid to its first unit with a repeated digit, and that digit.

    `grids`: (N, side, side) uint8; blanks may repeat.
    """
    side = grids.shape[1]
    digits = grids.reshape(len(grids), side * side).astype(np.uint16)
    bits = (np.uint16(1) << digits) & ~np.uint16(1)
    _, repeated = count_digits(bits.T[units(side).cells])
    found = {}
    for index in np.flatnonzero(repeated.any(0)).tolist():
        unit = int((repeated[:, index] != 0).argmax())
        mask = int(repeated[unit, index])
        found[index] = unit, (mask & -mask).bit_length() - 1
    return found
