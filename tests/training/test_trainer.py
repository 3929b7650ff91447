"""The trainer beyond the goldens: halting, micro-batches, state, several processes, optimisers."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from paths import TESTS
from tiny import ARCHITECTURES, make_batch, make_trainer

from arc_trm.data.sampler import BatchSampler
from arc_trm.errors import UserError
from arc_trm.training import METRICS, Trainer
from arc_trm.training.budget import Prefetcher, estimate_steps
from arc_trm.training.losses import IGNORE, log_stablemax, token_cross_entropy
from arc_trm.training.optim import AdamAtan2, learning_rate_factor, sign_sgd

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
    print(repr(float(trainer.values.double().sum())), tuple(state["carry.16.y"].shape)[0])
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["trm", "hrm"])
def test_two_processes_give_the_losses_of_one(tmp_path, architecture: str) -> None:
    alone = make_trainer(architecture=architecture)
    losses = [alone.step(make_batch(step))["loss"] for step in range(8)]
    program = tmp_path / "rank.py"
    tests = str(TESTS / "helpers")
    program.write_text(RANK_PROGRAM.format(tests=tests, architecture=architecture))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={port}", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    *together, last = result.stdout.split("\n")[:-1]
    assert [float(line) for line in together] == pytest.approx(losses, rel=1e-6)
    total, slots = last.split()
    assert float(total) == pytest.approx(float(alone.values.double().sum()), rel=1e-6)
    assert slots == "4"


@pytest.mark.parametrize("micro_batch", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_splitting_a_batch_changes_rounding_only(architecture: str, micro_batch: int) -> None:
    whole = make_trainer(architecture=architecture)
    split = make_trainer(architecture=architecture, micro_batch=micro_batch)
    for step in range(6):
        expected, got = whole.step(make_batch(step)), split.step(make_batch(step))
        assert got == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(whole.values, split.values, atol=1e-6)
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


def test_slots_run_on_until_they_halt_and_then_take_new_examples() -> None:
    trainer = make_trainer(halt_exploration_prob=0.0)
    trainer.model.halt_head.bias.data.fill_(-50.0)  # never sure, so all supervision steps are used
    for step in range(6):
        before = trainer.carry["inputs"].clone()
        halted = trainer.carry["halted"].clone()
        metrics = trainer.step(make_batch(step))
        assert halted.all() == (step % 3 == 0)
        expected = make_batch(step)["inputs"].int() if halted.all() else before
        assert torch.equal(trainer.carry["inputs"], expected)
        assert trainer.carry["steps"].tolist() == [1 + step % 3] * 4
        assert metrics["count"] == (4 if step % 3 == 2 else 0)


def test_exploration_keeps_sure_sequences_from_halting_early() -> None:
    def first_halts(exploration: float) -> int:
        trainer = make_trainer(halt_exploration_prob=exploration)
        trainer.model.halt_head.bias.data.fill_(50.0)  # sure at once
        trainer.step(make_batch(0))
        return int(trainer.carry["halted"].sum())

    assert first_halts(0.0) == 4
    assert first_halts(1.0) == 0


def test_without_decay_the_average_is_the_weights() -> None:
    trainer = make_trainer(ema_decay=0.0)
    for step in range(3):
        trainer.step(make_batch(step))
        assert torch.equal(trainer.average, trainer.values)


def test_rows_that_are_not_in_the_carry_stay() -> None:
    trainer = make_trainer()
    batch = {**make_batch(0), "puzzle_ids": torch.tensor([1, 1, 3, 3])}
    trainer.step(batch)
    moved = trainer.model.puzzle_embedding.abs().sum(1) > 0
    assert moved.tolist() == [False, True, False, True, False, False]


def test_a_batch_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"batch\['inputs'\] must be of shape \(4, 16\)"):
        make_trainer().step(make_batch(0, size=3))


@pytest.mark.parametrize(
    ("key", "value", "told"),
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
def test_a_wrong_batch_is_an_error(key: str, value: torch.Tensor | None, told: str) -> None:
    batch = {**make_batch(0), key: value}
    with pytest.raises(ValueError, match=told):
        make_trainer().step({name: tensor for name, tensor in batch.items() if tensor is not None})


@pytest.mark.parametrize(
    ("inputs", "puzzle_ids", "steps", "told"),
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
def test_wrong_questions_are_errors(
    inputs: torch.Tensor, puzzle_ids: torch.Tensor, steps: int | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        next(make_trainer().model.predict_steps(inputs, puzzle_ids, steps))


def test_sign_descent_sums_gradients_of_equal_rows() -> None:
    table = torch.ones(3, 2)
    gradients = torch.tensor([[1.0, -1.0], [-3.0, 0.5], [1.0, 0.0]])
    sign_sgd(table, torch.tensor([2, 2, 0]), gradients, lr=0.1, weight_decay=0.5)
    kept = 1 - 0.1 * 0.5
    expected = torch.tensor([[kept - 0.1, kept], [1.0, 1.0], [kept + 0.1, kept + 0.1]])
    assert torch.allclose(table, expected)


def test_adam_atan2_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    values, lr, decay = torch.randn(5, generator=generator), 0.1, 0.3
    expected, m, v = values.double(), torch.zeros(5).double(), torch.zeros(5).double()
    optimiser = AdamAtan2(values, (0.9, 0.95), decay)
    for step in range(1, 6):
        g = torch.randn(5, generator=generator)
        optimiser.step(g, lr)
        m, v = 0.9 * m + 0.1 * g.double(), 0.95 * v + 0.05 * g.double() ** 2
        expected = expected * (1 - lr * decay)
        update = torch.atan2(m, v.sqrt() / math.sqrt(1 - 0.95**step))
        expected = expected - lr / (1 - 0.9**step) * update
    assert torch.allclose(values.double(), expected, atol=1e-6)


@given(st.integers(1, 5000), st.integers(0, 3000), st.floats(0, 1))
def test_learning_rate_stays_in_its_bounds(total: int, warmup: int, floor: float) -> None:
    factors = [learning_rate_factor(step, total, warmup, floor) for step in range(1, total, 97)]
    assert all(0 < factor <= 1 or (factor == 0 == floor) for factor in factors)
    assert learning_rate_factor(max(warmup, 1), max(total, warmup + 1), warmup, 1.0) == 1
    if warmup < total:
        assert learning_rate_factor(total, total, warmup, floor) == pytest.approx(floor, abs=1e-9)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_stablemax_is_a_distribution_with_finite_gradients(values: list[float]) -> None:
    logits = torch.tensor([[*values, 1.0, 0.0, -0.0]], requires_grad=True)
    log_p = log_stablemax(logits)
    assert log_p.exp().sum().item() == pytest.approx(1)
    assert log_p[0, logits.argmax()] == log_p.max()
    log_p[0, 0].backward()
    assert torch.isfinite(logits.grad).all()


def test_loss_ignores_unlabelled_cells() -> None:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, IGNORE, 2, IGNORE], [IGNORE] * 4])
    changed = logits.clone()
    changed[0, 1], changed[1] = 9.0, -9.0
    assert torch.equal(token_cross_entropy(logits, labels), token_cross_entropy(changed, labels))
    assert token_cross_entropy(logits, labels)[1] == 0


def test_metrics_are_a_mapping_that_is_read_when_it_is_needed() -> None:
    trainer = make_trainer()
    first = trainer.step(make_batch(0))
    second = trainer.step(make_batch(1))
    assert [*first] == [*METRICS] and len(first) == len(METRICS)
    again = make_trainer()
    assert [dict(again.step(make_batch(n))) for n in (0, 1)] == [dict(first), dict(second)]


@pytest.mark.parametrize("begin", [0, 5])
def test_batches_made_ahead_are_those_of_their_steps(begin: int) -> None:
    groups = [BuiltFromNothing(n) for n in range(3)]
    batches = BatchSampler(groups, 2, 0)
    with closing(Prefetcher(BatchSampler(groups, 2, 0), torch.device("cpu"))) as ahead:
        for step in (*range(begin, begin + 4), 1, 2):
            expected = batches(step)
            for name, tensor in ahead(step).items():
                assert np.array_equal(tensor.numpy(), expected[name])


def test_what_making_a_batch_raises_is_raised_where_it_is_needed() -> None:
    class Failing:
        def __call__(self, step: int) -> dict[str, np.ndarray]:
            if step == 2:
                raise UserError("a damaged example")
            return {}

    with closing(Prefetcher(Failing(), torch.device("cpu"))) as ahead:  # type: ignore[arg-type]
        assert ahead(0) == ahead(1) == {}
        with pytest.raises(UserError, match="a damaged example"):
            ahead(2)


class BuiltFromNothing:
    """A group of two puzzles of two pairs, the last on a smaller canvas than others."""

    pairs = 2

    def __init__(self, number: int) -> None:
        self.number, self.cells = number, 9 if number == 2 else 16

    def __len__(self) -> int:
        return 2

    def row(self, puzzle: int) -> int:
        return 2 * self.number + puzzle

    def example(self, puzzle: int, pair: int, place: int | None) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.full(self.cells, 2 * puzzle + pair, np.uint8)
        return tokens, tokens


def test_planning_learns_nothing_and_makes_no_second_table() -> None:
    trainer = make_trainer()
    model, table = trainer.model, trainer.model.puzzle_embedding
    table.normal_(generator=torch.Generator().manual_seed(3))
    before = {name: tensor.clone() for name, tensor in trainer.state_dict().items()}
    copied: list[torch.Tensor] = []
    original = Trainer.step

    def step(self: Trainer, batch: dict[str, torch.Tensor]) -> object:
        copied.append(self.model.puzzle_embedding)
        return original(self, batch)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "step", step)
        config = replace(trainer.config, embedding_only_fraction=0.5)
        batches = BatchSampler([BuiltFromNothing(n) for n in range(3)], 4, 0)
        steps = estimate_steps(model, config, batches, 4, lambda: 2.0)
    assert steps > 0 and copied
    assert all(each is table for each in copied)
    after = trainer.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_step_of_rows_alone_leaves_the_weights_ready_to_learn() -> None:
    trainer = make_trainer(embedding_only_fraction=1.0)
    before = trainer.values.clone()
    trainer.step(make_batch(0))
    assert torch.equal(trainer.values, before)
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())
