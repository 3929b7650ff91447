"""The number of steps of a run, and the size of a micro-batch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from groups import fake_groups
from tiny import make_trainer

from arc_trm.config import ModelConfig, RunConfig, TrainConfig
from arc_trm.data.sampler import BatchSampler
from arc_trm.errors import UserError
from arc_trm.models.trm import TRM
from arc_trm.training import Trainer
from arc_trm.training.budget import (
    activation_bytes,
    check_memory,
    estimate_steps,
    pick_micro_batch_size,
    total_steps,
)


def test_planning_trains_nothing_and_copies_no_puzzle_embedding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer()
    model, embedding = trainer.model, trainer.model.puzzle_embedding
    embedding.normal_(generator=torch.Generator().manual_seed(3))
    before = {name: tensor.clone() for name, tensor in trainer.state_dict().items()}
    embeddings: list[torch.Tensor] = []
    original = Trainer.step

    def step(self: Trainer, batch: dict[str, torch.Tensor]) -> object:
        embeddings.append(self.model.puzzle_embedding)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "step", step)
    config = replace(trainer.config, embedding_only_fraction=0.5)
    sampler = BatchSampler(fake_groups(), 4, seed=0)
    assert estimate_steps(model, config, sampler, 4, lambda: 8.0) > 0
    assert embeddings and all(each is embedding for each in embeddings)
    after = trainer.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_no_time_is_no_steps() -> None:
    trainer, sampler = make_trainer(), BatchSampler(fake_groups(), 4, seed=0)
    assert estimate_steps(trainer.model, trainer.config, sampler, 4, lambda: -1.0) == 0


class Clock:
    """Stands still, except that supervision steps take a time by the number of their cells.

    The first one on each canvas takes a while longer, by a model or by any of its copies.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, copies_are_slow: bool) -> None:
        self.now = 0.0
        known: set[tuple[int, bool]] = set()
        original = TRM.supervision_step

        def supervision_step(
            model: TRM, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, noise: None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            kinds = model.__dict__.setdefault("kinds", set()) if copies_are_slow else known
            kind = x.shape[1], model.embedding.tokens.requires_grad
            self.now += 4e-3 * x.shape[0] * x.shape[1] + (1.0 if kind not in kinds else 0.0)
            kinds.add(kind)
            return original(model, x, y, z, noise)

        monkeypatch.setattr(TRM, "supervision_step", supervision_step)
        monkeypatch.setattr("arc_trm.training.budget.time", SimpleNamespace(monotonic=self))

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("copies_are_slow", [False, True])
def test_slow_first_steps_are_neither_in_the_rate_nor_forgotten(
    monkeypatch: pytest.MonkeyPatch, copies_are_slow: bool
) -> None:
    trainer, sampler = make_trainer(), BatchSampler(fake_groups(), 4, seed=0)
    model, config = trainer.model, replace(trainer.config, embedding_only_fraction=0.25)
    clock = Clock(monkeypatch, copies_are_slow)
    end = 40.0
    planned = estimate_steps(model, config, sampler, 4, lambda: end - clock())
    trained = Trainer(model, replace(config, total_steps=planned))
    while clock() < end:
        batch = sampler(trained.steps_done)
        trained.step({name: torch.from_numpy(array) for name, array in batch.items()})
    assert trained.steps_done > 50
    assert 0.9 * trained.steps_done < planned <= trained.steps_done


@pytest.mark.parametrize(
    ("epochs", "limit", "steps"), [(2, None, 3), (2, 100, 3), (2, 1, 1), (None, 5, 5)]
)
def test_a_run_ends_after_its_epochs_or_steps(
    epochs: int | None, limit: int | None, steps: int
) -> None:
    sampler = BatchSampler(fake_groups(), 4, seed=0)  # an epoch has 6 pairs
    train = TrainConfig(global_batch_size=4, total_steps=limit)
    assert total_steps(RunConfig(epochs=epochs, train=train), sampler) == steps


def test_a_run_without_an_end_is_an_error() -> None:
    with pytest.raises(UserError, match="the run has no end: set epochs"):
        total_steps(RunConfig(), BatchSampler(fake_groups(), 4, seed=0))


def test_a_micro_batch_fits_into_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_trainer().model
    memory = 2 * 3 * activation_bytes(model)
    monkeypatch.setattr("arc_trm.training.budget.memory_bytes", lambda device: memory)
    assert pick_micro_batch_size(model, torch.device("cpu"), 8) == 3  # 3, 3 and 2
    assert pick_micro_batch_size(model, torch.device("cpu"), 4) == 2


@pytest.mark.parametrize(
    ("num_puzzles", "model"), [(10**9, {}), (1, {"hidden_size": 2**15, "num_layers": 1024})]
)
def test_a_model_larger_than_the_memory_is_refused_before_it_is_built(
    num_puzzles: int, model: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arc_trm.training.budget.memory_bytes", lambda device: 2**40)
    with pytest.raises(UserError, match=r"but the memory has 1,099\.5 GB: lower the size"):
        check_memory(RunConfig(model=ModelConfig(**model)), num_puzzles, torch.device("cpu"))
    check_memory(RunConfig(), 1000, torch.device("cpu"))


def test_a_batch_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arc_trm.training.budget.memory_bytes", lambda device: 2**34)
    config = RunConfig(train=TrainConfig(global_batch_size=16384))
    with pytest.raises(UserError, match=r"but the memory has 17\.2 GB: lower train\.global_batch"):
        check_memory(config, 1000, torch.device("cpu"))
