"""From a published weight file to a weight folder, and back; big tables stay in their files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from arc_trm.checkpoint.published import (
    CLASSES,
    SETTINGS,
    SHAPES,
    Published,
    open_published,
    published_name,
    read_settings,
    settings_beside,
    shapes_beside,
)
from arc_trm.checkpoint.published_ids import (
    PublishedIds,
    naming_option,
    sets_of,
    write_published_ids,
)
from arc_trm.checkpoint.weights_dir import (
    ORIGIN,
    read_parts,
    save_config,
    save_weights,
)
from arc_trm.config import ModelConfig, RunConfig
from arc_trm.data.readers.prebuilt import IDENTIFIERS
from arc_trm.errors import UserError
from arc_trm.io import WriteError, atomic_write, new_folder, write_json
from arc_trm.puzzles.arc.kind import BLANK

_CHECKED_AT_ONCE = 2**16  # rows


@dataclass(frozen=True)
class ConversionResult:
    """What came out of a published file.

    `rows` is the size of its table, `named` the rows that the folder keeps, 0 for a network alone;
    `notes` are sentences that a person should read.
    """

    folder: Path
    config: ModelConfig
    rows: int
    named: int
    notes: tuple[str, ...]


def convert(
    step_file: Path,
    out: Path,
    *,
    config: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    identifiers: PublishedIds | None = None,
    origin: Mapping[str, Any] | None = None,
) -> ConversionResult:
    """Make a weight folder out of a published weight file.

    Args:
        step_file: what the published trainer wrote.
        out: the folder to make; it must not exist, or be empty.
        config: its all_config.yaml; None looks beside the file.
        settings: published settings that hold where that file is missing or silent.
        identifiers: names of the rows. Where there are fewer than rows, the rest is left out; None
            leaves out the table, unless its only row is the blank one.
        origin: what else to note in origin.json.

    Raises UserError, and leaves nothing, if the file, its settings and the names do not fit each
    other. The memory needed is that of the table at most, most of it given back when it is short.
    """
    path = config or settings_beside(step_file)
    told = {
        **(settings or {}),
        **shapes_beside(step_file),
        **(read_settings(path) if path else {}),
    }
    published = open_published(step_file, told, path or "its settings")
    rows = len(published.table)
    if identifiers is None and rows == 1:
        identifiers = PublishedIds([BLANK], 1, "a table with the blank row alone")
    names = None if identifiers is None else _fitting_names(step_file, rows, identifiers)
    table = None
    if names is not None:
        table = published.table[: len(names)].float()
        for start in range(0, len(table), _CHECKED_AT_ONCE):
            if not table[start : start + _CHECKED_AT_ONCE].isfinite().all():
                raise UserError(
                    f"{step_file}: the puzzle embedding holds numbers that are not finite"
                )
    notes = _notes(step_file, path, published, identifiers)
    with new_folder(out) as folder:
        save_config(folder, published.config, names)
        save_weights(folder, published.config, published.network, table, _step(step_file))
        facts = {
            "file": step_file.name,
            **(origin or {}),
            "identifiers": identifiers and Path(identifiers.source).name,
            "notes": notes,
        }
        write_json(folder / ORIGIN, facts)
    return ConversionResult(out, published.config, rows, len(names or ()), tuple(notes))


def _step(step_file: Path) -> int:
    """The training step in a published file's name, 0 if there is none."""
    found = re.search(r"\d{1,15}$", step_file.stem)
    return int(found.group()) if found else 0


def _fitting_names(step_file: Path, rows: int, identifiers: PublishedIds) -> list[str]:
    if identifiers.rows != rows:
        known = sets_of(rows)
        advice = (
            f"try --set {' or '.join(known)}, which has so many rows"
            if known
            else "give the identifiers.json of the set that it was trained on, which "
            "`arc-trm data identifiers` rebuilds from the same tasks"
        )
        raise UserError(
            f"{step_file} has {rows:,} puzzle rows, but {identifiers.source} names "
            f"{identifiers.rows:,}: {advice}"
        )
    return list(identifiers.names)


def _notes(
    step_file: Path, config: Path | None, published: Published, identifiers: PublishedIds | None
) -> list[str]:
    notes = []
    if published.assumed:
        why = f"{config.name} does not say" if config else f"there is no {SETTINGS} beside it"
        notes.append(
            f"{step_file.name}: {', '.join(published.assumed)} taken as published, for {why}; with "
            "other values than in its training a model answers almost nothing"
        )
    rows = len(published.table)
    if identifiers is not None and identifiers.note is not None:
        notes.append(identifiers.note)
    if identifiers is None:
        reason = ", which has so many" if sets_of(rows) else ""
        notes.append(
            f"nothing tells which of its {rows:,} puzzle rows is which puzzle, so the network "
            "alone was converted and can answer no task: name the rows with "
            f"{naming_option(rows)}{reason}"
        )
    return notes


