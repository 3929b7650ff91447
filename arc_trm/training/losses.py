"""Losses: a registry of those of the answer's tokens, and the losses of the halting head.

docs/model.md, section 5. Shape letters: B batch, S cells of a canvas, V vocabulary size.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from arc_trm.config import TrainConfig
from arc_trm.data.sampler import IGNORE_LABEL
from arc_trm.errors import UserError
from arc_trm.models.embedding import IMPOSSIBLE_LOGIT
from arc_trm.registry import Registry

HALT_WEIGHT = 0.5
"""Weight of the halting losses; that of the tokens has weight 1."""

Loss = Callable[..., Tensor]
"""Maps logits (B, S, V), in the dtype of the activations, and labels (B, S) int, which are
`IGNORE_LABEL` where a cell is not scored, to one number per example, (B,). It may have a third
argument, `label_smoothing`, for `train.label_smoothing`. Logits of tokens that the model cannot
predict are `arc_trm.models.embedding.IMPOSSIBLE_LOGIT`."""

LOSSES: Registry[Loss] = Registry("loss", "train.loss")
register_loss = LOSSES.register
"""Decorator that registers a `Loss` under a name, for `train.loss`."""


def build_loss(config: TrainConfig) -> Loss:
    """Return the loss of the tokens, with its label smoothing.

    Raises:
        UserError: there is no such loss, or it has no label smoothing.
    """
    loss = LOSSES[config.loss]
    if not config.label_smoothing:
        return loss
    if "label_smoothing" not in inspect.signature(loss).parameters:
        raise UserError(
            f"the loss {config.loss} has no argument label_smoothing: leave "
            "train.label_smoothing out"
        )
    return partial(loss, label_smoothing=config.label_smoothing)


def accum_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on Apple's GPUs, which have no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def log_stablemax(logits: Tensor) -> Tensor:
    """Compute log(s / sum s) over the last axis; s(v) = v + 1 for v >= 0, else 1 / (1 - v).

    Source: "Grokking at the Edge of Numerical Stability" (arXiv 2501.04697), section 4.

    Returns:
        (..., V) in `accum_dtype`.
    """
    wide = logits.to(accum_dtype(logits.device))
    # log s(v) = sign(v) · log(1 + |v|), one branch for both halves.
    log_s = torch.log1p(wide.abs()).copysign(wide)
    # Clamped: at v = 1 the half that is not taken would be infinite and its gradient NaN.
    s = torch.where(wide >= 0, wide + 1, 1 / (1 - wide.clamp(max=0)))
    return log_s - s.sum(-1, keepdim=True).log()


@register_loss("stablemax")
def stablemax_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Compute the cross-entropy (B,) of stablemax in `accum_dtype`; see `_cross_entropy`."""
    return _cross_entropy(log_stablemax(logits), logits, labels, label_smoothing)


@register_loss("softmax")
def softmax_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Compute the cross-entropy (B,) of softmax in float32; see `_cross_entropy`."""
    return _cross_entropy(logits.float().log_softmax(-1), logits, labels, label_smoothing)


def _cross_entropy(log_p: Tensor, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Compute the mean of -sum(q · log p) over each example's labelled cells.

    q is 1 at the label. Smoothing takes a share of it and spreads that evenly over all tokens that
    the model can predict, the label included. Those that a block excludes by their logit would add
    thousands to the loss and push all other logits down.

    Source of smoothing: arXiv 1512.00567, section 7.

    Args:
        log_p, logits: (B, S, V).
        labels: (B, S).
        label_smoothing: the share.

    Returns:
        (B,); 0 where no cell is labelled.
    """
    labelled = labels != IGNORE_LABEL
    losses = -log_p.gather(-1, labels.clamp(min=0).long().unsqueeze(-1)).squeeze(-1)
    if label_smoothing:
        possible = logits > IMPOSSIBLE_LOGIT / 2  # half of it: bfloat16 rounds
        mean = torch.where(possible, log_p, 0.0).sum(-1) / possible.sum(-1)
        losses = torch.lerp(losses, -mean, label_smoothing)
    total = torch.where(labelled, losses, 0.0).sum(-1)
    return total / labelled.sum(-1).clamp(min=1)


def halt_loss(halt_logits: Tensor, correct: Tensor) -> Tensor:
    """Compute the binary cross-entropy (B,) of halting, whose target is a correct answer.

    Args:
        halt_logits: (B,) float32.
        correct: (B,) bool, whether every labelled cell is correct.
    """
    target = correct.to(halt_logits.dtype)
    return F.binary_cross_entropy_with_logits(halt_logits, target, reduction="none")


def continue_loss(continue_logits: Tensor, next_halt_logits: Tensor, last: Tensor) -> Tensor:
    """Compute the binary cross-entropy (B,) of continuing; the target is the value of another step.

    After the last step the target is the probability of halting at the next one, before it the
    larger of the two probabilities.

    Source: HRM paper (arXiv 2506.21734), section 2, "Adaptive computational time".

    Args:
        continue_logits: (B,) float32.
        next_halt_logits: (B, 2) halt and continue after one more supervision step; no gradient
            flows through them.
        last: (B,) bool, whether this step was the last that is allowed.
    """
    next_halt, next_continue = next_halt_logits.detach().unbind(-1)
    target = torch.where(last, next_halt, torch.maximum(next_halt, next_continue)).sigmoid()
    return F.binary_cross_entropy_with_logits(continue_logits, target, reduction="none")
