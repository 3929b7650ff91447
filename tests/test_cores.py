"""How many threads compute, and how long they wait for each other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from arc_trm import cores
from arc_trm import device as devices
from arc_trm.cores import usable_cores, wait_briefly
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


def test_threads_wait_briefly_unless_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == str(cores.SPIN_COUNT)
    for name, value in {"GOMP_SPINCOUNT": "7", "OMP_WAIT_POLICY": "active"}.items():
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        monkeypatch.setenv(name, value)
        wait_briefly()
        assert os.environ.get("GOMP_SPINCOUNT") == ("7" if name == "GOMP_SPINCOUNT" else None)
