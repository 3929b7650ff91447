"""A task as a picture: what is shown, what was answered, and whether that is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from arc_trm.pictures.scene import (
    CARD,
    EDGE,
    INK,
    MUTED,
    PALETTE,
    PAPER,
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
from arc_trm.tasks import Grid, Pair, Task

WIDTH = 1180  # of the cards in a row, as far as they can be wrapped
GRID_LINE = "#4A4845"
RIGHT = "#1A7F37"
WRONG = "#C62828"


def task_picture(task: Task, attempts: Mapping[int, Sequence[Grid]] | None = None) -> Scene:
    """A task's demonstrations, then each test input with its attempts and its known output.

    `attempts` holds, per test index (from 0), the grids in the order of the attempts. Sizes are
    given as rows x columns. Right attempts carry a tick and the word, wrong ones a cross.
    """
    cell = _cell_size(task, attempts or {})
    demonstrations = [
        [_figure(f"Input {number}", pair.input, cell), *_outputs(pair, (), cell)]
        for number, pair in enumerate(task.train, 1)
    ]
    tests = [
        [
            _figure(f"Test input {index + 1}", pair.input, cell),
            *_outputs(pair, (attempts or {}).get(index, ()), cell),
        ]
        for index, pair in enumerate(task.test)
    ]
    demonstration_cards, test_cards = _cards(demonstrations), _cards(tests)
    width = max(demonstration_cards.width, test_cards.width, 240)
    counts = f"{_counted(len(task.train), 'demonstration')}, {_counted(len(task.test), 'test')}"
    title = _line(fitted(f"Task {task.id}", 22, width), 22, INK)
    parts = [
        column([title, _line(counts, 13, MUTED)], 6),
        column([_line("Demonstrations", 15, INK), demonstration_cards], 10),
        column([_line("Test", 15, INK), test_cards], 10),
    ]
    return framed(column(parts, 26), 32, PAPER)


def _cell_size(task: Task, attempts: Mapping[int, Sequence[Grid]]) -> int:
    """Pixels from cell to cell: small tasks get large cells, large ones still fit a screen."""
    grids = [grid for pair in (*task.train, *task.test) for grid in pair.grids]
    grids += [grid for pair in attempts.values() for grid in pair]
    longest: int = max(max(grid.shape) for grid in grids)
    return min(max(250 // longest, 8), 26)


def _outputs(pair: Pair, attempts: Sequence[Grid], cell: int) -> list[Scene]:
    """An arrow, then the attempts and the known output, or a question mark for lack of both."""
    figures = []
    for number, grid in enumerate(attempts, 1):
        right = None if pair.output is None else np.array_equal(grid, pair.output)
        figures.append(_figure(f"Attempt {number}", grid, cell, right))
    if pair.output is not None:
        figures.append(_figure("Correct output" if attempts else "Output", pair.output, cell))
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


def _figure(label: str, grid: Grid, cell: int, right: bool | None = None) -> Scene:
    """A grid with its name above, its size below and, where known, whether it is right."""
    drawing = _grid(grid, cell)
    name = _line(label, 13, INK)
    if right is not None:
        verdict = _line("right", 13, RIGHT) if right else _line("wrong", 13, WRONG)
        name = row([name, row([_tick() if right else _cross(), verdict], 4)], 8)
    height, width = grid.shape
    size = _line(f"{height} x {width}", 11, MUTED)
    parts = [name, drawing, size]
    slot = max(part.width for part in parts)
    return column([centred(part, slot, part.height) for part in parts], 6)


def _grid(grid: Grid, cell: int) -> Scene:
    """The cells, one pixel apart and framed by one, on the colour of the lines between them."""
    height, width = grid.shape
    ground = Rectangle(0, 0, width * cell + 1, height * cell + 1, GRID_LINE)
    cells = (
        Rectangle(x * cell + 1, y * cell + 1, cell - 1, cell - 1, PALETTE[colour])
        for (y, x), colour in np.ndenumerate(grid)
    )
    return Scene(ground.width, ground.height, (ground, *cells))


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


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
