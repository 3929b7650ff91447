"""Several runs side by side: what differs, how good they became, and their curves.

Runs that differ in their seed alone are seeds of the same settings. Where the results of two
settings overlap, nothing says that one is better than the other.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from arc_trm.config import to_dict
from arc_trm.config.compare import describe_preset, flatten
from arc_trm.display import Displayed
from arc_trm.errors import (
    UserError,
    escape_controls,
    format_names,
    format_value,
    quote_path,
    suggestion,
)
from arc_trm.metric_keys import (
    CELL_ACCURACY,
    EVAL,
    EXACT,
    EXACT_OF_HALTED,
    EXAMPLES_PER_SECOND,
    LM_LOSS,
    PASS_AT_2,
    PUZZLES,
    format_metric,
    is_share,
)
from arc_trm.runs import Run
from arc_trm.viz.curve import (
    MAX_PUZZLES,
    Curve,
    Panel,
    draw_panels,
)
from arc_trm.viz.series import (
    TIME,
    Point,
    Record,
    Series,
    mean_series,
    read_series,
    with_seconds,
)
from arc_trm.viz.svg import Drawing

X: TypeAlias = Literal["step", "seconds"]
Settings: TypeAlias = Mapping[str, Any]
"""A config as one table, whose keys are those of --set."""
DEFAULT_METRICS = (PASS_AT_2, EXACT, EXACT_OF_HALTED)
"""The first that all runs have is compared. Only ARC has pass@2."""
TITLES = {
    LM_LOSS: "loss per training example",
    EXACT_OF_HALTED: "share of halted training examples with every cell right",
}
NO_DIFFERENCE = ("name", "seed", "train.save_interval_s", "train.keep_checkpoints")
"""Settings that change nothing but what chance does."""
DATA_SETTINGS = ("data.train", "data.train_puzzles", "data.validation", "data.validation_puzzles")
"""Settings on which depends which puzzles are for validation."""
CODE = "code"
"""Key of the digest of the source of arc-trm and of what was registered, beside the settings."""
TIME_LIMIT = "train.time_limit"
PLANNED: Mapping[str, Callable[[float, float], float]] = {
    "epochs": lambda _value, _steps: 0.0,
    "train.total_steps": lambda _value, _steps: 0.0,
    "train.warmup_steps": lambda value, steps: value / steps,
    "train.ema_decay": lambda value, steps: (1 - value) * steps,
}
"""Settings that a time limit decides, as parts of the run, which are the same for every seed."""
MAX_SHOWN = 3
"""Settings that are named in the label of a run."""
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#33312E",
    "#332288",
)
"""Told apart by readers who are colour-blind: those of Okabe and Ito (2008), whose yellow is too
bright on white, and an indigo of Paul Tol's."""
UNITS = (("hours", 3600, 5 * 3600), ("minutes", 60, 300), ("seconds", 1, 0))
"""Units of time, their seconds, and from how many seconds on an axis has them."""


@dataclass(frozen=True)
class ComparedRun:
    """A run and its value of the metric.

    Attributes:
        run: that is compared.
        records: of its metrics.jsonl, with their time if it is known.
        series: of the metric over the steps, running means of a metric of training.
        value: the best value, or the last of a metric of which none is the best.
        step: at which it has this value.
        evaluations: how many points the best is chosen from; None of running means.
    """

    run: Run
    records: Sequence[Record]
    series: Series
    value: float
    step: float
    evaluations: int | None

    @property
    def seed(self) -> int:
        return self.run.config.seed

    @cached_property
    def seconds(self) -> float | None:
        """How long it was trained, None if its records do not say it."""
        times = [value for _, value in read_series(self.records, TIME).points]
        return max(times, default=None)

    @cached_property
    def examples_per_second(self) -> float | None:
        """Running mean at the end; None if no record says it."""
        return read_series(self.records, EXAMPLES_PER_SECOND).end

    def seconds_at(self, step: float) -> float | None:
        """Return the time at a step of the records."""
        found = (each[TIME] for each in self.records if each["step"] == step and TIME in each)
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain values."""
        return {
            "run": str(self.run.path),
            "seed": self.seed,
            "step": self.run.step,
            "total_steps": self.run.total_steps,
            "value": self.value,
            "at_step": self.step,
            "at_seconds": self.seconds_at(self.step),
            "seconds": self.seconds,
            "examples_per_second": _finite(self.examples_per_second),
        }


@dataclass(frozen=True)
class RunGroup:
    """Runs of the same settings with different seeds, or a run alone.

    Attributes:
        label: what differs from the other groups.
        settings: those that differ between the groups, by their keys as for --set, and `code`.
        colour: of its curves.
        runs: of the group, at least one.
        is_repeated: whether another run has the same settings and the same seed.
    """

    label: str
    settings: dict[str, Any]
    colour: str
    runs: tuple[ComparedRun, ...]
    is_repeated: bool = False

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return sum(each.value for each in self.runs) / len(self.runs)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value."""
        values = [each.value for each in self.runs]
        return min(values), max(values)


