"""Optimisers and the schedule against their formulas."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT, TESTS
from tiny import MODEL, make_batch, make_trainer, run_config
from torch import Tensor, nn

from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.data.generated_file import generate_file
from arc_trm.errors import UserError
from arc_trm.models import BLOCKS, build_model
from arc_trm.puzzles.generate import GeneratorConfig
from arc_trm.runs import Run
from arc_trm.training import train_run
from arc_trm.training.optim import (
    OPTIMISERS,
    FlatParams,
    Optimiser,
    clip_gradients,
    learning_rate_factor,
    orthogonalise,
    sign_sgd,
)


def test_sign_sgd_sums_gradients_of_equal_puzzle_ids() -> None:
    embedding = torch.ones(3, 2)
    gradients = torch.tensor([[1.0, -1.0], [-3.0, 0.5], [1.0, 0.0]])
    sign_sgd(embedding, torch.tensor([2, 2, 0]), gradients, lr=0.1, weight_decay=0.5)
    decayed = 1 - 0.1 * 0.5
    expected = torch.tensor([[decayed - 0.1, decayed], [1.0, 1.0], [decayed + 0.1, decayed + 0.1]])
    assert torch.allclose(embedding, expected)


def make_params(**model: object) -> FlatParams:
    """The weights of a small model."""
    generator = torch.Generator().manual_seed(0)
    return FlatParams(
        build_model(from_dict(ModelConfig, {**MODEL, **model}), 6, generator=generator)
    )


def take_steps(
    optimiser: Optimiser, step_reference: Callable[[], None], references: dict[str, Tensor]
) -> None:
    """Take six steps of an optimiser and of another on `references`, with the same gradients."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        optimiser.params.gradients.normal_(generator=generator)
        for named in optimiser.params.named:
            if named.name in references:
                references[named.name].grad = named.gradients.clone()
        optimiser.step(0.5)
        step_reference()


def test_parameters_are_views_of_the_flat_buffers() -> None:
    model = make_trainer().model
    params = FlatParams(model)
    params.values.copy_(torch.arange(len(params.values)))
    params.gradients.copy_(params.values)
    start = 0
    for (name, parameter), named in zip(model.named_parameters(), params.named, strict=True):
        expected = torch.arange(start, start + parameter.numel()).view(parameter.shape).float()
        start += parameter.numel()
        assert name == named.name
        for tensor in (parameter, parameter.grad, named.values, named.gradients):
            assert torch.equal(tensor, expected), name
    assert all(named.in_block == named.name.startswith("blocks.") for named in params.named)
    assert {named.in_block for named in params.named} == {True, False}


def test_adam_atan2_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    params, lr, decay = make_params(), 0.1, 0.3
    expected = params.values.double()
    m, v = torch.zeros_like(expected), torch.zeros_like(expected)
    config = TrainConfig(lr=0.2, betas=(0.9, 0.95), weight_decay=decay)
    optimiser = OPTIMISERS["adam_atan2"](params, config)
    for step in range(1, 6):
        params.gradients.normal_(generator=generator)
        optimiser.step(0.5)
        g = params.gradients.double()
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        expected = expected * (1 - lr * decay)
        update = torch.atan2(m, v.sqrt() / math.sqrt(1 - 0.95**step))
        expected = expected - lr / (1 - 0.9**step) * update
    assert torch.allclose(params.values.double(), expected, atol=1e-6)


def test_adamw_is_that_of_torch() -> None:
    params = make_params()
    optimiser = OPTIMISERS["adamw"](params, TrainConfig(optimiser="adamw", lr=0.02))
    references = {named.name: named.values.clone() for named in params.named}
    reference = torch.optim.AdamW(references.values(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    take_steps(optimiser, reference.step, references)
    for named in params.named:
        assert torch.allclose(named.values, references[named.name], atol=1e-6), named.name


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_muon_is_that_of_torch_for_blocks_and_adamw_for_the_rest(mixer: str) -> None:
    params = make_params(mixer=mixer)
    config = TrainConfig(optimiser="muon", lr=0.002, muon_lr=0.04, weight_decay=0.1)
    optimiser = OPTIMISERS["muon"](params, config)
    optimiser.dtype = torch.bfloat16  # as torch on every device
    references = {named.name: named.values.clone() for named in params.named}
    in_block = [references[named.name] for named in params.named if named.in_block]
    outside = [references[named.name] for named in params.named if not named.in_block]
    muon = torch.optim.Muon(in_block, lr=0.02, weight_decay=0.1)
    adamw = torch.optim.AdamW(outside, lr=0.001, betas=(0.9, 0.95), weight_decay=0.1)

    def step_reference() -> None:
        muon.step()
        adamw.step()

    take_steps(optimiser, step_reference, references)
    for named in params.named:
        expected = references[named.name]
        if named.in_block:
            assert torch.equal(named.values, expected), named.name
        assert torch.allclose(named.values, expected, atol=1e-6), named.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(97, 256), (512, 97), (64, 64), (1, 9), (9, 1)])
