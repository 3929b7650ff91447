"""Progress bars on the standard error stream; plain lines now and then where it is no terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from arc_trm.callbacks import Callback

PLAIN_INTERVAL_S = 20.0


def is_main_process() -> bool:
    """Return whether this is the process of a torchrun job that prints."""
    return os.environ.get("RANK", "0") == "0"


def _format_rate(per_second: float) -> str:
    """Return a rate as text; steps take milliseconds or minutes."""
    if per_second <= 0:
        return "no rate yet"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_format_rate(task.finished_speed or task.speed or 0.0))


class _Stage:
    """Shows how far one stage of a job is, by a bar in a terminal and by lines elsewhere."""

    def __init__(self, name: str, console: Console, in_bytes: bool) -> None:
        self.name, self._console = name, console
        self.done: int | None = None
        self._first = 0
        self._in_bytes, self._status = in_bytes, ""
        self._started = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal and is_main_process():
            self._bar = Progress(*_columns(in_bytes), console=console)
            self._task = self._bar.add_task(name, total=None, status="")
            self._bar.start()

    def update(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        is_first = self.done is None
        self.done = done
        if is_first:
            self._first = done
        if record is not None:
            self._status = _describe(record)
        if self._bar is not None:
            if is_first:
                self._bar.reset(self._task, total=total, completed=done)
            self._bar.update(self._task, completed=done, total=total, status=self._status)
            return
        now = time.monotonic()
        if now - self._printed >= PLAIN_INTERVAL_S or done >= total:
            self._printed = now
            self._print_line(done, total, (done - self._first) / max(1e-9, now - self._started))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _print_line(self, done: int, total: int, rate: float) -> None:
        remaining = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        status = f", {self._status}" if self._status else ""
        count = f"{done / 1e6:.1f}/{total / 1e6:.1f} MB" if self._in_bytes else f"{done}/{total}"
        speed = f"{rate / 1e6:.1f} MB/s" if self._in_bytes else _format_rate(rate)
        _print(self._console, f"{self.name} {count}, {speed}{remaining}{status}")


def _print(console: Console, sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _describe(record: Mapping[str, float]) -> str:
    text = f"loss {record['lm_loss']:.3f}"
    if "exact_accuracy" in record:
        text += f", exact {record['exact_accuracy']:.1%}"
    return text


def _columns(in_bytes: bool) -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TransferSpeedColumn() if in_bytes else _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
    )


class ConsoleCallback(Callback):
    """Prints notes and shows a bar for each stage of a job, one after the other.

    `show_progress` makes it and closes the last bar.
    """

    def __init__(self, title: str) -> None:
        self._title, self._console = title, Console(stderr=True)
        self._stage: _Stage | None = None

    def note(self, sentence: str) -> None:
        if is_main_process():
            _print(self._console, sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if total:  # otherwise all was done before
            self._start(self._title, False).update(done, total, record)

    def stage(self, name: str, done: int, total: int, in_bytes: bool = True) -> None:
        stage = self._start(name, in_bytes)
        if done != stage.done:  # so that a plain line that says the whole is done is printed once
            stage.update(done, total)

    def _start(self, name: str, in_bytes: bool) -> _Stage:
        """Return the stage of this name, which ends any other one."""
        if self._stage is None or self._stage.name != name:
            self.close()
            self._stage = _Stage(name, self._console, in_bytes)
        return self._stage

    def close(self) -> None:
        """Remove the bar."""
        if self._stage is not None:
            self._stage.close()
        self._stage = None


@contextmanager
def show_progress(title: str) -> Iterator[ConsoleCallback]:
    """Yield a callback for the block; `title` is that of the bar for steps and queries."""
    callback = ConsoleCallback(title)
    try:
        yield callback
    finally:
        callback.close()