@dataclass(frozen=True)
class GroupDifference:
    """A group against the first one.

    Attributes:
        value: difference of the means.
        overlap: whether the ranges overlap; None if one of the groups has one seed only.
        chance: how often ranges of as many seeds do not overlap if there is no difference; None if
            one of the groups has one seed only.
    """

    group: RunGroup
    value: float
    overlap: bool | None
    chance: float | None


class RunComparison(Displayed):
    """Several runs by one metric; a notebook shows their curves.

    Attributes:
        metric: its key in metrics.jsonl.
        groups: of runs with the same settings, in the order of the first run of each.
        notes: sentences on what makes the runs hard to compare.
    """

    def __init__(
        self, metric: str, groups: Sequence[RunGroup], with_loss: bool, x: X = "step"
    ) -> None:
        self.metric, self.groups, self.with_loss, self.x = metric, tuple(groups), with_loss, x

    def __repr__(self) -> str:
        groups = map(self.describe_group, self.groups)
        return "\n".join(map(escape_controls, [self.summary, *groups, *self.sentences()]))

    @property
    def runs(self) -> list[ComparedRun]:
        """All runs."""
        return [each for group in self.groups for each in group.runs]

    @property
    def value_name(self) -> str:
        """Which value of each run is compared."""
        names = {"highest": "best", "lowest": "lowest"}
        return names.get(direction(self.metric) or "", "last")

    @property
    def summary(self) -> str:
        """What the values are."""
        counts = [each.evaluations for each in self.runs if each.evaluations is not None]
        number = f"{_range_text(counts)} evaluations" if counts else "the running means"
        return f"{metric_title(self.metric)}; {self.value_name} of {number}"

    @cached_property
    def notes(self) -> list[str]:
        notes = []
        if self.metric.startswith(EVAL):
            counts = [value for each in self.runs for value in _puzzle_counts(each)]
            if counts and min(counts) < max(counts):
                number = _range_text(counts)
                notes.append(f"The evaluations are of different numbers of puzzles: {number}")
        data = [key for key in DATA_SETTINGS if key in self.groups[0].settings]
        if data:
            keys = " and ".join(data)
            notes.append(f"The runs differ in {keys}: their values may be of different puzzles")
        same = [
            str(run.run.path) for group in self.groups if group.is_repeated for run in group.runs
        ]
        machines = {machine for each in self.runs for machine in _machines(each.run)}
        if len(machines) > 1:
            listed = format_names(sorted(machines))
            notes.append(f"Times of different machines are not comparable: {listed}")
        if same:
            notes.append(
                f"{', '.join(same)} have the settings and the seed of another one of these runs: "
                "what differs is not recorded"
            )
        return notes

    @cached_property
    def differences(self) -> list[GroupDifference]:
        """Every other group against the first one."""
        first, *others = self.groups
        return [_difference(first, other) for other in others]

    @property
    def can_be_drawn(self) -> bool:
        """Whether there are enough colours to tell the groups apart."""
        return len(self.groups) <= len(COLOURS)

    def label(self, value: float) -> str:
        """Return a value of the metric as text."""
        return format_metric(self.metric, value)

    def describe_group(self, group: RunGroup) -> str:
        """Return the label of a group, of several seeds with their mean and range."""
        if len(group.runs) == 1:
            return f"{group.label}: {self.label(group.mean)}"
        low, high = map(self.label, group.range)
        return (
            f"{group.label}: mean {self.label(group.mean)}, {low} to {high}, "
            f"{len(group.runs)} seeds"
        )

    def sentences(self) -> list[str]:
        """Return how the groups differ from the first one, and the notes."""
        known = [each for each in self.differences if each.chance is not None]
        found = [self._describe_difference(each) for each in known]
        if len(known) < len(self.differences):
            found.append("Of one seed alone nothing says whether a difference is more than chance")
        return [f"{sentence}." for sentence in (*found, *self.notes)]

    def _describe_difference(self, difference: GroupDifference) -> str:
        names = f"{difference.group.label} against {self.groups[0].label}"
        size = f"{difference.value:+.4g}"
        if is_share(self.metric):
            size = f"{100 * difference.value:+.3g} points"
        size = size.replace("-", "−")
        if difference.overlap:
            return f"{names}: no clear difference, the ranges overlap ({size})"
        chance = f"{100 * (difference.chance or 0):.2g} %"
        by_chance = f"chance alone does that in {chance} of cases"
        return f"{names}: {size}, the ranges do not overlap ({by_chance})"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "metric": self.metric,
            "value": direction(self.metric) or "last",
            "groups": [
                {
                    "label": group.label,
                    "settings": group.settings,
                    "mean": group.mean,
                    "low": group.range[0],
                    "high": group.range[1],
                    "runs": [each.to_json() for each in group.runs],
                }
                for group in self.groups
            ],
            "differences": [
                {
                    "group": each.group.label,
                    "against": self.groups[0].label,
                    "difference": each.value,
                    "ranges_overlap": each.overlap,
                    "chance": each.chance,
                }
                for each in self.differences
            ],
            "notes": self.notes,
        }

    def draw(self) -> Drawing:
        """Draw the curves: of several seeds their mean, and thin lines for each.

        Raises:
            UserError: there are more groups than colours.
        """
        if not self.can_be_drawn:
            raise UserError(
                f"a picture tells {len(COLOURS)} settings apart, and these are "
                f"{len(self.groups)}: name fewer runs"
            )
        metrics = [self.metric, LM_LOSS] if self.with_loss else [self.metric]
        x_label, scale = "Step", 1
        if self.x == "seconds":
            longest = max(each.seconds or 0 for each in self.runs)
            unit, scale = next((name, size) for name, size, least in UNITS if longest >= least)
            x_label = f"Training time in {unit}"
        panels = []
        for key in metrics:
            curves = tuple(self._curve(group, key, scale) for group in self.groups)
            panels.append(Panel(metric_title(key), curves, x_label))
        names = {each.run.config.name for each in self.runs}
        name = f"{names.pop()}, " if len(names) == 1 else ""
        return draw_panels(panels, f"{name}{len(self.runs)} runs")

    def _curve(self, group: RunGroup, key: str, scale: int) -> Curve:
        """Return the curve of a group, with x in units of `scale`."""
        x = TIME if self.x == "seconds" else "step"
        many = [
            drawn_series(
                [{**record, x: record[x] / scale} for record in each.records if x in record], key, x
            )
            for each in group.runs
        ]
        if len(many) == 1:
            return Curve(many[0], group.label, group.colour, key, marked=key.startswith(EVAL))
        label = f"{group.label}: mean and each of {len(many)} seeds"
        return Curve(mean_series(many), label, group.colour, key, tuple(many))


