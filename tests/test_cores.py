"""How many threads compute, and how long they wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from arc_trm import cores
from arc_trm import device as devices
from arc_trm.cores import limit_spinning, usable_cores
from arc_trm.device import cpu_threads

GIVEN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are unset in a test, and as they were after it."""
    for name in GIVEN:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of control groups on a machine of 64 cores; `processes` names this process's."""
    monkeypatch.setattr(cores, "visible_cores", lambda: 64)
    monkeypatch.setattr(cores, "CONTROLLERS", tmp_path)
    monkeypatch.setattr(cores, "PROCESS_GROUPS", tmp_path / "processes")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("200000 100000\n", "max 100000\n", 2),
        ("400000 100000\n", "250000 100000\n", 2),
        ("max 100000\n", "50000 100000\n", 1),
        ("max 100000\n", "max 100000\n", 64),
        ("no numbers", "-1 0", 64),
        ("9999999 100", "", 64),
    ],
)
def test_the_smallest_quota_of_a_group_and_those_above(
    groups: Path, outer: str, inner: str, expected: int
) -> None:
    write(groups, processes="0::/job/step\n")
    write(groups / "job", cpu__max=outer)
    write(groups / "job" / "step", cpu__max=inner)
    assert usable_cores() == expected


def test_a_container_that_sees_the_name_outside(groups: Path) -> None:
    write(groups, processes="0::/docker/0123\n", cpu__max="300000 100000\n")
    assert usable_cores() == 3


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", 64)])
def test_the_quota_of_version_1(groups: Path, quota: str, expected: int) -> None:
    write(groups, processes="5:devices:/\n4:cpu,cpuacct:/job\n3:cpuset:/\n0::/\n")
    write(groups / "cpu" / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert usable_cores() == expected


def test_no_control_groups(groups: Path) -> None:
    assert usable_cores() == 64


def test_threads_are_as_many_as_the_quota_unless_the_user_says(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(groups, processes="0::/\n", cpu__max="300000 100000\n")
    monkeypatch.setattr(devices, "visible_cores", lambda: 64)
    for found, expected in {64: 3, 32: 3, 8: 8, 2: 2}.items():
        monkeypatch.setattr(torch, "get_num_threads", lambda found=found: found)
        assert cpu_threads() == expected
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert cpu_threads() == 64


@pytest.mark.parametrize(
    ("running", "count"),
    [
        ([1, 1, 1], cores.SPIN_COUNT),
        ([3, 3, 3], cores.SPIN_COUNT),  # two others leave two of four cores
        ([4, 4, 4], 0),
        ([4, 4, 3], cores.SPIN_COUNT),
        ([9, 2, 9], cores.SPIN_COUNT),  # the others ended soon
        ([], cores.SPIN_COUNT),  # the system does not say
    ],
)
def test_threads_sleep_at_once_where_others_use_the_cores(
    running: list[int], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.setattr(cores, "SET_BY_USER", False)
    monkeypatch.setattr(cores, "usable_cores", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(cores, "SYSTEM", tmp_path / "stat")
    looks = iter(running)

    def look(_: float = 0.0) -> None:
        (tmp_path / "stat").write_text(f"cpu 1 2 3\nprocs_running {next(looks)}\nblocked 0\n")

    if running:
        look()
    monkeypatch.setattr(cores.time, "sleep", look)
    limit_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == str(count)


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_how_threads_wait_is_what_the_user_says(name: str) -> None:
    code = "import arc_trm.cores as c, os; c.limit_spinning(); print(os.environ.get('{}'))"
    said = {
        name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "OMP"))
    }
    said[name] = "7"
    for variable in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        command = [sys.executable, "-c", code.format(variable)]
        found = subprocess.run(command, env=said, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == said.get(variable, "None")
