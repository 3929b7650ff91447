"""Tasks, predictions and runs in the terminal: coloured cells if it has colours, digits if not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.puzzles import Theme, kind_of
from arc_trm.runs import Run
from arc_trm.tasks import Grid, Task
from arc_trm.viz.curve import MEASURES, Measure, Series, read_series, run_title
from arc_trm.viz.figure import (
    GridFigure,
    PairFigures,
    TraceFigures,
    Verdict,
    input_figures,
    predicted_inputs,
    task_figures,
    task_title,
    theme_of,
    trace_figures,
)
from arc_trm.viz.svg import printable
from arc_trm.viz.theme import INK
from submission import Scored

MAX_INPUTS = 6
"""Test inputs of a run's predictions that are shown."""
CHART_ROWS = 9  # about so many: the labels are evenly apart
CHART_WIDTH = 100
RIGHT, WRONG, DIM = Style(color="green"), Style(color="red"), Style(dim=True)
BOLD = Style(bold=True)
BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a character's 4 x 2 dots."""
LAST_METRICS = {
    "step": "Step {:,.0f}",
    "lm_loss": "loss {:.4g}",
    "exact_accuracy": "exact accuracy {:.1%}",
    "examples_per_second": "{:,.3g} examples a second",
}


Block: TypeAlias = list[Text]
"""Lines to be placed beside others."""


def block(*lines: str | Text) -> Block:
    """Return a block of these lines; control characters in a str are replaced."""
    return [Text(printable(line)) if isinstance(line, str) else line for line in lines]


def width_of(lines: Block) -> int:
    """Return the columns that a block takes."""
    return max(line.cell_len for line in lines)


def beside(blocks: Sequence[Block], gap: int) -> Block:
    """Place blocks side by side."""
    lines = [Text() for _ in range(max(map(len, blocks)))]
    start = 0
    for each in blocks:
        for line, part in zip(lines, each, strict=False):
            if part.cell_len:
                line.append(" " * (start - line.cell_len))
                line.append_text(part)
        start += width_of(each) + gap
    return lines


