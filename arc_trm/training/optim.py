"""Both optimisers and the learning rate schedule (SPEC 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def flatten(parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Lay parameters and their gradients into one flat buffer each, and make them views of it.

    Optimiser, weight average and gradient exchange are then a few operations on one tensor.
    """
    parameters = list(parameters)
    values = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradients = torch.zeros_like(values)
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        shape = parameter.shape
        parameter.data = values[start:stop].view(shape)
        parameter.grad = gradients[start:stop].view(shape)
        start = stop
    return values, gradients


def learning_rate_factor(
    step: int, total_steps: int | None, warmup_steps: int, min_ratio: float
) -> float:
    """Factor of step `step` (the first is 1): linear warm-up, then cosine down to `min_ratio`.

    Without `total_steps` it stays at 1.
    """
    if step < warmup_steps:
        return step / warmup_steps
    if total_steps is None:
        return 1.0
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return min_ratio + (1 - min_ratio) * cosine


class AdamAtan2:
    """Adam without an epsilon: the update is an arc tangent (arXiv 2407.05872, section 4.3).

    p ← p·(1 − lr·wd) − lr/(1−β1^t) · atan2(m, sqrt(v)/sqrt(1−β2^t))
    """

    def __init__(self, values: Tensor, betas: tuple[float, float], weight_decay: float) -> None:
        self.values, self.betas, self.weight_decay = values, betas, weight_decay
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Tensor, lr: float) -> None:
        """Update the flat values (N,) in place by gradients (N,)."""
        self.steps += 1
        beta1, beta2 = self.betas
        self.first.lerp_(gradients, 1 - beta1)
        self.second.lerp_(gradients.square(), 1 - beta2)
        scale = self.second.sqrt().div_(math.sqrt(1 - beta2**self.steps))
        update = torch.atan2(self.first, scale, out=scale)
        self.values.mul_(1 - lr * self.weight_decay)
        self.values.add_(update, alpha=-lr / (1 - beta1**self.steps))


@torch.no_grad()
def sign_sgd(table: Tensor, ids: Tensor, gradients: Tensor, lr: float, weight_decay: float) -> None:
    """w ← w·(1 − lr·wd) − lr·sign(g) on the table's rows `ids`, in place.

    Args:
        table: (rows, size) float32.
        ids: (B,) int, repeats allowed: their gradients are summed.
        gradients: (B, size) float32.
    """
    # Every place sums the gradients of its id, and equal ones write the same; asking for the
    # distinct ids instead would have to wait for the device.
    same = (ids[:, None] == ids[None, :]).to(table.dtype)
    summed = same @ gradients.to(table.dtype)
    table[ids] = table[ids] * (1 - lr * weight_decay) - lr * summed.sign()
