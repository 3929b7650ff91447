"""Direct prediction: a plain transformer that answers in one pass.

The baseline without recursion of the TRM paper (arXiv 2510.04871), section 5, and the HRM paper
(arXiv 2506.21734), section 3. Shape letters: B batch, L positions, D hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arc_trm.models.base import PuzzleModel


class Transformer(PuzzleModel):
    """The answer is what the blocks make of the input; nothing is carried from step to step."""

    blocks: nn.ModuleList

    def _add_networks(self, generator: torch.Generator | None) -> None:
        self.blocks = self._network(generator)

    @property
    def layers_per_step(self) -> int:
        return self.config.num_layers

    @property
    def layers_with_gradient(self) -> int:
        return self.config.num_layers

    def supervision_step(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, L, D) of x alone; the old y is not read and z stays as it is."""
        return self._through(self.blocks, x), z
