"""Weights made ready to answer tasks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from arc_trm.checkpoint import Weights, load_weights
from arc_trm.config import Canvas
from arc_trm.device import DTYPES, compiles, pick_device, pick_dtype
from arc_trm.errors import UserError
from arc_trm.runs import is_run, run_config


def load_for_inference(
    folder: Path,
    tasks: Collection[str],
    device: str = "auto",
    canvas: Canvas | None = None,
    compiled: bool | None = None,
) -> Weights:
    """The weights in a folder with the rows of these tasks: a whole table may be gigabytes.

    They see tasks on the `canvas` that is named, or on that they were trained on. `compiled` is
    whether to use torch.compile; None is where it pays. Raises UserError if the folder holds none,
    or a network without rows.
    """
    place = pick_device(device)
    weights = load_weights(folder, place, DTYPES[pick_dtype("auto", place)], tasks)
    if not weights.knows_puzzles:
        raise UserError(
            f"{folder} holds a network without puzzle rows, which can answer no task: convert it "
            "again with --identifiers or --set"
        )
    weights.model.compiled = compiles(place, compiled)
    if canvas is not None:
        weights.model.config = replace(weights.model.config, canvas=canvas)
    return weights


def voters(folder: Path, augmentations: int | None) -> int | None:
    """How many augmentations vote: as said, else as many as an adaptation wants, else None, all."""
    if augmentations is not None or not is_run(folder):
        return augmentations
    return run_config(folder).data.vote_augmentations
