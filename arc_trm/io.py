"""Write files and folders that are whole or absent. All writing goes through this module."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from arc_trm.errors import UserError
from submission import WriteError, atomic_write, read_json, write_json
from submission.files import check_replaceable, write_error
from submission.temporary import is_temporary, remove_leftovers, temporary_folder

__all__ = [
    "WriteError",
    "append",
    "atomic_write",
    "check_new",
    "check_new_file",
    "check_ordinary",
    "check_replaceable",
    "file_digest",
    "file_name",
    "new_folder",
    "read_json",
    "relative_path",
    "remove_leftovers",
    "temporary_folder",
    "write_error",
    "write_json",
]


def file_name(text: str) -> str:
    """Return letters, digits and hyphens of a text as a part of a file name, at most 40."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40].lower() or "unnamed"


def relative_path(path: Path) -> Path:
    """Return a path relative to the current folder if it is below it."""
    current = Path.cwd()
    return path.relative_to(current) if path.is_relative_to(current) else path


def check_ordinary(path: Path) -> None:
    """Raise OSError unless a path is an ordinary file: a pipe or a device may never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not an ordinary file", str(path))


def file_digest(path: Path) -> str | None:
    """Return the SHA-256 of an ordinary file; None if it cannot be read."""
    try:
        check_ordinary(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def append(path: Path, data: bytes, sync: bool = False) -> None:
    """Append all of `data` to a file, which is made if need be, or nothing.

    Args:
        path: of the file.
        data: to append.
        sync: wait until the file is on the disk.

    Raises:
        WriteError: the file system refuses.
    """
    try:
        with path.open("ab", buffering=0) as file:
            size, rest = file.seek(0, os.SEEK_END), memoryview(data)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                if sync:
                    os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(size)
                raise
    except OSError as error:
        raise write_error(path, error) from None


def check_new(path: Path) -> None:
    """Raise UserError if `path` is anything but absent or an empty folder.

    What killed commands left in the folder is removed.
    """
    target = os.path.realpath(path)  # of a symbolic link to itself it is the link
    if not os.path.lexists(target):
        return
    remove_leftovers(target)
    names = os.listdir(target) if path.is_dir() else [""]
    if names and all(map(is_temporary, names)):
        raise UserError(f"{path} is being written by another command: wait for its end")
    if names:
        raise UserError(f"{path} already exists and is not an empty folder: name another one")


def check_new_file(path: Path) -> None:
    """Raise UserError unless a file can be made at `path`, where nothing exists."""
    if os.path.lexists(path):
        raise UserError(f"{path} already exists: name another file, or remove it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"the folder of {path} does not exist: make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder of {path} is write-protected: name another")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `path` if the block succeeds and vanishes otherwise.

    An empty folder that exists already is replaced at once, too. One that cannot be, because it is
    the current folder, a mount point or another user's, is kept: files move into it one by one when
    all are whole.

    Raises:
        UserError: anything else exists at `path`, or no folder can be made there.
        WriteError: the file system refuses.
    """
    check_new(path)
    target = Path(os.path.realpath(path))
    with ExitStack() as stack:
        try:
            beside = target if _is_kept(target) else target.parent
            beside.mkdir(parents=True, exist_ok=True)
            content = stack.enter_context(temporary_folder(beside)) / "content"
            content.mkdir()
            if target.is_dir():
                shutil.copymode(target, content)
        except OSError as error:
            raise UserError(f"cannot make the folder {path}: {error.strerror}") from None
        try:
            yield content
            try:
                _move(content, target)
            except OSError as error:
                raise WriteError(path, error.strerror or str(error)) from None
        except WriteError as error:  # name the final path, not the temporary one
            written = Path(error.path)
            final = path if written == path else path / written.name
            raise WriteError(final, error.reason) from None


def _is_kept(target: Path) -> bool:
    """Return whether a folder exists and should not be replaced by another one."""
    if not target.is_dir():
        return False
    own, above = target.stat(), target.parent.stat()
    replaceable = own.st_dev == above.st_dev and os.access(target.parent, os.W_OK)
    is_ours = not hasattr(os, "getuid") or own.st_uid == os.getuid()
    return not (replaceable and is_ours) or target.samefile(os.curdir)


def _move(content: Path, target: Path) -> None:
    """Give a whole folder its place, where an empty folder may be. Raises OSError."""
    try:
        content.replace(target)
    except OSError:
        if not target.is_dir() or not all(map(is_temporary, os.listdir(target))):
            raise
        for file in sorted(content.iterdir()):
            shutil.move(file, target / file.name)