def compare_runs(
    runs: Sequence[str | os.PathLike[str]], metric: str | None = None, x: X = "step"
) -> RunComparison:
    """Compare runs by a metric of their training or evaluations.

    Args:
        runs: folders of two runs or more.
        metric: its key in metrics.jsonl, such as `eval/exact`; None is pass@2, else exact of the
            evaluations, else exact of halted training examples, whichever all have, beside the
            loss.
        x: what the curves are drawn over, steps or the time of training.

    Raises:
        UserError: there is one run only, a folder is no run, a run has no metrics, or not this one.
    """
    found = [Run(folder) for folder in runs]
    _check_runs(found)
    records = [with_seconds(run.metrics) or run.metrics for run in found]
    if x == "seconds":
        for run, each in zip(found, records, strict=True):
            if not any(TIME in record for record in each):
                raise UserError(f"{run.path} does not say how long it was trained: use --x step")
    chosen = _choose_metric(found, metric)
    compared = [_compared(*each, chosen) for each in zip(found, records, strict=True)]
    return RunComparison(chosen, _groups(compared), metric is None and chosen != LM_LOSS, x)


def direction(key: str) -> Literal["highest", "lowest"] | None:
    """Return which value of a metric is the best, None if none is."""
    name = key.rpartition("/")[2]
    if "loss" in name or "error" in name:
        return "lowest"
    return "highest" if is_share(key) and name != "halted_share" else None


