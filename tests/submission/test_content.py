"""Reading packed files and archives in memory, and saying what a file is."""

from __future__ import annotations

import gzip
import os
import socket
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import tarred, zipped

import submission as sub
from submission import content as module
from submission.content import contents, looks_like, read_content, text_looks_like

DATA = b'{"a": 1}\n'


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".json": bytes,
    ".json.gz": gzip.compress,
    ".json.zst": zstandard.compress,
    ".zip": lambda data: zipped({"inner.json": data}),
    ".tar": lambda data: tarred({"inner.json": data}),
    ".tar.gz": lambda data: gzip.compress(tarred({"inner.json": data})),
    ".tar.zst": lambda data: zstandard.compress(tarred({"inner.json": data})),
    "": lambda data: zipped({"inner.json.gz": gzip.compress(data)}),  # the name tells nothing
}


@pytest.mark.parametrize("suffix", PACKINGS)
def test_every_packing_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"inner{suffix}"
    path.write_bytes(PACKINGS[suffix](DATA))
    found = read_content(path)
    assert found.content == DATA and bool(found.packing) == (suffix != ".json")
    assert [each.name for each in contents(path)] == ["inner.json"]
    assert sub.read_json(path) == {"a": 1}


def test_members_have_names_and_places(tmp_path: Path) -> None:
    files = {"b.json": b"1", "deep/er/a.json": b"2", ".hidden": b"", "__MACOSX/._b.json": b""}
    for name, data in (("x.zip", zipped(files)), ("x.tar.gz", gzip.compress(tarred(files)))):
        path = tmp_path / name
        path.write_bytes(data)
        found = [(each.place, each.folder, each.stem, each.read()) for each in contents(path)]
        assert found == [
            (f"{path}: b.json", f"{path}", "b", b"1"),
            (f"{path}: deep/er/a.json", f"{path}: deep/er", "a", b"2"),
        ]
        with pytest.raises(sub.FormatError, match="is an archive of 2 files, expected one file"):
            read_content(path)


@pytest.mark.parametrize("name", ["../x.json", "a/../../x", "/x.json", "c:\\x", "\\\\host\\x"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_lead_out_are_refused(
    tmp_path: Path, name: str, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(pack({name: DATA}))
    with pytest.raises(sub.FormatError, match="which leads out of the archive"):
        list(contents(path))
    assert os.listdir(tmp_path) == ["archive"]


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        with pytest.raises(sub.FormatError, match='has the link "link"'):
            list(contents(path))
    with zipfile.ZipFile(path, "w") as zipped_file:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped_file.writestr(info, "/etc/passwd")
    with pytest.raises(sub.FormatError, match='has the link "link"'):
        list(contents(path))


@pytest.mark.parametrize("suffix", [each for each in PACKINGS if each != ".json"])
def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(PACKINGS[suffix](bytes(2**25)))
    monkeypatch.setattr(module, "MAX_UNPACKED", 2**20)
    monkeypatch.setattr(module, "MAX_READ", 2**20)
    monkeypatch.setattr(module, "MAX_PACKED_READ", 2**20)
    tracemalloc.start()
    with pytest.raises(sub.FormatError, match=r"to more than|is larger than"):
        read_content(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lie.zip"
    data = bytearray(zipped({"a.json": bytes(5000)}))
    place = data.index(b"PK\x01\x02") + 24  # the size in the central directory
    data[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(sub.FormatError):
        read_content(path)


def test_headers_holes_and_repeated_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.json")
        member.pax_headers = {"comment": "x" * (module.MAX_HEADER + 1)}
        archive.addfile(member)
    with pytest.raises(sub.FormatError, match="a header of"):
        list(contents(path))
    path.write_bytes(zipped({"a.json": DATA, "b.json": DATA}).replace(b"b.json", b"a.json"))
    with pytest.raises(sub.FormatError, match=r'has "a.json" more than once'):
        list(contents(path))
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a.json"))
    with pytest.raises(sub.FormatError, match=r'has "a.json" more than once'):
        list(contents(path))
    path.write_bytes(tarred({"a.json": DATA, "b.json": DATA}).replace(b"b.json", b"c.json"))
    with pytest.raises(sub.FormatError, match="a damaged header"):
        list(contents(path))
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.json")
        member.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(member)
    with pytest.raises(sub.FormatError, match=r"with holes|damaged"):
        list(contents(path))


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)  # the path of a socket must be short
        server.bind("socket")
        for path in (fifo, tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(sub.FormatError, match="is a pipe, a socket or a device"):
                read_content(path)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(PACKINGS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.2, 1),
)
def test_damaged_files_give_their_content_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    changes: list[tuple[float, int]],
    kept: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    data = bytearray(PACKINGS[suffix](DATA))
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    path.write_bytes(data[: int(kept * len(data))])
    try:
        for each in contents(path):
            each.read()
    except sub.FormatError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"PAR1\x15", "Parquet"),
        (b"BZh9", "bzip2"),
        ('{"a"'.encode("utf-16-le"), "UTF-16 without a mark"),
        ('{"a"'.encode("utf-16"), None),
        (b"\0\1\2\3\4", "binary data"),
        (DATA, None),
        (b"", None),
    ],
)
def test_bytes_are_named(head: bytes, what: str | None) -> None:
    assert looks_like(head) == what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"a": 1}\n{"b": 2}\n', "one JSON value per line"),
        ("a,b\n1,2\n", "a table with commas"),
        ("a;b\n1;2\n", "a table with semicolons"),
        ("a\tb\n", "a table with tabs"),
        ("<html><body>", "an HTML page"),
        ("<?xml version='1.0'?>", "XML"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ('{"a": [\n', None),
        ("", None),
    ],
)
def test_text_is_named(text: str, what: str | None) -> None:
    found = text_looks_like(text)
    assert found == what or (what is not None and found is not None and found.startswith(what))
