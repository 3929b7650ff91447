"""Resuming without a training state never replaces what was trained; --restart does and says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from click.testing import Result
from notes import Notes
from tiny import TRAIN, contents, run_config

import arc_trm
from arc_trm import runs
from arc_trm.checkpoint import EMBEDDING_FILE, NETWORK_FILE, read_tensors
from arc_trm.config import AdaptConfig
from arc_trm.errors import UserError
from arc_trm.runs import Run, history
from arc_trm.training import train_run
from arc_trm.training.run_dir import remove_training

CPU = torch.device("cpu")
WEIGHTS = (NETWORK_FILE, EMBEDDING_FILE)
TRAINED = (*WEIGHTS, runs.METRICS, runs.TRAINING_STATE)


def check_same_training(run: Path, other: Path) -> None:
    for file in (runs.TRAINING_STATE, *WEIGHTS):
        one, two = read_tensors(run / file)[0], read_tensors(other / file)[0]
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    steps = [[record["step"] for record in Run(each).metrics] for each in (run, other)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("kept", [TRAINED[:3], WEIGHTS, (NETWORK_FILE,), (EMBEDDING_FILE,)])
def test_a_trained_run_without_a_training_state_is_not_resumed(
    tiny_run: Path, kept: tuple[str, ...]
) -> None:
    for name in TRAINED:
        if name not in kept:
            (tiny_run / name).unlink()
    before = contents(tiny_run)
    remembered = history.recall("run")
    with pytest.raises(UserError) as caught:
        arc_trm.train(resume=tiny_run)
    assert history.recall("run") == remembered  # it is no later run than before
    sentence = str(caught.value)
    assert sentence.startswith(f"{tiny_run} was trained, but it has no training_state.safetensors")
    assert f"`arc-trm train --resume {tiny_run} --restart`" in sentence
    assert all(name in sentence.partition("replaces")[2] for name in kept if name in WEIGHTS)
    assert contents(tiny_run) == before


def test_a_run_that_was_never_trained_starts_from_step_0(
    tmp_path: Path, tiny_run: Path, challenges: Path
) -> None:
    run, heard = tmp_path / "killed", Notes()
    with pytest.raises(InterruptedError):
        train_run(run_config(challenges), CPU, run, callbacks=[Notes(stop=1)])
    assert not any((run / name).exists() for name in TRAINED)
    (run / runs.METRICS).write_text('{"step": 1, "train/lm_loss": 9}\n{"st')  # of the first seconds
    arc_trm.train(resume=run, callbacks=[heard], device="cpu")
    assert heard.notes[-1] == (f"{run} was ended before its first save, so it starts from step 0")
    check_same_training(run, tiny_run)


@pytest.mark.parametrize("removed", [(), (runs.TRAINING_STATE,), TRAINED])
def test_a_restarted_run_is_trained_again_with_its_own_settings(
    tmp_path: Path, tiny_run: Path, removed: tuple[str, ...]
) -> None:
    run, heard = Path(shutil.copytree(tiny_run, tmp_path / "again")), Notes()
    settings = (run / runs.RUN_CONFIG).read_bytes()
    for name in removed:
        (run / name).unlink()
    for name in {*TRAINED} - {*removed}:
        (run / name).write_bytes(b"damaged")
    result = arc_trm.train(resume=run, restart=True, callbacks=[heard], device="cpu")
    assert (result.step, result.total_steps) == (TRAIN["total_steps"],) * 2
    assert heard.notes[-1] == f"{run} starts again from step 0"
    assert runs.latest_run() == run
    assert (run / runs.RUN_CONFIG).read_bytes() == settings
    check_same_training(run, tiny_run)


def test_a_kill_after_a_restart_leaves_nothing_of_the_earlier_training(tiny_run: Path) -> None:
    with pytest.raises(InterruptedError):
        arc_trm.train(resume=tiny_run, restart=True, callbacks=[Notes(stop=1)], device="cpu")
    assert not any((tiny_run / name).exists() for name in TRAINED)
    assert Run(tiny_run).state == "interrupted"
    assert arc_trm.train(resume=tiny_run, device="cpu").step == TRAIN["total_steps"]


def test_a_run_of_which_a_restart_has_removed_the_training_is_not_complete(tiny_run: Path) -> None:
    assert Run(tiny_run).state == "complete"
    remove_training(tiny_run)  # and then a kill
    assert Run(tiny_run).state == "interrupted"


def test_an_error_before_a_restart_leaves_the_run_as_it_is(tmp_path: Path, tiny_run: Path) -> None:
    (tmp_path / "tiny_challenges.json").unlink()
    before = contents(tiny_run)
    with pytest.raises(UserError, match="cannot be loaded as before"):
        arc_trm.train(resume=tiny_run, restart=True, device="cpu")
    assert contents(tiny_run) == before


def test_a_run_without_an_end_is_not_restarted(tiny_run: Path) -> None:
    config = json.loads((tiny_run / runs.RUN_CONFIG).read_text())
    del config["train"]
    (tiny_run / runs.RUN_CONFIG).write_text(json.dumps(config))
    before = contents(tiny_run)
    with pytest.raises(UserError, match="the run has no end"):
        arc_trm.train(resume=tiny_run, restart=True, device="cpu")
    assert contents(tiny_run) == before


def test_adapting_without_a_training_state_is_refused_and_restarted_likewise(
    tmp_path: Path, challenges: Path, weights_dir: Path
) -> None:
    config = replace(run_config(challenges), adapt=AdaptConfig(weights=str(weights_dir)))
    run = tmp_path / "run"
    train_run(config, CPU, run)
    first = Path(shutil.copytree(run, tmp_path / "first"))
    (run / runs.TRAINING_STATE).unlink()
    with pytest.raises(UserError, match=f"`arc-trm adapt --resume {run} --restart`"):
        arc_trm.adapt(resume=run, device="cpu")
    arc_trm.adapt(resume=run, restart=True, device="cpu")
    check_same_training(run, first)


def test_what_a_resumed_run_does_is_said(tmp_path: Path, tiny_run: Path, challenges: Path) -> None:
    heard = Notes()
    arc_trm.train(resume=tiny_run, callbacks=[heard], device="cpu")
    assert heard.notes[-1] == f"{tiny_run} is complete: nothing is left to train after step 12"
    config = run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[Notes(stop=5)])
    arc_trm.train(resume=tmp_path / "killed", callbacks=[heard], device="cpu")
    assert heard.notes[-1] == f"{tmp_path / 'killed'} resumes at step 4"


@pytest.mark.parametrize("job", [arc_trm.train, arc_trm.adapt])
def test_a_restart_needs_a_run(job: Callable[..., Run]) -> None:
    with pytest.raises(UserError, match="name the run with --resume RUN"):
        job(restart=True)


def test_the_command_restarts(tiny_run: Path, cli: Callable[..., Result]) -> None:
    (tiny_run / runs.TRAINING_STATE).unlink()
    refused = cli("train", "--resume", tiny_run, "--device", "cpu")
    assert refused.exit_code == 2 and refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1 and "--restart" in refused.stderr
    done = cli("train", "--resume", tiny_run, "--restart", "--device", "cpu")
    assert done.exit_code == 0 and done.stdout == f"{tiny_run}\n"
    assert f"{tiny_run} starts again from step 0\n" in done.stderr


@pytest.mark.slow
def test_all_processes_refuse_and_restart_together(
    tiny_run: Path, torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    (tiny_run / runs.TRAINING_STATE).unlink()
    before = contents(tiny_run)
    train = ("-m", "arc_trm", "train", "--device", "cpu", "--resume", tiny_run)
    refused = torchrun(*train)
    assert refused.returncode
    assert "was trained, but it has no training_state.safetensors" in refused.stderr
    assert "Connection closed" not in refused.stderr
    assert contents(tiny_run) == before
    done = torchrun(*train, "--restart")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("starts again from step 0") == 1
    assert [record["step"] for record in Run(tiny_run).metrics] == [*range(1, 13)]
