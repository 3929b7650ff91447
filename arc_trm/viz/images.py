"""Tasks and predictions as drawings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from arc_trm.errors import pluralise
from arc_trm.evaluation.predictions import InputPrediction
from arc_trm.puzzles import Theme
from arc_trm.tasks import Grid, Task
from arc_trm.viz.figure import (
    GridFigure,
    PairFigures,
    Verdict,
    demonstration_figures,
    input_figures,
    task_figures,
    task_title,
    theme_of,
    trace_figures,
)
from arc_trm.viz.svg import (
    Drawing,
    Element,
    Line,
    Rectangle,
    Text,
    centred,
    column,
    fit_text,
    framed,
    row,
    text_width,
)
from arc_trm.viz.theme import CARD, EDGE, GRID_LINE, INK, MUTED, PAPER, RIGHT, WRONG

MAX_TASKS = 12
"""Tasks of a set that are drawn."""
WIDTH = 1180  # of the cards in a line, as far as they can be wrapped
GAP, PADDING = 16, 18  # between cards, and within them
MAX_CELL = 26
GRID_SIDE, SAMPLES_SIDE, THUMBNAIL_SIDE = 250, 180, 110
MIN_CELL = {GRID_SIDE: 8, SAMPLES_SIDE: 6, THUMBNAIL_SIDE: 4}
CROSS_CELL = 12
"""The smallest cell in which a cross can be read; a square marks smaller ones."""
SHAFT, HEAD = Line(((1, 7), (22, 7)), MUTED, 2), Line(((16, 1), (22, 7), (16, 13)), MUTED, 2)
ARROW = Drawing(24, 14, (SHAFT, HEAD))
TICK = Drawing(13, 12, (Line(((1, 6.5), (4.5, 10), (12, 1.5)), RIGHT, 2.5),))
STROKES = Line(((1.5, 1.5), (10.5, 10.5)), WRONG, 2.5), Line(((1.5, 10.5), (10.5, 1.5)), WRONG, 2.5)
CROSS = Drawing(12, 12, STROKES)


@dataclass(frozen=True)
class Style:
    """How grids are drawn: pixels from cell to cell, and how cells look."""

    cell: int
    theme: Theme


def draw_task(task: Task, predictions: Iterable[InputPrediction] = ()) -> Drawing:
    """Draw the demonstrations, then each test input with the attempts at it and its known output.

    Sizes are rows x columns. Right attempts carry a tick and the word, wrong ones a cross.
    """
    sections = []
    for name, contents in task_contents(task, predictions).items():
        heading = [draw_text(name, 15, INK)] if name else []
        sections.append(column([*heading, _wrap(contents)], 10))
    width = max(240, *(section.width for section in sections))
    lines = [draw_text(fit_text(task_title(task), 22, width), 22, INK)]
    if counts := task_counts(task):
        lines.append(draw_text(counts, 13, MUTED))
    return framed(column([column(lines, 6), *sections], 26), 32, PAPER)


def task_counts(task: Task) -> str:
    """Return `3 demonstrations, 1 test`; "" without demonstrations."""
    if not task.train:
        return ""
    return f"{pluralise(len(task.train), 'demonstration')}, {pluralise(len(task.test), 'test')}"


def task_contents(
    task: Task, predictions: Iterable[InputPrediction] = ()
) -> dict[str, list[Drawing]]:
    """Draw what the cards of `draw_task` hold, by the heading above them.

    Without demonstrations the heading of the tests is "".
    """
    figures = task_figures(task, predictions)
    style = Style(cell_size(figures.grids), theme_of(task))
    tests = _contents([_draw_pair(pair, style) for pair in figures.tests])
    if not figures.demonstrations:
        return {"": tests}
    demonstrations = _contents([_draw_pair(pair, style) for pair in figures.demonstrations])
    return {"Demonstrations": demonstrations, "Test": tests}


def draw_prediction(prediction: InputPrediction) -> Drawing:
    """Draw a test input with the attempts at it and its known output."""
    drawn = card(prediction_content(prediction))
    title = fit_text(task_title(prediction.task), 22, max(240, drawn.width))
    return framed(column([draw_text(title, 22, INK), drawn], 22), 32, PAPER)


def prediction_content(prediction: InputPrediction) -> Drawing:
    """Draw what the card of `draw_prediction` holds."""
    figures = input_figures(prediction.task, prediction.test, prediction.attempts)
    style = Style(cell_size(figures.grids), theme_of(prediction.task))
    return row(_draw_pair(figures, style), 16)


def draw_trace(predictions: Sequence[InputPrediction]) -> Drawing:
    """Draw how predictions for one task changed from supervision step to supervision step.

    Args:
        predictions: for different test inputs of the task, at least one of them with a trace.
    """
    task = predictions[0].task
    traces = [trace_figures(prediction) for prediction in predictions if prediction.trace]
    grids = [grid for trace in traces for grid in trace.grids]
    style = Style(min(cell_size(grids), 14), theme_of(task))
    title = fit_text(f"{task_title(task)}: the answer step by step", 22, WIDTH)
    parts = [draw_text(title, 22, INK)]
    for trace in traces:
        figures = [trace.input]
        for step in trace.steps:
            for number, halt_prob in enumerate(step.halt_probs, step.first):
                label = f"Step {number}, halt {100 * halt_prob:.0f} %"
                figures.append(replace(step.figure, label=label))
        if trace.output is not None:
            figures.append(trace.output)
        parts.append(_wrap(_contents([[draw_figure(figure, style)] for figure in figures])))
    return framed(column(parts, 22), 32, PAPER)


def draw_tasks(
    title: str, tasks: Iterable[Task], predictions: Iterable[InputPrediction] = ()
) -> Drawing:
    """Draw a card for each of the first tasks: its first demonstration, or what was predicted."""
    parts = [draw_text(fit_text(title, 18, WIDTH), 18, INK)]
    if contents := thumbnail_contents(tasks, predictions):
        parts.append(_wrap(contents))
    return framed(column(parts, 16), 24, PAPER)


def thumbnail_contents(
    tasks: Iterable[Task], predictions: Iterable[InputPrediction] = ()
) -> list[Drawing]:
    """Draw what the cards of `draw_tasks` hold."""
    by_task: dict[str, list[InputPrediction]] = {}
    for prediction in predictions:
        by_task.setdefault(prediction.task_id, []).append(prediction)
    rows = []
    for task in islice(tasks, MAX_TASKS):
        pairs = _thumbnails(task, by_task.get(task.id, ()))
        grids = [grid for pair in pairs for grid in pair.grids]
        style = Style(cell_size(grids, THUMBNAIL_SIDE), theme_of(task))
        rows += [_draw_pair(pair, style) for pair in pairs]
    return _contents(rows) if rows else []


def _thumbnails(task: Task, predictions: Sequence[InputPrediction]) -> list[PairFigures]:
    """Return what is drawn of a task among others, with its id in place of the input's label."""
    name = fit_text(task.id, 13, 300)
    if not predictions:
        first = demonstration_figures(task)[:1] or [input_figures(task, 0)]
        return [_relabel(pair, name) for pair in first]
    pairs = []
    for prediction in sorted(predictions, key=lambda each: each.test):
        label = f"{name}, test {prediction.test + 1}" if task.train else name
        pairs.append(_relabel(input_figures(task, prediction.test, prediction.attempts), label))
    return pairs


