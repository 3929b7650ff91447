"""Tasks, answers and curves in the terminal: coloured cells where it can, digits elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from arc_trm.evaluation.voting import InputPrediction, changed_steps
from arc_trm.puzzles import BOARDS
from arc_trm.tasks import Grid, Pair, Task
from arc_trm.viz.curve import Measure, Series
from arc_trm.viz.svg import INK
from arc_trm.viz.theme import LOOKS, Look

CHART_ROWS = 9  # about so many: the labels are evenly apart
CHART_WIDTH = 100
RIGHT, WRONG, DIM = Style(color="green"), Style(color="red"), Style(dim=True)
BOLD = Style(bold=True)
BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a character's 4 x 2 dots."""


@dataclass(frozen=True)
class Block:
    """Lines to be placed beside others, and the columns they take."""

    lines: tuple[Text, ...]
    width: int


def block_of(*lines: str | Text) -> Block:
    texts = tuple(Text(line) if isinstance(line, str) else line for line in lines)
    return Block(texts, max(text.cell_len for text in texts))


def below(*blocks: Block) -> Block:
    lines = tuple(line for block in blocks for line in block.lines)
    return Block(lines, max(block.width for block in blocks))


def _beside(blocks: Sequence[Block], gap: int) -> Block:
    lines = []
    for number in range(max(len(block.lines) for block in blocks)):
        line, start = Text(), 0
        for block in blocks:
            if number < len(block.lines) and block.lines[number].cell_len:
                line.append(" " * (start - line.cell_len))
                line.append_text(block.lines[number])
            start += block.width + gap
        lines.append(line)
    return Block(tuple(lines), start - gap)


