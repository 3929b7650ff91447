"""Write files and folders that are whole or absent. All writing goes through this module."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from arc_trm.errors import UserError
from submission import WriteError, atomic_write, read_json, write_json
from submission.files import check_replaceable, write_error

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
    """Raise UserError if `path` is anything but absent or an empty folder."""
    target = os.path.realpath(path)  # of a symbolic link to itself it is the link
    if os.path.lexists(target) and not (path.is_dir() and not any(path.iterdir())):
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

    An empty folder that exists already is kept and filled: it may be the current folder, a mount
    point, or have permissions of its own.

    Raises:
        UserError: anything else exists at `path`, or no folder can be made there.
        WriteError: the file system refuses.
    """
    check_new(path)
    target = Path(os.path.realpath(path))
    exists = target.is_dir()
    hidden = f".{target.name}.{secrets.token_hex(4)}.tmp"
    temporary = target / hidden if exists else target.with_name(hidden)
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from None
    try:
        yield temporary
        try:
            if exists:
                for file in sorted(temporary.iterdir()):
                    file.replace(target / file.name)
            else:
                temporary.replace(target)
        except OSError as error:
            raise WriteError(path, error.strerror or str(error)) from None
    except WriteError as error:  # name the final path, not the temporary one
        written = Path(error.path)
        final = path if written == path else path / written.name
        raise WriteError(final, error.reason) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
