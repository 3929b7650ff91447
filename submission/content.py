"""Files from outside: unpacked in memory, decoded, or named for what they are.

A file may be packed as .gz or .zst, or be an archive (.zip, .tar, .tar.gz, .tar.zst). What it is is
told by its first bytes, not by its name. Nothing is ever unpacked to the disk.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple, TypeAlias, cast

from submission.errors import FormatError, Problem, format_path, format_value

StrPath: TypeAlias = str | os.PathLike[str]

MAX_UNPACKED = 2**32
"""Bytes that a packed file or all members of an archive may have together, 4 GiB."""
MAX_READ = 2**30
"""Bytes of a file that are held in memory at once, 1 GiB: a JSON file is parsed as a whole."""
MAX_PACKED_READ = 2**28
"""The same for a packed file or one in an archive, 256 MiB: parsed JSON may take forty times its
size, and a few kilobytes unpack to that."""
MAX_HEADER = 2**20
"""Bytes of a long name or other header in a .tar file."""
MAX_MEMBERS = 200_000
"""Files and folders in an archive."""
CHUNK = 2**20
HEAD = 2**16
"""Bytes of the beginning by which a file is recognised."""
MAX_WINDOW = 2**27
"""Bytes of memory that a .zst file may ask its reader for."""

_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"PAR1": "Parquet",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89HDF": "HDF5",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x7fELF": "a program",
}
_MARKS = {  # the longer ones first: the mark of UTF-16 begins that of UTF-32
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
TAR, UNMARKED = "a TAR archive", "UTF-16 without a mark"
_SUFFIXES = (".gz", ".zst", ".zstd")


@dataclass(frozen=True)
class Content:
    """A file, or a file in an archive.

    Attributes:
        place: path for messages; of a file in an archive `tasks.zip: training/0a.json`.
        name: name of the file without a folder and without the ending of its packing.
        folder: folder of the file, for messages and for files that belong together.
        opener: opens the file; the stream unpacks it.
        member: path of the file in its archive; "" if it is in none.

    The file is opened once if its content fits into `head`, otherwise once more.
    """

    place: str
    name: str
    folder: str
    opener: Callable[[], _Unpacking]
    member: str = ""

    @property
    def stem(self) -> str:
        """The name without its last ending, by which tasks are called."""
        return PurePosixPath(self.name).stem

    def open(self) -> IO[bytes]:
        """Open the unpacked bytes.

        Raises:
            FormatError: now or while it is read: the file cannot be read, is damaged, or unpacks to
                too much.
        """
        if len(self.head) < HEAD:
            return io.BytesIO(self.head)
        with _errors_of(self.place):
            return self.opener()

    @property
    def head(self) -> bytes:
        """The first `HEAD` unpacked bytes. Raises FormatError as `open`."""
        return self._beginning[0]

    @property
    def packing(self) -> str | None:
        """How the file is packed, in words, None if it is not. Raises FormatError as `open`."""
        return self._beginning[1]

    @cached_property
    def _beginning(self) -> tuple[bytes, str | None]:
        with _errors_of(self.place), self.opener() as stream:
            return stream.read(HEAD), stream.packing

    def open_text(self, newline: str | None = None) -> io.TextIOWrapper:
        """Open the content as text, in the encoding that its mark says, without an error.

        Bytes that are no UTF-8 become surrogates, those of other encodings replacement characters.
        `newline` is that of `io.TextIOWrapper`. Raises FormatError as `open`.
        """
        encoding = text_encoding(self.head)
        errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
        return io.TextIOWrapper(self.open(), encoding, errors, newline)

    def read(self) -> bytes:
        """Return all unpacked bytes. Raises FormatError as `open`, or if they are too many."""
        packed = bool(self.member) or self.packing is not None
        limit = MAX_PACKED_READ if packed else MAX_READ
        parts, size = [], 0
        with self.open() as stream:
            while part := stream.read(CHUNK):  # at once, it would allocate the limit
                parts.append(part)
                size += len(part)
                if size > limit:
                    advice = "unpack or split it" if packed else "split it"
                    raise _error(self.place, f"is larger than {_size(limit)}: {advice}")
        return b"".join(parts)


class Unpacked(NamedTuple):
    """The bytes of a file, and how it is packed, in words; None if it is not."""

    content: bytes
    packing: str | None


def read_content(path: StrPath) -> Unpacked:
    """Read a file, unpacked if it is packed; an archive must have one file.

    Raises:
        FormatError: it cannot be read, is damaged, unpacks to too much or has several files.
    """
    outer = file_content(path)
    if archive_kind(outer) is None:
        return Unpacked(outer.read(), outer.packing)
    members = list(contents(path))
    if len(members) != 1:
        number = f"an archive of {len(members)} files" if members else "an archive without files"
        raise _error(outer.place, f"is {number}, expected one file")
    return Unpacked(members[0].read(), outer.packing or looks_like(outer.head))


def contents(path: StrPath) -> Iterator[Content]:
    """Yield a file, or the files of an archive, which are read while they are yielded.

    Hidden files and what macOS adds to archives are left out.

    Raises:
        FormatError: the file cannot be read, or the archive is damaged, unpacks to too much, or has
            links or names that lead out of it.
    """
    content = file_content(path)
    with _errors_of(content.place):
        match archive_kind(content):
            case None:
                yield content
            case "zip":
                yield from _zip_members(path, content.place)
            case "tar":
                yield from _tar_members(content)


def archive_kind(content: Content) -> Literal["zip", "tar"] | None:
    """Return the kind of archive that a file is. Raises FormatError if it cannot be read."""
    if content.head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if looks_like(content.head) == TAR else None


def file_content(path: StrPath) -> Content:
    """Return a file that is no archive. It is opened when it is read."""
    place, name = format_path(path), os.path.basename(os.fsdecode(path))
    folder = os.path.dirname(place)
    return Content(place, _plain_name(name), folder, lambda: _unpacked(_open_file(path), place))


def decode_text(content: bytes, path: StrPath) -> str:
    """Decode text in UTF-8, or in UTF-16 or UTF-32 with a mark; the mark is left out.

    Raises:
        FormatError: the bytes are no such text; it says what they are.
    """
    encoding = text_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        what = looks_like(content)
        bad = f"is not {encoding.removesuffix('-sig').upper()} text (byte {error.start + 1})"
        message = f"is {what}, expected text" if what else f"{bad}: save it as UTF-8"
        raise _error(format_path(path), message) from None
    if looks_like(content) == UNMARKED:  # ASCII with null characters, to the decoder
        raise _error(format_path(path), f"is {UNMARKED}: save it as UTF-8")
    return text


def text_encoding(head: bytes) -> str:
    """Return the encoding of text that begins with these bytes, by its mark; UTF-8 without one.

    It leaves the mark out.
    """
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8-sig")


def has_mark(head: bytes) -> bool:
    """Return whether text begins with a byte order mark."""
    return head.startswith(tuple(_MARKS))


def looks_like(head: bytes) -> str | None:
    """Return what is no plain text but begins with these bytes, with its article; None if unknown.

    A text with a mark is plain text.
    """
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            return what
    if head[257:262] == b"ustar":
        return TAR
    if has_mark(head):
        return None
    if len(head) >= 4 and b"\0" in head[:64]:
        pairs = head[: len(head) // 2 * 2][:64]
        if not any(pairs[1::2]) or not any(pairs[::2]):
            return UNMARKED
        return None if head.lstrip()[:1] in (b"{", b"[") else "binary data"
    return None


def text_looks_like(text: str) -> str | None:
    """Return what text that is not JSON looks like, with its article; None if nothing tells."""
    start = text.lstrip()[:HEAD]
    lines = [line.strip() for line in start.splitlines()[:3] if line.strip()]
    if start[:1] == "<":
        is_page = start[:200].lower().startswith(("<!doctype html", "<html"))
        return "an HTML page" if is_page else "XML"
    if start.startswith("version https://git-lfs"):
        return "a Git LFS pointer, not the file: run `git lfs pull`"
    if len(lines) > 1 and all(line[0] in "{[" and line[-1] in "}]" for line in lines):
        return "one JSON value per line"
    if lines and lines[0][0] not in "{[":
        for separator, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs")):
            if all(separator in line for line in lines):
                return f"a table with {name}"
    return None


class _Guarded(io.RawIOBase):
    """A stream whose errors name its file, and of which at most `limit` bytes are read."""

    def __init__(self, place: str, stream: Any, limit: int, *below: IO[bytes]) -> None:
        self._place, self._streams, self._left, self._limit = place, (stream, *below), limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with _errors_of(self._place):
            data = self._streams[0].read(len(view))
            self._left -= len(data)
            if self._left < 0:
                raise _TooLarge(self._limit)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            for stream in self._streams:
                stream.close()
        super().close()


class _TooLarge(Exception):
    """More bytes than this limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"unpacks to more than {_size(limit)}, which is not read")


