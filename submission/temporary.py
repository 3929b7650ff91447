"""Temporary folders that do not outlive a killed command for long.

What is not whole yet lies in a folder `.arc-trm-HEX.tmp` beside its place. The process that fills
it holds a lock on a file in it, and the system ends that lock with the process, however that ends.
The next command that writes there removes the folders whose lock no process holds. Where the file
system knows no locks, a temporary folder of a killed command stays.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"\.arc-trm-[0-9a-f]{16}\.tmp")
_LOCK = "lock"
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags with which a link is not opened, and a pipe does not wait."""
INTERVAL_RATIO, MAX_KNOWN = 100, 1000
"""Seconds between looks for leftovers in a folder, per second that one takes; folders known."""

_due: dict[str, float] = {}  # when to look again, values of `time.monotonic`, by folders


@contextmanager
def temporary_folder(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """Make an empty folder in `parent`, private to this user, which is removed after the block.

    Before, temporary folders of killed commands are removed from `parent`.

    Raises:
        OSError: the file system refuses.
    """
    _remove_leftovers_if_due(parent)
    process, lock, folder = os.getpid(), None, None
    try:
        while lock is None:
            folder = Path(parent) / f".arc-trm-{secrets.token_hex(8)}.tmp"
            lock = _make_locked(folder)
        assert folder is not None
        yield folder
    finally:
        try:
            if folder is not None and os.getpid() == process:  # it is not that of a forked child
                _remove(folder)
        finally:
            if lock is not None:
                os.close(lock)


def remove_leftovers(parent: str | os.PathLike[str]) -> None:
    """Remove temporary folders of killed commands from a folder, as far as the system allows it.

    Those of running commands and of other users stay, and everything else.
    """
    if is_in_temporary(parent):
        return  # this process fills it: nobody else writes there
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in [each for each in entries if is_temporary(each.name)]:
            if entry.is_dir(follow_symlinks=False):
                _remove_unless_held(Path(entry))


def _remove_leftovers_if_due(parent: str | os.PathLike[str]) -> None:
    """Remove leftovers, unless that would take more than a hundredth of the time.

    Looking for them takes as long as there are files in the folder.
    """
    key, now = os.fspath(parent), time.monotonic()
    if now < _due.get(key, now):
        return
    remove_leftovers(parent)
    if len(_due) >= MAX_KNOWN:
        _due.clear()
    _due[key] = time.monotonic() + INTERVAL_RATIO * (time.monotonic() - now)


def is_in_temporary(path: str | os.PathLike[str]) -> bool:
    """Return whether a path lies in a temporary folder or is one."""
    return any(map(is_temporary, Path(path).parts))


def is_held(folder: Path) -> bool:
    """Return whether a running command fills a temporary folder."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | NO_FOLLOW)
    except OSError:
        return False
    try:
        return try_lock(lock) is False
    finally:
        os.close(lock)


def is_temporary(name: str) -> bool:
    """Return whether a file name is that of a temporary folder."""
    return _NAME.fullmatch(name) is not None


def try_lock(descriptor: int, shared: bool = False) -> bool | None:
    """Lock an open file until it is closed or this process ends.

    Args:
        descriptor: of the file.
        shared: let others take a shared lock, too.

    Returns:
        Whether it is locked; False if another process has locked it, None if the system or the file
        system knows no locks.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def is_at(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _make_locked(folder: Path) -> int | None:
    """Make a temporary folder; return the open file that holds its lock.

    None if another command took the folder for a leftover before it was locked.
    """
    folder.mkdir(0o700)
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        if try_lock(lock) is not False and is_at(lock, folder / _LOCK):
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _remove_unless_held(folder: Path) -> None:
    if sys.platform == "win32":
        return  # it knows no such locks
    # By descriptors: the path may become a link to another folder at any moment.
    with suppress(OSError), _opened(folder) as descriptor:
        if os.fstat(descriptor).st_uid != os.getuid():
            return
        try:
            lock = os.open(_LOCK, os.O_RDWR | NO_FOLLOW, dir_fd=descriptor)
        except FileNotFoundError:
            os.rmdir(folder)  # it was killed before it had a lock, so the folder is empty
            return
        try:
            if try_lock(lock):
                _empty(descriptor)
                os.rmdir(folder)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove the temporary folder of this process as far as the system allows it."""
    if sys.platform == "win32":
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(OSError), _opened(folder) as descriptor:
        _empty(descriptor)
        os.rmdir(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder that is no link. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _empty(descriptor: int) -> None:
    """Remove what is in an open temporary folder, its lock last. Raises OSError.

    So a kill in between leaves a folder with a lock, or an empty one.
    """
    for name in os.listdir(descriptor):
        if name == _LOCK:
            continue
        try:
            os.unlink(name, dir_fd=descriptor)
        except (IsADirectoryError, PermissionError):
            shutil.rmtree(name, dir_fd=descriptor)
    with suppress(FileNotFoundError):
        os.unlink(_LOCK, dir_fd=descriptor)