class Terminal:
    """Prints to the standard output, as wide as it is and in its colours."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.has_colours = (
            self.console.color_system in ("256", "truecolor") and not self.console.no_color
        )

    def print(self, *lines: str | Text) -> None:
        """Print lines, which are not wrapped; control characters in a str are replaced."""
        for line in block(*lines):
            self.console.print(line, no_wrap=True, overflow="ignore", crop=False)

    def wrap(self, blocks: Iterable[Block], gap: int = 3) -> Block:
        """Place blocks side by side, as many a line as the width allows, a free line between."""
        lines: list[list[Block]] = []
        room = 0
        for each in blocks:
            if not lines or width_of(each) > room:
                lines.append([])
                room = self.console.width
            lines[-1].append(each)
            room -= width_of(each) + gap
        placed = beside(lines[0], gap)
        for line in lines[1:]:
            placed += [Text(), *beside(line, gap)]
        return placed

    def draw_pair(self, pair: PairFigures, theme: Theme) -> Block:
        """Draw the input, an arrow, and the answers or a question mark."""
        columns = sum(2 * grid.shape[1] + 4 for grid in pair.grids) + 4
        wide = columns <= self.console.width  # cells two columns wide
        question = self._draw_figure(pair.input, theme, wide)
        rows = len(question) - 2  # without label and size
        arrow = block(*[""] * ((rows + 1) // 2), "→")
        answers = [self._draw_figure(figure, theme, wide) for figure in pair.answers]
        return self.wrap([question, arrow, *(answers or [block(theme.output, "?")])])

    def draw_trace(self, trace: TraceFigures, theme: Theme) -> Block:
        """Draw the test input, then every prediction that differs from that of the step before."""
        figures = [self._draw_figure(trace.input, theme, True)]
        for step in trace.steps:
            halt = Text(f"halt {100 * step.halt_probs[-1]:.0f} %", DIM)
            figures.append([*self._draw_figure(step.figure, theme, True), halt])
        if trace.output is not None:
            figures.append(self._draw_figure(trace.output, theme, True))
        return self.wrap(figures)

    def _draw_figure(self, figure: GridFigure, theme: Theme, wide: bool) -> Block:
        label = Text(figure.label)
        if figure.grid is None:
            return block(label, "no grid")
        if figure.verdict is not None:
            wrong = figure.verdict is Verdict.WRONG
            label.append(f" {'✗' if wrong else '✓'} {figure.verdict}", WRONG if wrong else RIGHT)
        height, width = figure.grid.shape
        rows = self._draw_grid(figure, figure.grid, theme, wide)
        return block(label, *rows, Text(f"{height} × {width}", DIM))

    def _draw_grid(self, figure: GridFigure, grid: Grid, theme: Theme, wide: bool) -> list[Text]:
        rows = grid.tolist()
        if theme.boxes:
            return _draw_boxes(figure, grid, theme)
        if not self.has_colours:
            separator = " " if wide else ""
            return [Text(separator.join(theme.characters[v] for v in row)) for row in rows]
        if wide:
            lines = [[(f"{theme.symbol(v)} ", _cell_style(theme, v)) for v in row] for row in rows]
        else:
            lines = [
                [("▀", _cell_style(theme, low, high)) for high, low in zip(*pair, strict=True)]
                for pair in zip(rows[::2], [*rows[1::2], [None] * len(rows[0])], strict=False)
            ]
        return [Text.assemble(*line) for line in lines]


def _cell_style(theme: Theme, value: int | None, upper: int | None = None) -> Style:
    """Return the style of a cell, or of two cells in the halves of a character."""
    written = INK if theme.symbols else None
    colour = written if upper is None else theme.colours[upper]
    return Style(bgcolor=None if value is None else theme.colours[value], color=colour)


def _draw_boxes(figure: GridFigure, grid: Grid, theme: Theme) -> list[Text]:
    """Draw characters between the lines of the boxes; given ones are bold."""
    side, given = len(grid), figure.given
    height, width = theme.boxes[side]
    rule = "┼".join(["─" * (2 * width + 1)] * (side // width))
    lines = []
    for y, row in enumerate(grid.tolist()):
        if y and y % height == 0:
            lines.append(Text(rule, DIM))
        line = Text()
        for x, value in enumerate(row):
            if x and x % width == 0:
                line.append(" │", DIM)
            line.append(f" {theme.characters[value]}", BOLD if given[y, x] else Style())
        line.append(" ")
        lines.append(line)
    return lines


def draw_chart(series: Series, measure: Measure, width: int) -> list[Text]:
    """Draw one measure in dots, two columns and four rows of them a character, with axes."""
    spacing = max(1, round(CHART_ROWS / (len(series.y) - 1)))
    labels = {spacing * row: measure.label(tick) for row, tick in enumerate(reversed(series.y))}
    rows = max(labels) + 1
    margin = max(map(len, labels.values()))
    columns = max(min(width, CHART_WIDTH) - margin - 3, 20)
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    for segment in series.points(dots.shape[1] - 1, dots.shape[0] - 1):
        for start, end in zip(segment, segment[1:] or segment, strict=False):
            count = 2 + int(max(abs(start[0] - end[0]), abs(start[1] - end[1])))
            across, up = np.linspace(start, end, count).round().astype(int).T
            dots[-1 - up, across] = True
    cells = dots.reshape(rows, 4, columns, 2)
    codes = 0x2800 + (cells * BRAILLE[:, None, :]).sum(axis=(1, 3))
    title = Text(measure.title)
    if series.left_out:
        title.append(f" ({series.left_out})", DIM)
    lines = [title]
    for number, row in enumerate(codes.tolist()):
        axis = f"{labels.get(number, ''):>{margin}} {'┤' if number in labels else '│'}"
        lines.append(Text.assemble((axis, DIM), ("".join(map(chr, row)), measure.colour)))
    first, last = (f"{step:,.0f}" for step in series.x)
    ends = f"{first}{f'step {last}':>{columns - len(first)}}"
    return [
        *lines,
        Text(f"{'':{margin}} └{'─' * columns}", DIM),
        Text(f"{'':{margin}}  {ends}", DIM),
    ]


def show_run(
    terminal: Terminal,
    run: Run,
    predictions: PredictionSet | None = None,
    score: Scored | None = None,
) -> None:
    """Print the training curves of a run, and the score and the first of its predictions."""
    terminal.print(f"{run.path}: {run_title(run)}", "")
    for measure in MEASURES:
        series = read_series(run.metrics, measure.key)
        terminal.print(*draw_chart(series, measure, terminal.console.width), "")
    terminal.print(_last_metrics(run))
    if score is not None:
        terminal.print("", *score.lines())
    if predictions is not None:
        _show_predictions(terminal, predictions)


def _last_metrics(run: Run) -> str:
    if not run.metrics:
        return "No metrics yet."
    last = run.metrics[-1]
    return ", ".join(text.format(last[key]) for key, text in LAST_METRICS.items() if key in last)


def _show_predictions(terminal: Terminal, predictions: PredictionSet) -> None:
    """Print the first predictions beside one another."""
    predicted, kind = predicted_inputs(predictions), kind_of(predictions.tasks)
    shown = predicted[:MAX_INPUTS]
    if not shown:
        return
    blocks = []
    for each in shown:
        pair = input_figures(each.task, each.test, each.attempts)
        blocks.append([*block(task_title(each.task)), *terminal.draw_pair(pair, kind.theme)])
    terminal.print("", *terminal.wrap(blocks, 6), "")
    if len(shown) < len(predicted):
        command = f"`arc-trm show {kind.noun.upper()}`"
        terminal.print(f"{len(shown)} of {len(predicted)} shown; {command} shows any.")


def show_task(
    terminal: Terminal,
    task: Task,
    predictions: Sequence[InputPrediction] = (),
    trace: bool = False,
    source: str = "",
) -> None:
    """Print a task with its predictions.

    Args:
        terminal: where to print.
        task: to show.
        predictions: for its test inputs.
        trace: print how they changed over the supervision steps instead.
        source: name of the set that the task is from, for tasks whose ids are numbers.
    """
    theme, title = theme_of(task), task_title(task)
    terminal.print(f"{title} of {source}" if source else title, "")
    if trace:
        for each in predictions:
            if each.trace:
                terminal.print(*terminal.draw_trace(trace_figures(each), theme), "")
        return
    figures = task_figures(task, predictions)
    demonstrations = [terminal.draw_pair(pair, theme) for pair in figures.demonstrations]
    if demonstrations:
        terminal.print(*terminal.wrap(demonstrations, 6), "")
    for pair in figures.tests:
        terminal.print(*terminal.draw_pair(pair, theme), "")
