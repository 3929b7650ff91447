"""Optimisers, the moving average of the weights and the learning rate schedule.

docs/model.md, section 6. All weights of a network lie in one flat buffer (N,).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from arc_trm.config import TrainConfig
from arc_trm.registry import Registry


def flatten(parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Move parameters and their gradients into one flat buffer each, of which they become views.

    The optimiser, the weight average and the gradient exchange are then a few operations on one
    tensor.

    Returns:
        The weights and the gradients, (N,) each.
    """
    parameters = list(parameters)
    flat_params = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    gradients = torch.zeros_like(flat_params)
    for parameter, values, gradient in zip(
        parameters,
        unflatten(flat_params, parameters),
        unflatten(gradients, parameters),
        strict=True,
    ):
        parameter.data, parameter.grad = values, gradient
    return flat_params, gradients


def unflatten(flat: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return views of a flat buffer (N,) with the shapes of the parameters."""
    sizes = [parameter.numel() for parameter in parameters]
    return [
        part.view_as(parameter)
        for part, parameter in zip(torch.split(flat, sizes), parameters, strict=True)
    ]


def learning_rate_factor(
    step: int, total_steps: int | None, warmup_steps: int, min_ratio: float
) -> float:
    """Return the factor of both learning rates: linear warm-up, then a cosine to `min_ratio`.

    The first step is 1. Without `total_steps` the factor stays at 1 after the warm-up.
    """
    if step < warmup_steps:
        return step / warmup_steps
    if total_steps is None:
        return 1.0
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return min_ratio + (1 - min_ratio) * cosine


class Optimiser(ABC):
    """Updates the weights of a network; make your own and register it.

    Args:
        flat_params: the weights (N,) float32, which steps update in place.
        config: the settings of the run, such as `betas` and `weight_decay`.
    """

    def __init__(self, flat_params: Tensor, config: TrainConfig) -> None:
        self.flat_params, self.config = flat_params, config

    @abstractmethod
    def step(self, gradients: Tensor, lr: float) -> None:
        """Update the weights by gradients (N,) float32; `lr` follows the schedule already."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that later steps depend on, by name.

        They are the tensors themselves, not copies, of the same shapes from the start: checkpoints
        store them, and resuming a run writes into them. Keep a number in a tensor of shape ().
        """
        return {}


OPTIMISERS: Registry[type[Optimiser]] = Registry("optimiser", "train.optimiser")
register_optimiser = OPTIMISERS.register
"""Decorator that registers an `Optimiser` under a name, for `train.optimiser`."""


@register_optimiser("adam_atan2")
class AdamAtan2(Optimiser):
    """Adam without an epsilon: the update is an arc tangent.

    p ← p·(1 − lr·wd) − lr/(1−β1^t) · atan2(m, sqrt(v)/sqrt(1−β2^t))

    Source: arXiv 2407.05872, section 4.3.
    """

    def __init__(self, flat_params: Tensor, config: TrainConfig) -> None:
        super().__init__(flat_params, config)
        self.first_moment = torch.zeros_like(flat_params)
        self.second_moment = torch.zeros_like(flat_params)
        self.steps = torch.tensor(0)

    @torch.no_grad()
    def step(self, gradients: Tensor, lr: float) -> None:
        self.steps += 1
        steps, (beta1, beta2) = int(self.steps), self.config.betas
        self.first_moment.lerp_(gradients, 1 - beta1)
        self.second_moment.lerp_(gradients.square(), 1 - beta2)
        scale = self.second_moment.sqrt().div_(math.sqrt(1 - beta2**steps))
        update = torch.atan2(self.first_moment, scale, out=scale)
        self.flat_params.mul_(1 - lr * self.config.weight_decay)
        self.flat_params.add_(update, alpha=-lr / (1 - beta1**steps))

    def state_dict(self) -> dict[str, Tensor]:
        return {
            "first_moment": self.first_moment,
            "second_moment": self.second_moment,
            "steps": self.steps,
        }


@torch.no_grad()
def sign_sgd(
    embedding: Tensor, puzzle_ids: Tensor, gradients: Tensor, lr: float, weight_decay: float
) -> None:
    """Update the puzzle embedding at some puzzle ids, in place: w ← w·(1 − lr·wd) − lr·sign(g).

    Args:
        embedding: (puzzles, size) float32.
        puzzle_ids: (B,) int; gradients of equal ids are summed.
        gradients: (B, size) float32.
        lr, weight_decay: of the embeddings that are updated.
    """
    # Every entry sums the gradients of its id, and entries of equal ids write the same values.
    # `unique` instead would have to wait for the device.
    same = (puzzle_ids[:, None] == puzzle_ids[None, :]).to(embedding.dtype)
    summed = same @ gradients.to(embedding.dtype)
    embedding[puzzle_ids] = embedding[puzzle_ids] * (1 - lr * weight_decay) - lr * summed.sign()


@torch.no_grad()
def update_ema(ema: Tensor, flat_params: Tensor, decay: float) -> None:
    """Update the exponential moving average of the weights, (N,) both, in place."""
    ema.lerp_(flat_params, 1 - decay)
