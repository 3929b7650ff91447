"""The training curve: loss and exact accuracy over the steps, and their running means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from arc_trm.errors import pluralise
from arc_trm.runs import Run
from arc_trm.viz.svg import Drawing, Element, Line, Rectangle, Text, column, fit_text, framed
from arc_trm.viz.theme import CARD, EDGE, INK, MUTED, PAPER

PLOT_WIDTH, PLOT_HEIGHT = 760, 220
EXACT, EXACT_SHORT = "exact accuracy of halted training examples", "exact of halted"
"""What the share of halted training examples with every cell right is called; it is no score."""
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 34, 44  # margins of the plot, which hold labels


@dataclass(frozen=True)
class Measure:
    """One thing that is measured, under `key` in the records, and how it is drawn."""

    key: str
    title: str
    colour: str
    percent: bool = False
    x_label: str = "Step"

    def label(self, value: float) -> str:
        """Return a value as text."""
        return f"{100 * value:g} %" if self.percent else f"{value:g}"


MEASURES = (
    Measure("train/lm_loss", "Loss per example", "#B4531A"),
    Measure("train/exact_of_halted", f"{EXACT.capitalize()}: every cell right", "#1F6FB2", True),
)

COUNTS = {"train/exact_of_halted": "train/halted"}
"""Under which key is of how many examples a mean is that is not of all: of those that halted."""


@dataclass(frozen=True)
class Series:
    """One measure over the steps, cut where a value is not finite.

    Attributes:
        segments: (step, value) of the points between two cuts.
        weights: of each of these values in a mean: the number of examples that it is of.
        left_out: what cannot be drawn and why, "" if everything is drawn.
        nothing: why there is no point at all, "" if there is one.
        x: first and last step.
        y: ticks of the y axis.
        last: the value of the last record, which may not be finite; None if it has none.
    """

    segments: tuple[tuple[tuple[float, float], ...], ...]
    weights: tuple[tuple[float, ...], ...]
    left_out: str
    nothing: str
    x: tuple[float, float]
    y: tuple[float, ...]
    last: float | None

    def relative_height(self, value: float) -> float:
        """Return how far up the y axis a value is: 0 at the bottom, 1 at the top."""
        return (value - self.y[0]) / (self.y[-1] - self.y[0])

    @property
    def window(self) -> int:
        """Points of a running mean, an odd number: about a twentieth of all; 1 if they are few."""
        return 2 * (sum(map(len, self.segments)) // 40) + 1

    def smoothed(self) -> Series:
        """Return the running means over `window` points, each at its middle, with the same axes.

        Towards the ends of a segment they are over as many points as there are.
        """
        reach, segments = self.window // 2, []
        for segment, weights in zip(self.segments, self.weights, strict=True):
            steps, values = np.array(segment, np.float64).T
            sums = np.cumsum([np.zeros(2), *zip(values * weights, weights, strict=True)], axis=0)
            places = np.arange(len(values))
            low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
            totals, counts = (sums[high] - sums[low]).T
            means = totals / counts
            segments.append(tuple(zip(steps.tolist(), means.tolist(), strict=True)))
        return replace(self, segments=tuple(segments))

    @property
    def end(self) -> float | None:
        """The running mean at the end, or a last value that is not finite; None without a value."""
        if self.last is not None and not _drawable(self.last):
            return self.last
        return self.smoothed().segments[-1][-1][1] if self.segments else None

    def points(self, width: float, height: float) -> Iterator[list[tuple[float, float]]]:
        """Yield each segment as points (x to the right, y upward) within `width` and `height`.

        Of every unit of x only the first, lowest, highest and last point are kept, which look like
        all of them in a line of about that width.
        """
        first, last = self.x
        for segment in self.segments:
            units: dict[int, list[tuple[float, float]]] = {}
            for step, value in segment:
                x = width * (step - first) / (last - first)
                point = x, height * self.relative_height(value)
                units.setdefault(math.floor(x), []).append(point)
            yield [point for unit in units.values() for point in _outline(unit)]


def read_series(records: Sequence[Mapping[str, float]], key: str) -> Series:
    """Return the values under a key in the order of their steps."""
    known = sorted((r for r in records if _drawable(r.get("step"))), key=lambda r: r["step"])
    parts: list[list[Mapping[str, float]]] = [[]]
    for record in known:
        if _drawable(record.get(key)):
            parts[-1].append(record)
        elif key in record and parts[-1]:  # a step at which no sequence halted is no cut
            parts.append([])
    parts = [part for part in parts if part]
    segments = tuple(tuple((each["step"], each[key]) for each in part) for part in parts)
    weights = tuple(tuple(_weight(each, key) for each in part) for part in parts)
    values = [value for segment in segments for _, value in segment]
    x = (known[0]["step"], known[-1]["step"]) if known else (0.0, 1.0)
    room = max(1, 1e-6 * abs(x[0]))
    if x[1] - x[0] < room:
        x = (x[0] - room, x[0] + room)
    y = ticks(min([0.0, *values]), max([0.0, *values]), 4)
    left_out, nothing = _left_out(records, key, len(values)), ""
    if all(key not in record for record in records):
        left_out, nothing = "", "no sequence halted yet" if records else "no metrics yet"
    elif not values:
        nothing = "no value can be drawn"
    last = known[-1].get(key) if known else None
    return Series(segments, weights, left_out, nothing, x, y, last)


def _weight(record: Mapping[str, float], key: str) -> float:
    """Return how many examples a value is of; 1 where the record does not say it."""
    count = record.get(COUNTS.get(key, ""), 1)
    return count if _drawable(count) and count > 0 else 1


def _left_out(records: Sequence[Mapping[str, float]], key: str, drawn: int) -> str:
    """Return what is left out; metrics of halted sequences are missing if none halted."""
    missing = sum(key not in record for record in records)
    invalid = len(records) - drawn - missing
    parts = [f"{pluralise(invalid, 'value')} not finite"] if invalid else []
    if missing:
        parts.append(f"{pluralise(missing, 'record')} in which no sequence halted")
    verb = "is" if missing + invalid == 1 else "are"
    return f"{' and '.join(parts)} {verb} left out" if parts else ""


def ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return about `count` + 1 round numbers, evenly apart, that enclose `low` and `high`."""
    if high - low < 1e-9 * max(1, abs(low)):
        high = low + max(1, abs(low))
    span = high - low
    unit = 10.0 ** math.floor(math.log10(span / count))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10, 20) if unit * m * count >= span * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(step * number for number in range(first, last + 1))


