"""Optimisers, the moving average of the weights and the learning rate schedule.

docs/model.md, section 6; docs/how-to/add-an-optimiser.md. All weights of a network lie in one flat
buffer (N,).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from arc_trm.config import TrainConfig
from arc_trm.device import DTYPES, pick_dtype
from arc_trm.errors import UserError
from arc_trm.models.base import PuzzleModel
from arc_trm.models.cuda_graphs import CudaGraphs
from arc_trm.registry import Registry

# Those of torch.
ADAM_EPSILON = 1e-8
CLIP_EPSILON = 1e-6
MUON_MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 5
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.775, 2.0315)
NEWTON_SCHULZ_EPSILON = 1e-7


@dataclass(frozen=True)
class NamedParameter:
    """A parameter of a network, and its place in the flat buffers.

    Attributes:
        name: as in `model.named_parameters()`.
        values, gradients: views of the flat buffers, of the parameter's shape.
        in_block: whether it belongs to a block, not to an embedding or a head.
    """

    name: str
    values: Tensor
    gradients: Tensor
    in_block: bool


class FlatParams:
    """The weights of a network and their gradients, in one flat buffer each.

    The parameters become views of the buffers, so that an optimiser, the weight average and the
    gradient exchange can be a few operations on one tensor.

    Attributes:
        values, gradients: (N,) float32 each.
        named: the parameters, in the order of the buffers.
    """

    def __init__(self, model: PuzzleModel) -> None:
        names, parameters = zip(*model.named_parameters(), strict=True)
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        self.gradients = torch.zeros_like(self.values)
        in_block = {id(parameter) for parameter in model.block_parameters()}
        self.named = tuple(
            NamedParameter(name, values, gradients, id(parameter) in in_block)
            for name, parameter, values, gradients in zip(
                names,
                parameters,
                unflatten(self.values, parameters),
                unflatten(self.gradients, parameters),
                strict=True,
            )
        )
        for parameter, named in zip(parameters, self.named, strict=True):
            parameter.data, parameter.grad = named.values, named.gradients


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a flat buffer (N,) with the shapes of `like`."""
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor of all learning rates at a step, of which the first is 1.

    It rises linearly to 1 over the warm-up, then follows `lr_schedule` to `lr_min_ratio` at
    `total_steps`, where it stays.
    """
    if step < config.warmup_steps:
        return step / config.warmup_steps
    if config.lr_schedule == "constant" or config.total_steps is None:
        return 1.0
    falling_steps = config.total_steps - config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, falling_steps))
    left = 1 - progress
    if config.lr_schedule == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr_min_ratio + (1 - config.lr_min_ratio) * left


@torch.no_grad()
def clip_gradients(gradients: Tensor, max_norm: float | None) -> Tensor:
    """Scale gradients (N,) in place to a norm of at most `max_norm`; None leaves them.

    Returns:
        Their norm before, a tensor of shape () on their device.
    """
    norm: Tensor = torch.linalg.vector_norm(gradients)
    if max_norm is not None:
        gradients.mul_((max_norm / (norm + CLIP_EPSILON)).clamp(max=1.0))
    return norm


class Optimiser(ABC):
    """Updates the weights of a network; make your own and register it.

    Args:
        params: the weights, which steps update in place, and their gradients: flat and by name.
        config: the settings of the run, such as `lr`, `betas` and `weight_decay`.
    """

    rates: ClassVar[tuple[str, ...]] = ("lr",)
    """The settings of `TrainConfig` that are its learning rates."""

    def __init__(self, params: FlatParams, config: TrainConfig) -> None:
        self.params, self.config = params, config

    @classmethod  # noqa: B027
    def check_model(cls, model: PuzzleModel) -> None:
        """Raise UserError if the optimiser cannot train a model; by default it can train all."""

    @abstractmethod
    def step(self, lr_factor: float) -> None:
        """Update `params.values` by `params.gradients`.

        `lr_factor` is that of the schedule: the learning rate is `config.lr * lr_factor`.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that later steps depend on, by name.

        They are the tensors themselves, not copies, of the same shapes from the start: saving
        stores them, and resuming a run writes into them. Keep a number in a tensor of shape ().
        """
        return {}


OPTIMISERS: Registry[type[Optimiser]] = Registry("optimiser", "train.optimiser")
register_optimiser = OPTIMISERS.register
"""Decorator that registers an `Optimiser` under a name, for `train.optimiser`."""


class _Moments:
    """Moving averages of gradients and of their squares, and how many steps they have seen."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.first = torch.zeros(size, device=device)
        self.second = torch.zeros(size, device=device)
        self.steps = torch.tensor(0)

    def state_dict(self) -> dict[str, Tensor]:
        return {"first_moment": self.first, "second_moment": self.second, "steps": self.steps}


class _Adam(Optimiser):
    """An optimiser with both moments of all weights."""

    def __init__(self, params: FlatParams, config: TrainConfig) -> None:
        super().__init__(params, config)
        self.moments = _Moments(params.values.numel(), params.values.device)

    def state_dict(self) -> dict[str, Tensor]:
        return self.moments.state_dict()


