"""The Hierarchical Reasoning Model: a fast network reasons, a slow one drafts the answer.

Shape letters: B batch, L positions, D hidden size. HRM paper (arXiv 2506.21734), section 2; its
z_H is y here and its z_L is z.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from arc_trm.models.base import PuzzleModel


class HRM(PuzzleModel):
    """f_L updates z from x and y, T·n times in a step; f_H updates y from z after every n."""

    has_continue_head: ClassVar[bool] = True

    z_blocks: nn.ModuleList
    y_blocks: nn.ModuleList

    def _add_networks(self, generator: torch.Generator | None) -> None:
        self.z_blocks = self._network(generator)
        self.y_blocks = self._network(generator)

    @property
    def layers_per_step(self) -> int:
        return (self.config.inner_cycles + 1) * self.config.outer_cycles * self.config.num_layers

    @property
    def layers_with_gradient(self) -> int:
        return 2 * self.config.num_layers

    def halts(self, halt_logits: Tensor) -> Tensor:
        """(B,) bool: whether halting promises more than going on, of `halt_logits` (B, 2)."""
        return halt_logits[:, 0] > halt_logits[:, 1]

    def _f_low(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self._through(self.z_blocks, z, y + x)

    def _f_high(self, y: Tensor, z: Tensor) -> Tensor:
        return self._through(self.y_blocks, y, z)

    def supervision_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """y and z (B, L, D) after T·n updates of z and T of y, the last of each with gradient.

        The one-step gradient of the HRM paper, section 2, "Approximate gradient".
        """
        cycles, inner = self.config.outer_cycles, self.config.inner_cycles
        with torch.no_grad():
            for step in range(1, cycles * inner):
                z = self._f_low(x, y, z)
                if step % inner == 0:
                    y = self._f_high(y, z)
        z = self._f_low(x, y, z)
        return self._f_high(y, z), z
