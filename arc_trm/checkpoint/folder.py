"""Weights in and out: weight folders that explain themselves, and published files.

A weight folder holds `config.json` (ModelConfig), `model.safetensors` (the network),
`puzzle_embedding.safetensors` (the table, optional) and `puzzles.json` (the name of every row).
Nothing that is found in a folder is ever run.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from arc_trm.config import ModelConfig, from_dict, to_dict
from arc_trm.domains.arc import BLANK
from arc_trm.errors import UserError
from arc_trm.model.trm import TRM
from submission import atomic_write, read_json, write_json

CONFIG, NETWORK, TABLE, PUZZLES = (
    *("config.json", "model.safetensors"),
    *("puzzle_embedding.safetensors", "puzzles.json"),
)
FORMAT = "arc-trm weights 1"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> None:
    """A safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path, "wb") as file:
        try:
            # By name, for `save` would copy everything in memory. The library puts a file of its
            # own in this one's place, which then needs the permissions and the way to the disk.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            save_file(plain, file.name, metadata)
            os.chmod(file.name, mode)
            with open(file.name, "rb") as written:
                os.fsync(written.fileno())
        except SafetensorError as error:
            full = "No space left" in str(error)  # it has no error number
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises UserError if it is none."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from None


def save_config(folder: Path, config: ModelConfig, names: Iterable[str]) -> None:
    """What stays the same all through a run: the model's shape and the names of its rows."""
    write_json(folder / CONFIG, {"format": FORMAT, "model": to_dict(config)})
    write_json(folder / PUZZLES, list(names))


def save_weights(folder: Path, state: Mapping[str, Tensor], table: Tensor, step: int) -> None:
    """The network's state dict and the puzzle table, marked as of the same training step."""
    write_tensors(folder / NETWORK, state, step=str(step))
    write_tensors(folder / TABLE, {"puzzle_table": table}, step=str(step))


@dataclass(frozen=True)
class Weights:
    """A model with the row of every puzzle it knows."""

    model: TRM
    rows: dict[str, int]


def read_model_config(folder: Path) -> ModelConfig:
    """The ModelConfig of a weight folder. Raises UserError if it is not one."""
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is not a weight folder: it has no {CONFIG}")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} does not say {FORMAT!r}; is it from another version or project?")
    shape = content.get("model")
    if not isinstance(shape, dict):
        raise UserError(f"{path} has no table 'model' with the shape of the model")
    return from_dict(ModelConfig, shape, "model")


def _build(config: ModelConfig, tensors: dict[str, Tensor], source: Path) -> TRM:
    """A model of float32 with these tensors, or a UserError about the first that does not fit.

    What the config asks for is worked out without memory, so that a wrong one takes none.
    """
    with torch.device("meta"):
        expected = TRM(config, 1).state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise UserError(f"{source} lacks the tensor {name!r} that its config asks for")
        if name not in expected:
            raise UserError(f"{source} has a tensor {name!r} that its config does not explain")
        if tensors[name].shape != expected[name].shape:
            raise UserError(
                f"{source}: tensor {name!r} is of shape {tuple(tensors[name].shape)}, but the "
                f"config asks for {tuple(expected[name].shape)}"
            )
        if not (tensors[name].is_floating_point() and tensors[name].isfinite().all()):
            raise UserError(f"{source}: tensor {name!r} holds something else than finite numbers")
    model = TRM(config, 1)
    model.load_state_dict(tensors)
    return model


