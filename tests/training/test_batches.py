"""Runs whose batches are made by other processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from groups import fake_groups
from notes import Notes
from tiny import run_config

from arc_trm.callbacks import Callback
from arc_trm.checkpoint import load_weights
from arc_trm.data.sampler import BatchSampler
from arc_trm.runs import Run
from arc_trm.training import batches, train_run
from arc_trm.training.batches import batches_ahead, processes_for, to_tensors

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class AtStepTwo(Callback):
    """Does something after step 2."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == 2:
            self.act()


def children() -> list[int]:
    """The processes that this one has started."""
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return list(map(int, task.read_text().split()))


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are made by two processes, as for a GPU."""
    monkeypatch.setattr(batches, "processes_for", lambda device: 2)


def test_only_a_gpu_has_processes_that_make_batches() -> None:
    assert processes_for(CPU) == 0 < processes_for(torch.device("cuda"))


def test_weights_do_not_depend_on_who_makes_the_batches(
    challenges: Path, tmp_path: Path, two_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, during = children(), list[int]()
    counted = AtStepTwo(lambda: during.extend(children()))
    train_run(run_config(challenges), CPU, tmp_path / "two", callbacks=[counted])
    assert len(during) == len(before) + 2 and children() == before
    monkeypatch.setattr(batches, "processes_for", lambda device: 0)
    train_run(run_config(challenges), CPU, tmp_path / "thread")
    models = [load_weights(tmp_path / name).model for name in ("two", "thread")]
    state, expected = (model.state_dict() for model in models)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert torch.equal(models[0].puzzle_embedding, models[1].puzzle_embedding)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_saves_the_run(
    number: signal.Signals, challenges: Path, tmp_path: Path, two_processes: None
) -> None:
    before = children()

    def stop_all() -> None:
        for pid in (*set(children()).difference(before), os.getpid()):
            os.kill(pid, number)

    run = train_run(run_config(challenges), CPU, tmp_path / "run", callbacks=[AtStepTwo(stop_all)])
    assert (run.stopped_by, Run(tmp_path / "run").step) == (number, 2)
    assert children() == before


def test_a_run_does_without_a_killed_process_and_a_note_says_so(
    challenges: Path, tmp_path: Path, two_processes: None
) -> None:
    before, notes = children(), Notes()

    def kill_one() -> None:
        os.kill(next(iter(set(children()).difference(before))), signal.SIGKILL)

    train_run(run_config(challenges), CPU, tmp_path / "whole")
    train_run(
        run_config(challenges), CPU, tmp_path / "killed", callbacks=[AtStepTwo(kill_one), notes]
    )
    assert children() == before
    assert sum("1 of 2 processes that make batches was killed" in note for note in notes.notes) == 1
    models = [load_weights(tmp_path / name).model for name in ("whole", "killed")]
    state, expected = (model.state_dict() for model in models)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert torch.equal(models[0].puzzle_embedding, models[1].puzzle_embedding)


def test_without_processes_a_thread_makes_the_batches_and_a_note_says_so(
    two_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    notes, sampler = Notes(), BatchSampler(fake_groups(), 4, seed=0)
    with batches_ahead(sampler, CPU, notes.note) as batch_of:
        made = [batch_of(step) for step in range(3)]
    (note,) = notes.notes
    assert "(Resource temporarily unavailable), so a thread makes them" in note
    for step, batch in enumerate(made):
        expected = to_tensors(sampler(step), CPU)
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
