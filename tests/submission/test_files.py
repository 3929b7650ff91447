"""Reading any file, valid or not; writing whole files or none."""

from __future__ import annotations

import codecs
import errno
import json
import os
import pickle
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub

READERS: list[Callable[[Path], Any]] = [
    sub.read_task,
    sub.read_challenges,
    sub.read_solutions,
    sub.read_submission,
    sub.read_any,
]

CHALLENGES: Any = {
    "b": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}] * 2},
    "a": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]},
}
SUBMISSION: Any = {
    "a": [{"attempt_2": [[1]], "attempt_1": [[2]]}],
    "b": [{"attempt_1": [[3]], "attempt_2": [[4]]}, {"attempt_1": [[5]], "attempt_2": [[6]]}],
}


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Reading


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty, expected JSON"),
        (b" \n", "is empty, expected JSON"),
        (b'{"a": [\n1,,2]}', "is not JSON at line 2, column 3: Expecting value"),
        (b'{"a": 1}x', "is not JSON at line 1, column 9: Extra data"),
        (b'{"a": "\x00"}', "is not JSON at line 1, column 8: Invalid control character at"),
        (b'{"a": "\xff"}', "is not UTF-8 text (byte 8): save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "is UTF-16 without a mark: save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16-be"), "is UTF-16 without a mark: save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"{", "is not UTF-16 text (byte 3): save it as UTF-8"),
        (b"\x89PNG\r\n", "is a PNG picture, expected text"),
        (b"a,b\n1,2\n", "is a table with commas, expected JSON"),
        (b'{"a": 1}\n{"a": 2}\n', "is one JSON value per line, expected JSON"),
        (b"<!DOCTYPE html><html>", "is an HTML page, expected JSON"),
        (b'{"a": NaN}', "holds NaN, expected only numbers that JSON has"),
        (b'{"a": -1e400}', "holds -1e400, expected numbers up to 1.8e+308"),
        (b"[-Infinity]", "holds -Infinity, expected only numbers that JSON has"),
        (
            b"[" * 500_000,
            "is nested too deeply, expected lists and objects a few levels deep",
        ),
        (
            b'{"a": 1, "b": 2, "a": 3}',
            'has the key "a" more than once, expected once',
        ),
        (
            b'{"x": {"train": [{}, {"input": 1, "input": 2}]}, "x": {"train": [{"k":1,"k":2}]}}',
            'has the key "x" more than once, expected once (and 1 more problem)',
        ),
        (
            b'{"x": {"train": [{}, {"input": 1, "input": 2}]}}',
            'x, train, item 2: has the key "input" more than once, expected once',
        ),
    ],
)
def test_files_that_are_not_json(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(sub.FormatError) as caught:
        sub.read_json(path)
    assert str(caught.value) == f"{path}: {problem}"
    with pytest.raises(sub.FormatError) as parsed:
        sub.parse_json(content, path)
    assert str(parsed.value) == str(caught.value)
    for read in READERS:
        with pytest.raises(sub.FormatError):
            read(path)


def test_an_integer_too_long_to_parse(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("[" + "9" * 5000 + "]")
    with pytest.raises(sub.FormatError, match="an integer of thousands of digits"):
        sub.read_json(path)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {
        tmp_path / "none.json": "does not exist, expected a file",
        tmp_path: "is a folder, expected a file",
    }
    for path, problem in cases.items():
        with pytest.raises(sub.FormatError) as caught:
            sub.read_json(path)
        assert str(caught.value) == f"{path}: {problem}"
    with pytest.raises(sub.FormatError, match=r"x\.\.\.x+: cannot be read: File name too long"):
        sub.read_json("x" * 5000)
    with pytest.raises(sub.FormatError, match=r"cannot be read \(.*embedded null byte\)"):
        sub.read_json("a\0b")

    def refuse(self: Path, mode: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    secret = tmp_path / "secret.json"
    secret.touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(sub.FormatError, match="cannot be read: permission denied"):
        sub.read_json(secret)


def test_reading_finds_every_problem_and_tells_the_first(tmp_path: Path) -> None:
    path = tmp_path / "my file.json"
    path.write_text('{"a": [{"attempt_1": [[10]], "attempt_2": [[1]], "attempt_2": [[], [1]]}]}')
    with pytest.raises(sub.FormatError) as caught:
        sub.read_submission(path)
    assert [str(problem) for problem in caught.value.problems] == [
        'a, item 1: has the key "attempt_2" more than once, expected once',
        "task a, test output 1, attempt_1, row 1: cell 1 is 10, expected an integer 0 to 9",
        "task a, test output 1, attempt_2, row 1: has 0 cells, expected 1 to 30",
    ]
    assert caught.value.path == path
    assert str(caught.value) == (
        f'{path}: a, item 1: has the key "attempt_2" more than once, expected once (and 2 more '
        f"problems; `python -m submission validate --kind submission '{path}'` lists them)"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_reading_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "challenges.json"
    sub.write_json(path, CHALLENGES)
    assert sub.read_challenges(path) == CHALLENGES
    assert sub.read_json(path) == CHALLENGES
    with pytest.raises(sub.FormatError, match="looks like a challenges file, expected a task file"):
        sub.read_task(path)


def test_reading_any_kind_parses_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    files: dict[sub.Kind, Any] = {
        "task": CHALLENGES["a"],
        "challenges": CHALLENGES,
        "solutions": {"a": [[[1]]]},
        "submission": SUBMISSION,
    }
    parsed: list[str] = []
    loads = json.loads
    monkeypatch.setattr(
        json, "loads", lambda text, **how: parsed.append(text) or loads(text, **how)
    )
    for kind, data in files.items():
        sub.write_json(path, data)
        assert sub.read_any(path) == (kind, data)
    assert len(parsed) == 4


def test_reading_any_kind_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    sub.write_json(path, {"a": {"train": []}})
    with pytest.raises(sub.FormatError, match="task a, train: is an empty list") as caught:
        sub.read_any(path)
    assert caught.value.command is not None and "--kind challenges" in caught.value.command
    for data, problem in (([], "is an empty list, expected an object with"), ({}, "has no tasks")):
        sub.write_json(path, data)
        with pytest.raises(sub.FormatError, match=problem):
            sub.read_any(path)
    sub.write_json(path, SUBMISSION)
    with pytest.raises(sub.FormatError, match="looks like a submission file, expected a challeng"):
        sub.read_any(path, ("task", "challenges"))


def test_reading_against_challenges(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    sub.write_json(path, {"a": SUBMISSION["a"]})
    assert sub.read_submission(path) == {"a": SUBMISSION["a"]}
    with pytest.raises(sub.FormatError, match="task b: is missing, expected every task of the"):
        sub.read_submission(path, CHALLENGES)
    sub.write_json(path, {"a": [[[1]]], "b": [[[1]]]})
    with pytest.raises(sub.FormatError, match="task b: has 1 test output, expected 2 as in the"):
        sub.read_solutions(path, CHALLENGES)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["train", "test", "input", "output", "attempt_1", "attempt_2", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=40)
    | st.text('[]{},:"019.eE-truefalsn \\u', max_size=40).map(str.encode)
    | JSON_VALUES.map(json.dumps).map(str.encode)
)
def test_whatever_is_read_raises_nothing_but_format_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    for read in READERS:
        try:
            read(path)
        except sub.FormatError as error:
            assert "\n" not in str(error)
            str(error).encode("utf-8")


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.integers(1, 3), min_size=1, max_size=3))
def test_what_is_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, outputs: dict[str, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.json"
    pair: Any = {"input": [[1]], "output": [[2, 3]]}
    challenges = {name: {"train": [pair], "test": [pair] * n} for name, n in outputs.items()}
    submission: Any = {
        name: [{"attempt_1": [[number]], "attempt_2": [[0] * 30] * 30} for number in range(n)]
        for name, n in reversed(outputs.items())
    }
    sub.write_submission(path, submission, challenges)
    read = sub.read_submission(path, challenges)
    assert read == submission
    assert list(read) == list(challenges)


# Writing


def test_a_submission_is_written_in_the_order_of_the_challenges(tmp_path: Path) -> None:
    path = tmp_path / "submission.json"
    sub.write_submission(path, SUBMISSION, CHALLENGES)
    assert path.read_text() == (
        '{"b":[{"attempt_1":[[3]],"attempt_2":[[4]]},{"attempt_1":[[5]],"attempt_2":[[6]]}],'
        '"a":[{"attempt_1":[[2]],"attempt_2":[[1]]}]}'
    )
    assert leftovers(tmp_path) == ["submission.json"]


def test_an_incomplete_submission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "submission.json"
    with pytest.raises(sub.FormatError, match="task b: is missing, expected every task of the"):
        sub.write_submission(path, {"a": SUBMISSION["a"]}, CHALLENGES)
    assert leftovers(tmp_path) == []


def test_text_and_bytes(tmp_path: Path) -> None:
    with sub.atomic_write(tmp_path / "text") as text:
        text.write("\N{GREEK SMALL LETTER ALPHA}\n")
    with sub.atomic_write(tmp_path / "bytes", "wb") as binary:
        binary.write(b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == b"\xce\xb1\n"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("mine"), SystemExit(3)])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, before: str | None, failure: BaseException
) -> None:
    path = tmp_path / "file"
    if before:
        path.write_text(before)
    with pytest.raises(type(failure)) as caught, sub.atomic_write(path) as file:
        file.write("new" * 100_000)
        assert (path.read_text() if before else None) == before
        raise failure
    assert caught.value is failure
    assert leftovers(tmp_path) == (["file"] if before else [])
    assert (path.read_text() if before else None) == before


def test_the_block_keeps_its_own_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), sub.atomic_write(tmp_path / "file"):
        (tmp_path / "none").read_text()
    assert leftovers(tmp_path) == []


