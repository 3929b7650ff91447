"""Temporary folders that do not outlive a killed command for long.

What is not whole yet lies in a folder `.arc-trm-HEX.tmp` beside its place. The process that fills
it holds a lock on a file in it, and the system ends that lock with the process, however that ends.
Whoever makes the next temporary folder beside it removes those that nobody holds. Where the file
system knows no locks, a temporary folder of a killed command stays.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"\.arc-trm-[0-9a-f]{16}\.tmp")
_LOCK = "lock"


@contextmanager
def temporary_folder(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """Make an empty folder in `parent`, private to this user, which is removed after the block.

    Before, temporary folders of killed commands are removed from `parent`.

    Raises:
        OSError: the file system refuses.
    """
    remove_leftovers(parent)
    folder, lock = _make_locked(Path(parent))
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def remove_leftovers(parent: str | os.PathLike[str]) -> None:
    """Remove temporary folders of killed commands from a folder, as far as the system allows it.

    Those of running commands stay, and everything else.
    """
    if any(map(is_temporary, Path(parent).parts)):
        return  # this process fills it, maybe with thousands of files: nobody else writes there
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in [each for each in entries if is_temporary(each.name)]:
            if entry.is_dir(follow_symlinks=False):
                _remove_unless_held(Path(entry))


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


def _make_locked(parent: Path) -> tuple[Path, int]:
    """Make a temporary folder; return it and the open file that holds its lock."""
    while True:
        folder = parent / f".arc-trm-{secrets.token_hex(8)}.tmp"
        folder.mkdir(0o700)
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            continue  # another command took it for a leftover before it had its lock
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
        if try_lock(lock) is not False and is_at(lock, folder / _LOCK):
            return folder, lock
        os.close(lock)  # another command locked it first, and removes it


def _remove_unless_held(folder: Path) -> None:
    if sys.platform == "win32":
        return  # it knows no such locks
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        with suppress(OSError):
            folder.rmdir()  # it was killed before it had a lock, so the folder is empty
        return
    except OSError:
        return
    try:
        if try_lock(lock):
            _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a temporary folder as far as the system allows it, its lock last.

    So a kill in between leaves a folder with a lock, or an empty one.
    """
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name == _LOCK:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        os.unlink(folder / _LOCK)
        os.rmdir(folder)
