"""The models: what they share (`recursive`, `layers`), and TRM, HRM and direct prediction."""

from __future__ import annotations

import torch

from arc_trm.config import ModelConfig
from arc_trm.models.base import PuzzleModel
from arc_trm.models.hrm import HRM
from arc_trm.models.transformer import Transformer
from arc_trm.models.trm import TRM

__all__ = ["PuzzleModel", "build_model"]

_MODELS: dict[str, type[PuzzleModel]] = {"trm": TRM, "hrm": HRM, "transformer": Transformer}


def build_model(
    config: ModelConfig,
    puzzle_rows: int,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> PuzzleModel:
    """A fresh model of `config.architecture`.

    Args:
        config: its shape.
        puzzle_rows: rows of its puzzle table, the blank one included.
        dtype: of the activations; weights are float32.
        generator: CPU generator of the first weights; None is PyTorch's own.
    """
    return _MODELS[config.architecture](config, puzzle_rows, dtype, generator)
