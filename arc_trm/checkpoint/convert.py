"""Convert published weight files to weights folders and back. Embeddings stay in their files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from arc_trm.callbacks import Note, ignore
from arc_trm.checkpoint.description import TrainingFacts
from arc_trm.checkpoint.expansion import expand_to_table, table_bytes
from arc_trm.checkpoint.published import (
    SETTINGS_FILE,
    SHAPES_FILE,
    PublishedWeights,
    open_published,
    publishable_state,
    published_settings,
    published_shapes,
    unpublished_training,
)
from arc_trm.checkpoint.published_ids import (
    PublishedIds,
    find_sets,
    naming_option,
    write_published_ids,
)
from arc_trm.checkpoint.weights_dir import (
    CONFIG_FILE,
    ORIGIN_FILE,
    WeightsDir,
    check_finite,
    save_config,
    save_weights,
)
from arc_trm.config import DataConfig, RunConfig
from arc_trm.data.puzzle_ids import read_puzzle_ids
from arc_trm.data.readers.prebuilt import IDENTIFIERS
from arc_trm.errors import UserError, quote_path
from arc_trm.io import WriteError, atomic_write, new_folder, write_json
from arc_trm.puzzles.base import BLANK


@dataclass(frozen=True)
class ConversionResult:
    """What `convert_from_published` made."""

    num_puzzles: int
    """Rows of the published puzzle embedding."""
    num_named: int
    """Rows that the folder keeps, 0 for a network alone."""
    notes: tuple[str, ...]
    """Sentences for the user."""


def convert_from_published(
    step_file: Path,
    out: Path,
    *,
    arch_config: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    ids: PublishedIds | None = None,
    origin: Mapping[str, Any] | None = None,
    trained_on: Sequence[str] = (),
) -> ConversionResult:
    """Make a weights folder from a published weight file.

    The memory needed is that of the puzzle embedding at most; where memory is short, the system
    takes most of it back.

    Args:
        step_file: what the published trainer wrote.
        out: the folder to make; it must not exist, or be empty.
        arch_config, settings: see `open_published`.
        ids: names of the puzzle ids. Puzzle ids without a name, which come last, are left out;
            without any names the puzzle embedding is, unless its only row is the blank one.
        origin: further facts for origin.json.
        trained_on: datasets that the weights were trained on, if the names do not tell.

    Raises:
        UserError: the file is in arc-trm's own format, or file, settings and names do not fit each
            other. Then nothing is left behind.
    """
    check_published_file(step_file)
    published = open_published(step_file, arch_config, settings=settings)
    num_puzzles = len(published.embedding)
    if ids is None and num_puzzles == 1:
        ids = PublishedIds([BLANK], 1, "a puzzle embedding with the blank row alone")
    names, embedding = None, None
    if ids is not None:
        _check_num_puzzles(step_file, num_puzzles, ids)
        names = list(ids.names)
        embedding = published.embedding[: len(names)].float()
        check_finite(embedding, step_file)
    notes = _notes(step_file, published, ids)
    with new_folder(out) as folder:
        if ids is not None and ids.published_set is not None:
            trained_on = ids.published_set.trained_on
        save_config(folder, published.config, names, TrainingFacts(tuple(trained_on)))
        save_weights(folder, published.config, published.network, embedding, _step(step_file))
        facts = {
            "file": step_file.name,
            **(origin or {}),
            "identifiers": ids and Path(ids.source).name,
            "notes": notes,
        }
        write_json(folder / ORIGIN_FILE, facts)
    return ConversionResult(num_puzzles, len(names or ()), tuple(notes))


def convert_to_published(
    folder: str | os.PathLike[str],
    out: Path,
    run: RunConfig | None = None,
    note: Note = ignore,
    checkpoint: str | int | None = None,
    identifiers: Path | None = None,
) -> Path:
    """Write weights as the published trainer would have, for published code to load.

    A composed puzzle embedding is written as a table.

    Args:
        out: the folder to make, with `step_N`, all_config.yaml, identifiers.json, and in
            shapes.json what the published code takes from its data.
        run: the config of the run in the folder, if any, whose training settings are written too
            if the published trainer has them all.
        note: takes sentences for the user.
        checkpoint: which weights of the folder, as `WeightsDir` takes it.
        identifiers: an identifiers.json, whose names become rows of the table; for a composed
            puzzle embedding alone.

    Returns:
        The path of the weight file.

    Raises:
        UserError: the published code has no place for a setting or tensor of the model, or the
            names do not suit it. Then nothing is written.
    """
    weights = WeightsDir(folder, checkpoint)
    config, (network, embedding, names, step) = weights.config, weights.parts
    for sentence in weights.notes:
        note(sentence)
    if embedding is None:
        raise UserError(
            f"{folder} holds a network alone, but the published code loads none without a puzzle "
            "embedding"
        )
    check_finite(embedding, weights.folder)
    is_composed = config.puzzle_embedding == "composed"
    if identifiers is not None and not is_composed:
        raise UserError(
            f"{folder} has a row for every name that it knows, so --identifiers has no use: leave "
            "it out"
        )
    if is_composed:
        if config.colour_roles:
            raise UserError(
                f"{folder} tells every cell what its colour means in the task, for which the "
                "published code has no place: train with --set model.colour_roles=false if the "
                "weights are to be converted"
            )
        if identifiers is None:
            each = table_bytes(config, 1)
            usual = (len(names) - 1) * (1 + DataConfig.augmentations)
            raise UserError(
                f"{folder} has a composed puzzle embedding, but the published code needs a row for "
                "each augmented task: name the rows with --identifiers FILE, which `arc-trm data "
                f"identifiers` writes; a row takes {each / 1e3:,.1f} KB, so {usual:,} rows (1,000 "
                f"augmentations of each task) take {usual * each / 1e6:,.1f} MB"
            )
        rows = read_puzzle_ids(identifiers)
        config, (network, embedding, names, step) = expand_to_table(weights, rows, identifiers)
        assert embedding is not None
        note(
            f"the table has {len(rows):,} rows of {embedding.shape[1]} numbers: "
            f"{embedding.nbytes / 1e6:,.1f} MB"
        )
    state = publishable_state(folder, config, network, embedding)
    if run is not None and (left_out := unpublished_training(run)):
        note(
            f"{SETTINGS_FILE} has no training settings, because the published trainer has no place "
            f"for {', '.join(left_out)}"
        )
        run = None
    with new_folder(out) as unfinished:
        file = unfinished / f"step_{step}"
        try:
            torch.save(state, file)
        except RuntimeError:  # PyTorch's only word for a full disk
            reason = "PyTorch could not write all of it; the disk may be full"
            raise WriteError(file, reason) from None
        write_json(unfinished / SHAPES_FILE, published_shapes(config, len(embedding)))
        with atomic_write(unfinished / SETTINGS_FILE) as written:
            yaml.safe_dump(published_settings(config, run), written)
        write_published_ids(unfinished / IDENTIFIERS, names)
    return out / file.name


def check_published_file(path: Path) -> None:
    """Raise UserError if a path is no file, or one in arc-trm's own format."""
    is_folder, is_safetensors = os.path.isdir(path), path.suffix == ".safetensors"
    own = path if is_folder else path.parent
    if (is_folder or is_safetensors) and (own / CONFIG_FILE).is_file():
        folder = quote_path(own)
        raise UserError(
            f"{path} is in arc-trm's format already and needs no conversion: name its folder as "
            f"WEIGHTS, as in `arc-trm predict {folder} --data DATA`; `arc-trm convert {folder} OUT "
            "--to-published` writes it for published code"
        )
    if is_folder:
        raise UserError(f"{path} is a folder: name the file in it that the published trainer wrote")
    if not os.path.isfile(path):
        raise UserError(f"{path} is not a file: name one that the published trainer wrote")
    if is_safetensors:
        raise UserError(
            f"{path} is a safetensors file, but the published trainer writes PyTorch files: name "
            "one of those, such as step_518071"
        )


