"""Processes: when they started, how signals end them, and streams that may go away.

Only the standard library is imported here, because programs need this before they load the rest.
"""

from __future__ import annotations

import atexit
import ctypes
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

STOPPED = "stopped"
"""What is said when a signal ends a program that has nothing to add."""
BY_SIGNAL = 128
"""Exit status of a program that a signal ended, less the signal's number."""
PR_SET_PDEATHSIG = 1
"""From Linux's sys/prctl.h: which signal a process gets when its parent ends."""
STANDARD_OUTPUT = "standard output"


class Stopped(SystemExit):
    """A signal that ends the program, as an exception, so that all unfinished is cleaned up.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(BY_SIGNAL + number)
        self.number = int(number)


def birth_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the system did; None if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return int(text.rpartition(")")[2].split()[19])  # the program's name may hold anything
    except (OSError, IndexError, ValueError):
        return None


def end_with_parent(number: signal.Signals) -> None:
    """Let the system send this process a signal when its parent ends; only Linux can do this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def stop_signals() -> list[signal.Signals]:
    """Return the signals that end a program: Ctrl-C, SIGTERM, and SIGHUP of a closed terminal.

    Those that the program was started to ignore stay so: SIGHUP by `nohup`, SIGINT in the
    background of a script.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    known = [signal.Signals[name] for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def end_at_once() -> None:
    """Let a signal end this process at once, with one sentence and without a traceback.

    This is for the time in which nothing is unfinished: before a command, and after it. While the
    interpreter ends, signals are ignored, because the command has done its work.
    """

    def end(number: int, frame: object) -> None:
        with suppress(OSError):
            os.write(2, f"{STOPPED}\n".encode())
        os._exit(BY_SIGNAL + number)

    handle_stop_signals(end)
    atexit.register(handle_stop_signals, signal.SIG_IGN)  # the last one, because it is the first


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped in the block when a signal arrives; afterwards signals do what they did."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    handlers = handle_stop_signals(stop)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def handle_stop_signals(
    handler: Callable[[int, Any], None] | signal.Handlers,
) -> dict[signal.Signals, Any]:
    """Set a handler for all signals that end a program; return the earlier ones.

    Only the main thread may; in another one nothing changes, and there are none.
    """
    with suppress(ValueError):
        return {number: signal.signal(number, handler) for number in stop_signals()}
    return {}


class _Output(io.TextIOWrapper):
    """A standard stream that may go away: the null device takes its place.

    Writing to the standard output is then an OSError that names it. Without the standard error
    stream a program continues, because its work is worth more than its messages.
    """

    _lost: OSError | None = None

    def write(self, text: str) -> int:
        if self._lost is None:
            try:
                return super().write(text)
            except OSError as error:
                self._lose(error)
        return self._lose_text(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)
            self._lose_text("")

    def _lose(self, error: OSError) -> None:
        self._lost = OSError(error.errno, error.strerror, STANDARD_OUTPUT)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())  # where the rest of the buffer goes, too
        os.close(null)

    def _lose_text(self, text: str) -> int:
        if self._lost is not None and self.fileno() == 1:
            raise self._lost
        return len(text)


def keep_streams() -> None:
    """Make the standard streams of this program ones that may be closed, full or go away."""
    if sys.stdin is None:
        sys.stdin = _open_null(0, "r")
    sys.stdout = _kept(1, sys.stdout)
    sys.stderr = _kept(2, sys.stderr)


def _kept(number: int, stream: TextIO | None) -> TextIO:
    if stream is None:
        return _open_null(number, "w")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    return _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_null(number: int, mode: str) -> TextIO:
    """Open the null device in place of a closed stream, whose number a file would get."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    return io.TextIOWrapper(io.FileIO(number, mode, closefd=False))