def _read_network_and_table(folder: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """The network's tensors and the table, if any, of one training step.

    A training run replaces one file after the other, so a mismatch is looked at again.
    """
    if not (folder / TABLE).exists():
        return read_tensors(folder / NETWORK)[0], None
    for wait in (0.1, 0.5, 2.0, 0.0):
        network, marks = read_tensors(folder / NETWORK)
        table, table_marks = read_tensors(folder / TABLE)
        if marks.get("step") == table_marks.get("step"):
            break
        time.sleep(wait)
    else:
        raise UserError(
            f"{folder}: network and table are of different steps, {marks.get('step')} and "
            f"{table_marks.get('step')}; if the run is no longer trained, `arc-trm train --resume "
            f"{folder}` writes them anew"
        )
    if set(table) != {"puzzle_table"}:
        raise UserError(f"{folder / TABLE} must hold the one tensor 'puzzle_table'")
    return network, table["puzzle_table"]


def load_weights(
    folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Weights:
    """The model of a weight folder in evaluation mode, and its puzzles' rows.

    Raises UserError if a file is missing, cut short or does not fit the others.
    """
    config = read_model_config(folder)
    if not (folder / NETWORK).exists():
        raise UserError(
            f"{folder} has no {NETWORK}: if it is a run, it has saved nothing yet; "
            f"`arc-trm train --resume {folder}` goes on"
        )
    network, table = _read_network_and_table(folder)
    names = [BLANK]
    if table is None:
        table = torch.zeros(1, config.puzzle_size)
    else:
        if table.dim() != 2 or table.shape[1] != config.puzzle_size:
            raise UserError(
                f"{folder / TABLE} is of shape {tuple(table.shape)}, but the config asks for "
                f"rows of {config.puzzle_size}"
            )
        if not table.is_floating_point():
            raise UserError(f"{folder / TABLE} holds {table.dtype}, not floating-point numbers")
        names = read_json(folder / PUZZLES)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{folder / PUZZLES} is not a list of names")
        if len(names) != len(table):
            raise UserError(
                f"{folder / PUZZLES} holds {len(names)} names, but the table has {len(table)} rows"
            )
    model = _build(config, network, folder / NETWORK)
    model.dtype = dtype or torch.float32
    model.puzzle_table = table.float()
    rows = {name: row for row, name in enumerate(names)}
    if len(rows) != len(names):
        raise UserError(f"{folder / PUZZLES} names a puzzle more than once")
    return Weights(model.to(device).eval(), rows)


# Published name (SPEC 8 in docs/model.md) to ours, applied in this order.
_PUBLISHED = (
    ("embed_tokens.embedding_weight", "token_embedding"),
    ("embed_pos.embedding_weight", "position_embedding"),
    ("puzzle_emb.weights", "puzzle_table"),
    ("lm_head.", "token_head."),
    ("q_head.", "halt_head."),
    ("H_init", "y_init"),
    ("L_init", "z_init"),
    ("L_level.layers.", "blocks."),
    ("self_attn.qkv_proj.", "mix.qkv."),
    ("self_attn.o_proj.", "mix.out."),
    ("mlp_t.", "mix."),
    ("mlp.", "swiglu."),
    ("gate_up_proj.", "gate_up."),
    ("down_proj.", "down."),
)


def _our_name(published: str) -> str:
    name = published.removeprefix("_orig_mod.").removeprefix("model.").removeprefix("inner.")
    for theirs, ours in _PUBLISHED:
        name = name.replace(theirs, ours)
    return name


def _read_pickled(step_file: Path) -> dict[str, Tensor]:
    """A state dict written by torch.save; code in it is refused, never run."""
    try:
        state = torch.load(step_file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{step_file} does not exist") from None
    except Exception as error:
        # torch raises many kinds here, all meaning the same to a user.
        raise UserError(
            f"{step_file} is not a published weight file: it is cut short, or holds more than "
            f"tensors, which is refused ({type(error).__name__})"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise UserError(f"{step_file} does not hold a state dict of tensors")
    return {_our_name(name): tensor for name, tensor in state.items()}


def _published_settings(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        settings = yaml.safe_load(config.read_text("utf-8"))
        arch: dict[str, Any] = settings["arch"]
        return dict(arch)
    except (
        *(OSError, UnicodeDecodeError, yaml.YAMLError),
        *(KeyError, TypeError, ValueError, RecursionError),
    ) as error:
        raise UserError(
            f"{config} is not the settings file of published weights "
            f"({type(error).__name__}): it must be YAML with a table 'arch'"
        ) from None


def read_published(
    step_file: Path | str,
    config: Path | str | None = None,
    shapes: Mapping[str, int] | Path | str | None = None,
) -> TRM:
    """A model out of a published weight file, in evaluation mode.

    Args:
        step_file: what the published trainer writes, with or without `_orig_mod.`.
        config: its `all_config.yaml`; None looks beside the file. Depth and heads cannot be seen
            in the weights, so without it the published defaults are taken.
        shapes: `seq_len`, `vocab_size`, `num_puzzle_identifiers` where they are known, or the JSON
            file that holds them; they must agree with the weights. Without them the number of cells
            is seen only in a mixer's or a position table's weights, else it is 900.

    Raises:
        UserError: no such file, cut short, code in it, or settings that do not fit the weights.
    """
    step_file = Path(step_file)
    beside = step_file.with_name("all_config.yaml")
    path = Path(config) if config is not None else beside if beside.exists() else None
    state, arch = _read_pickled(step_file), _published_settings(path)
    known: Any = read_json(shapes) if isinstance(shapes, str | Path) else shapes or {}
    if not isinstance(known, Mapping):
        raise UserError(f"{shapes} does not hold an object of shapes")
    for name in ("token_embedding", "puzzle_table", "blocks.0.swiglu.down.weight"):
        if name not in state or state[name].dim() != 2:
            raise UserError(f"{step_file} holds no TRM: there is no tensor for {name!r}")
    table = state.pop("puzzle_table")
    vocabulary, hidden_size = state["token_embedding"].shape
    mixer = "blocks.0.mix.down.weight" in state
    positions = arch.get("pos_encodings", "rope")
    positions = "rotary" if positions == "rope" else positions
    length = None
    if mixer:
        length = state["blocks.0.mix.down.weight"].shape[0]
    elif "position_embedding" in state:
        length = state["position_embedding"].shape[0]
    puzzle_positions = arch.get("puzzle_emb_len", 16)
    if not isinstance(puzzle_positions, int):
        raise UserError(f"{path}: puzzle_emb_len must be a whole number, got {puzzle_positions!r}")
    puzzle_positions = puzzle_positions or -(-table.shape[1] // hidden_size)
    cells = length - puzzle_positions if length is not None else known.get("seq_len", 900)
    layers = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    seen = {
        "seq_len": cells,
        "vocab_size": vocabulary,
        "num_puzzle_identifiers": len(table),
        "L_layers": layers,
        "hidden_size": hidden_size,
        "puzzle_emb_ndim": table.shape[1],
    }
    for key, value in {**arch, **known}.items():
        if key in seen and seen[key] != value:
            raise UserError(
                f"{step_file} does not fit its settings: {key} is {seen[key]} in the weights, "
                f"but {value} in the settings"
            )
    model_config = from_dict(
        ModelConfig,
        {
            "vocabulary": vocabulary,
            "cells": cells,
            "hidden_size": hidden_size,
            "layers": layers,
            "heads": arch.get("num_heads", 8),
            "expansion": arch.get("expansion", 4),
            "mixer": "mlp" if mixer else "attention",
            "positions": "none" if mixer else positions,
            "puzzle_positions": puzzle_positions,
            "puzzle_size": table.shape[1],
            "outer_cycles": arch.get("H_cycles", 3),
            "inner_cycles": arch.get("L_cycles", 4),
            "supervision_steps": arch.get("halt_max_steps", 16),
        },
        str(path or "model"),
    )
    floats = {name: tensor.float() for name, tensor in state.items()}
    model = _build(model_config, floats, step_file)
    model.puzzle_table = table.float()
    return model.eval()