def run_title(run: Run) -> str:
    """Return the name and the seed of a run."""
    return f"{run.config.name}, seed {run.config.seed}"


def draw_run(run: Run) -> Drawing:
    """Draw the training curve of a run."""
    return draw_curve(run.metrics, run_title(run))


def draw_curve(records: Sequence[Mapping[str, float]], title: str = "Training") -> Drawing:
    """Draw loss and exact accuracy over the steps, one panel each, with their running means.

    Args:
        records: lines of a run's metrics, with at least the keys `step`, `train/lm_loss` and
            `train/exact_of_halted`. Values that are not finite interrupt the line. They are
            counted, as are records without a value.
        title: of the drawing.
    """
    panels = [
        draw_panel(read_series(records, measure.key), measure, smooth=True) for measure in MEASURES
    ]
    heading = Text(0, 22, fit_text(title, 22, panels[0].width), 22, INK)
    return framed(column([Drawing(panels[0].width, 28, (heading,)), *panels], 18), 32, PAPER)


def draw_panel(series: Series, measure: Measure, smooth: bool = False) -> Drawing:
    """Draw one measure over the steps, with axes; smoothed with the raw line behind, if wished."""
    first, last = series.x
    floor, right = TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    elements: list[Element] = [Text(0, 14, measure.title, 15, INK)]
    for tick in series.y:
        y = floor - PLOT_HEIGHT * series.relative_height(tick)
        elements.append(Line(((LEFT, y), (right, y)), EDGE))
        elements.append(Text(LEFT - 8, y + 4, measure.label(tick), 12, MUTED, "end"))
    for tick in ticks(first, last, 6):
        if first <= tick <= last and tick == round(tick):
            x = LEFT + PLOT_WIDTH * (tick - first) / (last - first)
            elements.append(Line(((x, floor), (x, floor + 5)), MUTED))
            elements.append(Text(x, floor + 19, f"{tick:,.0f}", 12, MUTED, "middle"))
    elements.append(Line(((LEFT, floor), (right, floor)), MUTED))
    elements.append(Text(LEFT + PLOT_WIDTH / 2, floor + 37, measure.x_label, 12, MUTED, "middle"))
    if smooth and series.window > 1:
        elements += _lines(series, faint(measure.colour), 1)
        elements += _lines(series.smoothed(), measure.colour, 2)
    else:
        elements += _lines(series, measure.colour, 1.5)
    if series.nothing:
        middle = LEFT + PLOT_WIDTH / 2, TOP + PLOT_HEIGHT / 2
        elements.append(Text(*middle, series.nothing.capitalize(), 13, MUTED, "middle"))
    if series.left_out:
        elements.append(Text(right, 14, series.left_out, 12, MUTED, "end"))
    size = right + RIGHT, floor + BOTTOM
    return framed(Drawing(*size, tuple(elements)), 16, CARD, EDGE)


def faint(colour: str) -> str:
    """Mix a colour with that of the card, for a line in the background."""
    shades = zip(bytes.fromhex(colour[1:]), bytes.fromhex(CARD[1:]), strict=True)
    return "#" + "".join(f"{round(0.35 * ink + 0.65 * card):02X}" for ink, card in shades)


def _lines(series: Series, colour: str, width: float) -> Iterator[Element]:
    """Yield a line for each segment of a series, or a dot for a single point."""
    floor = TOP + PLOT_HEIGHT
    for segment in series.points(PLOT_WIDTH, PLOT_HEIGHT):
        points = tuple((round(LEFT + x, 2), round(floor - y, 2)) for x, y in segment)
        if len(points) == 1:
            x, y = points[0]
            yield Rectangle(x - 2, y - 2, 4, 4, colour)
        else:
            yield Line(points, colour, width)


def _outline(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the first, lowest, highest and last point, in their order and each once."""
    numbers = range(len(points))
    lowest = min(numbers, key=lambda number: points[number][1])
    highest = max(numbers, key=lambda number: points[number][1])
    return [points[number] for number in sorted({0, lowest, highest, len(points) - 1})]


def _drawable(value: float | None) -> bool:
    """Return whether a value is finite, and so small that differences do not overflow."""
    return value is not None and math.isfinite(value) and abs(value) < 1e100
