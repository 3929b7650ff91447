"""The Tiny Recursive Model: one small network that drafts an answer and revises it.

Shape letters: B batch, L positions, D hidden size. TRM paper (arXiv 2510.04871), figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arc_trm.model.recursive import RecursiveModel


class TRM(RecursiveModel):
    """One network f updates z from x and y, n times, then y from z; T such cycles a step."""

    blocks: nn.ModuleList

    def _add_networks(self, generator: torch.Generator | None) -> None:
        self.blocks = self._network(generator)

    @property
    def layers_per_step(self) -> int:
        return self.config.outer_cycles * self.layers_with_gradient

    @property
    def layers_with_gradient(self) -> int:
        return (self.config.inner_cycles + 1) * self.config.layers

    def f(self, h: Tensor, injection: Tensor) -> Tensor:
        """The network: h + injection through the blocks, (B, L, D) to (B, L, D)."""
        return self._through(self.blocks, h, injection)

    def _cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        for _ in range(self.config.inner_cycles):
            z = self.f(z, y + x)
        return self.f(y, z), z

    def supervision_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """y and z (B, L, D) after T cycles, of which the last alone carries gradient."""
        with torch.no_grad():
            for _ in range(self.config.outer_cycles - 1):
                y, z = self._cycle(x, y, z)
        return self._cycle(x, y, z)
