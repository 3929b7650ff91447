"""Time limits: of a job in this process, or of the whole program."""

from __future__ import annotations

import math
import re
import time

from arc_trm.errors import UserError

PROCESS_STARTED = time.monotonic()
"""When this program started, nearly: the command line imports this module first."""

EXIT_MARGIN_S = 0.5
"""Seconds of a limit that are reserved for the start and the end of the interpreter."""

MAX_SECONDS = 1e9
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


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
        if isinstance(limit, str):
            return cls(parse_duration(limit))
        if limit is not None:
            _check_seconds(limit, limit)
        return cls(limit)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left for work: negative when the limit is over, infinite without one."""
        return math.inf if self.limit is None else self.limit - self.spent - EXIT_MARGIN_S


def parse_duration(text: str) -> float:
    """Return the seconds of `3h`, `90m`, `45s`, `2h30m` or `1.5h`.

    Raises:
        UserError: the text has another form.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    units = "".join(unit for _, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not re.fullmatch(
        "h?m?s?", units
    ):
        raise UserError(f"a time is written 3h, 90m, 45s or 2h30m, got {text!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    _check_seconds(seconds, text)
    return seconds


def _check_seconds(seconds: float, given: object) -> None:
    if not 0 < seconds < MAX_SECONDS:
        raise UserError(f"a time limit must be above 0 and below 30 years, got {given!r}")


def format_duration(seconds: float) -> str:
    """Return `2h05m`, `3m20s`, `4.5 s` or `0.01 s`."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