def test_data_that_json_cannot_hold_writes_nothing(tmp_path: Path) -> None:
    for data, error in ((object(), TypeError), (float("nan"), ValueError)):
        with pytest.raises(error):
            sub.write_json(tmp_path / "file", data)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(sub.WriteError) as caught:
        sub.write_json(path, [1])
    assert str(caught.value) == f"{path}: cannot be written: the disk is full"
    assert path.read_text() == "old" and leftovers(tmp_path) == ["file.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("size", [5_000, 5_000_000])
def test_a_write_that_the_system_cuts_short(tmp_path: Path, size: int) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(sub.WriteError, match="the file is larger than this system allows"):
            sub.write_json(tmp_path / "file", "x" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert leftovers(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").write_text("")
    cases = {
        tmp_path / "none" / "file": f"the folder {tmp_path / 'none'} does not exist",
        tmp_path / "plain" / "file": f"{tmp_path / 'plain'} is not a folder",
        tmp_path: "it is a folder",
        Path("/dev/null"): "it is not an ordinary file",
    }
    for path, reason in cases.items():
        with pytest.raises(sub.WriteError) as caught:
            sub.write_json(path, [1])
        assert str(caught.value) == f"{path}: cannot be written: {reason}"

    with pytest.raises(sub.WriteError, match=r"x\.\.\.x+: cannot be written: File name too long"):
        sub.write_json(tmp_path / ("x" * 300), [1])
    reading, writing = os.pipe()  # as /dev/stdout may be
    with pytest.raises(sub.WriteError, match="it is not an ordinary file"):
        sub.write_json(f"/dev/fd/{writing}", [1])
    os.close(reading)
    os.close(writing)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anything
    with pytest.raises(sub.WriteError, match="it is write-protected"):
        sub.write_json(tmp_path / "plain", [1])

    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(sub.WriteError, match="permission denied in the folder"):
        sub.write_json(tmp_path / "file", [1])
    monkeypatch.undo()
    assert leftovers(tmp_path) == ["plain"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    (tmp_path / "ordinary").write_text("")
    sub.write_json(tmp_path / "new", [1])
    assert mode(tmp_path / "new") == mode(tmp_path / "ordinary")
    (tmp_path / "new").chmod(0o640)
    sub.write_json(tmp_path / "new", [2])
    assert mode(tmp_path / "new") == 0o640


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    sub.write_json(tmp_path / "link", [1])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_text() == "[1]"


def test_one_class_catches_everything() -> None:
    assert issubclass(sub.FormatError, sub.SubmissionError)
    assert issubclass(sub.WriteError, sub.SubmissionError)
    error = pickle.loads(pickle.dumps(sub.WriteError("file", "the disk is full")))
    assert str(error) == "file: cannot be written: the disk is full"
