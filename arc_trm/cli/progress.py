"""How commands talk: progress on stderr, results on stdout."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
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

PLAIN_SECONDS = 20.0


def _rate(per_second: float) -> str:
    """Steps may take milliseconds or minutes."""
    if per_second <= 0:
        return "no rate yet"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"


def is_main() -> bool:
    """Whether this process is the one of a torchrun job that talks."""
    return os.environ.get("RANK", "0") == "0"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task.finished_speed or task.speed or 0.0))


class Bar:
    """Progress of one long job: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(
        self, what: str, console: Console, bar: Progress | None, in_bytes: bool = False
    ) -> None:
        self._what, self._console, self._bar, self._in_bytes = what, console, bar, in_bytes
        self._task = bar.add_task(what, total=None, status="") if bar else None
        self._started = self._told = time.monotonic()
        self._first: int | None = None
        self._status = ""

    def note(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def update(self, done: int, total: int, status: str | None = None) -> None:
        """`status` stays until another is given."""
        if status is not None:
            self._status = status
        if self._bar is not None and self._task is not None:
            if self._first is None:
                self._bar.reset(self._task, total=total, completed=done)
            self._first = done if self._first is None else self._first
            self._bar.update(self._task, completed=done, total=total, status=self._status)
            return
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._told < PLAIN_SECONDS and done < total:
            return
        self._told = now
        rate = (done - self._first) / max(1e-9, now - self._started)
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        status = f", {self._status}" if self._status else ""
        count = f"{done / 1e6:.1f}/{total / 1e6:.1f} MB" if self._in_bytes else f"{done}/{total}"
        speed = f"{rate / 1e6:.1f} MB/s" if self._in_bytes else _rate(rate)
        self.note(f"{self._what} {count}, {speed}{left}{status}")


@contextmanager
def bar(what: str, in_bytes: bool = False) -> Iterator[Bar]:
    """A `Bar` on stderr for as long as the block runs; of bytes, or of steps."""
    console = Console(stderr=True)
    if not (console.is_terminal and is_main()):
        yield Bar(what, console, None, in_bytes)
        return
    counts = (
        (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(), _Rate())
    )
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), *counts),
        *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(what, console, progress, in_bytes)