class Screen:
    """Where it is printed, what it can show, and how cells of a kind of puzzle look."""

    def __init__(self, domain: str = "arc") -> None:
        self.look, self.board = LOOKS[domain], BOARDS.get(domain)
        self.console = Console(highlight=False)
        self.coloured = (
            self.console.color_system in ("256", "truecolor") and not self.console.no_color
        )

    def say(self, *lines: Text) -> None:
        for line in lines:
            self.console.print(line, no_wrap=True, overflow="ignore", crop=False)

    def flow(self, blocks: Iterable[Block], gap: int = 3) -> Block:
        """Blocks side by side, as many a line as the width allows, a line left free between."""
        lines: list[list[Block]] = []
        room = 0
        for block in blocks:
            if not lines or block.width > room:
                lines.append([])
                room = self.console.width
            lines[-1].append(block)
            room -= block.width + gap
        placed = [_beside(line, gap) for line in lines]
        return below(placed[0], *(below(block_of(""), line) for line in placed[1:]))

    def figures(self, label: str, pair: Pair, attempts: Sequence[Grid | None] = ()) -> list[Block]:
        """The input, an arrow, the attempts, the output; a question mark for lack of both."""
        wide, look = self._wide([*pair.grids, *attempts]), self.look
        figures = [self._figure(Text(label), pair.input, wide), self._arrow(pair.input, wide)]
        for number, grid in enumerate(attempts, 1):
            figures.append(self._judged(look.answer_name(number), grid, pair, wide))
        if pair.output is not None:
            called = Text(look.right if attempts else look.output)
            figures.append(self._figure(called, pair.output, wide, pair.input))
        elif not attempts:
            figures.append(block_of(look.output, "?"))
        return figures

    def steps(self, task: Task, prediction: InputPrediction) -> list[Block]:
        """The test input and every draft that differs from the one before, with its steps."""
        pair = task.test[prediction.test]
        figures = [self._figure(Text(self.look.input_name(prediction.test + 1)), pair.input, True)]
        runs = np.cumsum(
            changed_steps(prediction.steps)
        ).tolist()  # the number of each step's draft
        for _, same in groupby(enumerate(prediction.steps, 1), lambda each: runs[each[0] - 1]):
            numbered = list(same)
            first, (last, step) = numbered[0][0], numbered[-1]
            name = f"Step {first}" if first == last else f"Steps {first}–{last}"
            figure = self._judged(name, step.grid, pair, True)
            figures.append(below(figure, block_of(Text(f"halt {100 * step.halt:.0f} %", DIM))))
        if pair.output is not None:
            figures.append(self._figure(Text(self.look.right), pair.output, True, pair.input))
        return figures

    def _judged(self, label: str, grid: Grid | None, pair: Pair, wide: bool) -> Block:
        """An answer to a pair, right or wrong where its output is known."""
        name = Text(label)
        if grid is None:
            return block_of(name, "no grid")
        if pair.output is not None and np.array_equal(grid, pair.output):
            name.append(" ✓ right", RIGHT)
        elif self.board is not None and self.board.valid(pair.input, grid):
            name.append(" ✓ valid", RIGHT)
        elif pair.output is not None or self.board is not None:
            name.append(" ✗ wrong", WRONG)
        return self._figure(name, grid, wide, pair.input)

    def _wide(self, grids: Sequence[Grid | None]) -> bool:
        """Whether cells may be two columns wide: all grids of a row fit the width that way."""
        columns: int = sum(2 * grid.shape[1] + 4 for grid in grids if grid is not None) + 4
        return columns <= self.console.width

    def _figure(self, label: Text, grid: Grid, wide: bool, question: Grid | None = None) -> Block:
        height, width = grid.shape
        size = Text(f"{height} × {width}", DIM)
        return block_of(label, *self._rows(grid, wide, question), size)

    def _rows(self, grid: Grid, wide: bool, question: Grid | None = None) -> list[Text]:
        look = self.look
        if look.boxes:
            return _boxed(grid, look, grid if question is None else question)
        if not self.coloured:
            signs = look.plain
            return [
                Text((" " if wide else "").join(signs[c] for c in row)) for row in grid.tolist()
            ]
        if wide:
            return [
                Text.assemble(*((f"{look.sign(c)} ", _cell(look, c)) for c in row))
                for row in grid.tolist()
            ]
        rows = grid.tolist()
        pairs = zip(rows[::2], [*rows[1::2], [None] * len(rows[0])], strict=False)
        return [
            Text.assemble(*(("▀", _cell(look, low, high)) for high, low in zip(*pair, strict=True)))
            for pair in pairs
        ]

    def _arrow(self, grid: Grid, wide: bool) -> Block:
        """An arrow at the middle of the grid to its left."""
        rows = len(self._rows(grid, wide))
        return block_of(*[""] * ((rows + 1) // 2), "→")


def _cell(look: Look, ground: int | None, half: int | None = None) -> Style:
    return Style(
        bgcolor=None if ground is None else look.colours[ground],
        color=look.colours[half] if half is not None else INK if look.signs else None,
    )


def _boxed(grid: Grid, look: Look, question: Grid) -> list[Text]:
    """Digits between the lines of the boxes; those of the question are bold."""
    side = len(grid)
    box = look.box(side)
    assert box is not None, "a Sudoku of that side has boxes"
    height, width = box
    rule = "┼".join(["─" * (2 * width + 1)] * (side // width))
    lines = []
    for number, row in enumerate(grid.tolist()):
        if number and number % height == 0:
            lines.append(Text(rule, DIM))
        line = Text()
        for place, value in enumerate(row):
            if place and place % width == 0:
                line.append(" │", DIM)
            asked = question.shape == grid.shape and question[number, place]
            line.append(f" {look.plain[value]}", BOLD if asked else Style())
        line.append(" ")
        lines.append(line)
    return lines


def chart(drawn: Series, measure: Measure, width: int) -> list[Text]:
    """A panel of dots, two columns and four rows of them a character, with labelled axes."""
    spacing = max(1, round(CHART_ROWS / (len(drawn.y) - 1)))
    labels = {spacing * row: measure.label(tick) for row, tick in enumerate(reversed(drawn.y))}
    rows = max(labels) + 1
    margin = max(map(len, labels.values()))
    columns = max(min(width, CHART_WIDTH) - margin - 3, 20)
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    for piece in drawn.points(dots.shape[1] - 1, dots.shape[0] - 1):
        for start, end in zip(piece, piece[1:] or piece, strict=False):
            count = 2 + int(max(abs(start[0] - end[0]), abs(start[1] - end[1])))
            across, up = np.linspace(start, end, count).round().astype(int).T
            dots[-1 - up, across] = True
    cells = dots.reshape(rows, 4, columns, 2)
    codes = 0x2800 + (cells * BRAILLE[:, None, :]).sum(axis=(1, 3))
    title = Text(measure.title)
    if drawn.left_out:
        title.append(f" ({drawn.left_out:,} not finite, left out)", DIM)
    lines = [title]
    for number, row in enumerate(codes.tolist()):
        axis = f"{labels.get(number, ''):>{margin}} {'┤' if number in labels else '│'}"
        lines.append(Text.assemble((axis, DIM), ("".join(map(chr, row)), measure.colour)))
    first, last = (f"{step:,.0f}" for step in drawn.x)
    ends = f"{first}{f'step {last}':>{columns - len(first)}}"
    return [
        *lines,
        Text(f"{'':{margin}} └{'─' * columns}", DIM),
        Text(f"{'':{margin}}  {ends}", DIM),
    ]
