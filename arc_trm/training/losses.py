"""What training minimises: stablemax cross-entropy and the halting losses (SPEC 5).

stablemax: "Grokking at the Edge of Numerical Stability", arXiv 2501.04697, section 4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100
"""Label of cells that are not scored."""
HALT_WEIGHT = 0.5


def accum_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's GPUs, which have no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def log_stablemax(logits: Tensor) -> Tensor:
    """log(s / sum s) in float64 over the last axis; s(v) = v + 1 for v >= 0, else 1 / (1 - v)."""
    wide = logits.to(accum_dtype(logits.device))
    # log s(v) = sign(v) · log(1 + |v|), one branch for both halves.
    log_s = torch.log1p(wide.abs()).copysign(wide)
    # Clamped, for at v = 1 the half that is not taken would be infinite and its gradient NaN.
    s = torch.where(wide >= 0, wide + 1, 1 / (1 - wide.clamp(max=0)))
    return log_s - s.sum(-1, keepdim=True).log()


def token_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(B,) float64: mean of -log p over each sequence's labelled cells; 0 where it has none.

    Args:
        logits: (B, S, V).
        labels: (B, S) int tokens, `IGNORE` where not scored.
    """
    labelled = labels != IGNORE
    log_p = log_stablemax(logits).gather(-1, labels.clamp(min=0).long().unsqueeze(-1)).squeeze(-1)
    total = torch.where(labelled, -log_p, 0.0).sum(-1)
    return total / labelled.sum(-1).clamp(min=1)


def halt_loss(halt_logits: Tensor, correct: Tensor) -> Tensor:
    """(B,) float32: cross-entropy of the halt logit (B,) against "every labelled cell is right"."""
    return F.binary_cross_entropy_with_logits(
        halt_logits, correct.to(halt_logits.dtype), reduction="none"
    )


def continue_loss(continue_logits: Tensor, next_halt_logits: Tensor, last: Tensor) -> Tensor:
    """(B,) float32: cross-entropy of the continue logit against what one more step promises.

    HRM paper (arXiv 2506.21734), section 2, "Adaptive computational time": the target is the
    probability of halting then where this step was the last, else of the better choice then.

    Args:
        continue_logits: (B,).
        next_halt_logits: (B, 2), halt and continue after one more supervision step; a target, so
            no gradient goes through it.
        last: (B,) bool, whether this step was the last that is allowed.
    """
    halt, go_on = next_halt_logits.detach().unbind(-1)
    target = torch.where(last, halt, torch.maximum(halt, go_on)).sigmoid()
    return F.binary_cross_entropy_with_logits(continue_logits, target, reduction="none")
