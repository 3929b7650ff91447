"""Architectures and blocks from outside the package plug in by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny import MODEL, TRAIN, make_batch
from torch import Tensor, nn

from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import (
    ARCHITECTURES,
    BLOCKS,
    PuzzleModel,
    build_model,
    register_architecture,
    register_block,
)
from arc_trm.models.noise import Noise
from arc_trm.training import Trainer


@pytest.fixture
def looped_transformer() -> Iterator[type[PuzzleModel]]:
    """A registered architecture: one network that refines y `outer_cycles` times."""

    @register_architecture("looped")
    class LoopedTransformer(PuzzleModel):
        title = "looped transformer"

        @classmethod
        def check_config(cls, config: ModelConfig) -> None:
            if config.inner_cycles != 1:
                raise UserError(
                    "the architecture looped has one cycle: set model.inner_cycles to 1"
                )

        def _build_networks(self, generator: torch.Generator | None) -> None:
            self.blocks = self._build_blocks(self.config.num_layers, generator)

        @property
        def blocks_per_step(self) -> int:
            return self.config.outer_cycles * self.config.num_layers

        @property
        def blocks_with_gradient(self) -> int:
            return self.blocks_per_step

        def supervision_step(
            self, x: Tensor, y: Tensor, z: Tensor, noise: Noise | None = None
        ) -> tuple[Tensor, Tensor]:
            for _ in range(self.config.outer_cycles):
                y = self._run_blocks(self.blocks, y, x)
            return y, z

    yield LoopedTransformer
    del ARCHITECTURES["looped"]


@pytest.fixture
def conv_block() -> Iterator[type[nn.Module]]:
    """A registered block: a residual convolution over positions, a plain module."""

    @register_block("conv")
    class ConvBlock(nn.Module):
        def __init__(self, config: ModelConfig, generator: torch.Generator | None) -> None:
            super().__init__()
            self.conv = nn.Conv1d(config.hidden_size, config.hidden_size, 3, padding=1)
            nn.init.normal_(self.conv.weight, std=0.02, generator=generator)
            self.norm = nn.LayerNorm(config.hidden_size)

        def forward(self, h: Tensor) -> Tensor:
            return self.norm(h + self.conv(h.transpose(1, 2)).transpose(1, 2))

    yield ConvBlock
    del BLOCKS["conv"]


def train_one_step(config: ModelConfig) -> PuzzleModel:
    """Train one step; check that every weight of every block receives a gradient."""
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in model.named_parameters()}
    metrics = Trainer(model, TrainConfig(**TRAIN)).step(make_batch(0))
    assert metrics["loss"] > 0
    for name, value in model.named_parameters():
        assert not name.startswith("blocks.") or not torch.equal(value, before[name]), name
    batch = make_batch(1)
    logits, _ = next(model.predict_steps(batch["inputs"], batch["puzzle_ids"]))
    assert logits.shape == (4, 16, 12)
    return model


def test_architecture_from_outside_trains(looped_transformer: type[PuzzleModel]) -> None:
    config = from_dict(ModelConfig, {**MODEL, "architecture": "looped"})
    assert type(train_one_step(config)) is looped_transformer
    with pytest.raises(UserError, match=r"set model\.inner_cycles to 1"):
        build_model(
            from_dict(ModelConfig, {**MODEL, "architecture": "looped", "inner_cycles": 2}), 6
        )


def test_block_from_outside_trains(conv_block: type[nn.Module]) -> None:
    config = from_dict(ModelConfig, {**MODEL, "block": "conv", "pos_encoding": "learned"})
    model = train_one_step(config)
    assert sum(isinstance(module, conv_block) for module in model.modules()) == config.num_layers
