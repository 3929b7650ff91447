"""Files: JSON in, or one sentence that says why not; whole files out, or none at all."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, overload

from submission.errors import (
    FormatError,
    Problem,
    WriteError,
    shown,
    shown_name,
    shown_path,
)
from submission.formats import (
    ATTEMPTS,
    Challenges,
    Kind,
    Solutions,
    Submission,
    Task,
    problems,
    submission_problems,
)

StrPath: TypeAlias = str | os.PathLike[str]

# What may go wrong with the disk while a file is being written, rather than with its contents.
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
    errno.EIO: "the disk reported an error",
    errno.EROFS: "the file system is read-only",
}


def parse(path: StrPath) -> tuple[Any, list[Problem]]:
    """The JSON in a file, and where its objects repeat a key (of which only the last counts).

    Raises FormatError if there is no such file, it cannot be read, or it is not JSON in UTF-8.
    """
    repeated: list[tuple[dict[str, Any], list[str]]] = []

    def build(items: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(items)
        if len(built) < len(items):
            counts = Counter(key for key, _ in items)
            repeated.append((built, [key for key, count in counts.items() if count > 1]))
        return built

    def constant(name: str) -> None:
        raise FormatError([Problem("", f"holds {name}, expected only numbers that JSON has")], path)

    try:
        text = Path(path).read_bytes().decode("utf-8")
        if text.startswith("\ufeff"):
            raise FormatError([Problem("", "starts with a byte order mark, expected none")], path)
        data = json.loads(text, object_pairs_hook=build, parse_constant=constant)
    except OSError as error:
        message = _reading_reason(error)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start + 1}), expected JSON in UTF-8"
    except json.JSONDecodeError as error:
        message = f"is not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        if not text.strip():
            message = "is empty, expected JSON"
    except RecursionError:
        message = "is nested too deeply, expected lists and objects a few levels deep"
    except ValueError as error:  # an integer beyond Python's limit, a path with a null character
        message = f"cannot be read: {error}"
    else:
        return data, _places(data, repeated) if repeated else []
    raise FormatError([Problem("", message)], path) from None


def read_json(path: StrPath) -> Any:
    """The JSON in a file, whatever it says; FormatError as in `parse` and for repeated keys."""
    data, repeated = parse(path)
    if repeated:
        raise FormatError(repeated, path)
    return data


def read_task(path: StrPath) -> Task:
    """The single task in a file; raises FormatError with all that is wrong."""
    task: Task = _read(path, "task")
    return task


def read_challenges(path: StrPath) -> Challenges:
    """The challenges in a file; raises FormatError with all that is wrong."""
    challenges: Challenges = _read(path, "challenges")
    return challenges


def read_solutions(path: StrPath, challenges: Challenges | None = None) -> Solutions:
    """The solutions in a file, which must fit `challenges` if given; raises FormatError."""
    solutions: Solutions = _read(path, "solutions", challenges)
    return solutions


def read_submission(path: StrPath, challenges: Challenges | None = None) -> Submission:
    """The submission in a file, which must answer `challenges` if given; raises FormatError."""
    submission: Submission = _read(path, "submission", challenges)
    return submission


def write_json(path: StrPath, data: object) -> None:
    """Write compact JSON, whole or not at all; raises WriteError."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    with atomic_write(path) as file:
        file.write(text)


def write_submission(path: StrPath, submission: Submission, challenges: Challenges) -> None:
    """Write a submission in the order of `challenges`, whole or not at all.

    Raises FormatError if it is not valid or not complete, WriteError if the file cannot be written.
    """
    found = submission_problems(submission, challenges)
    if found:
        raise FormatError(found)
    ordered = {
        task_id: [{name: answer[name] for name in ATTEMPTS} for answer in submission[task_id]]
        for task_id in challenges
    }
    write_json(path, ordered)


