"""Time limits: of a job in this process, or of the whole program."""

from __future__ import annotations

import math
import os
import re
import time
from contextlib import suppress

from arc_trm.errors import UserError, format_value
from submission.process import birth_ticks

EXIT_MARGIN_S = 0.5
"""Seconds of a limit that are reserved for the start and the end of the interpreter."""

MAX_SLOWDOWN = 20
"""Seconds that a second of processor time takes on a busy machine, at most."""
MAX_SECONDS = 1e9
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(f"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
STARTED = "ARC_TRM_STARTED"
"""The environment variable in which a program tells processes that it starts when it started."""


def _process_started() -> float:
    """Return when this program started, a value of `time.monotonic`.

    That is when the process did which started this one, if it says so. Linux knows when a process
    started. Elsewhere it is earlier than now by the processor time used, at least.
    """
    now, ticks = time.monotonic(), birth_ticks(os.getpid())
    with suppress(ValueError):
        told = float(os.environ.get(STARTED, ""))
        if 0 <= now - told < MAX_SECONDS:
            return told
    if ticks is None:
        return now - time.process_time()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    # A script may have waited in this process before `exec` started the program.
    longest = MAX_SLOWDOWN * time.process_time() + 1
    return now - max(0.0, min(age, longest))


PROCESS_STARTED = _process_started()
"""When this program started, a value of `time.monotonic`."""


class TimeLimit:
    """The time that is left of a limit.

    Args:
        limit: seconds; None never ends.
        started: a value of `time.monotonic`; None is now.
    """

    def __init__(self, limit: float | None = None, started: float | None = None) -> None:
        self.limit = limit
        self.started = time.monotonic() if started is None else started

    @classmethod
    def parse(cls, limit: str | float | TimeLimit | None) -> TimeLimit:
        """Return a limit that starts now: of `3h`, of seconds, or without an end.

        A `TimeLimit` that has started already is returned as it is.

        Raises:
            UserError: the text is no duration, or the limit is not above 0.
        """
        if isinstance(limit, TimeLimit):
            return limit
        return cls(None if limit is None else parse_duration(limit))

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left for work: negative when the limit is over, infinite without one."""
        return math.inf if self.limit is None else self.limit - self.spent - EXIT_MARGIN_S


def parse_duration(duration: str | float) -> float:
    """Return the seconds of `3h`, `90m`, `45s`, `2h30m`, `1.5h` or a number of seconds.

    Raises:
        UserError: a text has another form, or the time is not above 0.
    """
    seconds = duration
    if isinstance(seconds, str):
        match = _DURATION.fullmatch(seconds)
        if not seconds or match is None:
            raise UserError(
                f"a time is written 3h, 90m, 45s or 2h30m, got {format_value(duration)}"
            )
        hours, minutes, rest = (float(number or 0) for number in match.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if not 0 < seconds < MAX_SECONDS:
        raise UserError(
            f"a time limit must be above 0 and below 30 years, got {format_value(duration)}"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Return `2h05m`, `3m20s`, `4.5 s` or `0.01 s`."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
