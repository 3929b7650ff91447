"""Write files and folders that are whole or absent, and read TOML and JSON.

All writing goes through this module.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from arc_trm.errors import UserError, format_path
from submission import WriteError, atomic_write, read_json, write_json
from submission.content import decode_text, file_content
from submission.files import check_replaceable, json_value, write_error
from submission.temporary import is_held, is_temporary, remove_leftovers, temporary_folder

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
    "json_value",
    "new_folder",
    "parse_toml",
    "read_json",
    "read_toml",
    "relative_path",
    "remove_leftovers",
    "temporary_folder",
    "write_error",
    "write_json",
]

MAX_TOML = 2**20
"""Bytes of a TOML file."""
MAX_DOTS = 200
"""Dots in a line of a TOML file, without its texts and comments: Python takes the square of the
number of the parts of a key."""
_TEXT = re.compile(rb'"[^"\n]*"|\'[^\'\n]*\'|#.*')
MAX_TOML_DEPTH = 16
"""Tables and lists inside each other in a TOML file."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, in UTF-8 and at most `MAX_TOML` bytes. Raises UserError."""
    content = file_content(path)
    with content.open() as file:
        return parse_toml(file.read(MAX_TOML + 1), format_path(path))


def parse_toml(content: bytes, place: str) -> dict[str, Any]:
    """Parse TOML. Raises UserError, in which `place` says where it is, if it is invalid."""
    if len(content) > MAX_TOML:
        raise UserError(f"{place} has more than {MAX_TOML >> 20} MiB: expected a short TOML file")
    if any(_TEXT.sub(b"", line).count(b".") > MAX_DOTS for line in content.splitlines()):
        raise UserError(f"{place} has a line with more than {MAX_DOTS} dots: write short keys")
    try:
        values = tomllib.loads(decode_text(content, place))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{place} is not valid TOML: {error}") from None
    except ValueError:  # more digits than Python reads
        raise UserError(f"{place} has a number of thousands of digits: shorten it") from None
    except RecursionError:
        too_deep = True
    else:
        too_deep = _is_deeper(values, MAX_TOML_DEPTH)
    if too_deep:
        raise UserError(f"{place} is nested too deeply: write a plain TOML file")
    return values


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether tables and lists are nested more than `depth` times."""
    level = [value]
    for _ in range(depth + 1):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for items in inside for each in items if isinstance(each, dict | list)]
    return bool(level)


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
    if any(is_temporary(name) and is_held(Path(target, name)) for name in names):
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
