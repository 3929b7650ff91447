"""How the cells of each kind of puzzle look, and what its grids are called."""

from __future__ import annotations

from dataclasses import dataclass, replace

from arc_trm.viz.svg import PALETTE


@dataclass(frozen=True)
class Look:
    """Of one domain (`arc_trm.puzzles`).

    `colours` are those of the values; `signs` what is written into cells, " " for nothing, "" for
    no signs at all; `plain_signs` stand for values where there are no colours. `given` is the
    ground of cells that the question fills. `boxes` says after how many rows and columns a thick
    line goes, by the side of a grid. `task`, `input`, `answer`, `output` and `right` are what
    things are called, the last the known output beside an attempt; `numbered` is whether there may
    be several inputs and attempts, which are counted.
    """

    colours: tuple[str, ...]
    signs: str = ""
    plain_signs: str = ""
    given: str | None = None
    boxes: tuple[tuple[int, tuple[int, int]], ...] = ()
    task: str = "Task"
    input: str = "Test input"
    answer: str = "Attempt"
    output: str = "Output"
    right: str = "Correct output"
    numbered: bool = True

    def input_name(self, number: int) -> str:
        """`Test input 2`, counted from 1; without the number where there is one input only."""
        return f"{self.input} {number}" if self.numbered else self.input

    def answer_name(self, number: int) -> str:
        """`Attempt 2`, counted from 1; without the number where there is one answer only."""
        return f"{self.answer} {number}" if self.numbered else self.answer

    @property
    def plain(self) -> str:
        """A character for each value where there are no colours."""
        return self.plain_signs or "".join(map(str, range(len(self.colours))))

    def sign(self, value: int) -> str:
        """What is written into a cell, " " for nothing."""
        return self.signs[value] if self.signs else " "

    def box(self, side: int) -> tuple[int, int] | None:
        """Rows and columns of a box in a grid of that side, if it has boxes."""
        return dict(self.boxes).get(side)


_ARC = Look(PALETTE)
_BOARD = replace(
    _ARC,
    input="Question",
    answer="Answer",
    output="Known answer",
    right="Known answer",
    numbered=False,
)

LOOKS = {
    "arc": _ARC,
    "sudoku": replace(
        _BOARD,
        colours=("#FFFFFF",) * 10,
        signs=" 123456789",
        plain_signs=".123456789",
        given="#E4E0D6",
        boxes=((4, (2, 2)), (6, (2, 3)), (9, (3, 3))),
        task="Sudoku",
    ),
    "maze": replace(
        _BOARD,
        colours=("#4A4845", "#FFFFFF", "#7FDBFF", "#7FDBFF", "#FFDC00"),
        signs="  SG ",
        plain_signs="# SGo",
        task="Maze",
    ),
}
