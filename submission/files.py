"""JSON files: read and validate them; write whole files or none."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from submission.content import (
    Unpacked,
    decode_text,
    has_mark,
    looks_like,
    read_content,
    text_looks_like,
)
from submission.errors import (
    FormatError,
    Problem,
    SubmissionError,
    WriteError,
    format_name,
    format_path,
    format_value,
    quote_path,
)
from submission.formats import (
    ATTEMPTS,
    KINDS,
    Challenges,
    Kind,
    Solutions,
    Submission,
    Task,
    kind_problems,
    recognise,
    submission_problems,
)
from submission.temporary import is_in_temporary, temporary_folder

StrPath: TypeAlias = str | os.PathLike[str]

MAX_VALUES, MAX_ITEMS = 20_000_000, 200_000_000
"""Lists, objects and texts in a JSON file, and commas: some bytes of the file each, which take up
to 100 and 40 bytes of memory."""

# Errors of the disk while a file is written. They do not depend on the file's contents.
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
    errno.EIO: "the disk reported an error",
    errno.EROFS: "the file system is read-only",
}


def parse_json(content: bytes, path: StrPath) -> Any:
    """Parse the content of the JSON file at `path`.

    Raises:
        FormatError: the content is not JSON, or an object repeats a key.
    """
    data, repeated = parse_unchecked(content, path)
    if repeated:
        raise FormatError(repeated, path)
    return data


def read_json(path: StrPath) -> Any:
    """Read a JSON file, which may be packed (`submission.content`).

    Raises FormatError as `parse_json` does, or if it cannot be read.
    """
    return parse_json(read_content(path).content, path)


def json_value(text: str | bytes, nan: bool = False) -> Any:
    """Parse a short JSON text, such as a line of a log.

    Args:
        text: the JSON.
        nan: whether it may hold `NaN` and `Infinity`, as Python writes them.

    Raises:
        ValueError: whatever is wrong: it is no JSON, no UTF-8, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=None if nan else _refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no number {name}")


def read_any(path: StrPath, kinds: Sequence[Kind] = KINDS) -> tuple[Kind, Any]:
    """Read a file of any of several kinds; one that resembles none is checked as challenges.

    Returns:
        The kind that the file resembles most, and its valid data.

    Raises:
        FormatError: the file cannot be read, or its data is not valid for that kind.
    """
    return _read(path, "challenges", kinds)


def read_task(path: StrPath) -> Task:
    """Read a single task; raise FormatError if it is invalid."""
    return _read(path, "task")[1]


def read_challenges(path: StrPath) -> Challenges:
    """Read challenges; raise FormatError if they are invalid."""
    return _read(path, "challenges")[1]


def read_solutions(path: StrPath, challenges: Challenges | None = None) -> Solutions:
    """Read solutions; raise FormatError if they are invalid or do not match `challenges`."""
    return _read(path, "solutions", (), challenges)[1]


def read_submission(path: StrPath, challenges: Challenges | None = None) -> Submission:
    """Read a submission; raise FormatError if it is invalid or does not answer `challenges`."""
    return _read(path, "submission", (), challenges)[1]


def write_json(path: StrPath, data: object) -> None:
    """Write compact JSON, as a whole file or not at all; raise WriteError if that fails."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    with atomic_write(path) as file:
        file.write(text)


def check_replaceable(path: StrPath, overwrite: bool) -> None:
    """Raise SubmissionError unless nothing is at `path`, or a submission that is overwritten."""
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise SubmissionError(
            f"{format_path(path)} already exists: name another file, or replace it with --overwrite"
        )
    try:
        kind = recognise(read_json(path))
    except SubmissionError:
        kind = None
    if kind != "submission":
        raise SubmissionError(
            f"{format_path(path)} is not a submission, so it is not overwritten: name another file"
        )


def write_submission(path: StrPath, submission: Submission, challenges: Challenges) -> None:
    """Write a submission in the order of the challenges, as a whole file or not at all.

    Raises:
        FormatError: the submission is invalid or does not answer all challenges.
        WriteError: the file cannot be written.
    """
    if found := submission_problems(submission, challenges):
        raise FormatError(found)
    ordered = {
        task_id: [{name: answer[name] for name in ATTEMPTS} for answer in submission[task_id]]
        for task_id in challenges
    }
    write_json(path, ordered)


@contextmanager
def atomic_write(path: StrPath, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` once the block ends without an error.

    Until then the content lies in a temporary folder beside it. An exception, also
    KeyboardInterrupt, removes that and leaves `path` unchanged; what a kill leaves, the next write
    in the same folder removes. A symbolic link is followed. The permissions are those that `open`
    would give. Text is UTF-8.

    Raises:
        WriteError: the file system refuses. Other exceptions of the block pass through.
    """
    target = Path(os.path.realpath(path))
    before = _mode_before(path, target)
    encoding, newline = (None, None) if mode == "wb" else ("utf-8", "\n")
    ours = True  # whether an OSError comes from this function, not from the block
    try:
        with _folder_beside(target) as folder:
            temporary = folder / target.name
            file = open(temporary, mode, encoding=encoding, newline=newline)  # noqa: SIM115
            try:
                if before is not None:
                    with suppress(OSError):  # some file systems have no permission bits
                        os.chmod(temporary, before)
                ours = False
                yield file
                ours = True
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.close()  # flushes, which may fail again
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            file.close()
            os.replace(temporary, target)
    except OSError as error:
        if ours or error.errno in _DISK_ERRORS:
            raise write_error(path, error) from error
        raise


