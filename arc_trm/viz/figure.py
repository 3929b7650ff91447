"""A task as a picture: what is shown, what was answered, and whether that is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from arc_trm.viz.svg import (
    CARD,
    EDGE,
    INK,
    MUTED,
    PAPER,
    Element,
    Line,
    Rectangle,
    Scene,
    Text,
    centred,
    column,
    fitted,
    framed,
    row,
    text_width,
)
from arc_trm.viz.theme import LOOKS, Look
from submission.errors import pluralise

Grid: TypeAlias = npt.NDArray[np.uint8]
"""(height, width) of colours 0..9."""


class Pair(Protocol):
    """What is drawn of an `arc_trm.tasks.Pair`, whose room is above this one."""

    @property
    def input(self) -> Grid: ...
    @property
    def output(self) -> Grid | None: ...


class Task(Protocol):
    """What is drawn of an `arc_trm.tasks.Task`."""

    @property
    def id(self) -> str: ...
    @property
    def train(self) -> Sequence[Pair]: ...
    @property
    def test(self) -> Sequence[Pair]: ...
    @property
    def domain(self) -> str: ...


Attempts: TypeAlias = Mapping[int, Sequence[Grid | None]]
"""By test index (from 0), in their order; None is an attempt that failed."""

Valid: TypeAlias = Callable[[Grid, Grid], bool]
"""Whether an answer to a question keeps the rule of its kind, which may have other right ones."""

MOST_TASKS = 12
WIDTH = 1180  # of the cards in a row, as far as they can be wrapped
GRID_LINE = "#4A4845"
RIGHT = "#1A7F37"
WRONG = "#C62828"


@dataclass(frozen=True)
class Style:
    """Pixels from cell to cell, how cells look, and which answers to a question are valid."""

    cell: int
    look: Look
    valid: Valid | None = None


def task_picture(task: Task, attempts: Attempts | None = None, valid: Valid | None = None) -> Scene:
    """A task's demonstrations, then each test input with its attempts and its known output.

    Sizes are given as rows x columns. Right attempts carry a tick and the word, wrong ones a cross.
    """
    look = LOOKS[task.domain]
    grids = [*_grids(task.train), *_grids(task.test), *_tried(attempts or {})]
    style = Style(_cell_size(grids), look, valid)
    demonstrations = [
        [_figure(f"Input {number}", pair.input, style), *_outputs(pair, (), style)]
        for number, pair in enumerate(task.train, 1)
    ]
    tests = [_test(task, index, attempts or {}, style) for index in range(len(task.test))]
    sections = [
        column([_line(name, 15, INK), _cards(rows)], 10) if task.train else _cards(rows)
        for name, rows in (("Demonstrations", demonstrations), ("Test", tests))
        if rows
    ]
    width = max(240, *(section.width for section in sections))
    counts = f"{pluralise(len(task.train), 'demonstration')}, {pluralise(len(task.test), 'test')}"
    title = _line(fitted(f"{look.task} {task.id}", 22, width), 22, INK)
    heading = column([title, _line(counts, 13, MUTED)], 6) if task.train else title
    parts = [heading, *sections]
    return framed(column(parts, 26), 32, PAPER)


def steps_picture(
    task: Task,
    steps: Mapping[int, Sequence[tuple[Grid | None, float]]],
    valid: Valid | None = None,
) -> Scene:
    """How the answer to each test input changed: its drafts after every supervision step.

    `steps` holds, per test index (from 0), the draft (None if it was no grid) and the halting score
    of each step. Drafts are right or wrong where the output is known.
    """
    drawn = [grid for each in steps.values() for grid, _ in each if grid is not None]
    look = LOOKS[task.domain]
    style = Style(min(_cell_size([*_grids(task.test), *drawn]), 14), look, valid)
    heading = fitted(f"{look.task} {task.id}: the answer step by step", 22, WIDTH)
    parts = [_line(heading, 22, INK)]
    for index, each in sorted(steps.items()):
        pair = task.test[index]
        figures = [[_figure(look.input_name(index + 1), pair.input, style)]]
        for number, (grid, halt) in enumerate(each, 1):
            name = f"Step {number}, halt {100 * halt:.0f} %"
            figures.append([_judged(name, grid, pair, style)])
        if pair.output is not None:
            figures.append([_figure(look.right, pair.output, style, given=pair.input)])
        parts.append(_cards(figures))
    return framed(column(parts, 22), 32, PAPER)


def tasks_picture(
    title: str, tasks: Iterable[Task], attempts: Mapping[str, Attempts] | None = None
) -> Scene:
    """A card for each of the first tasks: its first demonstration, or its tests with `attempts`.

    `attempts` are by the task's id.
    """
    parts = [_line(fitted(title, 18, WIDTH), 18, INK)]
    rows = []
    for task in islice(tasks, MOST_TASKS):
        tried = (attempts or {}).get(task.id, {})
        name = fitted(task.id, 13, 300)
        if tried:
            cell = _cell_size([*_grids(task.test), *_tried(tried)], 110)
            style = Style(cell, LOOKS[task.domain])
            rows += [_test(task, index, tried, style, name) for index in sorted(tried)]
        else:
            shown = [*task.train, *task.test][0]
            style = Style(_cell_size(_grids([shown]), 110), LOOKS[task.domain])
            rows.append([_figure(name, shown.input, style), *_outputs(shown, (), style)])
    if rows:
        parts.append(_cards(rows))
    return framed(column(parts, 16), 24, PAPER)


def _test(
    task: Task, index: int, attempts: Attempts, style: Style, name: str | None = None
) -> list[Scene]:
    pair = task.test[index]
    label = style.look.input_name(index + 1)
    if name is not None:
        label = f"{name}, test {index + 1}" if task.train else name
    return [_figure(label, pair.input, style), *_outputs(pair, attempts.get(index, ()), style)]


def _grids(pairs: Iterable[Pair]) -> list[Grid]:
    return [grid for pair in pairs for grid in (pair.input, pair.output) if grid is not None]


def _tried(attempts: Attempts) -> list[Grid]:
    return [grid for grids in attempts.values() for grid in grids if grid is not None]


def _cell_size(grids: Iterable[Grid], side: int = 250) -> int:
    """Pixels from cell to cell: small tasks get large cells, large ones still fit a screen."""
    longest: int = max(max(grid.shape) for grid in grids)
    return min(max(side // longest, 8 if side >= 250 else 4), 26)


def _outputs(pair: Pair, attempts: Sequence[Grid | None], style: Style) -> list[Scene]:
    """An arrow, then the attempts and the known output, or a question mark for lack of both."""
    look = style.look
    figures = [
        _judged(look.answer_name(number), grid, pair, style)
        for number, grid in enumerate(attempts, 1)
    ]
    if pair.output is not None:
        name = look.right if attempts else look.output
        figures.append(_figure(name, pair.output, style, given=pair.input))
    return [_arrow(), *(figures or [_unknown()])]


def _cards(rows: Sequence[Sequence[Scene]]) -> Scene:
    """One card per row of figures, figures in aligned slots, as many cards a line as fit."""
    slots = [0.0] * max(len(figures) for figures in rows)
    for figures in rows:
        for place, figure in enumerate(figures):
            slots[place] = max(slots[place], figure.width)
    cards = []
    for figures in rows:
        spaced = [
            centred(figure, width, figure.height)
            for figure, width in zip(figures, slots, strict=False)
        ]
        cards.append(row(spaced, 16))
    width = max(card.width for card in cards)
    gap, padding = 16, 18
    fitting = max(1, int((WIDTH + gap) // (width + 2 * padding + gap)))
    lines = -(-len(cards) // fitting)
    fitting = -(-len(cards) // lines)  # the same number of lines, evenly filled
    drawn = []
    for start in range(0, len(cards), fitting):
        line = cards[start : start + fitting]
        height = max(card.height for card in line)
        even = [framed(centred(card, width, height), padding, CARD, EDGE) for card in line]
        drawn.append(row(even, gap))
    return column(drawn, gap)


def _judged(label: str, grid: Grid | None, pair: Pair, style: Style) -> Scene:
    """An answer to a pair, right or wrong where its output is known."""
    if grid is None:
        parts = [_line(label, 13, INK), _unknown(), _line("no grid", 11, MUTED)]
        width = max(part.width for part in parts)
        return column([centred(part, width, part.height) for part in parts], 6)
    right = None if pair.output is None else np.array_equal(grid, pair.output)
    if style.valid is not None and not right:
        right = style.valid(pair.input, grid)
        if right:  # in another way than the known one, so that no cell is wrong
            return _figure(label, grid, style, right, None, pair.input, "valid")
    return _figure(label, grid, style, right, pair.output, pair.input)


def _figure(
    label: str,
    grid: Grid,
    style: Style,
    right: bool | None = None,
    output: Grid | None = None,
    given: Grid | None = None,
    praise: str = "right",
) -> Scene:
    """A grid with its name above, its size below and, where known, whether it is right.

    Cells of another value than in an `output` of the same size carry a cross, or a frame where
    that would hide what is written there.
    """
    drawing = _grid(grid, style, grid if given is None else given)
    if output is not None and output.shape == grid.shape:
        wrong = np.argwhere(grid != output)
        crosses = (mark for row, column in wrong for mark in _marked(row, column, style))
        drawing = Scene(drawing.width, drawing.height, (*drawing.elements, *crosses))
    name = _line(label, 13, INK)
    if right is not None:
        verdict = _line(praise, 13, RIGHT) if right else _line("wrong", 13, WRONG)
        name = row([name, row([_tick() if right else _cross(), verdict], 4)], 8)
    height, width = grid.shape
    size = _line(f"{height} x {width}", 11, MUTED)
    parts = [name, drawing, size]
    slot = max(part.width for part in parts)
    return column([centred(part, slot, part.height) for part in parts], 6)


def _grid(grid: Grid, style: Style, given: Grid) -> Scene:
    """The cells, one pixel apart and framed by one, on the colour of the lines between them.

    `given` is the question, whose cells may look otherwise.
    """
    height, width = grid.shape
    cell, look = style.cell, style.look
    ground = Rectangle(0, 0, width * cell + 1, height * cell + 1, GRID_LINE)
    drawn: list[Element] = [ground]
    for (y, x), value in np.ndenumerate(grid):
        asked = given.shape == grid.shape and given[y, x] == value != 0
        fill = look.given if asked and look.given else look.colours[value]
        drawn.append(Rectangle(x * cell + 1, y * cell + 1, cell - 1, cell - 1, fill))
        if look.signs and look.signs[value] != " ":
            middle, base = x * cell + 0.5 + cell / 2, y * cell + 0.5 + 0.74 * cell
            size = max(1, round(0.7 * cell))
            drawn.append(Text(middle, base, look.signs[value], size, INK, "middle"))
    if box := look.box(height):
        rows, columns = range(box[0], height, box[0]), range(box[1], width, box[1])
        ends = width * cell + 1, height * cell + 1
        drawn += [
            Line(((0, y * cell + 0.5), (ends[0], y * cell + 0.5)), GRID_LINE, 3) for y in rows
        ]
        drawn += [
            Line(((x * cell + 0.5, 0), (x * cell + 0.5, ends[1])), GRID_LINE, 3) for x in columns
        ]
    return Scene(ground.width, ground.height, tuple(drawn))


def _marked(row: int, column: int, style: Style) -> list[Line]:
    """A cross over a cell, black in white, to be seen on every colour; a frame around a sign."""
    cell = style.cell
    if style.look.signs:
        near, far = 0.14 * cell, 0.86 * cell
        corners = ((near, near), (far, near), (far, far), (near, far), (near, near), (far, near))
        frame = tuple((column * cell + 0.5 + x, row * cell + 0.5 + y) for x, y in corners)
        return [Line(frame, WRONG, max(1, cell / 12))]
    left, top, arm = column * cell + 0.25 * cell, row * cell + 0.25 * cell, 0.5 * cell
    strokes = (
        ((left, top), (left + arm, top + arm)),
        ((left, top + arm), (left + arm, top)),
    )
    return [
        Line(points, colour, width * cell / 26)
        for colour, width in (("#FFFFFF", 5.0), ("#000000", 2.5))
        for points in strokes
    ]


def _unknown() -> Scene:
    return framed(centred(_line("?", 22, MUTED), 44, 44), 0, PAPER)


def _line(text: str, size: int, colour: str) -> Scene:
    """One line of text as a scene of its own."""
    return Scene(
        -(-text_width(text, size) // 1), round(1.2 * size), (Text(0, size, text, size, colour),)
    )


def _arrow() -> Scene:
    shaft = Line(((1, 7), (22, 7)), MUTED, 2)
    head = Line(((16, 1), (22, 7), (16, 13)), MUTED, 2)
    return Scene(24, 14, (shaft, head))


def _tick() -> Scene:
    return Scene(13, 12, (Line(((1, 6.5), (4.5, 10), (12, 1.5)), RIGHT, 2.5),))


def _cross() -> Scene:
    strokes = ((1.5, 1.5), (10.5, 10.5)), ((1.5, 10.5), (10.5, 1.5))
    return Scene(12, 12, tuple(Line(points, WRONG, 2.5) for points in strokes))
