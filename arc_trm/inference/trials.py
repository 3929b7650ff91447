"""What was measured of the settings that were tried, and the choice of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.config import InferenceChoice, InferenceConfig, to_dict
from arc_trm.config.inference import MAX_TEXT_LENGTH
from arc_trm.data.loader import public_data_name
from arc_trm.errors import escape_controls, pluralise
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import format_duration
from submission import Rate
from submission.scoring import align_columns, format_percent, format_rate

PLAIN = InferenceConfig()
"""The setting that asks once."""
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Trial:
    """What was measured of one setting.

    Attributes:
        config: the setting.
        rate: the headline rate: of exact answers, for ARC pass@2 per task.
        solved: (N,) solved share of each task, in the order of the tasks.
        steps: mean supervision steps per test input, of all answers to it.
        seconds: that all its answers took, also those that an earlier setting has asked for.
    """

    config: InferenceConfig
    rate: Rate
    solved: npt.NDArray[np.float64]
    steps: float
    seconds: float

    @property
    def title(self) -> str:
        """The setting in words."""
        return setting_title(self.config)

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as plain JSON."""
        return {
            "setting": self.title,
            "config": to_dict(self.config),
            **self.rate.to_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False, repr=False)
class TuningResult:
    """What was measured, and the setting that was chosen.

    Attributes:
        tasks: on which all settings were tried.
        rate_name: what the accuracy is called, `exact` or `pass@2 per task`.
        trials: in the order in which they were tried, at least two.
        skipped: settings for which there was no time.
        stopped_by: number of the signal that ended the search, None if none did.
        time_limit: of the search in seconds; None for none.
        file: the inference.json that was written; None before.
    """

    tasks: TaskSet
    rate_name: str
    trials: tuple[Trial, ...]
    skipped: tuple[InferenceConfig, ...]
    stopped_by: int | None
    time_limit: float | None
    file: Path | None = None

    @property
    def chosen(self) -> Trial:
        """The cheapest trial whose accuracy is within one standard error of the best one."""
        return choose(self.trials)

    @property
    def reason(self) -> str:
        """Why it was chosen, a sentence without full stop."""
        chosen, best = self.chosen, most_accurate(self.trials)
        noun = kind_of(self.tasks).noun
        error = f"one standard error (of the difference, paired by {noun})"
        if chosen.config == PLAIN:
            return f"no setting is better than the plain answer by more than {error}"
        if chosen is best:
            return f"{chosen.title} is best; all cheaper settings are worse by more than {error}"
        rates = [format_percent(each.rate.value) for each in (chosen, best)]
        return (
            f"{chosen.title} ({self.rate_name} {rates[0]}) is the cheapest setting within {error} "
            f"of the best one, {best.title} ({rates[1]})"
        )

    def notes(self) -> list[str]:
        """Return sentences on what was not measured."""
        notes = []
        if self.skipped:
            names = "; ".join(map(setting_title, self.skipped))
            notes.append(f"not tried: {names}")
        if self.interrupted:
            notes.append(f"interrupted: chosen among {len(self.trials)} settings")
        elif self.skipped and self.time_limit is not None:
            notes.append(
                f"the time limit of {format_duration(self.time_limit)} left no time for "
                f"{pluralise(len(self.skipped), 'setting')}: allow more with --time-limit"
            )
        return notes

    def lines(self) -> list[str]:
        """Return a table of the trials, the cheapest first."""
        kind = kind_of(self.tasks)
        unit = "task" if kind.embeds_tasks else kind.noun
        unit = "test input" if self.tasks.test_outputs != len(self.tasks) else unit
        rows = [["setting", self.rate_name, "", f"steps per {unit}", "seconds", ""]]
        for trial in sorted(self.trials, key=lambda each: each.steps):
            mark = "<- chosen" if trial is self.chosen else ""
            rows.append([*_cells(trial), mark])
        widths = align_columns([row[:-1] for row in rows])
        return [f"{line}  {row[-1]}".rstrip() for line, row in zip(widths, rows, strict=True)]

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the search."""
        return self.stopped_by is not None

    def __repr__(self) -> str:
        return "\n".join(map(escape_controls, [*self.lines(), f"chosen: {self.reason}"]))

    def choice(self, weights: str) -> InferenceChoice:
        """Return what is stored beside the weights with this digest."""
        tasks, name = self.tasks, public_data_name(self.tasks.name)
        shown = name if name.isprintable() else ascii(name)
        return InferenceChoice(
            self.chosen.config,
            weights,
            shown[:MAX_TEXT_LENGTH],
            len(tasks),
            tuple(sorted({digest for task in tasks for digest in task.input_digests()})),
            self.reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "data": self.tasks.name,
            "puzzles": len(self.tasks),
            "test_inputs": self.tasks.test_outputs,
            "rate": self.rate_name,
            "settings": [{**each.to_dict(), "chosen": each is self.chosen} for each in self.trials],
            "skipped": [to_dict(each) for each in self.skipped],
            "chosen": to_dict(self.chosen.config),
            "reason": self.reason,
            "interrupted": self.interrupted,
            "time_limit": self.time_limit,
            "file": None if self.file is None else str(self.file),
        }


def setting_title(config: InferenceConfig) -> str:
    """Return a setting in words: `plain`, `samples 4, noise 0.3`."""
    return "plain" if config == PLAIN else str(config)


def describe_trial(trial: Trial) -> str:
    """Return what was measured as a line for a person."""
    fraction, percent, steps, seconds = _cells(trial)[1:]
    return f"{trial.title}: {fraction}, {percent}, {steps} supervision steps each, {seconds} s"


def _cells(trial: Trial) -> list[str]:
    rate = trial.rate
    numbers = [f"{trial.steps:.1f}", f"{trial.seconds:.1f}"]
    return [trial.title, format_rate(rate), format_percent(rate.value), *numbers]


def most_accurate(trials: Sequence[Trial]) -> Trial:
    """Return the most accurate trial; of equal ones the cheapest, then the first."""
    return max(trials, key=lambda each: (each.rate.value, -each.steps))


def choose(trials: Sequence[Trial]) -> Trial:
    """Return the cheapest trial whose accuracy is within one standard error of the best one.

    The error is that of the mean difference between both, paired by task; of equally cheap trials
    the most accurate is chosen, then the first.
    """
    best = most_accurate(trials)
    good = [each for each in trials if _is_close(best.solved - each.solved)]
    return min(good, key=lambda each: (each.steps, -each.rate.value))


def _is_close(difference: npt.NDArray[np.float64]) -> bool:
    """Return whether the mean of differences (N,) is at most one standard error."""
    count = len(difference)
    error = float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return float(difference.mean()) <= error + ROUNDING
