"""The Hierarchical Reasoning Model: a fast network reasons, a slow network drafts the answer.

Shape letters: B batch, L positions, D hidden size. Source: HRM paper (arXiv 2506.21734), section 2;
its z_H is y here, its z_L is z.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.models.base import PuzzleModel, register_architecture, require_defaults
from arc_trm.models.noise import Noise


@register_architecture("hrm")
class HRM(PuzzleModel):
    """In a step, f_L updates z from x, y and z T·n times; f_H updates y from y and z after every n.

    The networks may differ in depth: `config.num_layers` is that of f_L,
    `config.num_high_level_layers` that of f_H.
    """

    title = "Hierarchical Reasoning Model"
    has_continue_head = True

    z_blocks: nn.ModuleList
    y_blocks: nn.ModuleList

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        require_defaults(config, "trm", "separate_networks", "backprop_through")

    def _build_networks(self, generator: torch.Generator | None) -> None:
        self.z_blocks = self._build_blocks(self.config.num_layers, generator)
        high_level_layers = self.config.num_high_level_layers or self.config.num_layers
        self.y_blocks = self._build_blocks(high_level_layers, generator)

    @property
    def blocks_per_step(self) -> int:
        blocks_per_cycle = self.config.inner_cycles * len(self.z_blocks) + len(self.y_blocks)
        return self.config.outer_cycles * blocks_per_cycle

    @property
    def blocks_with_gradient(self) -> int:
        return len(self.z_blocks) + len(self.y_blocks)

    def should_halt(self, halt_logits: Tensor) -> Tensor:
        """Return (B,) bool from (B, 2): whether halting has a larger value than continuing."""
        return halt_logits[:, 0] > halt_logits[:, 1]

    def _update_z(self, y_x: Tensor, z: Tensor, noise: Noise | None) -> Tensor:
        return self._damp(z, self._run_blocks(self.z_blocks, z, y_x), noise)

    def _update_y(self, y: Tensor, z: Tensor) -> Tensor:
        return self._run_blocks(self.y_blocks, y, z)

    def supervision_step(
        self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return y and z after T·n updates of z and T updates of y; all tensors are (B, L, D).

        The last update of each carries gradient: the one-step gradient of the HRM paper, section 2,
        "Approximate gradient".
        """
        outer_cycles, inner_cycles = self.config.outer_cycles, self.config.inner_cycles
        y_x = y + x
        with torch.no_grad():
            for step in range(1, outer_cycles * inner_cycles):
                z = self._update_z(y_x, z, noise)
                if step % inner_cycles == 0:
                    y = self._update_y(y, z)
                    y_x = y + x
        z = self._update_z(y + x, z, noise)
        return self._update_y(y, z), z