def convert_back(folder: Path, out: Path, run: RunConfig | None = None) -> Path:
    """Write a weight folder as the published trainer would have, for published code to load.

    Args:
        folder: the weight folder.
        out: the folder to make, with `step_N`, `all_config.yaml`, `identifiers.json`, and in
            `shapes.json` what the published code takes from its data.
        run: the run's config, if the folder is one, whose training settings are written too.

    Returns the path of the weight file. Raises UserError if the published code has no such model.
    """
    config, state, table, names, step = read_parts(folder)
    if reason := _inexpressible(config):
        raise UserError(f"{folder} cannot be written for the published code, which has {reason}")
    if table is None:
        raise UserError(
            f"{folder} holds a network alone, but the published code loads none without its puzzle "
            "rows"
        )
    # Tensors of one file share its storage, which would be written in full for each of them.
    published = {
        published_name(name, config.architecture): tensor.clone() for name, tensor in state.items()
    }
    name = published_name("puzzle_embedding", config.architecture)
    published[name] = table
    shapes = {
        "seq_len": config.seq_len,
        "vocab_size": config.vocab_size,
        "num_puzzle_identifiers": len(table),
    }
    with new_folder(out) as unfinished:
        file = unfinished / f"step_{step}"
        try:
            torch.save(published, file)
        except RuntimeError:  # all that it says of a disk
            raise WriteError(file, "PyTorch could not write all of it, is the disk full?") from None
        write_json(unfinished / SHAPES, shapes)
        settings = _published_settings(config, run)
        with atomic_write(unfinished / SETTINGS) as written:
            yaml.safe_dump(settings, written)
        write_published_ids(unfinished / IDENTIFIERS, names)
    return out / file.name


def _inexpressible(config: ModelConfig) -> str | None:
    """What the published code has instead of such a model, None if it has that."""
    if config.architecture not in CLASSES:
        return f"no model of architecture {config.architecture!r}"
    if config.separate_networks:
        return "one network for both of a TRM's states"
    if config.architecture == "hrm" and config.mixer == "mlp":
        return "no HRM with a mixer over positions"
    smallest = math.ceil(config.puzzle_emb_dim / config.hidden_size)
    if config.architecture == "hrm" and config.puzzle_emb_len != smallest:
        return f"{smallest} puzzle positions in an HRM of these sizes, not {config.puzzle_emb_len}"
    return None


def _published_settings(config: ModelConfig, run: RunConfig | None) -> dict[str, Any]:
    hrm = config.architecture == "hrm"
    arch: dict[str, Any] = {
        "name": CLASSES[config.architecture],
        "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
        "halt_max_steps": config.supervision_steps,
        "halt_exploration_prob": run.train.halt_exploration_prob if run else 0.1,
        "H_cycles": config.outer_cycles,
        "L_cycles": config.inner_cycles,
        "H_layers": (config.num_high_level_layers or config.num_layers) if hrm else 0,
        "L_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_heads": config.num_heads,
        "expansion": config.expansion,
        "puzzle_emb_ndim": config.puzzle_emb_dim,
        "pos_encodings": config.pos_encoding,
        "forward_dtype": run.dtype if run and run.dtype != "auto" else "bfloat16",
    }
    if not hrm:
        arch |= {
            "puzzle_emb_len": config.puzzle_emb_len,
            "mlp_t": config.mixer == "mlp",
            "no_ACT_continue": True,
        }
    if run is None:
        return {"arch": arch}
    train = run.train
    return {
        "arch": arch,
        "data_paths": list(run.data.train),
        "global_batch_size": train.global_batch_size,
        "epochs": run.epochs,
        "lr": train.lr,
        "lr_min_ratio": train.lr_min_ratio,
        "lr_warmup_steps": train.warmup_steps,
        "beta1": train.betas[0],
        "beta2": train.betas[1],
        "weight_decay": train.weight_decay,
        "puzzle_emb_lr": train.puzzle_emb_lr,
        "puzzle_emb_weight_decay": train.puzzle_emb_weight_decay,
        "ema": train.ema_decay > 0,
        "ema_rate": train.ema_decay,
        "seed": run.seed,
    }