def _folder_beside(target: Path) -> AbstractContextManager[Path]:
    """Return a folder for a file that is not whole; in a temporary folder that one will do."""
    if is_in_temporary(target):
        return nullcontext(target.parent)
    return temporary_folder(target.parent)


def _read(
    path: StrPath, kind: Kind, kinds: Sequence[Kind] = (), challenges: Challenges | None = None
) -> tuple[Kind, dict[str, Any]]:
    """Read valid data of this kind, or of one of `kinds` if it resembles that."""
    data, repeated = parse_unchecked(read_content(path).content, path)
    resembled = recognise(data) if kinds else None
    if resembled is not None and resembled in kinds:
        kind = resembled
    if found := repeated + kind_problems(kind, data, challenges):
        option = "" if challenges is None else " --challenges CHALLENGES"
        command = f"validate --kind {kind}{option} {quote_path(path)}"
        raise FormatError(found, path, command)
    return kind, data


def packing_problems(file: Unpacked) -> list[Problem]:
    """List why a program that expects plain UTF-8 may not read a file."""
    messages = [f"is {file.packing}, expected a plain file"] if file.packing else []
    if has_mark(file.content):
        messages.append("starts with a byte order mark, expected none")
    return [Problem("", message) for message in messages]


def parse_unchecked(content: bytes, path: StrPath) -> tuple[Any, list[Problem]]:
    """Parse JSON; return the data and one problem per repeated key of an object."""
    repeated: list[tuple[dict[str, Any], list[str]]] = []

    def build_object(items: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(items)
        if len(built) < len(items):
            counts = Counter(key for key, _ in items)
            repeated.append((built, [key for key, count in counts.items() if count > 1]))
        return built

    def refuse_constant(name: str) -> None:
        raise FormatError([Problem("", f"holds {name}, expected only numbers that JSON has")], path)

    def read_float(digits: str) -> float:
        if math.isinf(value := float(digits)):
            message = f"holds {digits[:20]}, expected numbers up to {sys.float_info.max:.2g}"
            raise FormatError([Problem("", message)], path)
        return value

    values = content.count(b"[") + content.count(b"{") + content.count(b'"') // 2
    if values > MAX_VALUES or content.count(b",") > MAX_ITEMS:
        limit = f"{MAX_VALUES // 10**6} million lists, objects and texts"
        message = f"has more than {limit}, or {MAX_ITEMS // 10**6} million items in them: split it"
        raise FormatError([Problem("", message)], path)
    text = decode_text(content, path)
    try:
        data = json.loads(
            text,
            object_pairs_hook=build_object,
            parse_constant=refuse_constant,
            parse_float=read_float,
        )
    except json.JSONDecodeError as error:
        message = f"is not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        if not text.strip():
            message = "is empty, expected JSON"
        elif what := looks_like(content) or text_looks_like(text):
            message = f"is {what}, expected JSON"
    except RecursionError:
        message = "is nested too deeply, expected lists and objects a few levels deep"
    except ValueError:  # more digits than Python reads
        message = "has an integer of thousands of digits, expected short numbers"
    else:
        return data, _repeated_key_problems(data, repeated) if repeated else []
    raise FormatError([Problem("", message)], path)


def _repeated_key_problems(
    data: Any, repeated: list[tuple[dict[str, Any], list[str]]]
) -> list[Problem]:
    """List repeated keys with their places in `data`, which the parser does not know."""
    keys_of = {id(built): keys for built, keys in repeated}  # `repeated` keeps these objects alive
    found = []
    stack: list[tuple[Any, str]] = [(data, "")]
    while stack:  # no recursion: Python parses deeper than it recurses
        value, place = stack.pop()
        before = f"{place}, " if place else ""
        if isinstance(value, dict):
            for key in keys_of.get(id(value), ()):
                message = f"has the key {format_value(key)} more than once, expected once"
                found.append(Problem(place, message))
            inside = [(item, f"{before}{format_name(key)}") for key, item in value.items()]
        elif isinstance(value, list):
            inside = [(item, f"{before}item {number}") for number, item in enumerate(value, 1)]
        else:
            continue
        stack += reversed(inside)
    return found


def _mode_before(path: StrPath, target: Path) -> int | None:
    """Return the permission bits of the file to replace, None for a new file."""
    try:
        mode = os.stat(path).st_mode  # not of the target, which /dev/stdout only seems to have
    except OSError:  # any other error than a missing file comes back when the new file is created
        return None
    if not stat.S_ISREG(mode):
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is not an ordinary file"
        raise WriteError(path, what)
    if not os.access(target, os.W_OK):
        raise WriteError(path, "it is write-protected")
    return stat.S_IMODE(mode)


def write_error(path: StrPath, error: OSError) -> WriteError:
    """Return the error of a file that cannot be written, with the reason in plain words."""
    folder = format_path(Path(os.path.realpath(path)).parent)
    reason = _DISK_ERRORS.get(error.errno or 0, error.strerror or str(error))
    match error:
        case FileNotFoundError():
            reason = f"the folder {folder} does not exist"
        case NotADirectoryError():
            reason = f"{folder} is not a folder"
        case PermissionError():
            reason = f"permission denied in the folder {folder}"
        case FileExistsError():
            reason = "something else than a folder has this name"
    return WriteError(path, reason)
