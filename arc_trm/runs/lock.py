"""Whether a process trains a run now: a lock that ends with the process, however it ends.

Where the file system or the system knows no locks, no run is marked.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from arc_trm.errors import UserError
from arc_trm.io import check_ordinary

LOCK = ".lock"
RETRY_DELAYS_S = (0.05, 0.2)
"""Delays before a lock is tried again: `is_locked` of another process takes it for an instant."""


class RunLock:
    """Marks a run as being trained, until it is released or its process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: BinaryIO | None = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def acquire(self) -> None:
        """Take the lock. Raises UserError if another process trains the run."""
        with suppress(OSError):
            if self._path.exists():
                check_ordinary(self._path)
            self._file = self._path.open("ab")
        for delay in (0.0, *RETRY_DELAYS_S):
            time.sleep(delay)
            if self._file is None or _lock(self._file, shared=False):
                return
        raise UserError(
            f"{self._path.parent} is being trained by another process: wait for its end, or stop "
            "it first"
        )


def is_locked(folder: Path) -> bool:
    """Return whether a process trains the run in a folder now."""
    try:
        check_ordinary(folder / LOCK)
        with (folder / LOCK).open("rb") as file:
            return not _lock(file, shared=True)  # others may ask at the same time
    except OSError:
        return False


def _lock(file: BinaryIO, shared: bool) -> bool:
    """Lock a file; return whether no other process has."""
    try:
        import fcntl

        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True