def metric_title(key: str) -> str:
    """Return what a metric is called above its curves."""
    if key in TITLES:
        return f"{key}: {TITLES[key]}"
    return f"{key}: of validation puzzles, averaged weights" if key.startswith(EVAL) else key


def drawn_series(records: Sequence[Record], key: str, x: str = "step") -> Series:
    """Return a metric as it is compared: evaluations as they are, of training running means."""
    series = read_series(records, key, x)
    return series if key.startswith(EVAL) else series.smoothed()


def _check_runs(runs: Sequence[Run]) -> None:
    """Raise UserError unless these are two runs or more, each named once, with metrics."""
    for run in runs:
        _ = run.config  # raises an error if the folder is no run
    if len(runs) < 2:
        name = quote_path(runs[0].path) if runs else "RUN"
        raise UserError(f"name two runs or more to compare; `arc-trm show {name}` shows one")
    counts = Counter(run.path.resolve() for run in runs)
    for run in runs:
        if counts[run.path.resolve()] > 1:
            raise UserError(f"{run.path} is named more than once: name each run once")
        if not run.metrics:
            raise UserError(f"{run.path} has no metrics yet: compare it when it has trained a step")


def _choose_metric(runs: Sequence[Run], metric: str | None) -> str:
    """Return the metric, or the default one. Raises UserError if it is not one of all runs."""
    keys = [metric_keys(run.metrics) for run in runs]
    shared = [key for key in keys[0] if all(key in others for others in keys)]
    if metric is None:
        for key in (*DEFAULT_METRICS, LM_LOSS):
            if key in shared:
                return key
        raise UserError(f"the runs have no metric in common by which to compare them{_of(shared)}")
    if metric in shared:
        return metric
    if not any(metric in each for each in keys):
        raise UserError(f"there is no metric {format_value(metric)}{suggestion(metric, shared)}")
    lacking = next(run for run, each in zip(runs, keys, strict=True) if metric not in each)
    raise UserError(f"{lacking.path} has no {metric}{_of(shared)}")


def _of(shared: Sequence[str]) -> str:
    return f"; all have {', '.join(sorted(shared))}" if shared else ""


def metric_keys(records: Sequence[Record]) -> list[str]:
    """Return the metrics that have a value that can be drawn."""
    keys = dict.fromkeys(key for record in records for key in record if key != "step")
    return [key for key in keys if read_series(records, key).segments]


def _compared(run: Run, records: Sequence[Record], metric: str) -> ComparedRun:
    series = drawn_series(records, metric)
    best = direction(metric)
    point: Point | None = series.points[-1]
    if best is not None:
        ties = read_series(records, CELL_ACCURACY) if metric.startswith(EVAL) else None
        point = series.best(best == "lowest", ties)
    assert point is not None, "a metric of all runs has points"
    step, value = point
    evaluations = len(series.points) if metric.startswith(EVAL) else None
    return ComparedRun(run, records, series, value, step, evaluations)


