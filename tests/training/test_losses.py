"""Losses of tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.config import TrainConfig
from arc_trm.data.sampler import IGNORE_LABEL
from arc_trm.models.embedding import IMPOSSIBLE_LOGIT
from arc_trm.training.losses import (
    LOSSES,
    Loss,
    build_loss,
    log_stablemax,
    softmax_cross_entropy,
)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_stablemax_is_a_distribution_with_finite_gradients(values: list[float]) -> None:
    logits = torch.tensor([[*values, 1.0, 0.0, -0.0]], requires_grad=True)
    log_p = log_stablemax(logits)
    assert log_p.exp().sum().item() == pytest.approx(1)
    assert log_p[0, logits.argmax()] == log_p.max()
    log_p[0, 0].backward()
    assert torch.isfinite(logits.grad).all()


LOGITS = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[0, IGNORE_LABEL, 2, IGNORE_LABEL], [IGNORE_LABEL] * 4])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["stablemax", "softmax"])
def test_loss_ignores_unlabelled_cells(name: str, smoothing: float) -> None:
    loss = build_loss(TrainConfig(loss=name, label_smoothing=smoothing))
    changed = LOGITS.clone()
    changed[0, 1], changed[1] = 9.0, -9.0
    assert torch.equal(loss(LOGITS, LABELS), loss(changed, LABELS))
    assert loss(LOGITS, LABELS)[0] > 0 and loss(LOGITS, LABELS)[1] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_cross_entropy_is_that_of_torch(smoothing: float) -> None:
    expected = F.cross_entropy(
        LOGITS[0], LABELS[0], ignore_index=IGNORE_LABEL, label_smoothing=smoothing
    )
    found = softmax_cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)[0]
    assert found.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", [LOSSES["stablemax"], LOSSES["softmax"]])
def test_smoothing_leaves_out_tokens_that_the_model_cannot_predict(
    loss: Loss, dtype: torch.dtype
) -> None:
    labels, logits = torch.tensor([[0, 1, 2, 0]]), LOGITS[:1].to(dtype)
    padded = F.pad(logits, (2, 1), value=IMPOSSIBLE_LOGIT)
    found = loss(padded, labels + 2, label_smoothing=0.1)
    assert found.item() == pytest.approx(loss(logits, labels, label_smoothing=0.1).item(), 1e-4)


@pytest.mark.parametrize("loss", [LOSSES["stablemax"], LOSSES["softmax"]])
def test_smoothing_is_the_mean_over_labels_drawn_at_random(loss: Loss) -> None:
    labels = torch.tensor([[0, 1, 2, 0]])
    tokens = [loss(LOGITS[:1], torch.full_like(labels, token)) for token in range(3)]
    expected = 0.7 * loss(LOGITS[:1], labels) + 0.3 * sum(tokens) / 3
    assert torch.allclose(loss(LOGITS[:1], labels, label_smoothing=0.3), expected)
