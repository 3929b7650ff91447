"""The latent state of a batch between two supervision steps of a prediction.

Shape letters: B batch, L positions, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from arc_trm.config import InitialState
from arc_trm.models.noise import Noise


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one example of a prediction is sampled.

    Attributes:
        seed: of its random start and its noise.
        starts: where y and z start; None is as the model was trained (`model.initial_state`).
        noise: σ of the normal noise that is added to y and to z before every supervision step
            (PTRM, arXiv 2605.19943); 0 adds none.
    """

    seed: int = 0
    starts: InitialState | None = None
    noise: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class LatentState:
    """The latent state of a batch.

    Attributes:
        x: the embedded puzzles, (B, L, D).
        y, z: the current answers and the latent reasoning, (B, L, D).
        noise: the random numbers of each example; None if nothing is random.
        sigma: the deviation of each example's noise, B numbers.
        colour_weights: (B, 10, D), as of `PuzzleModel.token_logits`; None if colours have no roles.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    noise: Noise | None
    sigma: tuple[float, ...]
    colour_weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sigma)

    @classmethod
    def concatenate(cls, states: Sequence[LatentState]) -> LatentState:
        """Join batches, of which some may have random numbers and others none."""
        if len(states) == 1:
            return states[0]
        noise = None
        if any(state.noise is not None for state in states):
            device = states[0].y.device
            noise = Noise.concatenate(
                [state.noise or Noise([None] * len(state), device) for state in states]
            )
        weights = [each.colour_weights for each in states if each.colour_weights is not None]
        return cls(
            torch.cat([state.x for state in states]),
            torch.cat([state.y for state in states]),
            torch.cat([state.z for state in states]),
            noise,
            tuple(sigma for state in states for sigma in state.sigma),
            torch.cat(weights) if weights else None,
        )

    def split(self, size: int) -> list[LatentState]:
        """Return parts of about equal size with at most `size` examples."""
        count = max(1, math.ceil(len(self) / max(1, size)))
        size = max(1, math.ceil(len(self) / count))
        return [self[start : start + size] for start in range(0, max(1, len(self)), size)]

    def __getitem__(self, part: slice) -> LatentState:
        noise = None if self.noise is None else self.noise[part]
        weights = None if self.colour_weights is None else self.colour_weights[part]
        sigma = self.sigma[part]
        return LatentState(self.x[part], self.y[part], self.z[part], noise, sigma, weights)

    def take(self, indices: Sequence[int]) -> LatentState:
        """Return the examples at these indices."""
        x, y, z, weights = self._select(indices)
        noise = None if self.noise is None else self.noise.take(indices)
        return LatentState(x, y, z, noise, tuple(self.sigma[index] for index in indices), weights)

    def resample(self, ancestors: Sequence[int]) -> LatentState:
        """Return the state in which each example continues from an ancestor's x, y and z.

        Each keeps its own random numbers, so that equal examples part again.
        """
        x, y, z, weights = self._select(ancestors)
        return LatentState(x, y, z, self.noise, self.sigma, weights)

    def with_noise(self) -> tuple[Tensor, Tensor]:
        """Return y and z, each with new noise of the examples that have some."""
        if not any(self.sigma):
            return self.y, self.z
        assert self.noise is not None
        noisy = [index for index, sigma in enumerate(self.sigma) if sigma]
        noise = self.noise.take(noisy)
        scale = torch.tensor([self.sigma[index] for index in noisy], device=self.y.device)
        y, z = self.y.clone(), self.z.clone()
        for latent in (y, z):
            drawn = noise.normal((len(noisy), *latent.shape[1:]))
            latent[noisy] += (scale[:, None, None] * drawn).to(latent.dtype)
        return y, z

    def _select(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        index = torch.tensor(indices, dtype=torch.long, device=self.y.device)
        x, y, z = (tensor.index_select(0, index) for tensor in (self.x, self.y, self.z))
        weights = self.colour_weights
        return x, y, z, None if weights is None else weights.index_select(0, index)
