"""The lock of a folder that a process writes into."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from arc_trm.errors import UserError
from arc_trm.runs import lock as module
from arc_trm.runs.lock import LOCK, FolderLock, check_free, is_locked
from submission.temporary import try_lock

HOLD = """
import sys, time
from pathlib import Path
import click
from arc_trm.runs.lock import FolderLock
from arc_trm.runs.provenance import ARGUMENTS

with click.Context(click.Command("train")) as context, FolderLock() as lock:
    context.meta[ARGUMENTS] = ("train", "--out", "my run")
    lock.acquire(Path(sys.argv[1]))
    print("locked", flush=True)
    time.sleep(60)
"""
proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def test_a_folder_is_locked_until_the_release(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with FolderLock() as lock:
        lock.acquire(tmp_path)
        assert is_locked(tmp_path)
        with FolderLock() as other, pytest.raises(UserError, match="is being written by process"):
            other.acquire(tmp_path)
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path) and not list(tmp_path.iterdir())
    check_free(tmp_path)


def test_who_asks_whether_a_folder_is_locked_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as asking:
        assert try_lock(asking.fileno(), shared=True)
        assert not is_locked(tmp_path)  # another one asks at the same time
        monkeypatch.setattr(time, "sleep", lambda seconds: asking.close() if seconds else None)
        with FolderLock() as lock:
            lock.acquire(tmp_path)  # when the answer is known
            assert is_locked(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("knows_locks", [True, pytest.param(False, marks=proc)])
def test_a_lock_says_who_holds_it_and_ends_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_locks: bool
) -> None:
    if not knows_locks:
        monkeypatch.setattr(module, "try_lock", lambda *_: None)
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        who = rf"process {process.pid} \(`arc-trm train --out 'my run'`\), started \d\d:\d\d: wait"
        with FolderLock() as lock, pytest.raises(UserError, match=who):
            lock.acquire(tmp_path)
        with pytest.raises(UserError, match=who):
            check_free(tmp_path)
        process.kill()
        process.wait()
    assert (tmp_path / LOCK).exists() and not is_locked(tmp_path)
    with FolderLock() as lock:
        lock.acquire(tmp_path)
        assert is_locked(tmp_path)
    assert not list(tmp_path.iterdir())


@proc
def test_without_locks_another_process_with_the_same_number_is_no_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "try_lock", lambda *_: None)
    with FolderLock() as lock:
        lock.acquire(tmp_path)
        assert is_locked(tmp_path)
        holder = json.loads((tmp_path / LOCK).read_text())
        (tmp_path / LOCK).write_text(json.dumps({**holder, "born": 1}))
        assert not is_locked(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"pid": 1}', b"\xff", b"[" * 100_000, b"0" * 10_000_000]
    + [
        json.dumps({"pid": pid, "born": None, "since": since, "command": command}).encode()
        for pid, since, command in ((None, 0, "x"), (1, 1e300, "x"), (1, "x", "x"), (1, 0, [1]))
    ],
)
def test_what_a_lock_file_says_may_be_anything(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with (tmp_path / LOCK).open("rb") as held:
        assert try_lock(held.fileno())
        with pytest.raises(UserError) as caught:
            check_free(tmp_path)
    message = r".* is being written by (another process|process 1, started 1970-01-01 \d\d:\d\d): "
    assert re.fullmatch(message + "wait for its end, or stop it first", str(caught.value))


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link", "hard link"])
def test_what_is_no_lock_file_is_neither_followed_nor_written(tmp_path: Path, kind: str) -> None:
    """A folder of somebody else could name a file of the user."""
    place, thesis = tmp_path / "folder", tmp_path / "thesis.txt"
    place.mkdir()
    thesis.write_text("thesis")
    path = place / LOCK
    {
        "folder": lambda: os.mkdir(path),
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(thesis),
        "dangling link": lambda: path.symlink_to(tmp_path / "new.txt"),
        "hard link": lambda: os.link(thesis, path),
    }[kind]()
    with FolderLock() as lock, pytest.raises(UserError, match="is no lock file of arc-trm: remove"):
        lock.acquire(place)
    assert not is_locked(place)
    assert os.path.lexists(path) and thesis.read_text() == "thesis"
    assert sorted(os.listdir(tmp_path)) == ["folder", "thesis.txt"]


def test_where_no_lock_can_be_made_nothing_is_locked(tmp_path: Path) -> None:
    with FolderLock() as lock:
        lock.acquire(tmp_path / "nowhere")
        assert not is_locked(tmp_path / "nowhere")


def test_a_lock_of_another_user_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file can be read and locked, but not written."""
    original = os.open

    def refuse_to_write(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_RDWR and str(path).endswith(LOCK):
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *rest, **options)

    with FolderLock() as theirs, FolderLock() as ours:
        theirs.acquire(tmp_path)
        monkeypatch.setattr(os, "open", refuse_to_write)
        with pytest.raises(UserError, match="is being written by process"):
            ours.acquire(tmp_path)


def test_a_forked_child_does_not_release_the_lock(tmp_path: Path) -> None:
    with FolderLock() as lock:
        lock.acquire(tmp_path)
        if (child := os.fork()) == 0:
            lock.__exit__()
            os._exit(0)
        os.waitpid(child, 0)
        assert is_locked(tmp_path) and (tmp_path / LOCK).exists()
    assert not is_locked(tmp_path)


def test_a_submission_in_a_folder_that_is_written_is_not_replaced(
    challenges: Path, cli: Callable[..., Result]
) -> None:
    folder = challenges.parent
    out = folder / "submission.json"
    tasks = json.loads(challenges.read_text())
    attempts = {"attempt_1": [[1]], "attempt_2": [[2]]}
    answers = json.dumps({name: [attempts] for name in tasks})
    for name in ("submission.json", "a.json"):
        (folder / name).write_text(answers)
    commands = (
        ("merge", folder / "a.json"),
        ("export", folder / "a.json", "--format", "submission"),
        ("convert-submission", folder / "a.json", "--challenges", challenges),
    )
    for command in commands:
        with FolderLock() as lock:
            lock.acquire(folder)
            result = cli(*command, "--out", out, "--overwrite")
            assert result.exit_code == 2 and "is being written by process" in result.stderr
            assert out.read_text() == answers
