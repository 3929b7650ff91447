"""Who writes into a folder now: a lock that ends with the process, however it ends.

A file in the folder says which process has the lock. Where the file system knows no locks, the
process that it names decides, if it still runs.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from arc_trm.errors import UserError
from arc_trm.io import check_ordinary, check_replaceable, json_value
from arc_trm.runs.provenance import command_line
from submission.errors import MAX_WORD, shorten
from submission.process import birth_ticks
from submission.temporary import NO_FOLLOW, is_at, try_lock

LOCK = ".arc-trm.lock"
RETRY_DELAYS_S = (0.05, 0.2)
"""Delays before a lock is tried again: `is_locked` of another process takes it for an instant."""
MAX_BYTES = 10_000
"""Bytes of a lock file that are read."""


@dataclass(frozen=True)
class _Holder:
    """The process that has a lock.

    Attributes:
        pid: its number.
        born: when it started, in clock ticks since the system did; None if that is not known.
        since: when it took the lock, a Unix time in seconds.
        command: the command line of `arc-trm`; None if Python code has called.
    """

    pid: int
    born: int | None
    since: float
    command: str | None

    @classmethod
    def read(cls, path: Path) -> _Holder | None:
        """Return what a lock file says; None if it says nothing."""
        try:
            check_ordinary(path)
            with path.open("rb") as file:
                holder = cls(**json_value(file.read(MAX_BYTES)))
            datetime.fromtimestamp(holder.since)
        except (OSError, ValueError, TypeError, OverflowError):
            return None
        return holder if isinstance(holder.pid, int) else None

    @property
    def is_running(self) -> bool:
        """Whether the process runs on this machine; False if the system does not say."""
        return self.born is not None and self.born == birth_ticks(self.pid)

    def describe(self) -> str:
        """Return `process 123 (`arc-trm train`), started 12:03`; of another day with the date."""
        what = f" (`{shorten(self.command, MAX_WORD)}`)" if isinstance(self.command, str) else ""
        started = datetime.fromtimestamp(self.since)
        day = "" if started.date() == datetime.now().date() else f"{started:%Y-%m-%d} "
        return f"process {self.pid}{what}, started {day}{started:%H:%M}"


class FolderLock:
    """Marks a folder as being written by this process, until it is released or the process ends."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: int | None = None
        self._process = os.getpid()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock, whose file goes."""
        if self._file is not None and self._path is not None:
            # A forked child has a copy of the lock, which it does not release.
            if os.getpid() == self._process and is_at(self._file, self._path):
                with suppress(OSError):
                    os.unlink(self._path)
            os.close(self._file)
            self._file = None

    def acquire(self, folder: Path) -> None:
        """Take the lock of a folder. Raises UserError, which names the process that has it."""
        self._path = folder / LOCK
        for delay in (0.0, *RETRY_DELAYS_S):
            time.sleep(delay)
            if self._try(self._path):
                return
        raise _held(folder)

    def _try(self, path: Path) -> bool:
        """Return whether the lock is taken. It need not be where no file can be made."""
        try:
            file = _open(path, os.O_RDWR | os.O_CREAT)
        except OSError:
            return True  # what is written next says why
        # A file that is gone was that of a lock which was released just now.
        if not (_is_free(file, path, shared=False) and is_at(file, path)):
            os.close(file)
            return False
        holder = _Holder(os.getpid(), birth_ticks(os.getpid()), time.time(), command_line())
        with suppress(OSError):  # a full disk is no reason not to train
            os.truncate(file, 0)
            os.write(file, json.dumps(asdict(holder)).encode())
        self._file, self._process = file, os.getpid()
        return True


def is_locked(folder: Path) -> bool:
    """Return whether a process writes into a folder now."""
    path = folder / LOCK
    try:
        file = _open(path, os.O_RDONLY)
    except (OSError, UserError):
        return False
    try:
        return not _is_free(file, path, shared=True)  # others may ask, too
    finally:
        os.close(file)


def check_free(folder: Path) -> None:
    """Raise UserError if a process writes into a folder now, which the message names."""
    if is_locked(folder):
        raise _held(folder)


def check_output(path: Path, overwrite: bool) -> None:
    """Check a path at which a submission is to be written.

    Raises:
        UserError: what is there may not be replaced, or `predict` may be writing it now.
    """
    check_replaceable(path, overwrite)
    if overwrite:
        check_free(path.absolute().parent)


def _open(path: Path, flags: int) -> int:
    """Open a lock file, which may lie in a folder of somebody else.

    Raises:
        OSError: the file system refuses.
        UserError: it is a link or no ordinary file.
    """
    wrong = UserError(f"{path} is no lock file of arc-trm: remove it")
    try:
        file = os.open(path, flags | NO_FOLLOW, 0o666)
    except PermissionError:  # that of another user can be locked, though not written
        file = os.open(path, os.O_RDONLY | NO_FOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise wrong from None
        raise
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(file)
        raise wrong
    return file


def _is_free(file: int, path: Path, shared: bool) -> bool:
    """Lock the open file of a lock, if it can be; return whether no other process has it."""
    locked = try_lock(file, shared)
    if locked is None:
        holder = _Holder.read(path)
        return holder is None or not holder.is_running
    return locked


def _held(folder: Path) -> UserError:
    holder = _Holder.read(folder / LOCK)
    who = "another process" if holder is None else holder.describe()
    return UserError(f"{folder} is being written by {who}: wait for its end, or stop it first")
