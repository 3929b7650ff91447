"""The training curve: loss and exact accuracy over the steps, every record as it was written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    column,
    fitted,
    framed,
)

PLOT_WIDTH, PLOT_HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 34, 44  # around the plot: labels, and room for the last tick


@dataclass(frozen=True)
class Measure:
    """One thing that is measured: its key in the records, and how to say it and what it is over."""

    key: str
    title: str
    colour: str
    percent: bool = False
    over: str = "Step"

    def label(self, value: float) -> str:
        return f"{100 * value:g} %" if self.percent else f"{value:g}"


MEASURES = (
    Measure("lm_loss", "Loss per sequence", "#B4531A"),
    Measure("exact_accuracy", "Exact accuracy: grids with every cell right", "#1F6FB2", True),
)


@dataclass(frozen=True)
class Series:
    """One measure over the steps, cut where a value cannot be drawn.

    `pieces` hold (step, value); `left_out` counts the values that are missing or not finite.
    """

    pieces: tuple[tuple[tuple[float, float], ...], ...]
    left_out: int
    x: tuple[float, float]
    y: tuple[float, ...]

    def share(self, tick: float) -> float:
        """How far up the axis a tick of y lies: 0 at the bottom, 1 at the top."""
        return (tick - self.y[0]) / (self.y[-1] - self.y[0])

    def points(self, width: float, height: float) -> Iterator[list[tuple[float, float]]]:
        """Each piece as points (x to the right, y upward) within `width` and `height`.

        Of every unit of x only the first, lowest, highest and last point are kept: drawn with a
        pen of about that width, that looks like all of them.
        """
        first, last = self.x
        for piece in self.pieces:
            units: dict[int, list[tuple[float, float]]] = {}
            for step, value in piece:
                point = width * (step - first) / (last - first), height * self.share(value)
                units.setdefault(math.floor(point[0]), []).append(point)
            yield [point for unit in units.values() for point in _outline(unit)]


def series(records: Sequence[Mapping[str, float]], key: str) -> Series:
    """The values of `key` in the order of their steps, with the range of x and the ticks of y."""
    known = sorted((r for r in records if _drawable(r.get("step"))), key=lambda r: r["step"])
    pieces: list[list[tuple[float, float]]] = [[]]
    for record in known:
        if _drawable(record.get(key)):
            pieces[-1].append((record["step"], record[key]))
        elif pieces[-1]:
            pieces.append([])
    kept = tuple(tuple(piece) for piece in pieces if piece)
    values = [value for piece in kept for _, value in piece]
    x = (known[0]["step"], known[-1]["step"]) if known else (0.0, 1.0)
    room = max(1, 1e-6 * abs(x[0]))
    if x[1] - x[0] < room:
        x = (x[0] - room, x[0] + room)
    y = ticks(min([0.0, *values]), max([0.0, *values]), 4)
    return Series(kept, len(records) - len(values), x, y)


def ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About `count` + 1 round numbers, evenly apart, from at most `low` to at least `high`."""
    if high - low < 1e-9 * max(1, abs(low)):
        high = low + max(1, abs(low))
    span = high - low
    unit = 10.0 ** math.floor(math.log10(span / count))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10, 20) if unit * m * count >= span * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(step * number for number in range(first, last + 1))


def curve_picture(records: Sequence[Mapping[str, float]], title: str = "Training") -> Scene:
    """Loss and exact accuracy over the steps, one panel each; nothing is smoothed.

    Without a title it is the panels alone, to be put into a page.

    A record is one line of a run's metrics, with at least the keys `step`, `lm_loss` and
    `exact_accuracy`. Values that are not finite interrupt the line and are counted in the panel.
    """
    panels = [panel(series(records, measure.key), measure) for measure in MEASURES]
    if not title:
        return column(panels, 18)
    heading = Text(0, 22, fitted(title, 22, panels[0].width), 22, INK)
    return framed(column([Scene(panels[0].width, 28, (heading,)), *panels], 18), 32, PAPER)


def panel(drawn: Series, measure: Measure) -> Scene:
    """One measure over the steps, with axes."""
    first, last = drawn.x
    floor, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    elements: list[Element] = [Text(0, 14, measure.title, 15, INK)]
    for tick in drawn.y:
        y = floor - PLOT_HEIGHT * drawn.share(tick)
        elements.append(Line(((LEFT, y), (right, y)), EDGE))
        elements.append(Text(LEFT - 8, y + 4, measure.label(tick), 12, MUTED, "end"))
    for tick in ticks(first, last, 6):
        if first <= tick <= last and tick == round(tick):
            x = LEFT + PLOT_WIDTH * (tick - first) / (last - first)
            elements.append(Line(((x, floor), (x, floor + 5)), MUTED))
            elements.append(Text(x, floor + 19, f"{tick:,.0f}", 12, MUTED, "middle"))
    elements.append(Line(((LEFT, floor), (right, floor)), MUTED))
    elements.append(Text(LEFT + PLOT_WIDTH / 2, floor + 37, measure.over, 12, MUTED, "middle"))
    for piece in drawn.points(PLOT_WIDTH, PLOT_HEIGHT):
        points = tuple((round(LEFT + x, 2), round(floor - y, 2)) for x, y in piece)
        if len(points) == 1:  # a line needs two
            ((x, y),) = points
            elements.append(Rectangle(x - 2, y - 2, 4, 4, measure.colour))
        else:
            elements.append(Line(points, measure.colour, 1.5))
    if not drawn.pieces:
        middle = LEFT + PLOT_WIDTH / 2, TOP + PLOT_HEIGHT / 2
        elements.append(Text(*middle, "Nothing to draw yet", 13, MUTED, "middle"))
    if drawn.left_out:
        note = f"{drawn.left_out:,} not finite, left out"
        elements.append(Text(right, 14, note, 12, MUTED, "end"))
    size = right + RIGHT, floor + BOTTOM
    return framed(Scene(*size, tuple(elements)), 16, CARD, EDGE)


def _outline(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The first, lowest, highest and last point, in their order and each once."""
    numbers = range(len(points))
    lowest = min(numbers, key=lambda number: points[number][1])
    highest = max(numbers, key=lambda number: points[number][1])
    return [points[number] for number in sorted({0, lowest, highest, len(points) - 1})]


def _drawable(value: float | None) -> bool:
    """Finite, and not so large that differences overflow (float32 ends at 3e38)."""
    return value is not None and math.isfinite(value) and abs(value) < 1e100
