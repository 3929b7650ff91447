"""Adaptation: the model that a run on new tasks starts from, out of pretrained weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from arc_trm.checkpoint import EMBEDDING_FILE, TrainingFacts
from arc_trm.checkpoint.weights_dir import WeightsDir, build_from_tensors, check_finite
from arc_trm.config import ModelConfig, RunConfig, preset_of
from arc_trm.data.training_set import TrainingSet
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


def training_facts(
    config: RunConfig, training_set: TrainingSet, resumed: Path | None, total_steps: int | None
) -> TrainingFacts:
    """Return what the weights of a run say about their training.

    Args:
        config: of the run.
        training_set: of the run.
        resumed: folder of the run if its weights are those of its training state. The folder knows
            the training of the pretrained weights, which may be gone.
        total_steps: planned; None before the plan.
    """
    datasets = training_set.trained_on
    preset, changed = preset_of(config)
    facts = TrainingFacts(
        trained_on=tuple(datasets),
        preset=preset,
        changed=changed,
        seed=config.seed,
        total_steps=total_steps,
        augmentations=training_set.augmentations,
    )
    if config.adapt is None:
        return facts
    before = TrainingFacts()
    for known in (resumed, Path(config.adapt.weights)):
        with suppress(UserError):
            if known is not None:
                before = WeightsDir(known).training
                break
    adapted_to = tuple(dict.fromkeys((*before.adapted_to, *datasets)))
    return replace(facts, trained_on=before.trained_on, adapted_to=adapted_to)


def load_pretrained(
    weights: WeightsDir, config: ModelConfig, num_puzzles: int, dtype: torch.dtype
) -> PuzzleModel:
    """Load pretrained weights with a new puzzle embedding: the mean of the pretrained ones.

    The mean says nothing about a puzzle. The blank puzzle would not do, because it was never
    trained.

    Args:
        weights: the pretrained ones; their puzzles are forgotten.
        config: shape of the weights; its recursion may be another.
        num_puzzles: of the new embedding, the blank one included.
        dtype: of the activations.

    Raises:
        UserError: the weights are invalid or have no puzzle embedding.
    """
    folder, parts = weights.folder, weights.parts
    if parts.embedding is None or len(parts.embedding) < 2:
        raise UserError(
            f"{folder} has no puzzle embedding, whose mean new puzzles start from: convert the "
            "weights again with --identifiers or --published-set"
        )
    mean = mean_embedding(parts.embedding)
    check_finite(torch.stack([parts.embedding[0].float(), mean]), folder / EMBEDDING_FILE)
    model = build_from_tensors(config, parts.network)
    model.dtype = dtype
    model.puzzle_embedding = mean.repeat(num_puzzles, 1)
    model.puzzle_embedding[0] = parts.embedding[0]
    return model
