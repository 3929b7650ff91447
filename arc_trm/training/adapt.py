"""What a run begins with that adapts pretrained weights to new tasks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from arc_trm.checkpoint.weights_dir import TABLE, build, read_parts
from arc_trm.config import ModelConfig
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel

CHUNK = 2**15  # rows that are widened to float64 at once: of a table of gigabytes not all


def mean_row(table: Tensor) -> Tensor:
    """The mean (size,) float32 of a table's rows (rows, size), but for the blank row 0."""
    total = torch.zeros(table.shape[1], dtype=torch.float64)
    for start in range(1, len(table), CHUNK):
        total += table[start : start + CHUNK].double().sum(0)
    return (total / (len(table) - 1)).float()


def load_pretrained(
    folder: Path, config: ModelConfig, rows: int, dtype: torch.dtype
) -> PuzzleModel:
    """The network of a weight folder with a new table, each row the mean of the pretrained ones.

    A new puzzle is thus one that the network has no opinion of, and not the blank one, which it
    has never seen.

    Args:
        folder: the weight folder; its puzzles are forgotten.
        config: its shape, of another depth perhaps.
        rows: of the new table, the blank one included.
        dtype: of the activations.

    Raises UserError if it does not read or has no table.
    """
    parts = read_parts(folder)
    if parts.table is None or len(parts.table) < 2:
        raise UserError(
            f"{folder} holds a network without puzzle rows, of which new rows would be the mean: "
            "convert it again with --identifiers or --set"
        )
    mean = mean_row(parts.table)
    if not mean.isfinite().all():
        raise UserError(f"{folder / TABLE} holds numbers that are not finite: copy it again")
    model = build(config, parts.network)
    model.dtype = dtype
    model.puzzle_embedding = mean.repeat(rows, 1)
    model.puzzle_embedding[0] = parts.table[0]
    return model
