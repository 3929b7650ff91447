"""A plain transformer that predicts the answer in one pass: the baseline without recursion.

Shape letters: B batch, L positions, D hidden size. Sources: "direct prediction" in the TRM paper
(arXiv 2510.04871), section 5, and in the HRM paper (arXiv 2506.21734), section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models.base import PuzzleModel, register_architecture, require_defaults
from arc_trm.models.noise import Noise


@register_architecture("transformer")
class Transformer(PuzzleModel):
    """The blocks map the embedded input to the answer; no state is carried."""

    title = "direct-prediction transformer"
    carries_state = False

    blocks: nn.ModuleList

    @classmethod
    def check_config(cls, config: ModelConfig) -> None:
        require_defaults(config, "trm", "separate_networks", "backprop_through")
        require_defaults(config, "hrm", "num_high_level_layers")
        if (config.outer_cycles, config.inner_cycles, config.supervision_steps) != (1, 1, 1):
            raise UserError(
                "the architecture transformer predicts in a single pass: set model.outer_cycles, "
                "model.inner_cycles and model.supervision_steps to 1"
            )
        if (config.initial_state, config.damping, config.latent_noise) != ("fixed", 1, 0):
            raise UserError(
                "the architecture transformer carries no state: leave model.initial_state, "
                "model.damping and model.latent_noise out"
            )

    def _build_networks(self, generator: torch.Generator | None) -> None:
        self.blocks = self._build_blocks(self.config.num_layers, generator)

    @property
    def blocks_per_step(self) -> int:
        return self.config.num_layers

    def supervision_step(
        self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return y (B, L, D) computed from x alone, and z unchanged; the old y is not read."""
        return self._run_blocks(self.blocks, x), z