@overload
def atomic_write(path: StrPath, mode: Literal["w"] = "w") -> AbstractContextManager[IO[str]]: ...
@overload
def atomic_write(path: StrPath, mode: Literal["wb"]) -> AbstractContextManager[IO[bytes]]: ...
@contextmanager
def atomic_write(path: StrPath, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file to write (text in UTF-8, or bytes) that appears at `path` only when all is written.

    Until the block ends well, what is written lies in a temporary file in the same folder. If
    anything goes wrong, KeyboardInterrupt included, that file is removed and `path` is as before.
    A link is followed, and the permissions are those that `open` would give. Raises WriteError if
    the file system refuses; other exceptions of the block pass through.
    """
    target = Path(os.path.realpath(path))
    before = _mode_before(path, target)
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    binary = mode == "wb"
    file = None
    ours = True  # an OSError is this function's, not the block's
    try:
        file = open(  # noqa: SIM115 (closed below: before it takes its name)
            temporary,
            "xb" if binary else "x",
            encoding=None if binary else "utf-8",
            newline=None if binary else "\n",
        )
        if before is not None:
            with suppress(OSError):  # some file systems have no permission bits
                os.chmod(temporary, before)
        ours = False
        yield file
        ours = True
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            if file is not None:
                file.close()  # may fail again: it flushes
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and (ours or error.errno in _DISK_ERRORS):
            raise WriteError(path, _writing_reason(error, target)) from error
        raise


def _read(path: StrPath, kind: Kind, challenges: Challenges | None = None) -> Any:
    data, found = parse(path)
    found += problems(kind, data, challenges)
    if found:
        also = "" if challenges is None else " --challenges CHALLENGES"
        file = shlex.quote(shown_path(path))
        command = f"python -m submission validate --kind {kind}{also} {file}"
        raise FormatError(found, path, command)
    return data


def _reading_reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "does not exist, expected a JSON file"
        case IsADirectoryError():
            return "is a folder, expected a JSON file"
        case PermissionError():
            return "cannot be read: permission denied"
    return f"cannot be read: {error.strerror or error}"


def _places(data: Any, repeated: list[tuple[dict[str, Any], list[str]]]) -> list[Problem]:
    """Where the objects with repeated keys are, which the parser cannot know as it builds them."""
    keys_of = {id(built): keys for built, keys in repeated}  # `repeated` keeps the objects alive
    found = []
    stack: list[tuple[Any, str]] = [(data, "")]
    while stack:  # not recursive: newer Pythons parse deeper than they recurse
        value, place = stack.pop()
        before = f"{place}, " if place else ""
        if isinstance(value, dict):
            for key in keys_of.get(id(value), ()):
                message = f"has the key {shown(key)} more than once, expected once"
                found.append(Problem(place, message))
            inside = [(item, f"{before}{shown_name(key)}") for key, item in value.items()]
        elif isinstance(value, list):
            inside = [(item, f"{before}item {number}") for number, item in enumerate(value, 1)]
        else:
            continue
        stack += reversed(inside)
    return found


def _mode_before(path: StrPath, target: Path) -> int | None:
    """The permission bits of the file to be replaced, None if there is none yet."""
    try:
        mode = target.stat().st_mode
    except OSError:  # if it is more than a missing file, creating the new one fails and tells
        return None
    if not stat.S_ISREG(mode):
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is not an ordinary file"
        raise WriteError(path, what)
    if not os.access(target, os.W_OK):
        raise WriteError(path, "it is write-protected")
    return stat.S_IMODE(mode)


def _writing_reason(error: OSError, target: Path) -> str:
    folder = shown_path(target.parent)
    match error:
        case FileNotFoundError():
            return f"the folder {folder} does not exist"
        case NotADirectoryError():
            return f"{folder} is not a folder"
        case PermissionError():
            return f"permission denied in the folder {folder}"
    return _DISK_ERRORS.get(error.errno or 0, error.strerror or str(error))
