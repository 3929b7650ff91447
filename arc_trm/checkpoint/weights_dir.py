"""Weight folders, which explain themselves.

A weight folder holds `config.json` (ModelConfig), `model.safetensors` (the network),
`puzzle_embedding.safetensors` (the table), `puzzles.json` (the name of every row) and, if it is not
a run's, `origin.json` (where it comes from). A network alone has no table and no names. Nothing
that is found in a folder is ever run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from arc_trm.checkpoint.safetensors_io import read_tensors, write_tensors
from arc_trm.config import ModelConfig, from_dict, to_dict
from arc_trm.data.puzzle_ids import read_puzzle_ids
from arc_trm.errors import UserError
from arc_trm.io import read_json, write_json
from arc_trm.models import PuzzleModel, build_model
from arc_trm.puzzles.arc.kind import BLANK, SEPARATOR

CONFIG, NETWORK, TABLE, PUZZLES, ORIGIN = (
    *("config.json", "model.safetensors"),
    *("puzzle_embedding.safetensors", "puzzles.json", "origin.json"),
)
FORMAT = "arc-trm weights 1"


def save_config(folder: Path, config: ModelConfig, names: Sequence[str] | None) -> None:
    """The model's shape and the names of the table's rows; None where there is no table."""
    write_json(folder / CONFIG, {"format": FORMAT, "model": to_dict(config)})
    if names is not None:
        write_json(folder / PUZZLES, list(names))


def save_weights(
    folder: Path, config: ModelConfig, state: Mapping[str, Tensor], table: Tensor | None, step: int
) -> None:
    """The network's state dict and the puzzle embedding, if any, after `save_config`.

    They are marked as of the same training step, with the digest of the rows' names and with the
    model's shape, most of which tensors do not show: with other names, heads or depth they would
    load and be wrong.
    """
    puzzles = None if table is None else _digest(folder / PUZZLES)
    # One text, for the library shuffles several, and equal weights are to be equal files.
    mark = json.dumps({"step": step, "puzzles": puzzles, "model": to_dict(config)})
    write_tensors(folder / NETWORK, state, mark=mark)
    if table is not None:
        write_tensors(folder / TABLE, {"puzzle_embedding": table}, mark=mark)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Weights:
    """A model in evaluation mode and the row of every puzzle it knows.

    The rows are in the order of the weight folder; the rows of a puzzle are those of this model's
    table, which may hold a part of the folder's. `knows_puzzles` is whether that has a table.
    """

    model: PuzzleModel
    rows: dict[str, int]
    knows_puzzles: bool = True


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


def build(config: ModelConfig, tensors: Mapping[str, Tensor]) -> PuzzleModel:
    """A model of float32 with these tensors, which `check_tensors` found to fit, copied."""
    # A generator of its own, as reading a file is not to move PyTorch's.
    model = build_model(config, 1, generator=torch.Generator())
    model.load_state_dict(tensors)
    return model


def check_tensors(config: ModelConfig, tensors: Mapping[str, Tensor], source: Path) -> None:
    """UserError about the first tensor that is not what the config asks for.

    What it asks for is worked out without memory, so that a wrong config takes none.
    """
    with torch.device("meta"):
        expected = build_model(config, 1).state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise UserError(f"{source} lacks the tensor {name!r} that its config asks for")
        if name not in expected:
            raise UserError(f"{source} has a tensor {name!r} that its config does not explain")
        tensor = tensors[name]
        if tensor.shape != expected[name].shape:
            raise UserError(
                f"{source}: tensor {name!r} is of shape {tuple(tensor.shape)}, but the "
                f"config asks for {tuple(expected[name].shape)}"
            )
        if not (tensor.is_floating_point() and tensor.float().isfinite().all()):
            raise UserError(f"{source}: tensor {name!r} holds something else than finite numbers")


def _read_network_and_table(
    folder: Path,
) -> tuple[dict[str, Tensor], Tensor | None, dict[str, Any]]:
    """The network's tensors, the table, if any, of the same training step; the network's mark.

    A training run replaces one file after the other, so a mismatch is looked at again.
    """
    if not (folder / TABLE).exists():
        if (folder / PUZZLES).exists():
            raise UserError(
                f"{folder} has {PUZZLES} but no {TABLE}, whose rows that names: copy the folder "
                f"again, or remove {PUZZLES} if the network alone is wanted"
            )
        network, mark = _read_marked(folder / NETWORK)
        return network, None, mark
    for wait in (0.1, 0.5, 2.0, 0.0):
        network, mark = _read_marked(folder / NETWORK)
        table, table_mark = _read_marked(folder / TABLE)
        if mark.get("step") == table_mark.get("step"):
            break
        time.sleep(wait)
    else:
        raise UserError(
            f"{folder}: network and table are of different steps, {mark.get('step')} and "
            f"{table_mark.get('step')}; if the run is no longer trained, `arc-trm train --resume "
            f"{folder}` writes them anew"
        )
    if set(table) != {"puzzle_embedding"}:
        raise UserError(f"{folder / TABLE} must hold the one tensor 'puzzle_embedding'")
    return network, table["puzzle_embedding"], mark


def _read_marked(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and what `save_weights` said of them; nothing if another program wrote them."""
    tensors, metadata = read_tensors(path)
    try:
        mark: dict[str, Any] = json.loads(metadata.get("mark", "{}"))
        config = mark.get("model")
        mark["model"] = None if config is None else from_dict(ModelConfig, config, "model")
    except (ValueError, AttributeError, RecursionError):
        raise UserError(f"{path} has a mark that is no model's config; copy it again") from None
    return tensors, mark


