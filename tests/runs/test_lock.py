"""The lock of a run that is trained."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from arc_trm.errors import UserError
from arc_trm.runs.lock import LOCK, RunLock, _lock, is_locked


def test_a_run_is_locked_until_its_end(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with RunLock(tmp_path) as lock:
        lock.acquire()
        assert is_locked(tmp_path)
        with RunLock(tmp_path) as other, pytest.raises(UserError, match="by another process"):
            other.acquire()
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_who_asks_whether_a_run_is_trained_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as asking:
        assert _lock(asking, shared=True)
        assert not is_locked(tmp_path)  # another one asks at the same time
        monkeypatch.setattr(time, "sleep", lambda seconds: asking.close() if seconds else None)
        with RunLock(tmp_path) as lock:
            lock.acquire()  # when the answer is known
            assert is_locked(tmp_path)