def _groups(runs: Sequence[ComparedRun]) -> list[RunGroup]:
    """Return the runs grouped by their settings.

    If two of them have the same seed, something else differs, and each stays alone.
    """
    settings = [_settings(each.run) for each in runs]
    members: list[list[int]] = []
    for number, own in enumerate(settings):
        alike = (each for each in members if not _differing([settings[each[0]], own]))
        found = next(alike, None)
        if found is None:
            members.append([number])
        else:
            found.append(number)
    repeated = {number for each in members if _has_equal_seeds(runs, each) for number in each}
    members = [
        part
        for each in members
        for part in ([[number] for number in each] if each[0] in repeated else [each])
    ]
    differing = _differing([settings[numbers[0]] for numbers in members])
    name_preset = len({each.run.config.name for each in runs}) > 1
    firsts = [(runs[numbers[0]].run, settings[numbers[0]]) for numbers in members]
    labels = [_label(run, differing, own, name_preset) for run, own in firsts]
    counts = Counter(labels)
    return [
        RunGroup(
            label if counts[label] == 1 else f"{label}, {run.path}",
            {key: own.get(key) for key in differing},
            COLOURS[position % len(COLOURS)],
            tuple(runs[number] for number in numbers),
            numbers[0] in repeated,
        )
        for position, (label, numbers, (run, own)) in enumerate(
            zip(labels, members, firsts, strict=True)
        )
    ]


def _settings(run: Run) -> Settings:
    """Return the config of a run as one table, and what is known of the code that trained it."""
    return {CODE: _code(run), **flatten(to_dict(run.config))}


def _code(run: Run) -> str | None:
    """Return a digest of the source, or several of a resumed run; None if it is not known."""
    sources = (each.get("source") or each.get("source_digest") for each in run.provenance.entries)
    names = [str(each).removeprefix("source-").removesuffix(".zip")[:8] for each in sources if each]
    return ", ".join(dict.fromkeys(names)) or None


def _has_equal_seeds(runs: Sequence[ComparedRun], numbers: Sequence[int]) -> bool:
    return len({runs[number].seed for number in numbers}) < len(numbers)


def _differing(settings: Sequence[Settings]) -> list[str]:
    """Return the keys of the settings that are not the same everywhere."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if any(_differs(key, settings[0], each) for each in settings[1:])]


def _differs(key: str, one: Settings, other: Settings) -> bool:
    """Return whether a setting differs; what a time limit decided is none."""
    if key in NO_DIFFERENCE or one.get(key) == other.get(key):
        return False
    if key == CODE:
        return None not in (one[CODE], other[CODE])  # an unknown one may be the same
    if key not in PLANNED or one.get(TIME_LIMIT) is None or other.get(TIME_LIMIT) is None:
        return True
    steps = [each["train.total_steps"] or 1 for each in (one, other)]
    parts = map(PLANNED[key], (one[key], other[key]), steps)
    rounding = 1 / min(steps)  # a number of steps is whole
    return not math.isclose(*parts, rel_tol=0.01, abs_tol=rounding)


def _label(run: Run, differing: Sequence[str], settings: Settings, name_preset: bool) -> str:
    """Return the preset and its changes, or only what differs if all have the same preset."""
    if name_preset or not differing:
        code = f", code={settings[CODE]}" if CODE in differing else ""
        return describe_preset(run.config) + code
    shown = [f"{key}={_value(settings.get(key))}" for key in differing[:MAX_SHOWN]]
    more = f" and {len(differing) - MAX_SHOWN} more" if differing[MAX_SHOWN:] else ""
    return f"{', '.join(shown)}{more}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _difference(first: RunGroup, other: RunGroup) -> GroupDifference:
    numbers = len(first.runs), len(other.runs)
    value = other.mean - first.mean
    if min(numbers) == 1:
        return GroupDifference(other, value, None, None)
    (low, high), (other_low, other_high) = first.range, other.range
    overlap = low <= other_high and other_low <= high
    return GroupDifference(other, value, overlap, 2 / math.comb(sum(numbers), numbers[0]))


def _machines(run: Run) -> list[str]:
    """Return on what a run was trained, as far as it is known."""
    keys = ("device", "processes", "cpu")
    parts = ([entry.get(key) for key in keys] for entry in run.provenance.entries)
    return [
        f"{device} × {processes} with {cpu}"
        for device, processes, cpu in parts
        if None not in (device, processes, cpu)
    ]


def _puzzle_counts(run: ComparedRun) -> list[float]:
    counts = [value for _, value in read_series(run.records, PUZZLES).points]
    return [value for value in counts if 0 < value < MAX_PUZZLES]


def _range_text(values: Sequence[float]) -> str:
    low, high = (f"{value:,.0f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _finite(value: float | None) -> float | None:
    """Return a value that JSON can hold."""
    return value if value is not None and math.isfinite(value) else None