def _relabel(pair: PairFigures, label: str) -> PairFigures:
    return replace(pair, input=replace(pair.input, label=label))


def cell_size(grids: Iterable[Grid], side: int = GRID_SIDE) -> int:
    """Return pixels from cell to cell, so that small tasks are readable and large ones fit."""
    longest: int = max(max(grid.shape) for grid in grids)
    return min(max(side // longest, MIN_CELL[side]), MAX_CELL)


def _draw_pair(pair: PairFigures, style: Style) -> list[Drawing]:
    """Draw the input, an arrow, and the answers or a question mark."""
    answers = [draw_figure(figure, style) for figure in pair.answers]
    return [draw_figure(pair.input, style), ARROW, *(answers or [draw_unknown()])]


def card(content: Drawing, height: float = 0) -> Drawing:
    """Draw the card around a content, at least as high as a content of `height`."""
    middle = centred(content, content.width, max(content.height, height))
    return framed(middle, PADDING, CARD, EDGE)


def _contents(rows: Sequence[Sequence[Drawing]]) -> list[Drawing]:
    """Place each row of figures side by side, in slots that are aligned from row to row."""
    slots = [
        max(figures[slot].width for figures in rows if slot < len(figures))
        for slot in range(max(map(len, rows)))
    ]
    lines = []
    for figures in rows:
        placed = zip(figures, slots, strict=False)
        lines.append(row([centred(each, width, each.height) for each, width in placed], 16))
    width = max(line.width for line in lines)
    return [centred(line, width, line.height) for line in lines]


def _wrap(contents: Sequence[Drawing]) -> Drawing:
    """Draw cards around contents of one width, as many a line as fit, those of a line as high."""
    fitting = max(1, int((WIDTH + GAP) // (contents[0].width + 2 * PADDING + GAP)))
    lines = math.ceil(len(contents) / fitting)
    per_line = math.ceil(len(contents) / lines)
    drawn = []
    for start in range(0, len(contents), per_line):
        line = contents[start : start + per_line]
        height = max(content.height for content in line)
        drawn.append(row([card(content, height) for content in line], GAP))
    return column(drawn, GAP)


def draw_figure(figure: GridFigure, style: Style) -> Drawing:
    """Draw a grid with its label and verdict above and its size below."""
    return _stack([draw_label(figure), draw_grid(figure, style), draw_size(figure)])


def draw_label(figure: GridFigure) -> Drawing:
    """Draw the label of a grid and what it is worth."""
    label = draw_text(figure.label, 13, INK)
    if figure.verdict is None:
        return label
    wrong = figure.verdict is Verdict.WRONG
    word = draw_text(figure.verdict, 13, WRONG if wrong else RIGHT)
    return row([label, row([CROSS if wrong else TICK, word], 4)], 8)


def draw_size(figure: GridFigure) -> Drawing:
    """Draw the numbers of rows and columns."""
    size = "no grid" if figure.grid is None else "{} x {}".format(*figure.grid.shape)
    return draw_text(size, 11, MUTED)


def _stack(parts: Sequence[Drawing]) -> Drawing:
    """Place drawings below one another, centred."""
    width = max(part.width for part in parts)
    return column([centred(part, width, part.height) for part in parts], 6)


def draw_grid(figure: GridFigure, style: Style) -> Drawing:
    """Draw the cells, one pixel apart and framed by one, on the colour of the lines between them.

    Wrong cells carry a cross; small cells a square, which is easier to see; and written ones a
    frame, which hides nothing. A question mark stands for a grid that there is not.
    """
    grid = figure.grid
    if grid is None:
        return draw_unknown()
    height, width = grid.shape
    cell, theme, given = style.cell, style.theme, figure.given
    ground = Rectangle(0, 0, width * cell + 1, height * cell + 1, GRID_LINE)
    drawn: list[Element] = [ground]
    for (y, x), value in np.ndenumerate(grid):
        fill = theme.given if theme.given and given[y, x] else theme.colours[value]
        drawn.append(Rectangle(x * cell + 1, y * cell + 1, cell - 1, cell - 1, fill))
        symbol = theme.symbol(int(value))
        if symbol != " ":
            middle, base = x * cell + 0.5 + cell / 2, y * cell + 0.5 + 0.74 * cell
            size = max(1, round(0.7 * cell))
            drawn.append(Text(middle, base, symbol, size, INK, "middle"))
    drawn += _box_lines(height, width, style)
    for y, x in figure.wrong_cells:
        drawn += _mark(y, x, style)
    return Drawing(ground.width, ground.height, tuple(drawn))


def _box_lines(height: int, width: int, style: Style) -> list[Line]:
    """Return the thick lines between boxes."""
    if height not in style.theme.boxes:
        return []
    rows, columns = style.theme.boxes[height]
    right, bottom = width * style.cell + 1, height * style.cell + 1
    ys = [y * style.cell + 0.5 for y in range(rows, height, rows)]
    xs = [x * style.cell + 0.5 for x in range(columns, width, columns)]
    horizontal = [Line(((0, y), (right, y)), GRID_LINE, 3) for y in ys]
    return [*horizontal, *(Line(((x, 0), (x, bottom)), GRID_LINE, 3) for x in xs)]


def _mark(row: int, column: int, style: Style) -> list[Line]:
    """Return the mark of a wrong cell, in strokes: the rectangles of a grid are its cells."""
    if style.theme.symbols:
        return _frame(row, column, style.cell)
    draw = _cross if style.cell >= CROSS_CELL else _square
    return draw(row, column, style.cell)


def _frame(row: int, column: int, cell: int) -> list[Line]:
    """Return a frame within a cell."""
    near, far = 0.14 * cell, 0.86 * cell
    corners = ((near, near), (far, near), (far, far), (near, far), (near, near), (far, near))
    points = tuple((column * cell + 0.5 + x, row * cell + 0.5 + y) for x, y in corners)
    return [Line(points, WRONG, max(1, cell / 12))]


def _cross(row: int, column: int, cell: int) -> list[Line]:
    """Return a cross over a cell, black in white, which is visible on every colour."""
    left, top, arm = column * cell + 0.25 * cell, row * cell + 0.25 * cell, 0.5 * cell
    strokes = (((left, top), (left + arm, top + arm)), ((left, top + arm), (left + arm, top)))
    return [
        Line(points, colour, width * cell / 26)
        for colour, width in (("#FFFFFF", 5.0), ("#000000", 2.5))
        for points in strokes
    ]


def _square(row: int, column: int, cell: int) -> list[Line]:
    """Return a square in a cell, white in black: two strokes that are as long as they are wide."""
    x, y = column * cell + (cell + 1) / 2, row * cell + (cell + 1) / 2
    return [
        Line(((x - half, y), (x + half, y)), colour, 2 * half)
        for half, colour in ((0.34 * cell, "#000000"), (0.2 * cell, "#FFFFFF"))
    ]


def draw_unknown() -> Drawing:
    """Draw a question mark in place of a grid."""
    return framed(centred(draw_text("?", 22, MUTED), 44, 44), 0, PAPER)


def draw_text(text: str, size: int, colour: str) -> Drawing:
    """Draw one line of text."""
    width = math.ceil(text_width(text, size))
    return Drawing(width, round(1.2 * size), (Text(0, size, text, size, colour),))
