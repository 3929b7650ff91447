"""Memory that runs out in training: a step is taken again in smaller parts, then an error says so.

A GPU is imitated: a supervision step of more examples than a limit fails as it fails there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from notes import Notes
from tiny import make_batch, make_trainer, run_config
from torch import Tensor

from arc_trm import runs
from arc_trm.checkpoint import load_weights, read_tensors
from arc_trm.config import RunConfig
from arc_trm.errors import UserError
from arc_trm.models.noise import Noise
from arc_trm.models.trm import TRM
from arc_trm.training import Trainer, train_run

CPU = torch.device("cpu")
ON_A_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
ON_A_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
IN_A_LIBRARY = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")


class Memory:
    """Holds `limit` examples in forward and in backward, from some supervision step on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forward_limit = self.backward_limit = 10**6
        self.error: Exception = ON_A_GPU
        self.calls = self.first_call = 0
        original = TRM.supervision_step

        def supervision_step(
            model: TRM, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
        ) -> tuple[Tensor, Tensor]:
            self.calls += 1
            is_short = self.calls >= self.first_call
            if is_short and len(x) > self.forward_limit:
                raise self.error
            y, z = original(model, x, y, z, noise)
            if is_short and y.requires_grad and len(x) > self.backward_limit:
                y.register_hook(self._fail)  # the heads have gradients by then
            return y, z

        monkeypatch.setattr(TRM, "supervision_step", supervision_step)

    def _fail(self, gradient: Tensor) -> None:
        raise self.error


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


def assert_same_state(trainer: Trainer, other: Trainer) -> None:
    expected = other.state_dict()
    for name, tensor in trainer.state_dict().items():
        if name != "micro_batch_size":  # which is saved of the one that had to halve it
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("error", [ON_A_GPU, ON_A_CPU, IN_A_LIBRARY], ids=lambda e: str(e)[:8])
def test_a_step_that_fails_is_taken_again_in_halves(memory: Memory, error: Exception) -> None:
    expected, notes = make_trainer(micro_batch_size=2), list[str]()
    metrics = [dict(expected.step(make_batch(step))) for step in range(4)]
    same = make_trainer()
    trainer = Trainer(same.model, same.config, same.generator, note=notes.append)
    memory.forward_limit, memory.error = 2, error
    assert [dict(trainer.step(make_batch(step))) for step in range(4)] == metrics
    assert_same_state(trainer, expected)
    (note,) = notes
    assert note.endswith("so batches go through the network in parts of 2 from now on")


@pytest.mark.parametrize("embedding_only", [0.0, 0.5])
def test_nothing_of_a_failed_step_remains(memory: Memory, embedding_only: float) -> None:
    """The second of two parts fails in backward, when the first has changed the carry."""
    settings = {"micro_batch_size": 2, "embedding_only_fraction": embedding_only}
    expected, trainer = make_trainer(**settings), make_trainer(**settings)
    for step in range(5):
        if step == 2:
            expected.micro_batch_size = 1
        expected.step(make_batch(step))
    for step in range(5):
        if step == 2:
            memory.backward_limit, memory.first_call = 1, memory.calls + 2
        trainer.step(make_batch(step))
    assert trainer.micro_batch_size == 1
    assert_same_state(trainer, expected)


@pytest.mark.parametrize(("micro_batch_size", "limit"), [(4, 1), (1, 0)])
def test_memory_that_is_too_small_for_halves_is_one_sentence(
    memory: Memory, micro_batch_size: int, limit: int
) -> None:
    trainer = make_trainer(micro_batch_size=micro_batch_size)
    memory.forward_limit = limit
    with pytest.raises(UserError, match=r"^training on [12] examples? at once takes") as caught:
        trainer.step(make_batch(0))
    message = str(caught.value)
    assert "\n" not in message
    batch_size = "a lower train.global_batch_size or " if micro_batch_size > 1 else ""
    assert f"start a new run with {batch_size}model.canvas=bucketed or a smaller" in message


@pytest.mark.parametrize("method", ["_new_carry", "_refill_carry", "_update"])
def test_memory_that_ends_elsewhere_in_a_step_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    trainer = make_trainer()
    monkeypatch.setattr(trainer, method, fail)
    with pytest.raises(UserError, match=r"with a lower train\.global_batch_size"):
        trainer.step(make_batch(0))


def test_an_error_that_is_not_about_memory_is_no_reason_to_halve(memory: Memory) -> None:
    trainer = make_trainer()
    memory.forward_limit, memory.error = 0, RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        trainer.step(make_batch(0))
    assert trainer.micro_batch_size == 4


@pytest.mark.parametrize("size", [torch.tensor(0), torch.tensor(-2), torch.ones(2), torch.ones(())])
def test_a_saved_size_that_is_none_is_an_error(size: Tensor) -> None:
    trainer, saved = make_trainer(), make_trainer(seed=1)
    before = {name: tensor.clone() for name, tensor in trainer.state_dict().items()}
    with pytest.raises(ValueError, match=r"^micro_batch_size "):
        trainer.load_state_dict({**saved.state_dict(), "micro_batch_size": size})
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.state_dict().items())


# Runs


@pytest.fixture
def config(challenges: Path) -> RunConfig:
    made = run_config(challenges)
    return replace(made, train=replace(made.train, total_steps=6, save_interval_s=1e-6))


def test_a_run_resumes_with_the_halved_batch(
    tmp_path: Path, config: RunConfig, memory: Memory
) -> None:
    memory.forward_limit, memory.first_call = 2, 3
    straight = Notes()
    train_run(config, CPU, tmp_path / "straight", callbacks=[straight])
    assert sum("in parts of 2 from now on" in note for note in straight.notes) == 1
    memory.calls = 0
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[Notes(stop=4)])
    memory.forward_limit = 10**6
    train_run(runs.Run(tmp_path / "killed").config, CPU, tmp_path / "killed", resume=True)
    state, expected = (
        read_tensors(tmp_path / name / runs.TRAINING_STATE)[0] for name in ("killed", "straight")
    )
    assert int(state["micro_batch_size"]) == 2
    assert state.keys() == expected.keys()
    # The sums of metrics hold seconds.
    names = [name for name in state if not name.startswith("metrics.")]
    assert all(torch.equal(state[name], expected[name]) for name in names)


def test_a_run_without_enough_memory_keeps_its_last_save(
    tmp_path: Path, config: RunConfig, memory: Memory
) -> None:
    memory.forward_limit, memory.first_call = 1, 5
    with pytest.raises(UserError, match=r"takes more memory than .* are of step 4$"):
        train_run(config, CPU, tmp_path / "run")
    state, _ = read_tensors(tmp_path / "run" / runs.TRAINING_STATE)
    assert int(state["steps_done"]) == 4
    load_weights(tmp_path / "run")
    assert len(runs.Run(tmp_path / "run").metrics) == 4


def test_the_records_of_steps_that_were_not_saved_are_kept(
    tmp_path: Path, config: RunConfig, memory: Memory
) -> None:
    memory.forward_limit, memory.first_call = 1, 5
    rarely = replace(config, train=replace(config.train, save_interval_s=1e6))
    with pytest.raises(UserError, match=r"takes more memory than .*; no weights were saved$"):
        train_run(rarely, CPU, tmp_path / "run")
    assert [record["step"] for record in runs.Run(tmp_path / "run").metrics] == [1, 2, 3, 4]
