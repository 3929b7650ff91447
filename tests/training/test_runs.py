"""Runs survive kills, full disks and Ctrl-C, and go on to the last bit."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from click.testing import Result
from commands import TOO_LONG
from limits import file_size_limit, limits_files
from tiny import TRAIN, contents, run_config, write_challenges

from arc_trm import load_model, runs
from arc_trm.checkpoint import load_weights, read_tensors, write_tensors
from arc_trm.config import RunConfig
from arc_trm.errors import UserError
from arc_trm.runs import Run
from arc_trm.training import Callback, train_run, trainer
from submission import WriteError

CPU = torch.device("cpu")


@pytest.fixture
def config(challenges: Path) -> RunConfig:
    """Of a run that saves after every step."""
    return run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})


def losses(run: Path) -> list[dict[str, float]]:
    records = runs.read_metrics(run)
    for record in records:
        del record["train/examples_per_second"], record["train/seconds"]
    return records


class StopAfter(Callback):
    """Ends the run as a kill would, at the moment the given step is reported."""

    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == self.step:
            raise InterruptedError


@pytest.mark.parametrize("stop", [1, 2, 5])  # at 1 nothing is saved yet
@pytest.mark.parametrize("total", [12, 2500])  # a record at every step, and at every second
@pytest.mark.slow
def test_resuming_continues_to_the_last_bit(
    tmp_path: Path, config: RunConfig, stop: int, total: int
) -> None:
    config = replace(config, train=replace(config.train, total_steps=total))
    end = StopAfter(12) if total > 100 else Callback()
    with suppress(InterruptedError):
        train_run(config, CPU, tmp_path / "straight", callbacks=[end])
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[StopAfter(stop)])
    resumed = Run(tmp_path / "killed").config
    with suppress(InterruptedError):
        train_run(resumed, CPU, tmp_path / "killed", resume=True, callbacks=[end])
    assert losses(tmp_path / "killed") == losses(tmp_path / "straight")
    for file in (runs.TRAINING_STATE, "model.safetensors", "puzzle_embedding.safetensors"):
        one, other = (read_tensors(tmp_path / r / file) for r in ("killed", "straight"))
        assert one[1] == other[1] and one[0].keys() == other[0].keys()
        names = one[0].keys() - {"metrics.summed_seconds"}  # how fast the machine was
        assert all(torch.equal(one[0][name], other[0][name]) for name in names)


def long_run(challenges: Path) -> list[str]:
    """Arguments of a run that lasts until it is stopped and writes all the time."""
    config = challenges.with_name("config.toml")
    config.write_text(
        f'dtype = "float32"\n[data]\ntest = ["{challenges}"]\naugmentations = 2\n'
        "[model]\nseq_len = 16\nhidden_size = 32\nnum_heads = 2\npuzzle_emb_dim = 32\n"
        "[train]\nglobal_batch_size = 4\ntotal_steps = 100000\nsave_interval_s = 1e-6\n"
    )
    return ["--config", str(config), "--device", "cpu"]


def start(*more: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "arc_trm", "train", *map(str, more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], run: Path, steps: int = 0) -> None:
    """Wait until the process has saved the run after more than so many steps."""
    while not (run / "model.safetensors").exists() or saved_steps(run) <= steps:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)


def saved_steps(run: Path) -> int:
    state, _ = read_tensors(run / runs.TRAINING_STATE)
    return int(state["steps_done"])


@pytest.mark.slow
def test_a_killed_process_leaves_a_whole_training_state(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    process = start(*long_run(challenges), "--out", run)
    wait_for(process, run)
    for pause in (0.0, 0.3, 0.11):
        time.sleep(pause)
        process.kill()
        process.communicate()
        before = saved_steps(run)
        process = start("--resume", run, "--device", "cpu")
        wait_for(process, run, before)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    process = start(*long_run(challenges), "--out", run)
    wait_for(process, run)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 130
    assert f"arc-trm train --resume {run}" in said
    assert "Traceback" not in said
    load_weights(run)
    assert not list(run.glob(".*.tmp"))


@pytest.mark.slow
def test_torchrun_gives_the_losses_of_one_process(
    tmp_path: Path,
    challenges: Path,
    cli: Callable[..., Result],
    torchrun: Callable[..., CompletedProcess[str]],
) -> None:
    settings = ["--set=train.total_steps=8", "--set=train.save_interval_s=300"]
    settings += ["--set=model.initial_state=random", "--set=model.latent_noise=0.1"]
    options = [*long_run(challenges), *settings]
    alone, together = tmp_path / "alone", tmp_path / "together"
    result = cli("train", *options, "--out", alone)
    assert result.exit_code == 0, result.stderr
    done = torchrun("-m", "arc_trm", "train", *options, "--out", together)
    assert done.returncode == 0, done.stderr
    for one, other in zip(losses(alone), losses(together), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    # The run is at its end, so nothing changes.
    done = torchrun("-m", "arc_trm", "train", "--resume", together, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert len(losses(together)) == 8


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[StopAfter(4)])
    before = contents(run)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="the disk is full"):
        train_run(Run(run).config, CPU, run, resume=True)
    assert contents(run) == before


@limits_files
@pytest.mark.parametrize(
    ("size", "file"),
    [(100, "run.json"), (10_000, runs.TRAINING_STATE), (100_000, runs.TRAINING_STATE)],
)
def test_a_file_that_may_not_grow_is_named(
    tmp_path: Path,
    challenges: Path,
    cli: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    file: str,
) -> None:
    # A copy of the source is larger than some of these sizes.
    monkeypatch.setattr("arc_trm.runs.provenance._copied_files", lambda: ({}, {}))
    run = tmp_path / "run"
    options = [*long_run(challenges), "--max-steps", 2]
    with file_size_limit(size):
        result = cli("train", *options, "--out", run)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: {run / file}: cannot be written: the file is larger than this system allows"
    )
    assert not list(run.glob(".*.tmp"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, config: RunConfig) -> None:
    config = replace(config, train=replace(config.train, lr=1e30, warmup_steps=0))
    message = r"the loss is nan at step \d+.*lower learning rates"
    with pytest.raises(UserError, match=message):
        train_run(config, CPU, tmp_path / "run")


def test_an_update_that_is_not_finite_is_not_saved(tmp_path: Path, challenges: Path) -> None:
    rates = {"lr": 1e30, "weight_decay": 1e30, "warmup_steps": 0, "save_interval_s": 1e-6}
    config, run = run_config(challenges, train={**TRAIN, **rates}), tmp_path / "run"
    with pytest.raises(UserError, match=r"weights are not finite after step 1: .* were saved"):
        train_run(config, CPU, run)
    assert not [*run.glob("*.safetensors")]


def test_a_training_state_of_another_version_is_said_to_be_one(tiny_run: Path) -> None:
    tensors, metadata = read_tensors(tiny_run / runs.TRAINING_STATE)
    del tensors["metrics.summed_seconds"]
    write_tensors(tiny_run / runs.TRAINING_STATE, tensors, metadata)
    with pytest.raises(UserError, match=r"has no 'metrics\.summed_seconds', .* another version"):
        train_run(Run(tiny_run).config, torch.device("cpu"), tiny_run, resume=True)


def test_weights_of_a_gradient_that_is_no_number_are_not_saved(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clip(gradients: torch.Tensor, limit: float | None) -> torch.Tensor:
        calls.append(limit)
        if len(calls) == 3:
            gradients.fill_(math.nan)
        return clipped(gradients, limit)

    calls, clipped = list[float | None](), trainer.clip_gradients
    monkeypatch.setattr(trainer, "clip_gradients", clip)
    config = run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"the gradient norm is nan at step 3: .* are of step 2"):
        train_run(config, CPU, run)
    state, _ = read_tensors(run / runs.TRAINING_STATE)
    assert int(state["steps_done"]) == 2
    assert all(tensor.isfinite().all() for tensor in state.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, train=replace(c.train, global_batch_size=2)),
        lambda c: replace(c, model=replace(c.model, num_heads=4)),
        lambda c: replace(c, model=replace(c.model, pos_encoding="none")),
        lambda c: replace(c, dtype="bfloat16"),
    ],
)
def test_a_changed_config_does_not_resume(
    tiny_run: Path, change: Callable[[RunConfig], RunConfig]
) -> None:
    before = contents(tiny_run)
    with pytest.raises(UserError, match=r"change it back or start a new run"):
        train_run(change(Run(tiny_run).config), CPU, tiny_run, resume=True)
    assert contents(tiny_run) == before


@pytest.mark.slow
def test_no_record_is_lost_when_a_kill_comes_between_two_files(
    tmp_path: Path, config: RunConfig
) -> None:
    run = tmp_path / "run"
    train_run(config, CPU, tmp_path / "straight")
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[StopAfter(4)])
    state = (run / runs.TRAINING_STATE).read_bytes()
    with pytest.raises(InterruptedError):
        train_run(Run(run).config, CPU, run, resume=True, callbacks=[StopAfter(7)])
    (run / runs.TRAINING_STATE).write_bytes(state)  # metrics.jsonl is already ahead of it
    left = run / ".arc-trm-0123456789abcdef.tmp"
    left.mkdir()
    (left / "lock").touch()
    (left / "model.safetensors").write_text("half a file")
    train_run(Run(run).config, CPU, run, resume=True)
    assert losses(run) == losses(tmp_path / "straight")
    assert not list(run.glob(".*.tmp"))


def test_runs_of_one_second_get_folders_of_their_own(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({runs.create_run(config) for _ in range(4)}) == 4


def test_a_folder_with_files_is_no_place_for_a_run(tmp_path: Path, config: RunConfig) -> None:
    with pytest.raises(UserError, match="is not empty"):
        train_run(config, CPU, tmp_path)


def test_a_run_names_its_data_so_that_it_is_found_from_anywhere(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = replace(config.data, test=("tiny_challenges.json",), train=("arc-agi-1/training",))
    train_run(replace(config, data=replace(data, max_grid_size=3)), CPU, tmp_path / "run")
    assert Run(tmp_path / "run").config.data.test == (str(tmp_path / "tiny_challenges.json"),)
    assert Run(tmp_path / "run").config.data.train == ("arc-agi-1/training",)


@pytest.mark.parametrize(
    "line",
    [
        "5",
        '"abc"',
        '{"train/loss": 1}',
        '{"step": "a"}',
        '{"step": 1e300}',
        '{"step": 1, "train/loss": "x"}',
        "{",
    ],
)
def test_broken_metrics_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / runs.METRICS).write_text(f'{line}\n{{"step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 1 is not an object of numbers"):
        runs.read_metrics(tmp_path)


def test_changed_data_does_not_resume(tmp_path: Path, tiny_run: Path) -> None:
    before = (tiny_run / "puzzle_ids.json").read_bytes()
    write_challenges(tmp_path, count=4)
    with pytest.raises(UserError, match="the tasks are not those that the run"):
        train_run(Run(tiny_run).config, CPU, tiny_run, resume=True)
    assert (tiny_run / "puzzle_ids.json").read_bytes() == before


def test_what_is_gone_is_told_when_a_run_goes_on(tmp_path: Path, tiny_run: Path) -> None:
    (tmp_path / "tiny_challenges.json").unlink()
    with pytest.raises(UserError, match=r"cannot be loaded as before .*: bring it back"):
        train_run(Run(tiny_run).config, CPU, tiny_run, resume=True)
    (tiny_run / runs.RUN_CONFIG).write_text('{"format": "arc-trm run 2", "seed": "x"}')
    with pytest.raises(
        UserError, match=r"run\.json is not as it was written .*: restore the original file"
    ):
        _ = Run(tiny_run).config


def test_a_run_of_another_version_is_named(tiny_run: Path) -> None:
    (tiny_run / runs.RUN_CONFIG).write_text('{"model": {"cells": 900}}')
    with pytest.raises(UserError, match=r"run\.json does not say 'arc-trm run 2': it is from"):
        _ = Run(tiny_run).config


def test_a_truncated_training_state_is_named(tiny_run: Path) -> None:
    data = (tiny_run / runs.TRAINING_STATE).read_bytes()
    (tiny_run / runs.TRAINING_STATE).write_bytes(data[:-100])
    with pytest.raises(
        UserError, match=r"training_state\.safetensors is damaged, so the run cannot be resumed"
    ):
        train_run(Run(tiny_run).config, CPU, tiny_run, resume=True)


def test_a_training_state_that_links_to_nothing_is_no_reason_to_start_anew(tiny_run: Path) -> None:
    (tiny_run / runs.TRAINING_STATE).unlink()
    (tiny_run / runs.TRAINING_STATE).symlink_to("nowhere")
    with pytest.raises(
        UserError, match=r"training_state\.safetensors is damaged, so the run cannot"
    ):
        train_run(Run(tiny_run).config, CPU, tiny_run, resume=True)


def test_a_run_is_never_overwritten(tiny_run: Path) -> None:
    with pytest.raises(UserError, match="already holds a run"):
        train_run(Run(tiny_run).config, CPU, tiny_run)


def test_a_saved_run_loads_with_the_averaged_weights(tmp_path: Path, config: RunConfig) -> None:
    outcome = train_run(config, CPU, tmp_path / "run")
    assert (outcome.step, outcome.interrupted) == (TRAIN["total_steps"], False)
    state, _ = read_tensors(tmp_path / "run" / runs.TRAINING_STATE)
    model = load_model(tmp_path / "run")
    average = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert torch.equal(average, state["ema"])
    assert torch.equal(model.puzzle_embedding, state["puzzle_embedding"])
    names = json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())
    assert names[0] == "<blank>" and len(names) == len(model.puzzle_embedding)


@pytest.mark.slow
def test_same_seed_same_result_other_seed_other(tmp_path: Path, config: RunConfig) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_run(replace(config, seed=seed), CPU, tmp_path / name)
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")


def test_a_run_may_be_trained_in_a_thread(tmp_path: Path, challenges: Path) -> None:
    """Only the main thread may handle signals."""
    with ThreadPoolExecutor(1) as threads:
        training = threads.submit(
            train_run, run_config(challenges), torch.device("cpu"), tmp_path / "run"
        )
        assert training.result().step > 0
