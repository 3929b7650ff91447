"""Adaptation: the model that a run on new tasks starts from, out of pretrained weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from arc_trm.checkpoint.weights_dir import EMBEDDING_FILE, WeightsDir, build_from_tensors
from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel

CHUNK = 2**15
"""Embeddings that are converted to float64 at once: all of them may be gigabytes."""


def mean_embedding(embedding: Tensor) -> Tensor:
    """Return the mean (size,) float32 of a puzzle embedding (puzzles, size) without the blank."""
    total = torch.zeros(embedding.shape[1], dtype=torch.float64)
    for start in range(1, len(embedding), CHUNK):
        total += embedding[start : start + CHUNK].double().sum(0)
    return (total / (len(embedding) - 1)).float()


def load_pretrained(
    folder: Path, config: ModelConfig, num_puzzles: int, dtype: torch.dtype
) -> PuzzleModel:
    """Load pretrained weights with a new puzzle embedding: the mean of the pretrained ones.

    The mean says nothing about a puzzle. The blank puzzle would not do, because it was never
    trained.

    Args:
        folder: of the pretrained weights; their puzzles are forgotten.
        config: shape of the weights; its recursion may be another.
        num_puzzles: of the new embedding, the blank one included.
        dtype: of the activations.

    Raises:
        UserError: the weights are invalid or have no puzzle embedding.
    """
    parts = WeightsDir(folder).parts
    if parts.embedding is None or len(parts.embedding) < 2:
        raise UserError(
            f"{folder} has no puzzle embedding, whose mean new puzzles start from: convert the "
            "weights again with --identifiers or --published-set"
        )
    mean = mean_embedding(parts.embedding)
    if not mean.isfinite().all():
        raise UserError(
            f"{folder / EMBEDDING_FILE} holds numbers that are not finite: copy it again"
        )
    model = build_from_tensors(config, parts.network)
    model.dtype = dtype
    model.puzzle_embedding = mean.repeat(num_puzzles, 1)
    model.puzzle_embedding[0] = parts.embedding[0]
    return model
