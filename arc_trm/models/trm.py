"""The Tiny Recursive Model: one small network drafts an answer and revises it.

Shape letters: B batch, L positions, D hidden size. Source: TRM paper (arXiv 2510.04871), figure 3.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.base import PuzzleModel, register_architecture, require_defaults
from arc_trm.models.noise import Noise


@register_architecture("trm")
class TRM(PuzzleModel):
    """A cycle updates z from x, y and z n times, then y from y and z; a step has T cycles.

    One network makes all updates. With `config.separate_networks`, a second one updates y.
    """

    title = "Tiny Recursive Model"

    blocks: nn.ModuleList
    y_blocks: nn.ModuleList | None

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        require_defaults(config, "hrm", "num_high_level_layers")

    def _build_networks(self, generator: torch.Generator | None) -> None:
        config = self.config
        self.blocks = self._build_blocks(config.num_layers, generator)
        self.y_blocks = (
            self._build_blocks(config.num_layers, generator) if config.separate_networks else None
        )

    @property
    def blocks_per_step(self) -> int:
        return self.config.outer_cycles * (self.config.inner_cycles + 1) * self.config.num_layers

    @property
    def blocks_with_gradient(self) -> int:
        config = self.config
        return {
            "last_update": 2 * config.num_layers,
            "last_cycle": (config.inner_cycles + 1) * config.num_layers,
            "all_cycles": self.blocks_per_step,
        }[config.backprop_through]

    def _update_z(self, y_x: Tensor, z: Tensor, noise: Noise | None) -> Tensor:
        return self._damp(z, self._run_blocks(self.blocks, z, y_x), noise)

    def _update_y(self, y: Tensor, z: Tensor) -> Tensor:
        return self._run_blocks(self.blocks if self.y_blocks is None else self.y_blocks, y, z)

    def _cycle(self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None) -> tuple[Tensor, Tensor]:
        """Update z n times, then y once. With "last_update" only the last two carry gradient."""
        inner_cycles = self.config.inner_cycles
        # One sum for all updates; with gradient each has its own, as gradients are summed in order.
        shared = None if torch.is_grad_enabled() else y + x
        without_gradient = inner_cycles - 1 if self.config.backprop_through == "last_update" else 0
        with torch.no_grad():
            for _ in range(without_gradient):
                z = self._update_z(y + x if shared is None else shared, z, noise)
        for _ in range(inner_cycles - without_gradient):
            z = self._update_z(y + x if shared is None else shared, z, noise)
        return self._update_y(y, z), z

    def supervision_step(
        self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return y and z after T cycles; all tensors are (B, L, D).

        `config.backprop_through` says which updates carry gradient.
        """
        with nullcontext() if self.config.backprop_through == "all_cycles" else torch.no_grad():
            for _ in range(self.config.outer_cycles - 1):
                y, z = self._cycle(x, y, z, noise)
        return self._cycle(x, y, z, noise)
