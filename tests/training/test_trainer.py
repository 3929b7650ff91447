"""The trainer beyond the goldens: halting, micro-batches, state, several processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from paths import TESTS
from tiny import ARCHITECTURES, make_batch, make_trainer

from arc_trm.training import METRICS

RANK_PROGRAM = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, {tests!r})
from tiny import make_batch, make_trainer
torch.set_num_threads(1)
dist.init_process_group("gloo")
trainer = make_trainer(architecture={architecture!r})
rank = dist.get_rank()
for step in range(8):
    whole = make_batch(step)
    loss = trainer.step({{name: t[2 * rank : 2 * rank + 2] for name, t in whole.items()}})["loss"]
    if rank == 0:
        print(repr(loss))
state = trainer.state_dict()
if rank == 0:
    print(repr(float(trainer.flat_params.double().sum())), len(state["carry.16.y"]))
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["trm", "hrm"])
def test_two_processes_give_the_losses_of_one(
    tmp_path: Path, torchrun: Callable[..., CompletedProcess[str]], architecture: str
) -> None:
    alone = make_trainer(architecture=architecture)
    losses = [alone.step(make_batch(step))["loss"] for step in range(8)]
    program = tmp_path / "rank.py"
    program.write_text(RANK_PROGRAM.format(tests=str(TESTS / "helpers"), architecture=architecture))
    result = torchrun(program)
    assert result.returncode == 0, result.stderr
    *together, last = result.stdout.splitlines()
    assert [float(line) for line in together] == pytest.approx(losses, rel=1e-6)
    total, carried = last.split()
    assert float(total) == pytest.approx(float(alone.flat_params.double().sum()), rel=1e-6)
    assert carried == "4"


@pytest.mark.parametrize("micro_batch_size", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.slow
def test_splitting_a_batch_changes_rounding_only(architecture: str, micro_batch_size: int) -> None:
    whole = make_trainer(architecture=architecture)
    split = make_trainer(architecture=architecture, micro_batch_size=micro_batch_size)
    for step in range(6):
        expected, got = whole.step(make_batch(step)), split.step(make_batch(step))
        assert got == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(whole.flat_params, split.flat_params, atol=1e-6)
    assert torch.equal(whole.carry["steps"], split.carry["steps"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_state_continues_to_the_last_bit(architecture: str) -> None:
    straight, first, second = (make_trainer(seed, architecture=architecture) for seed in (0, 0, 5))
    expected = [straight.step(make_batch(step)) for step in range(9)]
    got = [first.step(make_batch(step)) for step in range(4)]
    second.load_state_dict({name: t.clone() for name, t in first.state_dict().items()})
    got += [second.step(make_batch(step)) for step in range(4, 9)]
    assert got == expected
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_an_example_is_carried_until_it_halts_and_then_replaced() -> None:
    trainer = make_trainer(halt_exploration_prob=0.0)
    trainer.model.heads.halt.bias.data.fill_(-50.0)  # never halts early
    for step in range(6):
        before = trainer.carry["inputs"].clone()
        halted = trainer.carry["halted"].clone()
        metrics = trainer.step(make_batch(step))
        assert halted.all() == (step % 3 == 0)
        expected = make_batch(step)["inputs"].int() if halted.all() else before
        assert torch.equal(trainer.carry["inputs"], expected)
        assert trainer.carry["steps"].tolist() == [1 + step % 3] * 4
        assert metrics["count"] == (4 if step % 3 == 2 else 0)


def test_exploration_keeps_examples_from_halting_early() -> None:
    def first_halts(exploration: float) -> int:
        trainer = make_trainer(halt_exploration_prob=exploration)
        trainer.model.heads.halt.bias.data.fill_(50.0)  # halts at once if it may
        trainer.step(make_batch(0))
        return int(trainer.carry["halted"].sum())

    assert first_halts(0.0) == 4
    assert first_halts(1.0) == 0


def test_without_decay_the_average_is_the_weights() -> None:
    trainer = make_trainer(ema_decay=0.0)
    for step in range(3):
        trainer.step(make_batch(step))
        assert torch.equal(trainer.ema, trainer.flat_params)


def test_embeddings_of_puzzles_that_are_not_in_the_carry_stay() -> None:
    trainer = make_trainer()
    batch = {**make_batch(0), "puzzle_ids": torch.tensor([1, 1, 3, 3])}
    trainer.step(batch)
    moved = trainer.model.puzzle_embedding.abs().sum(1) > 0
    assert moved.tolist() == [False, True, False, True, False, False]


def test_a_batch_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"batch\['inputs'\] must be of shape \(4, 16\)"):
        make_trainer().step(make_batch(0, size=3))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("puzzle_ids", torch.tensor([0, 1, 2, 6]), r"must be 0\.\.5, got 0\.\.6"),
        ("puzzle_ids", torch.tensor([0, 1, 2, -1]), r"must be 0\.\.5, got -1\.\.2"),
        ("inputs", torch.full((4, 16), 12), r"must be 0\.\.11, got 12\.\.12"),
        ("inputs", torch.zeros(4, 16), "must be of an integer type, got torch.float32"),
        ("labels", torch.full((4, 16), -101), r"must be -100\.\.11"),
        ("labels", torch.zeros(4, 16, dtype=torch.bool), "integer type"),
        ("labels", None, "a batch holds inputs, labels, puzzle_ids, got inputs, puzzle_ids"),
    ],
)
def test_an_invalid_batch_is_an_error(key: str, value: torch.Tensor | None, message: str) -> None:
    batch = {**make_batch(0), key: value}
    with pytest.raises(ValueError, match=message):
        make_trainer().step({name: tensor for name, tensor in batch.items() if tensor is not None})


@pytest.mark.parametrize(
    ("inputs", "puzzle_ids", "steps", "message"),
    [
        (torch.zeros(2, 16).int(), torch.tensor([0, 6]), None, r"puzzle_ids must be 0\.\.5"),
        (torch.zeros(2, 16).int(), torch.tensor([[0], [1]]), None, r"of shape \(2\), got \(2, 1\)"),
        (
            torch.zeros(2, 10).int(),
            torch.tensor([0, 1]),
            None,
            "10 cells are neither the canvas of 16 nor a smaller square of it",
        ),
        (torch.zeros(2, 16), torch.tensor([0, 1]), None, "integer type"),
        (torch.zeros(2, 16).int(), torch.tensor([0, 1]), 0, "supervision_steps must be at least 1"),
    ],
)
def test_invalid_inputs_are_errors(
    inputs: torch.Tensor, puzzle_ids: torch.Tensor, steps: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        next(make_trainer().model.predict_steps(inputs, puzzle_ids, steps))


def test_metrics_can_be_read_after_later_steps() -> None:
    trainer = make_trainer()
    first = trainer.step(make_batch(0))
    second = trainer.step(make_batch(1))
    assert [*first] == [*METRICS] and len(first) == len(METRICS)
    again = make_trainer()
    assert [dict(again.step(make_batch(n))) for n in (0, 1)] == [dict(first), dict(second)]


def test_a_step_of_the_embedding_alone_leaves_the_weights_trainable() -> None:
    trainer = make_trainer(embedding_only_fraction=1.0)
    before = trainer.flat_params.clone()
    trainer.step(make_batch(0))
    assert torch.equal(trainer.flat_params, before)
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())
