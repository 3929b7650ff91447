"""The Tiny Recursive Model: one small network that drafts an answer and revises it.

Shape letters: B batch, L positions, D hidden size. TRM paper (arXiv 2510.04871), figure 3.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from arc_trm.models.base import PuzzleModel


class TRM(PuzzleModel):
    """One network f updates z from x and y, n times, then y from z; T such cycles a step.

    With `config.separate_networks` 2 the updates of y have a network of their own.
    """

    blocks: nn.ModuleList
    y_blocks: nn.ModuleList | None

    def _add_networks(self, generator: torch.Generator | None) -> None:
        self.blocks = self._network(generator)
        self.y_blocks = self._network(generator) if self.config.separate_networks else None

    @property
    def layers_per_step(self) -> int:
        return self.config.outer_cycles * (self.config.inner_cycles + 1) * self.config.num_layers

    @property
    def layers_with_gradient(self) -> int:
        tracked = {"last_update": 2 * self.config.num_layers, "all_cycles": self.layers_per_step}
        cycle = (self.config.inner_cycles + 1) * self.config.num_layers
        return tracked.get(self.config.backprop_through, cycle)

    def _update_z(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self._through(self.blocks, z, y + x)

    def _update_y(self, y: Tensor, z: Tensor) -> Tensor:
        return self._through(self.blocks if self.y_blocks is None else self.y_blocks, y, z)

    def _cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        inner = self.config.inner_cycles
        untracked = inner - 1 if self.config.backprop_through == "last_update" else 0
        with torch.no_grad():
            for _ in range(untracked):
                z = self._update_z(x, y, z)
        for _ in range(inner - untracked):
            z = self._update_z(x, y, z)
        return self._update_y(y, z), z

    def supervision_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """y and z (B, L, D) after T cycles, of which `config.backprop_through` says what is tracked."""
        with nullcontext() if self.config.backprop_through == "all_cycles" else torch.no_grad():
            for _ in range(self.config.outer_cycles - 1):
                y, z = self._cycle(x, y, z)
        return self._cycle(x, y, z)
