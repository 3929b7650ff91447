"""Temporary folders: removed when their command ends, or by the next one if it was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import submission as sub
from submission import temporary
from submission.temporary import is_temporary, remove_leftovers, temporary_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it knows no such locks")


def killed(action: Callable[[], object]) -> None:
    """Run an action in a process of its own, which ends in it by SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def leave(parent: Path) -> Path:
    """A temporary folder with files and folders, as a kill leaves it in `parent`."""

    def fill() -> None:
        with temporary_folder(parent) as folder:
            (folder / "content").mkdir()
            (folder / "content" / "model").write_text("half")
            (folder / ".tmpAbCdEf").write_text("of a library")
            kill()

    before = set(parent.iterdir())
    killed(fill)
    (left,) = set(parent.iterdir()) - before
    assert is_temporary(left.name) and (left / "content" / "model").exists()
    return left


def test_the_next_write_removes_what_kills_left_and_nothing_else(tmp_path: Path) -> None:
    others = [".arc-trm-0123456789abcdef.tmp", ".arc-trm-0.tmp", ".x.tmp", ".tmpAbCdEf", "a"]
    for name in others:  # the first is a file
        (tmp_path / name).write_text("mine")
    elsewhere = tmp_path / "folder"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (tmp_path / ".arc-trm-00000000000000ff.tmp").symlink_to(elsewhere, target_is_directory=True)
    before = names(tmp_path)
    for _ in range(2):
        leave(tmp_path)
    assert len(names(tmp_path)) == len(before) + 1  # the second has removed that of the first
    sub.write_json(tmp_path / "new", [1])
    assert names(tmp_path) == sorted([*before, "new"])
    assert names(elsewhere) == ["file"]


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        (folder / "file").write_text("half")
        sub.write_json(tmp_path / "other", [1])
        assert (folder / "file").read_text() == "half"
        assert names(tmp_path) == [folder.name, "other"]
    assert names(tmp_path) == ["other"]


def test_a_kill_at_any_call_leaves_what_the_next_command_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 0
    for module, name in (
        (os, "open"),
        (temporary, "try_lock"),
        (temporary, "is_at"),
        (os, "unlink"),
        (os, "rmdir"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, kill)
            killed(lambda: sub.write_json(tmp_path / "file", [1]))
        left += any(map(is_temporary, names(tmp_path)))
        remove_leftovers(tmp_path)
        assert not any(map(is_temporary, names(tmp_path))), name
    assert left == 5


def test_a_kill_while_leftovers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((shutil, "rmtree"), (os, "unlink"), (os, "rmdir")):
        leave(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(module, name, kill)
            killed(lambda: remove_leftovers(tmp_path))
        assert names(tmp_path)
        remove_leftovers(tmp_path)
        assert not names(tmp_path), name


def test_another_command_may_look_for_leftovers_before_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command looks for leftovers at every moment in which a folder is not locked yet."""
    for module, name in ((os, "open"), (temporary, "try_lock"), (temporary, "is_at")):
        original, calls = getattr(module, name), []

        def first_remove(
            *arguments: Any,
            name: str = name,
            original: Any = original,
            calls: Any = calls,
            **options: Any,
        ) -> Any:
            calls.append(arguments)
            if len(calls) == 1:
                if name == "is_at":
                    shutil.rmtree(next(tmp_path.iterdir()))  # one who had the lock before
                remove_leftovers(tmp_path)
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, first_remove)
            with temporary_folder(tmp_path) as folder:
                (folder / "file").write_text("whole")
                assert names(tmp_path) == [folder.name]
        assert len(calls) > 1, name
        assert not names(tmp_path), name


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = leave(tmp_path)
    monkeypatch.setattr(temporary, "try_lock", lambda *_: None)
    sub.write_json(tmp_path / "file", [1])
    assert names(tmp_path) == sorted([left.name, "file"])


def test_a_temporary_folder_is_private(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_becomes_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who may write there, too, replaces a leftover while it is being removed."""
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    (home / "thesis").write_text("mine")
    place.mkdir()
    left = leave(place)
    original = temporary.try_lock

    def replace_then_lock(descriptor: int, shared: bool = False) -> bool | None:
        if left.exists() and not left.is_symlink():
            left.rename(tmp_path / "moved")
            left.symlink_to(home, target_is_directory=True)
        return original(descriptor, shared)

    monkeypatch.setattr(temporary, "try_lock", replace_then_lock)
    remove_leftovers(place)
    assert names(home) == ["thesis"] and left.is_symlink()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no users")
def test_folders_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, own = leave(tmp_path), os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [left.name]


def test_an_interrupt_at_any_call_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    for module, name in ((os, "open"), (temporary, "try_lock"), (temporary, "is_at")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                sub.write_json(tmp_path / "file", [1])
        remove_leftovers(tmp_path)  # an interrupt while a folder is removed leaves it unlocked
        assert not names(tmp_path), name


def test_leftovers_are_not_looked_for_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of many writes takes as long as there are files beside it."""
    looks: list[object] = []
    clock = [0.0]
    monkeypatch.setattr(temporary.time, "monotonic", lambda: clock[0])

    def look(parent: object) -> None:
        looks.append(parent)
        clock[0] += 0.001

    monkeypatch.setattr(temporary, "remove_leftovers", look)
    for _ in range(1000):
        sub.write_json(tmp_path / "file", [1])
        clock[0] += 0.001
    assert 5 < len(looks) < 15


def test_files_in_a_temporary_folder_have_none_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_folder(tmp_path) as folder:
        with sub.atomic_write(folder / "file") as file:
            assert names(folder) == ["file", "lock"]
            file.write("whole")
        with pytest.raises(ZeroDivisionError), sub.atomic_write(folder / "half"):
            _ = 1 / 0
        assert names(folder) == ["file", "lock"]
        assert (folder / "file").read_text() == "whole"
