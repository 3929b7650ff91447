"""Losses, optimisers and callbacks from outside the package plug in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from paths import ROOT
from tiny import TRAIN, make_batch, make_trainer, run_config
from torch import Tensor

from arc_trm.checkpoint import read_tensors
from arc_trm.config import RunConfig, TrainConfig
from arc_trm.data.generated_file import generate_file
from arc_trm.errors import UserError
from arc_trm.puzzles.generate import GeneratorConfig
from arc_trm.runs import TRAINING_STATE, Run
from arc_trm.training import (
    IGNORE_LABEL,
    Callback,
    Optimiser,
    register_loss,
    register_optimiser,
    train_run,
)
from arc_trm.training.losses import LOSSES
from arc_trm.training.optim import OPTIMISERS, FlatParams

CPU = torch.device("cpu")


@pytest.fixture
def brier_loss() -> Iterator[None]:
    """A registered loss: the squared error of the probabilities."""

    @register_loss("brier")
    def brier_score(logits: Tensor, labels: Tensor) -> Tensor:
        error = logits.float().softmax(-1) - F.one_hot(labels.long(), logits.shape[-1])
        return error.square().sum(-1).mean(1)

    yield
    del LOSSES["brier"]


@pytest.fixture
def momentum() -> Iterator[None]:
    """A registered optimiser: gradient descent with momentum, which has a state."""

    @register_optimiser("momentum")
    class Momentum(Optimiser):
        def __init__(self, params: FlatParams, config: TrainConfig) -> None:
            super().__init__(params, config)
            self.velocity = torch.zeros_like(params.values)

        def step(self, lr_factor: float) -> None:
            self.velocity.mul_(self.config.betas[0]).add_(self.params.gradients)
            self.params.values.sub_(self.config.lr * lr_factor * self.velocity)

        def state_dict(self) -> dict[str, Tensor]:
            return {"velocity": self.velocity}

    yield
    del OPTIMISERS["momentum"]


def test_the_page_about_losses_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/how-to/add-a-loss.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "max_steps=200" in code and "range(3)" in code
    code = code.replace("max_steps=200", "max_steps=2").replace("range(3)", "range(1)")
    monkeypatch.chdir(tmp_path)
    generate_file(GeneratorConfig("sudoku", 110, side=4, clues=8), Path("train.csv"))
    names: dict[str, Any] = {"__name__": "focal", "__annotations__": {}}
    try:
        exec(compile(code, "focal.py", "exec"), names)
        names["main"]()
        logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
        labels = torch.tensor([[1, IGNORE_LABEL]])
        assert names["focal_loss"](logits, labels).item() == pytest.approx(0.25 * math.log(2))
    finally:
        del LOSSES["focal"]
    for name in ("stablemax", "focal"):
        run = Run(tmp_path / "runs" / f"{name}-0")
        assert run.config.train.loss == name and run.metrics[-1]["eval/puzzles"] == 100


class Recorder(Callback):
    """A callback that keeps what it hears, and ends the run at a step as a kill would."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.notes: list[str] = []
        self.steps: list[int] = []
        self.records: list[Mapping[str, float]] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        assert total == TRAIN["total_steps"]
        self.steps.append(done)
        if record is not None:
            self.records.append(record)
        if done == self.stop:
            raise InterruptedError


def test_loss_from_outside_is_minimised(brier_loss: None) -> None:
    trainer = make_trainer(loss="brier")
    other = make_trainer()
    assert trainer.step(make_batch(0))["lm_loss"] != other.step(make_batch(0))["lm_loss"]
    assert trainer.gradients.abs().sum() > 0
    with pytest.raises(UserError, match=r"brier has no argument label_smoothing: leave train\."):
        make_trainer(loss="brier", label_smoothing=0.1)


@pytest.mark.slow
def test_optimiser_from_outside_trains_and_resumes_exactly(
    momentum: None, tmp_path: Path, challenges: Path
) -> None:
    train = {**TRAIN, "optimiser": "momentum", "save_interval_s": 1e-6}
    config = run_config(challenges, train=train)
    train_run(config, CPU, tmp_path / "straight")
    with suppress(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[Recorder(stop=5)])
    train_run(Run(tmp_path / "killed").config, CPU, tmp_path / "killed", resume=True)
    expected, _ = read_tensors(tmp_path / "straight" / TRAINING_STATE)
    found, _ = read_tensors(tmp_path / "killed" / TRAINING_STATE)
    assert expected["optimiser.velocity"].abs().sum() > 0
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_callbacks_from_outside_are_called_in_order(tmp_path: Path, challenges: Path) -> None:
    first, second = Recorder(), Recorder()
    result = train_run(run_config(challenges), CPU, tmp_path / "run", callbacks=[first, second])
    assert first.steps == second.steps == [*range(TRAIN["total_steps"] + 1)]
    assert [record["step"] for record in first.records] == first.steps[1:]
    assert result.metrics == first.records
    assert first.notes[-1].startswith("3 tasks, 9 puzzles, 12 steps of 4, ")
    assert first.notes == second.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: replace(c, train=replace(c.train, loss="stablemix")),
            'did you mean "stablemax"',
        ),
        (
            lambda c: replace(c, train=replace(c.train, optimiser="adam")),
            'unknown optimiser "adam"',
        ),
        (lambda c: replace(c, model=replace(c.model, block="x")), 'unknown block "x"'),
        (lambda c: replace(c, model=replace(c.model, architecture="trn")), 'did you mean "trm"'),
    ],
)
def test_an_unknown_name_is_an_error_before_data_is_loaded(change, message: str) -> None:
    config = RunConfig(data=replace(RunConfig().data, train=("/nowhere",)))
    with pytest.raises(UserError, match=message):
        train_run(change(config), CPU)
