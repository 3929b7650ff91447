"""Progress bars on the standard error stream; plain lines now and then where it is no terminal."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from arc_trm.callbacks import Callback
from arc_trm.errors import escape_controls, pluralise
from arc_trm.metric_keys import (
    EXACT_OF_HALTED,
    HALTED,
    LM_LOSS,
    main_metric,
    metric_name,
)
from arc_trm.time_limit import format_duration
from submission.scoring import format_percent

PLAIN_INTERVAL_S = 20.0
RATE_WINDOW_S = 60.0
"""Seconds of a job of which its rate is, about."""
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

    Beside them the last evaluation on validation puzzles.

    Args:
        step: before the first record.
    """

    def __init__(self, step: int) -> None:
        self._step, self._loss, self._exact = step, _RecentMean(), _RecentMean()
        self._validation = ""

    def add(self, record: Mapping[str, float]) -> None:
        """Add a record of metrics.jsonl."""
        if LM_LOSS in record:
            steps = max(1, int(record["step"]) - self._step)
            self._step = int(record["step"])
            self._loss.add(steps, record[LM_LOSS], steps)
            if EXACT_OF_HALTED in record:
                self._exact.add(steps, record[EXACT_OF_HALTED], record[HALTED])
        if (key := main_metric([record])) in record:
            percent = format_percent(record[key])
            self._validation = (
                f"validation {metric_name(key)} {percent} at step {int(record['step'])}"
            )

    def describe(self) -> tuple[str, ...]:
        """Return the means as text, in full and shorter and shorter; none before a record."""
        if not self._validation:
            return self._describe_training()
        full = [f"{means}, {self._validation}" for means in self._describe_training()]
        return (*full, self._validation)

    def _describe_training(self) -> tuple[str, ...]:
        if not self._loss.steps:
            return ()
        loss = f"loss {self._loss.value:.3f}"
        over = f"mean of {pluralise(self._loss.steps, 'step')}: "
        if not self._exact.steps:
            return over + loss, f"mean {loss}"
        percent, halted = 100 * self._exact.value, self._exact.weight
        return (
            f"{over}{loss}, exact {percent:.1f} % of {halted:.0f} halted",
            f"mean {loss}, exact {percent:.1f} % of halted",
            f"{loss}, halted exact {percent:.0f} %",  # never without saying of what
            f"mean {loss}",
        )


class _Rate:
    """How much is done in a second, of the last minute without the start, which is slow."""

    def __init__(self) -> None:
        self._parts: deque[tuple[float, int]] = deque()  # seconds, how much was done in them
        self._holds_start = True

    def add(self, seconds: float, count: int) -> None:
        """Add how much was done in the last seconds."""
        if self._parts and self._parts[-1][0] < RATE_WINDOW_S / 60:  # few parts, however many steps
            last_seconds, last_count = self._parts.pop()
            seconds, count = seconds + last_seconds, count + last_count
        self._parts.append((seconds, count))
        if self._holds_start and len(self._parts) > 1:
            self._parts.popleft()
            self._holds_start = False
        while self._seconds - self._parts[0][0] >= RATE_WINDOW_S:
            self._parts.popleft()

    @property
    def _seconds(self) -> float:
        return sum(seconds for seconds, _ in self._parts)

    @property
    def value(self) -> float:
        """The rate, 0 before something was done."""
        return sum(count for _, count in self._parts) / max(1e-9, self._seconds)


