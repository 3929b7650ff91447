"""Weights made ready to answer tasks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from arc_trm.checkpoint import Weights, load_weights
from arc_trm.device import DTYPES, pick_device, pick_dtype
from arc_trm.errors import UserError
from arc_trm.runs import is_run, run_config


def load_answering(folder: Path, tasks: Collection[str], device: str = "auto") -> Weights:
    """The weights in a folder with the rows of these tasks: a whole table may be gigabytes.

    Raises UserError if the folder holds none, or a network without rows.
    """
    place = pick_device(device)
    weights = load_weights(folder, place, DTYPES[pick_dtype("auto", place)], tasks)
    if not weights.knows_puzzles:
        raise UserError(
            f"{folder} holds a network without puzzle rows, which can answer no task: convert it "
            "again with --identifiers or --set"
        )
    return weights


def voters(folder: Path, augmentations: int | None) -> int | None:
    """How many augmentations vote: as said, else as many as an adaptation wants, else None, all."""
    if augmentations is not None or not is_run(folder):
        return augmentations
    adaptation = run_config(folder).adapt
    return adaptation.voters if adaptation else None