@register_optimiser("adam_atan2")
class AdamAtan2(_Adam):
    """Adam without an epsilon: the update is an arc tangent.

    p ← p·(1 − lr·wd) − lr/(1−β1^t) · atan2(m, sqrt(v)/sqrt(1−β2^t))

    Source: arXiv 2407.05872, section 4.3.
    """

    @torch.no_grad()
    def step(self, lr_factor: float) -> None:
        values, gradients, moments = self.params.values, self.params.gradients, self.moments
        lr, (beta1, beta2) = self.config.lr * lr_factor, self.config.betas
        moments.steps += 1
        steps = int(moments.steps)
        moments.first.lerp_(gradients, 1 - beta1)
        moments.second.lerp_(gradients.square(), 1 - beta2)
        scale = moments.second.sqrt().div_(math.sqrt(1 - beta2**steps))
        update = torch.atan2(moments.first, scale, out=scale)
        values.mul_(1 - lr * self.config.weight_decay)
        values.add_(update, alpha=-lr / (1 - beta1**steps))


@register_optimiser("adamw")
class AdamW(_Adam):
    """Adam with decoupled weight decay, as in `torch.optim.AdamW`.

    p ← p·(1 − lr·wd) − lr/(1−β1^t) · m / (sqrt(v)/sqrt(1−β2^t) + ε)

    Source: arXiv 1711.05101, algorithm 2.
    """

    @torch.no_grad()
    def step(self, lr_factor: float) -> None:
        tensors = [(self.params.values, self.params.gradients)]
        _adamw_step(tensors, self.moments, self.config.lr * lr_factor, self.config)


def _adamw_step(
    tensors: Sequence[tuple[Tensor, Tensor]], moments: _Moments, lr: float, config: TrainConfig
) -> None:
    """Update weights by AdamW; `tensors` are weights and their gradients, pairs of one shape."""
    beta1, beta2 = config.betas
    moments.steps += 1
    steps = int(moments.steps)
    like = [values for values, _ in tensors]
    moments_of_each = zip(
        unflatten(moments.first, like), unflatten(moments.second, like), strict=True
    )
    for (values, gradients), (first, second) in zip(tensors, moments_of_each, strict=True):
        first.lerp_(gradients, 1 - beta1)
        second.lerp_(gradients.square(), 1 - beta2)
        scale = second.sqrt().div_(math.sqrt(1 - beta2**steps)).add_(ADAM_EPSILON)
        values.mul_(1 - lr * config.weight_decay)
        values.addcdiv_(first, scale, value=-lr / (1 - beta1**steps))


@register_optimiser("muon")
class Muon(Optimiser):
    """Muon for the matrices of the blocks, as in `torch.optim.Muon`; AdamW for all other weights.

    The momentum of a matrix (rows, columns) is orthogonalised: its singular values become about 1.

    B ← 0.95·B + 0.05·g;  O = orthogonalise(0.05·g + 0.95·B)
    p ← p·(1 − lr·wd) − lr·sqrt(max(1, rows/columns))·O

    Source: https://kellerjordan.github.io/posts/muon/.
    """

    rates = ("lr", "muon_lr")

    @classmethod
    def check_model(cls, model: PuzzleModel) -> None:
        if not any(parameter.dim() == 2 for parameter in model.block_parameters()):
            raise UserError(
                "train.optimiser muon trains the matrices of blocks, but the blocks of this model "
                "have none: choose adamw or adam_atan2"
            )

    def __init__(self, params: FlatParams, config: TrainConfig) -> None:
        super().__init__(params, config)
        self.matrices = [each for each in params.named if each.in_block and each.values.dim() == 2]
        self.momenta = [torch.zeros_like(matrix.values) for matrix in self.matrices]
        muon_names = {matrix.name for matrix in self.matrices}
        self.others = [
            (each.values, each.gradients) for each in params.named if each.name not in muon_names
        ]
        device = params.values.device
        self.moments = _Moments(sum(values.numel() for values, _ in self.others), device)
        self.dtype = DTYPES[pick_dtype("auto", device)]
        self._graphs = CudaGraphs()

    @torch.no_grad()
    def step(self, lr_factor: float) -> None:
        _adamw_step(self.others, self.moments, self.config.lr * lr_factor, self.config)
        lr = self.config.muon_lr * lr_factor
        for matrix, momentum in zip(self.matrices, self.momenta, strict=True):
            momentum.lerp_(matrix.gradients, 1 - MUON_MOMENTUM)
            update = self._orthogonalise(matrix.gradients.lerp(momentum, MUON_MOMENTUM))
            rows, columns = matrix.values.shape
            matrix.values.mul_(1 - lr * self.config.weight_decay)
            matrix.values.add_(update, alpha=-lr * math.sqrt(max(1, rows / columns)))

    def _orthogonalise(self, matrix: Tensor) -> Tensor:
        if not matrix.is_cuda:
            return orthogonalise(matrix, self.dtype)
        (update,) = self._graphs.call(  # of twenty short kernels
            matrix.shape, lambda matrix: (orthogonalise(matrix, self.dtype),), matrix
        )
        return update

    def state_dict(self) -> dict[str, Tensor]:
        momenta = {
            f"momentum.{matrix.name}": momentum
            for matrix, momentum in zip(self.matrices, self.momenta, strict=True)
        }
        return {**self.moments.state_dict(), **momenta}


def orthogonalise(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring the singular values of a matrix near 1 by five steps of a Newton–Schulz iteration.

    They end between about 0.7 and 1.2, which costs far less than a decomposition.

    Args:
        matrix: (rows, columns) float32.
        dtype: of the products.

    Returns:
        (rows, columns) of type `dtype`.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(dtype)
    x = x / x.norm().clamp(min=NEWTON_SCHULZ_EPSILON)
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


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
def update_ema(ema: Tensor, values: Tensor, decay: float) -> None:
    """Update the exponential moving average of weights in place; both are of one shape."""
    ema.lerp_(values, 1 - decay)
