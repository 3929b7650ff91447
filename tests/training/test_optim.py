"""Optimisers and the schedule against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import TrainConfig
from arc_trm.training.optim import OPTIMISERS, learning_rate_factor, sign_sgd


def test_sign_sgd_sums_gradients_of_equal_puzzle_ids() -> None:
    embedding = torch.ones(3, 2)
    gradients = torch.tensor([[1.0, -1.0], [-3.0, 0.5], [1.0, 0.0]])
    sign_sgd(embedding, torch.tensor([2, 2, 0]), gradients, lr=0.1, weight_decay=0.5)
    decayed = 1 - 0.1 * 0.5
    expected = torch.tensor([[decayed - 0.1, decayed], [1.0, 1.0], [decayed + 0.1, decayed + 0.1]])
    assert torch.allclose(embedding, expected)


def test_adam_atan2_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    params, lr, decay = torch.randn(5, generator=generator), 0.1, 0.3
    expected, m, v = params.double(), torch.zeros(5).double(), torch.zeros(5).double()
    config = TrainConfig(betas=(0.9, 0.95), weight_decay=decay)
    optimiser = OPTIMISERS["adam_atan2"](params, config)
    for step in range(1, 6):
        g = torch.randn(5, generator=generator)
        optimiser.step(g, lr)
        m, v = 0.9 * m + 0.1 * g.double(), 0.95 * v + 0.05 * g.double() ** 2
        expected = expected * (1 - lr * decay)
        update = torch.atan2(m, v.sqrt() / math.sqrt(1 - 0.95**step))
        expected = expected - lr / (1 - 0.9**step) * update
    assert torch.allclose(params.double(), expected, atol=1e-6)


@given(st.integers(1, 5000), st.integers(0, 3000), st.floats(0, 1))
def test_learning_rate_stays_in_its_bounds(total: int, warmup: int, floor: float) -> None:
    factors = [learning_rate_factor(step, total, warmup, floor) for step in range(1, total, 97)]
    assert all(0 < factor <= 1 or (factor == 0 == floor) for factor in factors)
    assert learning_rate_factor(max(warmup, 1), max(total, warmup + 1), warmup, 1.0) == 1
    if warmup < total:
        assert learning_rate_factor(total, total, warmup, floor) == pytest.approx(floor, abs=1e-9)
