"""Progress bars on the standard error stream; plain lines now and then where it is no terminal."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from arc_trm.callbacks import Callback
from arc_trm.evaluation.metrics import evaluations
from arc_trm.time_limit import format_duration

PLAIN_INTERVAL_S = 20.0
MEAN_STEPS = 100
"""Training steps of which the running means are, about."""
MIN_BAR_WIDTH = 5


def is_main_process() -> bool:
    """Return whether this is the process of a torchrun job that prints."""
    return os.environ.get("RANK", "0") == "0"


class _RecentMean:
    """The weighted mean of a value in the last `MEAN_STEPS` steps in which it was measured."""

    def __init__(self) -> None:
        self._records: deque[tuple[int, float, float]] = deque()  # steps, value, weight

    def add(self, steps: int, value: float, weight: float) -> None:
        """Add the mean of so many steps."""
        self._records.append((steps, value, weight))
        while self.steps - self._records[0][0] >= MEAN_STEPS:
            self._records.popleft()

    @property
    def steps(self) -> int:
        """How many steps the mean is of."""
        return sum(steps for steps, _, _ in self._records)

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return sum(weight for _, _, weight in self._records)

    @property
    def value(self) -> float:
        """The mean."""
        return sum(value * weight for _, value, weight in self._records) / self.weight


class _RunningMeans:
    """Running means of a run's records: the loss, and how many halted examples are exact.

    Args:
        step: before the first record.
    """

    def __init__(self, step: int) -> None:
        self._step, self._loss, self._exact = step, _RecentMean(), _RecentMean()

    def add(self, record: Mapping[str, float]) -> None:
        """Add a record of metrics.jsonl."""
        steps = max(1, int(record["step"]) - self._step)
        self._step = int(record["step"])
        self._loss.add(steps, record["train/lm_loss"], steps)
        if "train/exact_of_halted" in record:
            self._exact.add(steps, record["train/exact_of_halted"], record["train/halted"])

    def describe(self) -> tuple[str, ...]:
        """Return the means as text, in full and shorter and shorter; none before a record."""
        if not self._loss.steps:
            return ()
        loss = f"loss {self._loss.value:.3f}"
        over = f"mean of {self._loss.steps} steps: "
        if not self._exact.steps:
            return over + loss, f"mean {loss}"
        percent, halted = 100 * self._exact.value, self._exact.weight
        return (
            f"{over}{loss}, exact {percent:.1f} % of {halted:.0f} halted",
            f"mean {loss}, exact {percent:.1f} % of halted",
            f"{loss}, halted exact {percent:.0f} %",  # never without saying of what
            f"mean {loss}",
        )


class _Stage:
    """Shows how far one stage of a job is, by a bar in a terminal and by lines elsewhere.

    Args:
        name: of the stage.
        console: to print to.
        unit: what is counted: `MB` (of bytes), `steps`; "" names nothing.
        first: how much was done before.
        total: all of it.
    """

    def __init__(self, name: str, console: Console, unit: str, first: int, total: int) -> None:
        self.name, self._console, self._unit, self._first = name, console, unit, first
        self.done: int | None = None
        self._means = _RunningMeans(first)
        self._started = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal and is_main_process():
            columns = TextColumn("{task.description}"), BarColumn(None), _Facts(self)
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(name, total=total, completed=first)
            self._bar.start()

    def update(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        self.done = done
        if record is not None:
            self._means.add(record)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        if now - self._printed >= PLAIN_INTERVAL_S or done >= total:
            self._printed = now
            rate = (done - self._first) / max(1e-9, now - self._started)
            facts = self._facts(done, total, rate)
            _print(self._console, f"{self.name} {', '.join([*facts, *self._means.describe()[:1]])}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def text(self, task: Task) -> str:
        """Return what is written beside the bar: as much as one line of the terminal holds."""
        rate = task.finished_speed or task.speed or 0.0
        facts = " ".join(self._facts(int(task.completed), int(task.total or 0), rate))
        room = self._console.width - len(self.name) - MIN_BAR_WIDTH - 2
        texts = [f"{facts}, {means}" for means in self._means.describe()]
        return next((each for each in texts if len(each) <= room), facts)

    def _facts(self, done: int, total: int, rate: float) -> list[str]:
        """Return how much is done, how fast, and how long it takes, as far as it is known."""
        facts = [f"{done}/{total}"]
        if self._unit == "MB":
            facts = [f"{done / 1e6:.1f}/{total / 1e6:.1f} MB"]
        if rate > 0:
            facts.append(_format_rate(rate, self._unit))
            if done < total:
                left = (total - done) / rate
                facts.append(
                    f"{math.ceil(left)} s left" if left < 60 else f"{format_duration(left)} left"
                )
        if done >= total:
            facts.append(f"in {format_duration(time.monotonic() - self._started)}")
        return facts


def _format_rate(per_second: float, unit: str) -> str:
    """Return a rate as text; steps take milliseconds or minutes."""
    if unit == "MB":
        return f"{per_second / 1e6:.1f} MB/s"
    if per_second < 1:
        return f"{format_duration(1 / per_second)} each"
    return f"{per_second:.{0 if per_second >= 100 else 1}f} {unit}".rstrip() + "/s"


class _Facts(ProgressColumn):
    def __init__(self, stage: _Stage) -> None:
        super().__init__(Column(no_wrap=True))
        self._stage = stage

    def render(self, task: Task) -> Text:
        return Text(self._stage.text(task))


def _print(console: Console, sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


class ConsoleCallback(Callback):
    """Prints notes and shows a bar for each stage of a job, one after the other.

    `show_progress` makes it and closes the last bar. Nothing is shown of a stage that has nothing
    to do.
    """

    def __init__(self, title: str, unit: str = "") -> None:
        self._title, self._unit, self._console = title, unit, Console(stderr=True)
        self._stage: _Stage | None = None

    def note(self, sentence: str) -> None:
        if is_main_process():
            _print(self._console, sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        stage = self._start(self._title, self._unit, done, total)
        is_evaluation = record is not None and bool(evaluations([record]))  # a note tells of it
        if stage is not None and not is_evaluation:
            stage.update(done, total, record)

    def stage(self, name: str, done: int, total: int, in_bytes: bool = True) -> None:
        stage = self._start(name, "MB" if in_bytes else "", done, total)
        # A plain line that says the whole is done is printed once.
        if stage is not None and done != stage.done:
            stage.update(done, total)

    def _start(self, name: str, unit: str, done: int, total: int) -> _Stage | None:
        """Return the stage of this name, which ends any other one; None if all was done before."""
        if self._stage is None or self._stage.name != name:
            self.close()
            if done < total:
                self._stage = _Stage(name, self._console, unit, done, total)
        return self._stage

    def close(self) -> None:
        """Remove the bar."""
        if self._stage is not None:
            self._stage.close()
        self._stage = None


@contextmanager
def show_progress(title: str, unit: str = "") -> Iterator[ConsoleCallback]:
    """Yield a callback for the block.

    Args:
        title: of the bar for the job itself, such as `training`.
        unit: what the job counts, such as `steps`; "" names nothing.
    """
    callback = ConsoleCallback(title, unit)
    try:
        yield callback
    finally:
        callback.close()