class _NotOrdinary(Exception):
    """A pipe, a socket or a device."""


def _open_file(path: StrPath) -> IO[bytes]:
    """Open an ordinary file: a pipe or a device may never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if not stat.S_ISREG(mode):
        raise _NotOrdinary
    return Path(path).open("rb")


class _Unpacking(io.BufferedReader):
    """The unpacked bytes of a stream, which it closes with itself."""

    packing: str | None = None


def _unpacked(stream: IO[bytes], place: str) -> _Unpacking:
    packed = io.BufferedReader(cast(io.RawIOBase, stream), HEAD)
    unpacked: Any
    packing = looks_like(packed.peek(HEAD)[:HEAD])
    match packing:
        case "gzip":
            unpacked, limit = gzip.GzipFile(fileobj=packed), MAX_UNPACKED
        case "zstd":
            unpacked, limit = _open_zstd(packed, place), MAX_UNPACKED
        case _:
            unpacked, limit, packing = packed, sys.maxsize, None  # it cannot grow
    unpacking = _Unpacking(_Guarded(place, unpacked, limit, packed), HEAD)
    unpacking.packing = packing
    return unpacking


def _open_zstd(stream: IO[bytes], place: str) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        message = "is zstd: run `pip install zstandard` to read it, or unpack it with `zstd -d`"
        raise _error(place, message) from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    return decompressor.stream_reader(stream, read_across_frames=True)


def _zip_members(path: StrPath, place: str) -> Iterator[Content]:
    archive = zipfile.ZipFile(path)  # is closed with the last member
    members = archive.infolist()
    _check_number(len(members), place)
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise _error(
            place, f"has {format_value(repeated)} more than once, expected different names"
        )
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        raise _TooLarge(MAX_UNPACKED)
    for member in members:
        _check_member(member.filename, place, stat.S_ISLNK(member.external_attr >> 16))
        if not (member.is_dir() or _is_hidden(member.filename)):
            yield _member(place, member.filename, partial(_open_zipped, archive, member, place))


def _open_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> IO[bytes]:
    where = f"{place}: {member.filename}"
    # One that unpacks to more than its entry says is damaged or hostile.
    guarded = _Guarded(where, archive.open(member), member.file_size)
    return io.BufferedReader(guarded, HEAD)


class _Header(tarfile.TarInfo):
    """The header of a member.

    tarfile would read a header of any size, and take a damaged one for the end of the archive.
    """

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if type(error).__name__ not in ("InvalidHeaderError", "TruncatedHeaderError"):
                raise  # it is the end
            raise tarfile.ReadError(f"a damaged header, {error}") from None

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size > MAX_HEADER and not (self.isreg() or self.isdir()):
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(tarfile_)  # type: ignore[misc]
        return found


def _tar_members(content: Content) -> Iterator[Content]:
    place, total = content.place, 0
    names = set[str]()
    with (
        content.open() as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive,
    ):
        for number, member in enumerate(archive, 1):
            _check_number(number, place)
            total += member.size  # of a file with holes more than there is in the archive
            if total > MAX_UNPACKED:
                raise _TooLarge(MAX_UNPACKED)
            _check_member(member.name, place, member.issym() or member.islnk())
            if not member.isreg() or _is_hidden(member.name):
                continue
            if member.name in names:
                raise _error(
                    place,
                    f"has {format_value(member.name)} more than once, expected different names",
                )
            names.add(member.name)
            if member.issparse():
                raise _error(
                    place,
                    f"has the file {format_value(member.name)} with holes, expected whole files",
                )
            if member.size > MAX_READ:
                raise _error(f"{place}: {member.name}", f"is larger than {_size(MAX_READ)}")
            file = archive.extractfile(member)
            assert file is not None, "an ordinary file"
            yield _member(place, member.name, partial(io.BytesIO, file.read()))


def _member(place: str, name: str, opener: Callable[[], IO[bytes]]) -> Content:
    where, inside = f"{place}: {name}", PurePosixPath(name)
    folder = place if inside.parent == PurePosixPath(".") else f"{place}: {inside.parent}"
    name_inside = _plain_name(inside.name)
    return Content(where, name_inside, folder, lambda: _unpacked(opener(), where), name)


def _check_member(name: str, place: str, link: bool) -> None:
    parts = name.replace("\\", "/").split("/")
    if not name:
        raise _error(place, "has a file without a name, expected names")
    if link:
        raise _error(place, f"has the link {format_value(name)}, expected only files and folders")
    if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise _error(place, f"has the name {format_value(name)}, which leads out of the archive")


def _check_number(number: int, place: str) -> None:
    if number > MAX_MEMBERS:
        raise _error(place, f"has more than {MAX_MEMBERS} members, which are not read")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _plain_name(name: str) -> str:
    """Return a file's name without the ending of its packing."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _SUFFIXES and stem else name


@contextmanager
def _errors_of(place: str) -> Iterator[None]:
    """Turn what reading and unpacking may raise into one FormatError."""
    try:
        yield
    except FormatError:
        raise
    except _TooLarge as error:
        message = str(error)
    except _NotOrdinary:
        message = "is a pipe, a socket or a device, expected a file"
    except FileNotFoundError:
        message = "does not exist, expected a file"
    except IsADirectoryError:
        message = "is a folder, expected a file"
    except PermissionError:
        message = "cannot be read: permission denied"
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"is packed and damaged ({error}): copy or download it again"
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
    except Exception as error:  # of many types: a password, an unknown method, a null in the path
        message = f"cannot be read ({error}): unpack it, or pack it again as .zip or .tar.gz"
    else:
        return
    raise _error(place, message) from None


def _error(place: str, message: str) -> FormatError:
    return FormatError([Problem("", message)], place)


def _size(number: int) -> str:
    return f"{number >> 30} GiB" if number >= 2**30 else f"{number >> 20} MiB"
