"""Batches from other processes are those of the sampler, and no process is left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from groups import FakeGroup, Tokens, fake_groups

from arc_trm.data.processes import MAX_PROCESSES, BatchProcesses, process_count
from arc_trm.data.sampler import Batch, BatchSampler
from arc_trm.errors import UserError
from submission.process import stop_signals

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def sampler(composed: bool = False) -> BatchSampler:
    return BatchSampler(fake_groups(composed), 4, seed=0)


@contextmanager
def started(count: int, made_from: BatchSampler | None = None) -> Iterator[BatchProcesses]:
    with closing(BatchProcesses(made_from or sampler(), count)) as processes:
        yield processes


def pids(processes: BatchProcesses) -> list[int]:
    return [worker._pid for worker in processes._workers]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for a parent that asks how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_equal(batch: Batch, expected: Batch) -> None:
    assert list(batch) == list(expected)
    for name, array in expected.items():
        assert batch[name].dtype == array.dtype and np.array_equal(batch[name], array)


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_batches_do_not_depend_on_the_number_of_processes(count: int, composed: bool) -> None:
    alone = sampler(composed)
    with started(count, alone) as processes:
        batches = [(step, processes(step)) for step in (*range(9), 30, 31, 2, 3, 3)]
        ended = pids(processes)
    assert {batch["inputs"].shape[1] for _, batch in batches} == {9, 16}
    for step, batch in batches:  # only now: none of them was overwritten by a later one
        assert_equal(batch, alone(step))
    assert not any(map(is_alive, ended))


class DamagedGroup(FakeGroup):
    """A group whose puzzle 1 cannot be read."""

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        if puzzle == 1:
            raise UserError("a damaged example")
        return super().example(puzzle, pair, offset_seed)


def test_an_error_is_raised_at_the_step_that_needs_the_batch() -> None:
    alone = BatchSampler([DamagedGroup(0)], 2, seed=0)
    damaged = []
    with started(2, alone) as processes:
        for step in range(12):
            try:
                expected = alone(step)
            except UserError:
                damaged.append(step)
                with pytest.raises(UserError, match="a damaged example"):
                    processes(step)
            else:
                assert_equal(processes(step), expected)
    assert 0 < len(damaged) < 12


def test_the_batches_of_a_killed_process_are_made_here() -> None:
    alone = sampler()
    with started(2) as processes:
        assert_equal(processes(0), alone(0))
        os.kill(pids(processes)[1], signal.SIGKILL)
        for step in (*range(1, 9), 30, 31, 2):
            assert_equal(processes(step), alone(step))
        assert processes.lost == 1


def test_signals_are_for_the_main_process() -> None:
    with started(1) as processes:
        processes(0)
        for number in stop_signals():  # as a terminal sends them to all processes of a command
            os.kill(pids(processes)[0], number)
        assert_equal(processes(7), sampler()(7))


def test_a_process_keeps_no_file_of_the_main_process_but_its_pipes(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w"), started(2) as processes:
        for step in range(2):
            processes(step)
        for pid in pids(processes):
            files = {int(path.name): path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}
            own = [file.name for number, file in files.items() if number > 2]
            assert len(own) == 2 and all(name.startswith("pipe:") for name in own)


class SlowGroup(FakeGroup):
    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        time.sleep(0.02)
        return super().example(puzzle, pair, offset_seed)


@pytest.mark.parametrize("busy", [False, True])
def test_no_process_outlives_the_main_process(busy: bool) -> None:
    groups = [SlowGroup(0)] if busy else fake_groups()
    reader, writer = os.pipe()
    main = os.fork()
    if main == 0:
        try:
            processes = BatchProcesses(BatchSampler(groups, 4, seed=0), 2)
            processes(0)
            os.write(writer, b"%d %d" % tuple(pids(processes)))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as pipe:
        left = list(map(int, pipe.read().split()))
    assert os.waitstatus_to_exitcode(os.waitpid(main, 0)[1]) == -signal.SIGKILL
    assert len(left) == 2
    deadline = time.monotonic() + 30
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, left))


def test_without_memory_or_processes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, forked = os.fork, []

    def refuse_the_second() -> int:
        if forked:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pid = fork()
        forked.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", refuse_the_second)
    files = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="temporarily unavailable"):
        BatchProcesses(sampler(), 2)
    assert len(forked) == 1 and not is_alive(forked[0])
    assert len(os.listdir("/proc/self/fd")) == files


def test_without_pipes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, allowed = os.pipe, iter(range(3))  # the second process gets one of two

    def refuse_the_fourth() -> tuple[int, int]:
        if next(allowed, None) is None:
            raise OSError(24, "Too many open files")
        return pipe()

    files = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "pipe", refuse_the_fourth)
    with pytest.raises(OSError, match="Too many open files"):
        BatchProcesses(sampler(), 2)
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize(
    ("cores", "ranks", "count"),
    [(1, 1, 1), (2, 1, 1), (3, 1, 2), (64, 1, MAX_PROCESSES), (8, 4, 1), (2, 8, 1), (24, 8, 2)],
)
def test_ranks_share_the_cores(
    cores: int, ranks: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert process_count() == count
