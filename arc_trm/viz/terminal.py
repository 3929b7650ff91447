"""Tasks, predictions and runs in the terminal: coloured cells if it has colours, digits if not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import TypeAlias

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.metric_keys import EXACT_OF_HALTED, EXAMPLES_PER_SECOND, LM_LOSS, format_metric
from arc_trm.puzzles import Theme, kind_of
from arc_trm.runs import Run
from arc_trm.tasks import Grid, Task
from arc_trm.time_limit import format_duration
from arc_trm.viz.compare import ComparedRun, RunComparison
from arc_trm.viz.curve import (
    EXACT_SHORT,
    Panel,
    describe_best,
    run_panels,
    run_title,
)
from arc_trm.viz.figure import (
    GridFigure,
    PairFigures,
    TraceFigures,
    Verdict,
    choose_examples,
    predicted_inputs,
    sample_figures,
    task_figures,
    task_title,
    theme_of,
)
from arc_trm.viz.series import Axes, Point, Series, read_series
from arc_trm.viz.svg import printable
from arc_trm.viz.theme import INK
from submission import Scored
from submission.scoring import align_columns

MAX_JUDGED = 2000
"""Predictions of a run among which examples are chosen: to judge a puzzle takes time."""
CHART_ROWS = 9  # about so many: the labels are evenly apart
CHART_WIDTH = 100
INDENT, SMALL_CURVE, MAX_PATH = 2, 24, 30
"""Columns before the runs of a comparison, of their curves, and of their paths at most."""
RIGHT, WRONG, DIM = Style(color="green"), Style(color="red"), Style(dim=True)
BOLD = Style(bold=True)
EMPTY = "\u2800"
"""The braille character without a dot."""
BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each of a character's 4 x 2 dots."""
MARKS = ("●", "○", "◌")
"""How the points of validation curves are marked, the last curve first."""
BEST, THROUGH = "◆", "━"
LAST_METRICS = {  # what is said of them, besides the step
    LM_LOSS: "loss {}",
    EXACT_OF_HALTED: f"{EXACT_SHORT} {{}}",
    EXAMPLES_PER_SECOND: "{} examples a second",
}


Block: TypeAlias = list[Text]
"""Lines to be placed beside others."""


def block(*lines: str | Text) -> Block:
    """Return a block of these lines, on which no terminal acts: control characters are replaced."""
    texts = [Text(printable(line)) if isinstance(line, str) else line.copy() for line in lines]
    for text in texts:
        text.plain = printable(text.plain)  # of the same length, so that the styles stay in place
    return texts


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
        """Print lines, which are not wrapped, and on which no terminal acts."""
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
        marked = any(figure.wrong_cells for figure in pair.attempts)
        wide = marked or columns <= self.console.width  # cells two columns wide, for the marks
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

    def legend(self, figures: Iterable[GridFigure], theme: Theme) -> Block:
        """Return a line that says how wrong cells are marked, nothing if there are none."""
        if not any(figure.wrong_cells for figure in figures):
            return []
        return block(f"{'×' if self._fills_cells(theme) else '[ ]'} marks wrong cells")

    def _fills_cells(self, theme: Theme) -> bool:
        """Return whether cells are drawn in the colours of their values."""
        return self.has_colours and not theme.boxes

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
        if not self._fills_cells(theme):
            if figure.wrong_cells:
                columns = range(grid.shape[1])
                return [_draw_digits(figure, grid, theme, y, columns) for y in range(len(rows))]
            separator = " " if wide else ""
            return [Text(separator.join(theme.characters[v] for v in row)) for row in rows]
        if wide:
            wrong = set(figure.wrong_cells)
            lines = [
                [_wide_cell(theme, value, (y, x) in wrong) for x, value in enumerate(row)]
                for y, row in enumerate(rows)
            ]
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


def _wide_cell(theme: Theme, value: int, wrong: bool) -> tuple[str, Style]:
    """Return the two characters of a cell and their style."""
    if not wrong:
        return f"{theme.symbol(value)} ", _cell_style(theme, value)
    red, green, blue = bytes.fromhex(theme.colours[value][1:])
    bright = 0.3 * red + 0.6 * green + 0.1 * blue > 128  # the mark is black on bright colours
    ink = Style(color="#000000" if bright else "#FFFFFF", bold=True)
    return f"{theme.symbol(value)}×", _cell_style(theme, value) + ink