class _Stage:
    """Shows how far one stage of a job is, by a bar in a terminal and by lines elsewhere.

    Args:
        name: of the stage.
        console: to print to.
        clock: returns seconds.
        unit: what is counted: `MB` (of bytes), `steps`; "" names nothing.
        first: how much was done before.
        total: all of it; None if nothing is counted, so that only the time is shown.
        job: the job of which this is a stage, if it has started: the bar is a row below its own.

    Attributes:
        paused: whether a stage within took the time since the last update, so that the rate leaves
            this time out, and what was done in it.
    """

    def __init__(
        self,
        name: str,
        console: Console,
        clock: Callable[[], float],
        unit: str,
        first: int,
        total: int | None,
        job: _Stage | None = None,
    ) -> None:
        self.name, self.job, self._total = name, job, total
        shown = escape_controls(name)
        self._console, self._clock, self._unit = console, clock, unit
        self.done: int | None = None
        self._means, self._rate = _RunningMeans(first), _Rate()
        self._started = self._printed = self._updated = clock()
        self._counted, self.paused = first, False
        self._bar: Progress | None = None if job is None else job._bar
        if self._bar is not None:
            self._task = self._bar.add_task(shown, total=total, completed=first, stage=self)
        elif console.is_terminal and is_main_process():
            columns = TextColumn("{task.description}", markup=False), BarColumn(None), _Facts()
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(shown, total=total, completed=first, stage=self)
            self._bar.start()
        elif total is None:
            _print(console, name)

    def update(
        self, done: int, total: int | None, record: Mapping[str, float] | None = None
    ) -> None:
        now, is_new, self.done = self._clock(), done != self.done, done
        if not self.paused:
            self._rate.add(now - self._updated, done - self._counted)
        self._updated, self._counted, self.paused = now, done, False
        if record is not None:
            self._means.add(record)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
            return
        if total is None:
            return
        is_done = done >= total and is_new and self.job is None
        if now - self._printed >= PLAIN_INTERVAL_S or is_done:
            self._printed = now
            facts = self._facts(done, total)
            _print(self._console, f"{self.name} {', '.join([*facts, *self._means.describe()[:1]])}")

    def close(self) -> None:
        elapsed = self._clock() - self._started
        if self._bar is None:
            if self._total is None:
                _print(self._console, f"{self.name} took {format_duration(elapsed)}")
        elif self.job is not None:
            self._bar.remove_task(self._task)
        else:
            self._bar.stop()

    def text(self, task: Task) -> str:
        """Return what is written beside the bar: as much as one line of the terminal holds."""
        assert self._bar is not None
        total = None if task.total is None else int(task.total)
        facts = " ".join(self._facts(int(task.completed), total))
        names = max(len(each.description) for each in self._bar.tasks)
        room = self._console.width - names - MIN_BAR_WIDTH - 2
        texts = [f"{facts}, {means}" for means in self._means.describe()]
        return next((each for each in texts if len(each) <= room), facts)

    def _facts(self, done: int, total: int | None) -> list[str]:
        """Return how much is done, how fast, and how long it takes, as far as it is known."""
        elapsed = format_duration(self._clock() - self._started)
        if total is None:
            return [elapsed]
        facts, rate = [f"{done}/{total}"], self._rate.value
        if self._unit == "MB":
            facts = [f"{done / 1e6:.1f}/{total / 1e6:.1f} MB"]
        if rate > 0:
            facts.append(_format_rate(rate, self._unit))
            if done < total:
                left = (total - done) / rate
                facts.append(
                    f"{math.ceil(left)} s left" if left < 60 else f"{format_duration(left)} left"
                )
        elif self.job is not None:
            facts.append(elapsed)
        if done >= total:
            facts.append(f"in {elapsed}")
        return facts


def _format_rate(per_second: float, unit: str) -> str:
    """Return a rate as text; steps take milliseconds or minutes."""
    if unit == "MB":
        return f"{per_second / 1e6:.1f} MB/s"
    if per_second < 1:
        return f"{format_duration(1 / per_second)} each"
    return f"{per_second:.{0 if per_second >= 100 else 1}f} {unit}".rstrip() + "/s"


class _Facts(ProgressColumn):
    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        stage: _Stage = task.fields["stage"]
        return Text(stage.text(task))


def _print(console: Console, sentence: str) -> None:
    """Print a sentence; of names that it repeats, no terminal acts on any, and nor does rich."""
    console.print(Text(escape_controls(sentence)), soft_wrap=True)


class ConsoleCallback(Callback):
    """Prints notes and shows a bar for each stage of a job, one after the other.

    A stage within the job, such as an evaluation, has a second bar, and the time that it takes is
    left out of the job's rate. Nothing is shown of a stage that has nothing to do. `show_progress`
    makes it and closes the last bar.
    """

    def __init__(
        self, title: str, unit: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._unit, self._clock = title, unit, clock
        self._console = Console(stderr=True)
        self._stage: _Stage | None = None

    def note(self, sentence: str) -> None:
        if is_main_process():
            _print(self._console, sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        stage = self._start(self._title, self._unit, done, total)
        if stage is not None:
            stage.update(done, total, record)

    def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
        stage = self._start(name, "MB" if in_bytes else "", done, total)
        # A plain line that says the whole is done is printed once.
        if stage is not None and done != stage.done:
            stage.update(done, total)

    def _start(self, name: str, unit: str, done: int, total: int | None) -> _Stage | None:
        """Return the stage of this name, which ends any other one; None if all was done before."""
        if self._stage is not None and self._stage.name == name:
            return self._stage
        job = self._job
        if self._stage is not None and self._stage is not job:
            self._stage.close()
        self._stage = job
        if job is not None:
            if name == self._title:
                return job
            job.paused = True
        if total is not None and done >= total:
            return None
        self._stage = _Stage(name, self._console, self._clock, unit, done, total, job)
        return self._stage

    @property
    def _job(self) -> _Stage | None:
        """The bar of the job itself, None before it has started."""
        if self._stage is None or self._stage.name == self._title:
            return self._stage
        return self._stage.job

    def close(self) -> None:
        """Remove the bars."""
        while self._stage is not None:
            self._stage.close()
            self._stage = self._stage.job


@contextmanager
def show_progress(
    title: str, unit: str = "", clock: Callable[[], float] = time.monotonic
) -> Iterator[ConsoleCallback]:
    """Yield a callback for the block.

    Args:
        title: of the bar for the job itself, such as `training`.
        unit: what the job counts, such as `steps`; "" names nothing.
        clock: returns seconds.
    """
    callback = ConsoleCallback(title, unit, clock)
    try:
        yield callback
    finally:
        callback.close()
