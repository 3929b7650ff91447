"""Colours, characters and words with which the grids of a kind of puzzle are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

ARC_PALETTE = (
    "#000000",
    "#0074D9",
    "#FF4136",
    "#2ECC40",
    "#FFDC00",
    "#AAAAAA",
    "#F012BE",
    "#FF851B",
    "#7FDBFF",
    "#870C25",
)
"""The usual colours of ARC's values 0..9."""


@dataclass(frozen=True)
class Theme:
    """Colours, characters and words of one kind of puzzle."""

    colours: tuple[str, ...]
    """The colour of each value."""
    symbols: str = ""
    """The character drawn in a cell, by its value; " " for none, "" for none in any cell."""
    text_symbols: str = ""
    """A character for each value where there are no colours; "" is the digits."""
    given: str | None = None
    """Background of the cells that the question fills; None is that of their value."""
    boxes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Rows and columns between thick lines, by the side of a grid."""
    task: str = "Task"
    input: str = "Test input"
    answer: str = "Attempt"
    output: str = "Output"
    solution: str = "Correct output"
    """Name of a known output beside an attempt."""
    numbered: bool = True
    """Whether there may be several inputs and attempts, which are then numbered."""

    def input_name(self, number: int) -> str:
        """Return `Test input 2`, counted from 1, or `Test input` if there is only one input."""
        return f"{self.input} {number}" if self.numbered else self.input

    def answer_name(self, number: int) -> str:
        """Return `Attempt 2`, counted from 1, or `Attempt` if there is only one attempt."""
        return f"{self.answer} {number}" if self.numbered else self.answer

    @property
    def characters(self) -> str:
        """A character for each value where there are no colours: `text_symbols`, or the digits."""
        return self.text_symbols or "".join(map(str, range(len(self.colours))))

    def symbol(self, value: int) -> str:
        """Return the character drawn in a cell, " " for none."""
        return self.symbols[value] if self.symbols else " "


puzzle_theme = partial(
    Theme,
    input="Question",
    answer="Answer",
    output="Known answer",
    solution="Known answer",
    numbered=False,
)
"""Return the theme of puzzles that have one question and one answer each."""
