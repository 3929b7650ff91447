"""The models: `base` is what they share, `trm`, `hrm` and `transformer` are the architectures.

Register your own with `register_architecture` and `register_block`.
"""

from __future__ import annotations

import torch

from arc_trm.config import ModelConfig
from arc_trm.errors import UserError

# Architectures and blocks register themselves when they are imported.
from arc_trm.models import conv_swiglu, digit_equivariant, hrm, transformer, trm  # noqa: F401
from arc_trm.models.base import ARCHITECTURES, PuzzleModel, register_architecture
from arc_trm.models.composition import COLOURS
from arc_trm.models.embedding import CellEmbedding, CellHeads
from arc_trm.models.layers import BLOCKS, Block, block_class, register_block

__all__ = [
    "ARCHITECTURES",
    "BLOCKS",
    "Block",
    "PuzzleModel",
    "build_model",
    "build_without_memory",
    "check_model_config",
    "register_architecture",
    "register_block",
]


def _check_composition(config: ModelConfig, block: type[Block]) -> None:
    """Raise UserError if no puzzle embedding can be composed for a model."""
    if config.vocab_size <= COLOURS:
        raise UserError(
            'model.puzzle_embedding = "composed" is for ARC, whose ten colours are tokens, but '
            f"model.vocab_size is {config.vocab_size}: leave it out"
        )
    if (block.embedding, block.heads) != (CellEmbedding, CellHeads):
        raise UserError(
            'model.puzzle_embedding = "composed" is for states of a puzzle embedding and cells, '
            f"which the block {config.block} has not: choose another block, or a table"
        )


def check_model_config(config: ModelConfig) -> None:
    """Check that the architecture and the block exist and can use all settings.

    Raises:
        UserError: they do not or cannot.
    """
    architecture, block = ARCHITECTURES[config.architecture], block_class(config)
    if config.puzzle_embedding == "composed":
        _check_composition(config, block)
    architecture.check_config(config)
    block.check_config(config)


def build_model(
    config: ModelConfig,
    num_puzzles: int,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> PuzzleModel:
    """Build a model of `config.architecture` with random weights and a puzzle embedding of zeros.

    Args:
        config: the model's shape and recursion.
        num_puzzles: rows of the puzzle embedding; puzzle id 0 is the blank one.
        dtype: of the activations; weights are float32.
        generator: of the initial weights, on the CPU; None is PyTorch's global generator.

    Raises:
        UserError: see `check_model_config`.
    """
    check_model_config(config)
    return ARCHITECTURES[config.architecture](config, num_puzzles, dtype, generator)


def build_without_memory(config: ModelConfig) -> PuzzleModel:
    """Build a model whose tensors have shapes but no numbers, to learn the shapes.

    Raises:
        UserError: see `check_model_config`.
    """
    with torch.device("meta"):
        return build_model(config, 1)
