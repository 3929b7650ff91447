"""arc-trm bench busy: it counts steps, stops its neighbour and refuses what it cannot do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tiny import MODEL, TRAIN, write_challenges

from arc_trm.benchmarks import BenchmarkResult, busy
from arc_trm.config import RunConfig, from_dict
from arc_trm.errors import UserError

Cli = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    data = {"train": [str(write_challenges(tmp_path))], "test": [], "augmentations": 0}
    data["max_grid_size"] = 4
    values = {"model": MODEL, "train": TRAIN, "data": data, "dtype": "float32"}
    return from_dict(RunConfig, values)


def test_steps_are_counted_in_this_process(config: RunConfig) -> None:
    measured = busy._measure(config, 4, 0.1)
    assert measured["steps_per_second"] > 0 and measured["cores"] > 0


def test_each_case_has_its_threads_and_its_neighbour(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen: list[tuple[str, int]] = []
    neighbours: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def popen(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        neighbours.append(start(*arguments, **settings))
        return neighbours[-1]

    class Pool:
        """Calls in this process, where the neighbours can be seen."""

        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, *_: object) -> Pool:
            running = sum(process.poll() is None for process in neighbours)
            seen.append((os.environ["OMP_NUM_THREADS"], running))
            return self

        def result(self) -> dict[str, float]:
            counts = {"threads": 2, "spin_count": 0, "cores": 1.0}
            return {**counts, "steps_per_second": float(len(seen))}

    monkeypatch.setattr(busy, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(busy, "usable_cores", lambda: 2)
    monkeypatch.setattr(busy, "cpu_threads", lambda: 2)
    values = busy.bench_busy(config, 4, rounds=2)
    assert seen == [("1", 0), ("2", 0), ("2", 2)] * 2
    assert all(process.poll() is not None for process in neighbours)
    assert [case["steps_per_second"] for case in values["cases"].values()] == [2.5, 3.5, 4.5]
    assert values["busy_share_of_one_thread"] == 4.5 / 2.5
    lines = BenchmarkResult(values).lines()
    assert "4.5 steps a second (3 to 6)" in lines[3] and "180%" in lines[-1]

    seen.clear()
    monkeypatch.setattr(busy, "cpu_threads", lambda: 1)  # both cases without a neighbour are one
    values = busy.bench_busy(config, 4, rounds=2)
    assert [running for _, running in seen] == [0, 2] * 2
    assert len(BenchmarkResult(values).lines()) == 1 + len(values["cases"]) + 1 == 4


@pytest.mark.slow
def test_cases_are_measured_in_processes_of_their_own(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(busy, "cpu_threads", lambda: 1)  # as that variable says
    cases = busy.bench_busy(config, 4, rounds=1, seconds=0.1)["cases"]
    assert cases["idle_one_thread"]["threads"] == 1
    assert all(case["steps_per_second"] > 0 for case in cases.values())


def test_a_process_of_torchrun_is_refused(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "x"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(UserError, match="without torchrun"):
        busy.bench_busy(config)


def test_other_devices_are_refused(cli: Cli) -> None:
    for option in (["--device", "cuda"], ["--compile"]):
        result = cli("bench", "busy", *option)
        assert result.exit_code == 2
        assert "`bench busy` measures the CPU: leave out --device and --compile" in result.stderr
