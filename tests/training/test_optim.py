"""Optimisers and the schedule against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import MODEL, make_batch, make_trainer
from torch import Tensor

from arc_trm.config import ModelConfig, TrainConfig, from_dict, load_config
from arc_trm.errors import UserError
from arc_trm.models import build_model
from arc_trm.training import Trainer
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
    outside = [named.name for named in params.named if not named.in_block]
    assert outside == ["token_embedding", "token_head.weight", "halt_head.weight", "halt_head.bias"]


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
    assert 0.6 < large.min() and values.diagonal().max() < 1.3
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
