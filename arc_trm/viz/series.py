"""Metrics of a run as lines that can be drawn: their points, running means and axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from arc_trm.errors import pluralise, verb
from arc_trm.metric_keys import EXACT_OF_HALTED, HALTED, SECONDS

Record: TypeAlias = Mapping[str, float]
"""A line of metrics.jsonl."""
Point: TypeAlias = tuple[float, float]

MAX_VALUE = 1e100
"""Differences of larger values may overflow."""
MAX_X = 1e11
"""Steps with more digits have no room below an axis."""
COUNTS = {EXACT_OF_HALTED: HALTED}
"""Under which key is of how many examples a mean is that is not of all: of those that halted."""
OF_HALTED = "_of_halted"
"""End of the keys that records without a halted example do not have."""
TIME = "seconds"
"""Key of the time of a record, which `with_seconds` adds."""


@dataclass(frozen=True)
class Series:
    """One metric over the steps, cut where a value cannot be drawn.

    Attributes:
        segments: (x, value) of the points between two cuts, in the order of x.
        weights: of each of these values in a mean: the number of examples that it is of.
        span: first and last x of all records; None if there is none.
        left_out: what cannot be drawn and why, "" if everything is drawn.
        nothing: why there is no point at all, "" if there is one.
        last: the value of the last record, which may not be finite; None if it has none.
    """

    segments: tuple[tuple[Point, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    span: tuple[float, float] | None
    left_out: str = ""
    nothing: str = ""
    last: float | None = None

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The points of all segments."""
        return tuple(point for segment in self.segments for point in segment)

    @property
    def window(self) -> int:
        """Points of a running mean, an odd number: about a twentieth of all; 1 if they are few."""
        return 2 * (len(self.points) // 40) + 1

    def smoothed(self) -> Series:
        """Return the running means over `window` points, each at its middle.

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
        return self.smoothed().points[-1][1] if self.segments else None

    def best(self, lowest: bool = False, tie_breaker: Series | None = None) -> Point | None:
        """Return the point with the highest (or lowest) value, None without a point.

        Of equal ones it is that where `tie_breaker` is highest, then the first.
        """
        sign = -1 if lowest else 1
        second = dict(tie_breaker.points) if tie_breaker is not None else {}
        return max(
            self.points,
            key=lambda point: (sign * point[1], second.get(point[0], 0.0)),
            default=None,
        )


def read_series(records: Sequence[Record], key: str, x: str = "step") -> Series:
    """Return the values under a key in the order of x.

    Training and evaluation have records of their own: only those with a key of the same prefix,
    such as `train/`, are of this series, so that others neither cut it nor are missing.
    """
    own = [record for record in records if _is_of(record, key)]
    known = sorted((r for r in own if _drawable(r.get(x), MAX_X)), key=lambda r: r[x])
    parts: list[list[Record]] = [[]]
    for record in known:
        if _drawable(record.get(key)):
            parts[-1].append(record)
        elif key in record and parts[-1]:  # a step at which no example halted is no cut
            parts.append([])
    parts = [part for part in parts if part]
    segments = tuple(tuple((each[x], each[key]) for each in part) for part in parts)
    weights = tuple(tuple(_weight(each, key) for each in part) for part in parts)
    places = [each[x] for each in records if _drawable(each.get(x), MAX_X)]
    span = (min(places), max(places)) if places else None
    left_out, nothing = _left_out(own, key, x), ""
    if all(key not in record for record in own):
        left_out, nothing = "", _missing(own, key)
    elif not segments:
        nothing = "no value can be drawn"
    last = known[-1].get(key) if known else None
    return Series(segments, weights, span, left_out, nothing, last)


def with_seconds(records: Sequence[Record]) -> list[Record] | None:
    """Return records with their time, from the start of training, as `TIME`.

    The time of an evaluation is that of its step between the records of training.

    Returns:
        None if no record says its time.
    """
    times = {
        each["step"]: each[SECONDS]
        for each in records
        if _drawable(each.get("step")) and _drawable(each.get(SECONDS), MAX_X)
    }
    if not times:
        return None
    steps, seconds = zip(*sorted({0: 0.0, **times}.items()), strict=True)
    known = [each for each in records if _drawable(each.get("step"))]
    found = np.interp([each["step"] for each in known], steps, seconds).tolist()
    return [{**each, TIME: at} for each, at in zip(known, found, strict=True)]


def mean_series(many: Sequence[Series]) -> Series:
    """Return the mean of several series where all of them that have points have values.

    Between two points of a series its values are on the line through them.
    """
    lines = [np.array(each.points, np.float64).T for each in many if each.segments]
    if not lines:
        return many[0]
    low, high = max(xs[0] for xs, _ in lines), min(xs[-1] for xs, _ in lines)
    xs = np.unique(np.concatenate([xs for xs, _ in lines]))
    xs = xs[(low <= xs) & (xs <= high)]
    means = np.mean([np.interp(xs, *line) for line in lines], axis=0)
    points = tuple(zip(xs.tolist(), means.tolist(), strict=True))
    segments = (points,) if points else ()
    return Series(segments, tuple((1.0,) * len(each) for each in segments), _joint_span(many))


@dataclass(frozen=True)
class Axes:
    """The axes of lines that are drawn together.

    Attributes:
        x: first and last x, which differ.
        y: ticks of the y axis.
    """

    x: tuple[float, float]
    y: tuple[float, ...]

    @classmethod
    def around(cls, many: Sequence[Series]) -> Axes:
        """Return axes that hold all points, and 0 on the y axis."""
        x = _joint_span(many) or (0.0, 1.0)
        room = max(1, 1e-6 * abs(x[0]))
        if x[1] - x[0] < room:
            x = (x[0] - room, x[0] + room)
        values = [value for each in many for _, value in each.points]
        return cls(x, ticks(min([0.0, *values]), max([0.0, *values]), 4))

    def relative_height(self, value: float) -> float:
        """Return how far up the y axis a value is: 0 at the bottom, 1 at the top."""
        return (value - self.y[0]) / (self.y[-1] - self.y[0])

    def place(self, point: Point, width: float, height: float) -> Point:
        """Return where a point is within `width` and `height`, x to the right and y upward."""
        first, last = self.x
        return width * (point[0] - first) / (last - first), height * self.relative_height(point[1])

    def lines(self, series: Series, width: float, height: float) -> Iterator[list[Point]]:
        """Yield each segment as points within `width` and `height`.

        Of every unit of x only the first, lowest, highest and last point are kept, which look like
        all of them in a line of about that width.
        """
        for segment in series.segments:
            units: dict[int, list[Point]] = {}
            for each in segment:
                point = self.place(each, width, height)
                units.setdefault(math.floor(point[0]), []).append(point)
            yield [point for unit in units.values() for point in _outline(unit)]


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


def _joint_span(many: Sequence[Series]) -> tuple[float, float] | None:
    """Return the first and last x of several series, None if none has any."""
    ends = [end for each in many if each.span for end in each.span]
    return (min(ends), max(ends)) if ends else None


def _is_of(record: Record, key: str) -> bool:
    """Return whether a record is one of those that may have a key."""
    prefix, slash, _ = key.partition("/")
    return key in record or (bool(slash) and any(k.startswith(prefix + slash) for k in record))


def _weight(record: Record, key: str) -> float:
    """Return how many examples a value is of; 1 where the record does not say it."""
    count = record.get(COUNTS.get(key, ""), 1)
    return count if _drawable(count) and count > 0 else 1


def _missing(records: Sequence[Record], key: str) -> str:
    """Return why none of the records has a key."""
    if not records:
        return "no metrics yet"
    return "no example halted yet" if key.endswith(OF_HALTED) else f"no {key} yet"


def _left_out(records: Sequence[Record], key: str, x: str) -> str:
    """Return what is left out; metrics of halted examples are missing if none halted."""
    found = [record for record in records if key in record]
    missing = len(records) - len(found)
    invalid = [r for r in found if not (_drawable(r[key]) and _drawable(r.get(x), MAX_X))]
    parts = []
    if invalid:
        finite = all(math.isfinite(r[key]) and math.isfinite(r.get(x, math.nan)) for r in invalid)
        why = "too large" if finite else "not finite"
        parts.append(f"{pluralise(len(invalid), 'value')} {why}")
    if missing:
        why = "in which no example halted" if key.endswith(OF_HALTED) else f"without {key}"
        parts.append(f"{pluralise(missing, 'record')} {why}")
    are = verb(missing + len(invalid), "is", "are")
    return f"{' and '.join(parts)} {are} left out" if parts else ""


def _outline(points: list[Point]) -> list[Point]:
    """Return the first, lowest, highest and last point, in their order and each once."""
    numbers = range(len(points))
    lowest = min(numbers, key=lambda number: points[number][1])
    highest = max(numbers, key=lambda number: points[number][1])
    return [points[number] for number in sorted({0, lowest, highest, len(points) - 1})]


def _drawable(value: float | None, limit: float = MAX_VALUE) -> bool:
    """Return whether a value is finite and small enough."""
    return value is not None and math.isfinite(value) and abs(value) < limit
