"""Random starts and noise: random numbers of which every example has its own.

What an example draws depends on its own seed alone, not on the rest of the batch, how the batch is
split, or the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from arc_trm.models.linear import TRUNCATED_STD


class Noise:
    """The random numbers of a batch.

    Args:
        generators: one for each example, on `device`; None for an example that draws nothing.
        device: where the numbers are needed.
    """

    def __init__(self, generators: Sequence[torch.Generator | None], device: torch.device) -> None:
        self.generators, self.device = generators, device

    @classmethod
    def from_seeds(cls, seeds: Iterable[int], device: torch.device) -> Noise:
        """Make a generator for each seed."""
        return cls([torch.Generator(device).manual_seed(seed) for seed in seeds], device)

    def __getitem__(self, part: slice) -> Noise:
        """Return the numbers of a part of the batch, which advances the same generators."""
        return Noise(self.generators[part], self.device)

    def take(self, indices: Sequence[int]) -> Noise:
        """Return the numbers of some examples, which advances the same generators."""
        return Noise([self.generators[index] for index in indices], self.device)

    @classmethod
    def concatenate(cls, parts: Sequence[Noise]) -> Noise:
        """Join the numbers of batches on one device."""
        return cls([each for part in parts for each in part.generators], parts[0].device)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Draw (B, ...) float32 numbers from the standard normal distribution."""
        return self._draw(shape, lambda out, generator: out.normal_(generator=generator))

    def truncated_normal(self, shape: Sequence[int]) -> Tensor:
        """Draw (B, ...) float32 of deviation 1 from a normal distribution truncated at ±2σ."""
        sigma, edge = 1 / TRUNCATED_STD, math.erf(2 / math.sqrt(2))
        uniform = self._draw(
            shape, lambda out, generator: out.uniform_(-edge, edge, generator=generator)
        )
        return uniform.erfinv_().mul_(sigma * math.sqrt(2)).clamp_(-2 * sigma, 2 * sigma)

    def _draw(
        self, shape: Sequence[int], fill: Callable[[Tensor, torch.Generator], object]
    ) -> Tensor:
        values = torch.empty(shape, device=self.device)
        for example, generator in zip(values, self.generators, strict=True):
            assert generator is not None, "an example without random numbers draws some"
            fill(example, generator)
        return values
