"""Sudoku: tokens, symmetries and the rule.

Tokens: PAD 0, blank 1, digit d is d + 1 (TRM paper, arXiv 2510.04871, section 5). Values are 0 for
a blank cell and 1..side for digits. Beside 9×9 there are 4×4 and 6×6, which have its tokens, and
16×16, whose digits 10 to 16 are written A to G.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Flags
from arc_trm.puzzles.grid_puzzle import GridPuzzle
from arc_trm.puzzles.sudoku.generator import full_grids, remove_digits
from arc_trm.puzzles.sudoku.solver import (
    BOXES,
    LARGE_BATCH_SIZE,
    MAX_GUESSES,
    QUICK_SIDE,
    count_digits,
    digit_masks,
    solve,
    units,
)
from arc_trm.puzzles.theme import puzzle_theme
from arc_trm.tasks import Grid

MAX_SIDE = max(BOXES)
LETTERS = "ABCDEFGHIJKLMNOP"
"""Digits of 16×16 in a notation without figures."""


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

    @cached_property
    def _cells(self) -> npt.NDArray[np.int64]:
        """(side, side), the cell of the original, counted row by row, that each cell shows."""
        cells = len(self.columns) * self.rows[:, None] + self.columns
        return cells.T if self.transposed else cells

    def apply(self, grid: Grid) -> Grid:
        """Change a grid (side, side) uint8."""
        return self.digits.take(grid.take(self._cells))

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
    lines = rng.permuted(_lines_in_bands(side, group), axis=1)
    order: npt.NDArray[np.int64] = (group * bands[:, None] + lines).reshape(-1)
    return order


@cache  # every training example asks for it
def _lines_in_bands(side: int, group: int) -> npt.NDArray[np.int64]:
    """Return the number of each line in its band, (bands, group)."""
    return np.tile(np.arange(group), (side // group, 1))


class Sudoku(GridPuzzle):
    """Every row, column and box holds every digit once."""

    name = "sudoku"
    title = "Sudoku"
    default_side = 9
    quick_preset = "sudoku-quick"
    symbols = ".123456789ABCDEFG"
    spellings: ClassVar[dict[str, str]] = {
        **dict.fromkeys("0_*", "."),
        **{each.lower(): each for each in "ABCDEFG"},
    }
    rule = "every row, column and box holds every digit, and the given cells stay"
    theme = puzzle_theme(
        task="Sudoku",
        colours=("#FFFFFF",) * (1 + MAX_SIDE),
        symbols=" 123456789ABCDEFG",
        text_symbols=symbols,
        given="#E4E0D6",
        boxes=BOXES,
    )
    rating_unit = "guesses"
    hard_rating = 10
    has_clues = True
    has_solver = True

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> SudokuAugmentation:
        height, width = BOXES[side]
        digits = np.zeros(side + 1, np.uint8)
        digits[1:] = 1 + rng.permutation(side)
        rows, columns = (_shuffled_lines(side, group, rng) for group in (height, width))
        # Transposed, boxes that are not square would be no boxes.
        transposed = bool(rng.integers(2)) and height == width
        return SudokuAugmentation(digits, rows, columns, transposed)

    def batch_size(self, side: int) -> int:
        return 1000 if side <= QUICK_SIDE else LARGE_BATCH_SIZE

    def side_error(self, side: int) -> str | None:
        if side in BOXES:
            return None
        *smaller, largest = map(str, BOXES)
        return f"a Sudoku has {', '.join(smaller)} or {largest} cells a side, not {side}"

    def num_values(self, side: int) -> int:
        return side + 1

    def vocab_size(self, side: int) -> int:
        """Return the number of tokens: of sides below 9 it is that of 9, as published."""
        return 1 + self.num_values(max(side, self.default_side))

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

    def count_solutions(
        self, questions: Grid, max_guesses: int | None = None
    ) -> npt.NDArray[np.int64]:
        limit = MAX_GUESSES if max_guesses is None else min(max_guesses, MAX_GUESSES)
        return solve(questions, limit).count

    def is_answer(self, question: str, text: str) -> bool:
        blanks = {each for each, symbol in self.spellings.items() if symbol == self.symbols[0]}
        blanks.add(self.symbols[0])
        return (
            len(text) == len(question)
            and not blanks.intersection(text)
            and not blanks.isdisjoint(question)
            and all(q in blanks or q == t for q, t in zip(question, text, strict=True))
        )

    def solved(self, questions: Grid) -> Flags:
        full: Flags = (questions != 0).all((1, 2))
        return full

    def solve(self, questions: Grid) -> tuple[Grid, Flags]:
        """Solve questions; one with several solutions or none has no answer."""
        found = solve(questions)
        return found.solution, found.count == 1

    @cached_property
    def characters(self) -> frozenset[str]:
        return super().characters | {*LETTERS, *LETTERS.lower()}

    def notation(self, side: int, characters: Set[str]) -> dict[str, int]:
        """Map the characters of cells to values; sixteen digits are 1 to G, 0 to F or A to P."""
        used = {each.upper() for each in characters}
        if side > QUICK_SIDE and used & set(LETTERS[7:]):
            digits = LETTERS
        elif side > QUICK_SIDE and {"0"} < used and used & set("._*") and "G" not in used:
            digits = "0123456789ABCDEF"
        else:
            return super().notation(side, characters)
        values = {each: value for value, each in enumerate(digits, 1)}
        values |= {each.lower(): value for each, value in values.items()}
        return dict.fromkeys("0._*", 0) | values

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
        """Return Sudokus with one solution, rated by the digits that a solver has to guess.

        Those that this solver gives up are left out: they have no rating, and their file would be
        refused.
        """
        answers = full_grids(side, count, rng)
        questions = remove_digits(answers, clues, rng)
        found = solve(questions)
        rated = found.count == 1
        return questions[rated], answers[rated], found.guesses[rated]


def repeated_digits(grids: Grid) -> dict[int, tuple[int, int]]:
    """Map the index of a grid to its first unit with a repeated digit, and that digit.

    `grids`: (N, side, side) uint8; blanks may repeat.
    """
    side = grids.shape[1]
    masks = digit_masks(side, blank=0)[grids.reshape(len(grids), side * side)]
    _, repeated = count_digits(masks.T[units(side).cells])
    found = {}
    for index in np.flatnonzero(repeated.any(0)).tolist():
        unit = int((repeated[:, index] != 0).argmax())
        mask = int(repeated[unit, index])
        found[index] = unit, (mask & -mask).bit_length()
    return found
