"""A composed puzzle embedding as a table, which published code can load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arc_trm.checkpoint.weights_dir import WeightsDir, WeightsParts, build_from_tensors
from arc_trm.config import ModelConfig
from arc_trm.data.puzzle_ids import parse_puzzle_name
from arc_trm.device import memory_bytes
from arc_trm.errors import UserError, format_value
from arc_trm.models.composition import CODE_SIZE, Composition
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.base import Tokens
from arc_trm.tasks import DEFAULT_KIND

CHUNK = 2**14
"""Rows that are composed at once."""
COMPOSITION = "composition."
"""How the names of the tensors begin that a network with a table does not have."""


def parse_code(name: str, source: Path) -> tuple[str, Tokens]:
    """Return the task in the name of a puzzle id, and the code of its augmentation, (A,) uint8.

    Raises:
        UserError: the name is invalid; `source` is its file.
    """
    kind = KINDS[DEFAULT_KIND]
    try:
        task_id, augmentation = parse_puzzle_name(kind, name)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    return task_id, kind.augmentation_code(augmentation)


def table_width(config: ModelConfig) -> int:
    """Return the numbers of a row of a composed puzzle embedding as a table."""
    with torch.device("meta"):
        composition = Composition(config, None)
    return max(composition.shared, composition.width)


def table_bytes(config: ModelConfig, rows: int) -> int:
    """Return the bytes of a composed puzzle embedding as a table of so many rows."""
    return rows * table_width(config) * torch.float32.itemsize


@torch.no_grad()
def expand_to_table(
    weights: WeightsDir, names: Sequence[str], source: Path
) -> tuple[ModelConfig, WeightsParts]:
    """Return weights with a composed puzzle embedding as equal weights with a table.

    Only without roles of the colours, which no row of a table can hold.

    Args:
        weights: with a composed puzzle embedding and without roles of the colours.
        names: of the rows, `<blank>` first; those of augmented tasks as published.
        source: the file of the names.

    Raises:
        UserError: a name is invalid, the weights have no vector of a task, or the memory cannot
            hold the table.
    """
    parts = weights.parts
    assert parts.embedding is not None
    needed, memory = table_bytes(weights.config, len(names)), memory_bytes(torch.device("cpu"))
    if needed > memory:
        raise UserError(
            f"{source} names {len(names):,} rows, which take {needed / 1e9:,.1f} GB, but the "
            f"memory has {memory / 1e9:,.1f} GB: name fewer augmentations"
        )
    ids = {name: puzzle_id for puzzle_id, name in enumerate(parts.puzzle_names)}
    rows, codes = np.empty(len(names), np.int64), np.empty((len(names), CODE_SIZE), np.uint8)
    for index, name in enumerate(names):
        task_id, codes[index] = parse_code(name, source)
        if task_id not in ids:
            raise UserError(
                f"{source} names the task {format_value(task_id)}, of which {weights.folder} has "
                "no vector: name tasks that it was trained on or adapted to"
            )
        rows[index] = ids[task_id]
    composition = build_from_tensors(weights.config, parts.network).composition
    assert composition is not None
    table = torch.empty(len(names), table_width(weights.config))
    for start in range(0, len(names), CHUNK):
        part = slice(start, start + CHUNK)
        vectors = parts.embedding[torch.from_numpy(rows[part])].float()
        moved = composition.permute(vectors, torch.from_numpy(codes[part]))
        table[part] = composition.compose(moved)
    config = replace(
        weights.config,
        puzzle_embedding="table",
        puzzle_emb_dim=table.shape[1],
        colour_roles=ModelConfig.colour_roles,
    )
    return config, parts._replace(
        network=_without_composition(parts.network), embedding=table, puzzle_names=list(names)
    )


def _without_composition(network: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: each for name, each in network.items() if not name.startswith(COMPOSITION)}
