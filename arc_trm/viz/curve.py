"""The curves of a run: its loss, and the shares of exact answers in training and validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from arc_trm.evaluation.metrics import best_evaluation
from arc_trm.metric_keys import (
    EVAL,
    EXACT,
    EXACT_OF_HALTED,
    LM_LOSS,
    PASS_AT_1,
    PASS_AT_2,
    PUZZLES,
    SHARES,
    format_metric,
    has_key,
    is_share,
    main_metric,
    metric_name,
)
from arc_trm.runs import Run
from arc_trm.viz.series import Axes, Point, Record, Series, read_series, ticks
from arc_trm.viz.svg import (
    Drawing,
    Element,
    Line,
    Rectangle,
    Text,
    column,
    fit_text,
    framed,
    text_width,
)
from arc_trm.viz.theme import CARD, EDGE, INK, MUTED, PAPER

PLOT_WIDTH, PLOT_HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 34, 44
"""Margins of the plot, which hold labels; above it there is room for the legend, too."""
LEGEND_SIZE, LEGEND_ROW, LEGEND_GAP, SWATCH = 12, 20, 18, 18
MAX_PUZZLES = 1e9
"""Larger numbers of puzzles are no such numbers."""
MAX_MARKS = 100
"""Points of a line that are marked; more would hide it."""
TRAINING, VALIDATION, OTHER_VALIDATION = "#1F6FB2", "#B4531A", INK
"""Colours of curves, which do not need to be told apart by hue."""
EXACT_SHORT = "exact of halted"
"""What the share of halted training examples with every cell right is called; it is no score."""
Mark: TypeAlias = Literal["line", "points", "best"]


@dataclass(frozen=True)
class Curve:
    """A line in a panel.

    Attributes:
        series: that is drawn.
        label: in the legend, "" for none.
        colour: of the line.
        key: of the metric.
        background: series that are drawn faint behind all lines, such as what a mean is of.
        marked: whether each point is marked, if they are not too many.
        best: the point that is marked as the best.
    """

    series: Series
    label: str
    colour: str
    key: str
    background: tuple[Series, ...] = ()
    marked: bool = False
    best: Point | None = None

    @property
    def marks(self) -> tuple[Point, ...]:
        """The points that are marked."""
        points = self.series.points
        return points if self.marked and len(points) <= MAX_MARKS else ()

    @property
    def all_series(self) -> tuple[Series, ...]:
        """What is drawn in front and behind."""
        return (self.series, *self.background)


class LegendEntry(NamedTuple):
    """What a legend says of a curve, of its best point (`best`), or of what is left out."""

    text: str
    mark: Mark | None
    """None is a note about the panel."""
    curve: Curve


@dataclass(frozen=True)
class Panel:
    """Curves over the same axes, all shares or none; those of a run begin with that of training."""

    title: str
    curves: tuple[Curve, ...]
    x_label: str = "Step"

    @cached_property
    def axes(self) -> Axes:
        """Axes that hold all curves."""
        return Axes.around([each for curve in self.curves for each in curve.all_series])

    @property
    def percent(self) -> bool:
        """Whether the values are shares."""
        return is_share(self.curves[0].key)

    @property
    def nothing(self) -> str:
        """Why there is nothing to draw, "" if there is something."""
        is_empty = all(not each.segments for curve in self.curves for each in curve.all_series)
        return self.curves[0].series.nothing if is_empty else ""

    def label(self, value: float) -> str:
        """Return a value as text."""
        return format_metric(self.curves[0].key, value)

    def legend(self) -> list[LegendEntry]:
        """Return the curves that have points, their best points, and what is left out."""
        entries, notes = [], []
        for curve in self.curves:
            if curve.series.segments and curve.label:
                entries.append(
                    LegendEntry(curve.label, "points" if curve.marked else "line", curve)
                )
            if curve.best is not None:
                x, value = curve.best
                text = f"best: {self.label(value)} at {self.x_label.lower()} {x:,.0f}"
                entries.append(LegendEntry(text, "best", curve))
            reasons = [curve.series.left_out]
            if not curve.series.segments and not self.nothing:
                reasons.append(curve.series.nothing)
            prefix = "of evaluations, " if curve.key.startswith(EVAL) else ""
            notes += [LegendEntry(f"{prefix}{each}", None, curve) for each in reasons if each]
        return entries + notes


def run_panels(records: Sequence[Record], best_metric: str = "auto") -> tuple[Panel, Panel]:
    """Return the loss, and the exact answers of halted training examples and of validation puzzles.

    Args:
        records: lines of a run's metrics.
        best_metric: by which the best evaluation is marked, as in `train.best_metric`.
    """
    loss = smoothed_curve(read_series(records, LM_LOSS), "training examples", TRAINING, LM_LOSS)
    exact = smoothed_curve(
        read_series(records, EXACT_OF_HALTED),
        "of halted training examples",
        TRAINING,
        EXACT_OF_HALTED,
    )
    validation = validation_curves(records, best_metric)
    return (
        Panel("Loss per example", (loss,)),
        Panel("Exact: every cell right", (exact, *validation)),
    )


def smoothed_curve(series: Series, label: str, colour: str, key: str) -> Curve:
    """Return the running mean of a series in front of itself; itself if it has few points."""
    if series.window == 1:
        return Curve(series, label, colour, key)
    label = f"{label}, running mean of {series.window:,} records"
    return Curve(series.smoothed(), label, colour, key, (series,))


def validation_curves(records: Sequence[Record], best_metric: str = "auto") -> list[Curve]:
    """Return the curves of the evaluations, none without evaluations; the last has the best.

    They are of `eval/exact`, of ARC of pass@1 and pass@2, and of another share that decides which
    weights are the best.
    """
    best_key = best_metric_key(records, best_metric)
    keys = [key for key in (PASS_AT_1, PASS_AT_2) if has_key(records, key)]
    keys = keys or [key for key in (EXACT,) if has_key(records, key)]
    if best_key in SHARES and has_key(records, best_key):
        keys = [*(key for key in keys if key != best_key), best_key]
    curves = []
    for key in keys:
        series = read_series(records, key)
        name = f"{SHARES[key]} " if len(keys) > 1 or key != EXACT else ""
        label = f"{name}of {_puzzles(records)}, averaged weights"
        colour = VALIDATION if key == keys[-1] else OTHER_VALIDATION
        best = _best_point(records, series, key) if key == best_key else None
        curves.append(Curve(series, label, colour, key, marked=True, best=best))
    return curves


def _best_point(records: Sequence[Record], series: Series, key: str) -> Point | None:
    """Return the point of the evaluation whose weights are the best."""
    found = best_evaluation(records, key.removeprefix(EVAL))
    point = None if found is None else (found["step"], found[key])
    return point if point in series.points else series.best()


def describe_best(panel: Panel) -> str:
    """Return the best evaluation in words, "" without one."""
    for curve in panel.curves:
        if curve.best is not None:
            step, value = curve.best
            share = panel.label(value)
            return f"validation {metric_name(curve.key)} at best {share} at step {step:,.0f}"
    return ""


def best_metric_key(records: Sequence[Record], best_metric: str) -> str:
    """Return the key by which evaluations are ranked; `auto` is pass@2 for ARC, else exact."""
    return main_metric(records) if best_metric == "auto" else EVAL + best_metric


def _puzzles(records: Sequence[Record]) -> str:
    """Return `200 validation puzzles`; `100–200 ...` if evaluations differ; of ARC tasks."""
    counts = [value for _, value in read_series(records, PUZZLES).points]
    low, high = min(counts, default=0), max(counts, default=0)
    noun = "task" if has_key(records, PASS_AT_1) else "puzzle"
    if not 0 < low <= high < MAX_PUZZLES:
        return f"validation {noun}s"
    number = f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
    return f"{number} validation {noun}{'' if high == 1 else 's'}"


def run_title(run: Run) -> str:
    """Return the name and the seed of a run."""
    return f"{run.config.name}, seed {run.config.seed}"


def draw_run(run: Run) -> Drawing:
    """Draw the curves of a run."""
    return draw_curve(run.metrics, run_title(run), run.config.train.best_metric)


def draw_curve(
    records: Sequence[Record], title: str = "Training", best_metric: str = "auto"
) -> Drawing:
    """Draw loss and exact answers over the steps, one panel each, in training and validation.

    Args:
        records: lines of a run's metrics. Values that are not finite interrupt the line. They are
            counted, as are records without a value.
        title: of the drawing.
        best_metric: by which the best evaluation is marked, as in `train.best_metric`.
    """
    return draw_panels(run_panels(records, best_metric), title)


def draw_panels(panels: Sequence[Panel], title: str) -> Drawing:
    """Draw panels below one another, under a title."""
    drawn = [draw_panel(panel) for panel in panels]
    heading = Text(0, 22, fit_text(title, 22, drawn[0].width), 22, INK)
    return framed(column([Drawing(drawn[0].width, 28, (heading,)), *drawn], 18), 32, PAPER)


def draw_panel(panel: Panel) -> Drawing:
    """Draw curves over their axes, under a legend."""
    legend, legend_rows = _draw_legend(panel.legend())
    top = TOP + LEGEND_ROW * legend_rows
    floor, right = top + PLOT_HEIGHT, LEFT + PLOT_WIDTH
    first, last = panel.axes.x
    elements: list[Element] = [Text(0, 14, panel.title, 15, INK), *legend]
    for tick in panel.axes.y:
        y = floor - PLOT_HEIGHT * panel.axes.relative_height(tick)
        elements.append(Line(((LEFT, y), (right, y)), EDGE))
        elements.append(Text(LEFT - 8, y + 4, panel.label(tick), 12, MUTED, "end"))
    for tick in ticks(first, last, 6):
        if first <= tick <= last and tick == round(tick):
            x = LEFT + PLOT_WIDTH * (tick - first) / (last - first)
            elements.append(Line(((x, floor), (x, floor + 5)), MUTED))
            elements.append(Text(x, floor + 19, f"{tick:,.0f}", 12, MUTED, "middle"))
    elements.append(Line(((LEFT, floor), (right, floor)), MUTED))
    elements.append(Text(LEFT + PLOT_WIDTH / 2, floor + 37, panel.x_label, 12, MUTED, "middle"))
    for curve in panel.curves:
        for series in curve.background:
            elements += _lines(panel.axes, series, faint(curve.colour), 1, floor)
    for curve in panel.curves:
        width = 2 if curve.background or curve.marked else 1.5
        elements += _lines(panel.axes, curve.series, curve.colour, width, floor)
        for point in curve.marks:
            elements.append(_square(_place(panel.axes, point, floor), 6, curve.colour))
        if curve.best is not None:
            elements += _best_mark(_place(panel.axes, curve.best, floor), curve.colour)
    if panel.nothing:
        middle = LEFT + PLOT_WIDTH / 2, top + PLOT_HEIGHT / 2
        elements.append(Text(*middle, panel.nothing.capitalize(), 13, MUTED, "middle"))
    size = right + RIGHT, floor + BOTTOM
    return framed(Drawing(*size, tuple(elements)), 16, CARD, EDGE)


def faint(colour: str) -> str:
    """Mix a colour with that of the card, for a line in the background."""
    shades = zip(bytes.fromhex(colour[1:]), bytes.fromhex(CARD[1:]), strict=True)
    return "#" + "".join(f"{round(0.35 * ink + 0.65 * card):02X}" for ink, card in shades)


def _draw_legend(entries: Sequence[LegendEntry]) -> tuple[list[Element], int]:
    """Return a legend below the title, in as many rows as its texts need, and their number."""
    elements: list[Element] = []
    room = LEFT + PLOT_WIDTH
    x, row = 0.0, 0
    for entry in entries:
        indent = SWATCH + 6 if entry.mark else 0
        text = fit_text(entry.text, LEGEND_SIZE, room - indent)
        width = indent + text_width(text, LEGEND_SIZE)
        if x and x + width > room:
            x, row = 0.0, row + 1
        y = TOP + LEGEND_ROW * row
        middle = x + SWATCH / 2, y - 4
        if entry.mark in ("line", "points"):
            elements.append(Line(((x, y - 4), (x + SWATCH, y - 4)), entry.curve.colour, 2))
        if entry.mark == "points":
            elements.append(_square(middle, 6, entry.curve.colour))
        if entry.mark == "best":
            elements += _best_mark(middle, entry.curve.colour)
        elements.append(Text(x + indent, y, text, LEGEND_SIZE, MUTED))
        x += width + LEGEND_GAP
    return elements, row + 1 if entries else 0


def _square(middle: Point, size: float, colour: str) -> Rectangle:
    return Rectangle(middle[0] - size / 2, middle[1] - size / 2, size, size, colour)


def _best_mark(middle: Point, colour: str) -> Iterator[Element]:
    """Yield a square within a square."""
    for size, fill in ((13, colour), (9, CARD), (5, colour)):
        yield _square(middle, size, fill)


def _place(axes: Axes, point: Point, floor: float) -> Point:
    """Return where a point is in a panel whose x axis is at the height `floor`."""
    x, y = axes.place(point, PLOT_WIDTH, PLOT_HEIGHT)
    return round(LEFT + x, 2), round(floor - y, 2)


def _lines(
    axes: Axes, series: Series, colour: str, width: float, floor: float
) -> Iterator[Element]:
    """Yield a line for each segment of a series, or a dot for a single point."""
    for segment in axes.lines(series, PLOT_WIDTH, PLOT_HEIGHT):
        points = tuple((round(LEFT + x, 2), round(floor - y, 2)) for x, y in segment)
        if len(points) == 1:
            yield _square(points[0], 4, colour)
        else:
            yield Line(points, colour, width)