def _check_mark(folder: Path, config: ModelConfig, saved: ModelConfig) -> None:
    """UserError if config.json is not the one that the network was saved with."""
    for key, value in asdict(config).items():
        if getattr(saved, key) != value:
            raise UserError(
                f"{folder}: {CONFIG} says model.{key} is {value}, but {NETWORK} was saved with "
                f"{getattr(saved, key)}: bring both from the same place, or change {CONFIG} back"
            )


def _names(folder: Path, rows: int) -> list[str]:
    """The names of a table's rows."""
    names = read_puzzle_ids(folder / PUZZLES)
    if len(names) != rows:
        raise UserError(
            f"{folder / PUZZLES} holds {len(names)} names, but the table has {rows} rows"
        )
    return names


def load_weights(
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    tasks: Collection[str] | None = None,
) -> Weights:
    """The model of a weight folder in evaluation mode, and its puzzles' rows.

    Args:
        folder: the weight folder.
        device: where to compute.
        dtype: of the activations; None is float32.
        tasks: whose rows are wanted: of a table of gigabytes a few tasks need next to nothing. None
            is all rows.

    Raises UserError if a file is missing, cut short or does not fit the others.
    """
    parts = read_parts(folder)
    table, names = parts.table, parts.names
    if table is None:
        table = torch.zeros(1, parts.config.puzzle_emb_dim)
    elif tasks is not None:
        kept = [row for row, name in enumerate(names) if row == 0 or _is_of(name, tasks)]
        table, names = table[kept], [names[row] for row in kept]
        if not table.isfinite().all():
            raise UserError(f"{folder / TABLE} holds numbers that are not finite")
    model = build(parts.config, parts.network)
    model.dtype = dtype or torch.float32
    rows = {name: row for row, name in enumerate(names)}
    model = model.to(device).eval()
    model.puzzle_embedding = table.float()  # not on the device: a batch needs few of its rows
    return Weights(model, rows, parts.table is not None)


class Parts(NamedTuple):
    """What a weight folder holds; tensors stay in their files until touched.

    Without a table `names` has the blank row's alone.
    """

    config: ModelConfig
    network: dict[str, Tensor]
    table: Tensor | None
    names: list[str]
    step: int


def read_parts(folder: Path) -> Parts:
    """Open a weight folder. Raises UserError if its files do not fit each other."""
    config = read_model_config(folder)
    if not (folder / NETWORK).exists():
        raise UserError(
            f"{folder} has no {NETWORK}: if it is a run, it has saved nothing yet; "
            f"`arc-trm train --resume {folder}` goes on"
        )
    network, table, mark = _read_network_and_table(folder)
    if mark.get("model") is not None:
        _check_mark(folder, config, mark["model"])
    check_tensors(config, network, folder / NETWORK)
    names = [BLANK]
    if table is not None:
        check_table(table, config.puzzle_emb_dim, folder / TABLE)
        names = _names(folder, len(table))
        if mark.get("puzzles") not in (None, _digest(folder / PUZZLES)):
            raise UserError(
                f"{folder}: {PUZZLES} does not hold the names that {TABLE} was saved with: bring "
                "both from the same place"
            )
    step = mark.get("step")
    if not isinstance(step, int) or not 0 <= step < 10**15:
        step = 0
    return Parts(config, network, table, names, step)


def _is_of(name: str, tasks: Collection[str]) -> bool:
    return name.partition(SEPARATOR)[0] in tasks


def check_table(table: Tensor, puzzle_emb_dim: int, source: object) -> None:
    """UserError if `table` is not (rows, puzzle_emb_dim) floating-point numbers."""
    if table.dim() != 2 or table.shape[1] != puzzle_emb_dim or not len(table):
        raise UserError(
            f"{source} is of shape {tuple(table.shape)}, but the config asks for rows of "
            f"{puzzle_emb_dim}"
        )
    if not table.is_floating_point():
        raise UserError(f"{source} holds {table.dtype}, not floating-point numbers")
