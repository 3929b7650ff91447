"""A run from scratch with a time limit, and settings that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import TRAIN, run_config

from arc_trm.checkpoint import load_weights
from arc_trm.errors import UserError
from arc_trm.runs import Run
from arc_trm.training import Trainer, train_run

CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_run_from_scratch_fits_into_its_time_limit(tmp_path: Path, challenges: Path) -> None:
    train = {**TRAIN, "total_steps": None, "time_limit": 2.0, "ema_decay": 0.9999}
    result = train_run(run_config(challenges, train=train), CPU, tmp_path / "run")
    assert result.step > 0 and not result.interrupted
    planned = Run(tmp_path / "run").config.train
    assert planned.total_steps == result.total_steps > 0
    assert planned.ema_decay < 0.9999
    load_weights(tmp_path / "run")


def test_a_slow_first_step_does_not_end_a_run_early(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 40 of 100 seconds. Those after it take 5 each, so that 12 of them fit."""
    now, original = 0.0, Trainer.step

    def step(trainer: Trainer, batch: Mapping[str, torch.Tensor]) -> object:
        nonlocal now
        now += 5.0 if trainer.steps_done else 40.0
        return original(trainer, batch)

    monkeypatch.setattr(Trainer, "step", step)
    for module in ("time_limit", "training.loop"):
        clock = SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr(f"arc_trm.{module}.time", clock)
    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", lambda *_: 20)
    train = {**TRAIN, "total_steps": None, "time_limit": 100.0, "save_interval_s": 300.0}
    result = train_run(run_config(challenges, train=train), CPU, tmp_path / "run")
    assert result.step in (12, 13)  # without the time for the last save, or with it


def test_steps_and_a_time_limit_contradict_each_other(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges, train={**TRAIN, "time_limit": 2.0})
    with pytest.raises(UserError, match="both decide how long the run is: set one"):
        train_run(config, CPU, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_without_an_end_is_an_error(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges)
    config = replace(config, train=replace(config.train, total_steps=None))
    with pytest.raises(UserError, match="the run has no end"):
        train_run(config, CPU, tmp_path / "run")