def test_orthogonalise_brings_singular_values_near_one(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrix, dtype).float()
    assert found.shape == shape
    # The singular vectors stay: U^T O V is diagonal, with the new singular values.
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    values = u.T @ found @ v.T
    assert torch.allclose(values, values.diagonal().diag(), atol=0.05)
    large = values.diagonal()[: max(1, min(shape) // 2)]
    assert large.min() > 0.6 and values.diagonal().max() < 1.3
    assert torch.equal(orthogonalise(torch.zeros(shape), dtype), torch.zeros(shape, dtype=dtype))


def test_clipping_scales_gradients_to_the_norm() -> None:
    gradients = torch.tensor([3.0, -4.0])
    assert clip_gradients(gradients, None) == 5 and gradients.tolist() == [3, -4]
    assert clip_gradients(gradients, 6.0) == 5 and gradients.tolist() == [3, -4]
    assert clip_gradients(gradients, 1.0) == 5
    assert torch.allclose(gradients, torch.tensor([0.6, -0.8]))


@given(st.integers(1, 5000), st.integers(0, 3000), st.floats(0, 1))
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_learning_rates_fall_from_one_to_their_end(
    schedule: str, total: int, warmup: int, end: float
) -> None:
    config = TrainConfig(
        warmup_steps=warmup, total_steps=total, lr_schedule=schedule, lr_min_ratio=end
    )
    steps = sorted({*range(1, total, 97), total, 2 * total})
    factors = [learning_rate_factor(step, config) for step in steps if step >= warmup]
    assert factors == sorted(factors, reverse=True)
    assert all(end - 1e-9 <= factor <= 1 for factor in factors)
    assert all(learning_rate_factor(step, config) == step / warmup for step in range(warmup))
    if warmup < total:
        assert learning_rate_factor(warmup, config) == 1
        assert learning_rate_factor(total, config) == pytest.approx(end, abs=1e-9)


class ConvBlock(nn.Module):
    """A block without a matrix: a depthwise convolution over positions, and a gain."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__()
        width = config.hidden_size
        self.conv = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        nn.init.normal_(self.conv.weight, generator=generator)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.normalize(h + self.conv(h.transpose(1, 2)).transpose(1, 2)) * self.gain


class ConvAndLinearBlock(ConvBlock):
    """The same with one matrix."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
        super().__init__(config, generator)
        self.linear = nn.Linear(config.hidden_size, config.hidden_size)
        nn.init.normal_(self.linear.weight, std=0.1, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h + self.linear(h))


def test_muon_needs_a_matrix_in_a_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, challenges: Path
) -> None:
    monkeypatch.setitem(BLOCKS, "conv", ConvBlock)
    config = run_config(
        challenges,
        model={**MODEL, "block": "conv"},
        train={"global_batch_size": 4, "total_steps": 2, "optimiser": "muon"},
    )
    with pytest.raises(UserError, match="the blocks of this model have none: choose adamw or"):
        train_run(config, torch.device("cpu"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_muon_leaves_vectors_and_kernels_to_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BLOCKS, "mine", ConvAndLinearBlock)
    params = make_params(block="mine")
    optimiser = OPTIMISERS["muon"](params, TrainConfig(optimiser="muon", lr=0.0, muon_lr=0.1))
    before = params.values.clone()
    params.gradients.fill_(1.0)
    optimiser.step(1.0)
    start = 0
    for named in params.named:
        end = start + named.values.numel()
        moved = not torch.equal(before[start:end], params.values[start:end])
        assert moved == named.name.endswith("linear.weight"), named.name
        start = end


FAR_FROM_PUBLISHED = {
    "loss": "softmax",
    "label_smoothing": 0.1,
    "lr_schedule": "linear",
    "grad_clip": 0.5,
}


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_state_of_an_optimiser_continues_to_the_last_bit(optimiser: str) -> None:
    straight, first, second = (
        make_trainer(seed, optimiser=optimiser, **FAR_FROM_PUBLISHED) for seed in (0, 0, 5)
    )
    expected = [dict(straight.step(make_batch(step))) for step in range(8)]
    got = [dict(first.step(make_batch(step))) for step in range(4)]
    second.load_state_dict({name: t.clone() for name, t in first.state_dict().items()})
    got += [dict(second.step(make_batch(step))) for step in range(4, 8)]
    assert got == expected
    assert torch.equal(straight.flat_params, second.flat_params)
    assert second.learning_rates() == straight.learning_rates()


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_an_optimiser_learns_a_batch(optimiser: str) -> None:
    trainer = make_trainer(optimiser=optimiser, lr=0.01, lr_schedule="cosine", total_steps=60)
    batch = make_batch(0)
    batch["labels"] = batch["inputs"]
    losses = [trainer.step(batch)["lm_loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_gradient_is_clipped_and_its_norm_before_is_a_metric() -> None:
    free, clipped = make_trainer(), make_trainer(grad_clip=0.25)
    norm = free.step(make_batch(0))["grad_norm"]
    assert norm == pytest.approx(free.gradients.norm().item()) and norm > 0.25
    assert clipped.step(make_batch(0))["grad_norm"] == norm
    assert clipped.gradients.norm().item() == pytest.approx(0.25, rel=1e-4)
    embedding_only = make_trainer(embedding_only_fraction=1.0)
    assert embedding_only.step(make_batch(0))["grad_norm"] == 0


def test_learning_rates_are_those_of_the_last_step() -> None:
    trainer = make_trainer(optimiser="muon", muon_lr=0.3, lr_schedule="linear", lr_min_ratio=0.0)
    for step in range(3 + 6):
        trainer.step(make_batch(step))
    expected = {"lr": 1e-3 / 3, "muon_lr": 0.1, "puzzle_emb_lr": 1e-2 / 3}
    assert trainer.learning_rates() == pytest.approx(expected)
    assert set(make_trainer().learning_rates()) == {"lr", "puzzle_emb_lr"}


RANK_PROGRAM = """
import sys, torch, torch.distributed as dist
sys.path.insert(0, {tests!r})
from tiny import make_batch, make_trainer
torch.set_num_threads(1)
dist.init_process_group("gloo")
trainer = make_trainer(optimiser="muon", grad_clip=0.25)
rank = dist.get_rank()
for step in range(4):
    whole = make_batch(step)
    metrics = trainer.step({{name: t[2 * rank : 2 * rank + 2] for name, t in whole.items()}})
parts = [torch.empty_like(trainer.flat_params) for _ in range(2)]
dist.all_gather(parts, trainer.flat_params)
if rank == 0:
    print(torch.equal(*parts), metrics["grad_norm"], metrics["lm_loss"])
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_by_muon_as_one(
    tmp_path: Path, torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    alone = make_trainer(optimiser="muon", grad_clip=0.25)
    metrics = [alone.step(make_batch(step)) for step in range(4)][-1]
    program = tmp_path / "rank.py"
    program.write_text(RANK_PROGRAM.format(tests=str(TESTS / "helpers")))
    result = torchrun(program)
    assert result.returncode == 0, result.stderr
    equal, grad_norm, lm_loss = result.stdout.split()
    assert equal == "True"
    # The products of Muon may be in bfloat16, which makes more of the order of a sum.
    assert float(grad_norm) == pytest.approx(metrics["grad_norm"], rel=0.02)
    assert float(lm_loss) == pytest.approx(metrics["lm_loss"], rel=0.02)


@pytest.mark.slow
def test_the_page_about_optimisers_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/add-an-optimiser.md").read_text("utf-8")
    module, script = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "`lion.py`" in page and "max_steps=200" in script and "range(3)" in script
    (tmp_path / "lion.py").write_text(module)
    short = script.replace("max_steps=200", "max_steps=2").replace("range(3)", "range(1)")
    (tmp_path / "compare.py").write_text(short)
    generate_file(GeneratorConfig("sudoku", 110, side=4, clues=8), tmp_path / "train.csv")
    done = subprocess.run(
        [sys.executable, "compare.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("adam_atan2", "lion"):
        run = Run(tmp_path / "runs" / f"{name}-0")
        assert run.config.train.optimiser == name and run.metrics[-1]["eval/puzzles"] == 100
