"""Losses of tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.data.sampler import IGNORE_LABEL
from arc_trm.training.losses import log_stablemax, token_cross_entropy


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
    labels = torch.tensor([[0, IGNORE_LABEL, 2, IGNORE_LABEL], [IGNORE_LABEL] * 4])
    changed = logits.clone()
    changed[0, 1], changed[1] = 9.0, -9.0
    assert torch.equal(token_cross_entropy(logits, labels), token_cross_entropy(changed, labels))
    assert token_cross_entropy(logits, labels)[1] == 0
