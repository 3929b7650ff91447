"""The models: what they share (`recursive`, `layers`), and TRM, HRM and direct prediction."""

from __future__ import annotations

import torch

from arc_trm.config import Architecture, ModelConfig
from arc_trm.model.direct import Direct
from arc_trm.model.hrm import HRM
from arc_trm.model.recursive import RecursiveModel
from arc_trm.model.trm import TRM

__all__ = ["RecursiveModel", "build_model"]

_MODELS: dict[Architecture, type[RecursiveModel]] = {"trm": TRM, "hrm": HRM, "direct": Direct}


def build_model(
    config: ModelConfig,
    puzzle_rows: int,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> RecursiveModel:
    """A fresh model of `config.architecture`.

    Args:
        config: its shape.
        puzzle_rows: rows of its puzzle table, the blank one included.
        dtype: of the activations; weights are float32.
        generator: CPU generator of the first weights; None is PyTorch's own.
    """
    return _MODELS[config.architecture](config, puzzle_rows, dtype, generator)