def _check_num_puzzles(step_file: Path, num_puzzles: int, ids: PublishedIds) -> None:
    """Raise UserError if the names are those of an embedding with another number of rows."""
    if ids.num_puzzles == num_puzzles:
        return
    advice = (
        "give the identifiers.json of the set that it was trained on, which "
        "`arc-trm data identifiers` rebuilds from the same tasks"
    )
    if known := find_sets(num_puzzles):
        advice = f"try --published-set {' or '.join(known)}, which has so many"
    raise UserError(
        f"{step_file} has {num_puzzles:,} puzzle ids, but {ids.source} names "
        f"{ids.num_puzzles:,}: {advice}"
    )


def _step(step_file: Path) -> int:
    """Return the training step in a published file's name, 0 without one."""
    found = re.search(r"\d{1,15}$", step_file.stem)
    return int(found.group()) if found else 0


def _notes(step_file: Path, published: PublishedWeights, ids: PublishedIds | None) -> list[str]:
    """Return what the user should know: assumed settings and rows that are left out."""
    notes = []
    if published.assumed:
        why = f"there is no {SETTINGS_FILE} beside it"
        if published.settings_file:
            why = f"{published.settings_file.name} does not say"
        notes.append(
            f"{step_file.name}: assumed the published {', '.join(published.assumed)}, because "
            f"{why}; if the model was trained with other values, its predictions are wrong"
        )
    if ids is not None and ids.note is not None:
        notes.append(ids.note)
    if ids is None:
        num_puzzles = len(published.embedding)
        notes.append(
            f"the network alone was converted, which can predict no task, because nothing says "
            f"which puzzles its {num_puzzles:,} puzzle ids are: name them with "
            f"{naming_option(num_puzzles)}"
        )
    return notes
