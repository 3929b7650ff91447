"""When a program started, from which its time limit counts."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from arc_trm import time_limit

CHILD = "import time; time.sleep(0.2); from arc_trm.time_limit import PROCESS_STARTED as started"
AGE = f"{CHILD}; print(time.monotonic() - started)"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when a process started")
def test_a_limit_counts_from_the_start_of_the_process_not_of_the_import() -> None:
    done = subprocess.run([sys.executable, "-c", AGE], capture_output=True, text=True, check=True)
    assert float(done.stdout) >= 0.19  # the system counts in hundredths of a second


def test_a_limit_counts_from_the_start_of_the_program_that_started_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = time.monotonic() - 50
    monkeypatch.setenv(time_limit.STARTED, str(before))
    assert time_limit._process_started() == before


@pytest.mark.parametrize("told", ["", "x", "nan", "inf", "-inf", "1e300", "-1e300", "99999999999"])
def test_a_start_that_is_none_is_left_out(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = time_limit._process_started()
    monkeypatch.setenv(time_limit.STARTED, told)
    assert time_limit._process_started() == pytest.approx(own, abs=0.1)


def test_without_the_system_the_processor_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "birth_ticks", lambda pid: None)
    assert time_limit._process_started() <= time.monotonic() - 0.5 * time.process_time()


def test_time_before_the_program_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sleep 1000; exec arc-trm` keeps the age of the script's process."""
    if time_limit.birth_ticks(1) is None:
        pytest.skip("the system does not say when processes started")
    monkeypatch.setattr(time_limit, "birth_ticks", lambda pid: 0)
    monkeypatch.setattr(time, "process_time", lambda: 0.1)
    assert time.monotonic() - time_limit._process_started() == pytest.approx(3.0, abs=0.1)