def _draw_digits(figure: GridFigure, grid: Grid, theme: Theme, y: int, columns: range) -> Text:
    """Draw cells of row `y`, brackets around runs of wrong ones: ` 1[2 3]4 `.

    Cells that the question fills are bold where there are boxes.
    """
    bold = figure.given[y] & bool(theme.boxes)
    wrong = [(y, x) in figure.wrong_cells for x in columns]
    line = Text().append(*_gap(False, wrong[0]))
    for x, (here, after) in zip(columns, pairwise([*wrong, False]), strict=True):
        line.append(theme.characters[grid[y, x]], BOLD if bold[x] else Style())
        line.append(*_gap(here, after))
    return line


def _gap(wrong_before: bool, wrong_after: bool) -> tuple[str, Style]:
    """Return what stands between two cells."""
    if wrong_before == wrong_after:
        return " ", Style()
    return ("]" if wrong_before else "["), WRONG


def _draw_boxes(figure: GridFigure, grid: Grid, theme: Theme) -> list[Text]:
    """Draw characters between the lines of the boxes; given ones are bold."""
    side = len(grid)
    height, width = theme.boxes[side]
    rule = "┼".join(["─" * (2 * width + 1)] * (side // width))
    lines = []
    for y in range(side):
        if y and y % height == 0:
            lines.append(Text(rule, DIM))
        boxes = [range(x, x + width) for x in range(0, side, width)]
        digits = [_draw_digits(figure, grid, theme, y, box) for box in boxes]
        lines.append(Text("│", DIM).join(digits))
    return lines


def draw_chart(panel: Panel, width: int, coloured: bool) -> list[Text]:
    """Draw curves in dots, two columns and four rows of them a character, with axes and a legend.

    What is behind a curve is dim, and only drawn in colours. So are lines between marked points.
    """
    lines = [Text(panel.title), *_chart_legend(panel, width)]
    if panel.nothing:
        lines[0].append(f" ({panel.nothing})", DIM)
        return lines
    axes = panel.axes
    spacing = max(1, round(CHART_ROWS / (len(axes.y) - 1)))
    labels = {spacing * row: panel.label(tick) for row, tick in enumerate(reversed(axes.y))}
    rows = max(labels) + 1
    margin = max(map(len, labels.values()))
    columns = max(min(width, CHART_WIDTH) - margin - 3, 20)
    cells = _chart_cells(panel, rows, columns, coloured)
    for number, row in enumerate(cells):
        axis = f"{labels.get(number, ''):>{margin}} {'┤' if number in labels else '│'}"
        lines.append(Text.assemble((axis, DIM), *row))
    first, last = (f"{x:,.0f}" for x in axes.x)
    ends = f"{first}{f'{panel.x_label.lower()} {last}':>{columns - len(first)}}"
    return [
        *lines,
        Text(f"{'':{margin}} └{'─' * columns}", DIM),
        Text(f"{'':{margin}}  {ends}", DIM),
    ]


def _chart_legend(panel: Panel, width: int) -> list[Text]:
    """Return the entries of the legend, as many a line as fit, each with its mark."""
    signs = _signs(panel)
    lines: list[Text] = []
    for entry in panel.legend():
        text = Text()
        if entry.mark is None:
            text.append(f"({entry.text})", DIM)
        else:
            sign = BEST if entry.mark == "best" else signs.get(entry.curve.key, THROUGH)
            text.append(sign, _ink(entry.curve.colour)).append(f" {entry.text}", DIM)
        if lines and lines[-1].cell_len + 3 + text.cell_len <= width:
            lines[-1].append("   ").append_text(text)
        else:
            lines.append(text)
    return lines


def _signs(panel: Panel) -> dict[str, str]:
    """Return by which character the points of each curve are marked, by its key."""
    marked = [curve.key for curve in reversed(panel.curves) if curve.marked]
    return dict(zip(marked, MARKS, strict=False))


def _chart_cells(
    panel: Panel, rows: int, columns: int, coloured: bool
) -> list[list[tuple[str, Style]]]:
    """Return the characters of a chart and their styles."""
    cells = [[(EMPTY, Style())] * columns for _ in range(rows)]

    def draw(series: Series, style: Style) -> None:
        for y, line in enumerate(braille(panel.axes, series, rows, columns)):
            for x, dots in enumerate(line):
                if dots != EMPTY:
                    cells[y][x] = dots, style

    def mark(point: Point, sign: str, style: Style) -> None:
        x, y = panel.axes.place(point, 2 * columns - 1, 4 * rows - 1)
        cells[rows - 1 - round(y) // 4][round(x) // 2] = sign, style

    for curve in panel.curves if coloured else ():
        for series in curve.background:
            draw(series, DIM)
    for curve in panel.curves:
        if coloured or not curve.marked:
            draw(curve.series, _ink(curve.colour))
    signs = _signs(panel)
    for curve in panel.curves:
        for point in curve.series.points if curve.marked else ():
            mark(point, signs[curve.key], _ink(curve.colour))
        if curve.best is not None:
            mark(curve.best, BEST, _ink(curve.colour))
    return cells


def _ink(colour: str) -> Style:
    """Return the style of a colour; that of text is the terminal's own."""
    return Style() if colour == INK else Style(color=colour)


def braille(axes: Axes, series: Series, rows: int, columns: int) -> list[str]:
    """Return a line through the points of a series as rows of braille characters."""
    dots = np.zeros((4 * rows, 2 * columns), dtype=bool)
    for segment in axes.lines(series, dots.shape[1] - 1, dots.shape[0] - 1):
        for start, end in zip(segment, segment[1:] or segment, strict=False):
            count = 2 + int(max(abs(start[0] - end[0]), abs(start[1] - end[1])))
            across, up = np.linspace(start, end, count).round().astype(int).T
            dots[-1 - up, across] = True
    cells = dots.reshape(rows, 4, columns, 2)
    codes = ord(EMPTY) + (cells * BRAILLE[:, None, :]).sum(axis=(1, 3))
    return ["".join(map(chr, row)) for row in codes.tolist()]


def show_run(
    terminal: Terminal,
    run: Run,
    predictions: PredictionSet | None = None,
    score: Scored | None = None,
    origin: str = "",
    about: Sequence[str] = (),
) -> None:
    """Print the training curves of a run, its score, and examples of its predictions.

    Args:
        terminal: where to print.
        run: whose training is shown.
        predictions: to choose examples from.
        score: of the predictions.
        origin: where the predictions are, "" if there are none.
        about: lines on what the predictions are.
    """
    terminal.print(f"{run.path}: {run_title(run)}", "")
    if run.metrics:
        panels = run_panels(run.metrics, run.config.train.best_metric)
        for panel in panels:
            width = terminal.console.width
            terminal.print(*draw_chart(panel, width, terminal.has_colours), "")
        terminal.print(_last_metrics(run))
        if best := describe_best(panels[-1]):
            last = panels[-1].curves[-1].series.points[-1][1]
            terminal.print(f"{best.capitalize()}, last {panels[-1].label(last)}")
    else:
        terminal.print("No metrics yet: the run has not written a record of its training.")
    if origin:
        terminal.print("", f"Predictions: {origin}", *about)
    if score is not None:
        terminal.print("", *score.lines())
    if predictions is not None:
        _show_examples(terminal, predictions)


def _last_metrics(run: Run) -> str:
    """Return the last step and the running means there, or values that are not finite."""
    planned = "" if run.total_steps is None else f" of {run.total_steps:,}"
    parts, is_mean = [f"Step {run.step:,}{planned}"], False
    for key, text in LAST_METRICS.items():
        series = read_series(run.metrics, key)
        if series.end is not None:
            is_rate = key == EXAMPLES_PER_SECOND
            end = _rate(series.end) if is_rate else format_metric(key, series.end)
            parts.append(text.format(end))
            is_mean |= series.window > 1 and math.isfinite(series.end)
    return ", ".join(parts) + (" (running means)" if is_mean else "")


def show_comparison(terminal: Terminal, comparison: RunComparison) -> None:
    """Print the runs of a comparison in a table with small curves, and what differs between them.

    The small curves have the same axes, so that their forms can be compared.
    """
    axes = Axes.around([each.series for each in comparison.runs])
    heading = ("run", "seed", "step", comparison.value_name, "at step", "time", "examples/s")
    rows = [_comparison_row(comparison, each) for each in comparison.runs]
    first, *others = (f"{'':{INDENT}}{line}" for line in align_columns([heading, *rows]))
    width = max(map(len, (first, *others)))
    room = terminal.console.width - width - 2
    columns = min(room, SMALL_CURVE) if room >= 8 else 0
    terminal.print(comparison.summary, "", Text(first, DIM))
    lines = iter(zip(comparison.runs, others, strict=True))
    for group in comparison.groups:
        terminal.print(Text(comparison.describe_group(group), BOLD))
        for run, line in islice(lines, len(group.runs)):
            curve = braille(axes, run.series, 1, columns)[0] if columns else ""
            terminal.print(f"{line:{width}}  {curve}".rstrip())
    if sentences := comparison.sentences():
        terminal.print("", *sentences)


def _comparison_row(comparison: RunComparison, run: ComparedRun) -> tuple[str, ...]:
    """Return the cells of a run, "" for what is not known."""
    path, rate = str(run.run.path), run.examples_per_second
    return (
        path if len(path) <= MAX_PATH else f"…{path[1 - MAX_PATH :]}",
        str(run.seed),
        f"{run.run.step:,}",
        comparison.label(run.value),
        f"{run.step:,.0f}",
        "" if run.seconds is None else format_duration(run.seconds),
        "" if rate is None else _rate(rate),
    )


def _rate(value: float) -> str:
    """Return examples a second with three digits, or all of a large number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _show_examples(terminal: Terminal, predictions: PredictionSet) -> None:
    """Print some predictions beside one another, each with the reason why it is shown."""
    predicted, kind = predicted_inputs(predictions), kind_of(predictions.tasks)
    examples = choose_examples(islice(predicted, MAX_JUDGED))
    if not examples:
        return
    blocks = [
        [
            *block(Text(each.reason, BOLD), task_title(each.task)),
            *terminal.draw_pair(each.figures, kind.theme),
        ]
        for each in examples
    ]
    figures = [figure for each in examples for figure in each.figures.attempts]
    terminal.print("", *terminal.wrap(blocks, 6), "", *terminal.legend(figures, kind.theme))
    if len(examples) < len(predicted):
        among = "" if len(predicted) <= MAX_JUDGED else f", chosen among the first {MAX_JUDGED:,}"
        noun = kind.noun if kind.numbered else "test input"
        total = f"{len(predicted):,} predicted {noun}s"
        command = f"`arc-trm show {kind.noun.upper()}`"
        terminal.print(f"{len(examples)} of {total} shown{among}; {command} shows any.")


def show_task(
    terminal: Terminal,
    task: Task,
    predictions: Sequence[InputPrediction] = (),
    trace: bool = False,
    source: str = "",
    origin: str = "",
) -> None:
    """Print a task with its predictions.

    Args:
        terminal: where to print.
        task: to show.
        predictions: for its test inputs.
        trace: print how they changed over the supervision steps instead.
        source: name of the set that the task is from, for tasks whose ids are numbers.
        origin: where the predictions are, "" if there are none.
    """
    theme, title = theme_of(task), task_title(task)
    terminal.print(f"{title} of {source}" if source else title)
    if origin:
        terminal.print(Text(f"Predictions: {origin}", DIM))
    terminal.print("")
    if trace:
        traces = [shown for each in predictions if each.trace for shown in sample_figures(each)]
        for shown in traces:
            if shown.title:
                terminal.print(Text(shown.title, DIM))
            terminal.print(*terminal.draw_trace(shown, theme), "")
        steps = [step.figure for shown in traces for step in shown.steps]
        terminal.print(*terminal.legend(steps, theme))
        return
    figures = task_figures(task, predictions)
    demonstrations = [terminal.draw_pair(pair, theme) for pair in figures.demonstrations]
    if demonstrations:
        terminal.print(*terminal.wrap(demonstrations, 6), "")
    for pair in figures.tests:
        terminal.print(*terminal.draw_pair(pair, theme), "")
    attempts = [figure for pair in figures.tests for figure in pair.attempts]
    terminal.print(*terminal.legend(attempts, theme))
