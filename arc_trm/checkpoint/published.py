"""Weight files of the published trainer: their names, their settings, reading (SPEC 8).

Published names appear here alone. A file holds the averaged weights as `torch.save` wrote them;
most of the model's shape is seen in its tensors, depth and heads in the settings beside it.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from arc_trm.checkpoint.weights_dir import build, check_table, check_tensors
from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel
from submission import read_json

SETTINGS, SHAPES = "all_config.yaml", "shapes.json"
PREFIX = "_orig_mod.model.inner."
"""Before every name, as the published trainer compiles its model."""

# Published name to ours; in this order each can be replaced by the other.
_NAMES = (
    ("embed_tokens.embedding_weight", "token_embedding"),
    ("embed_pos.embedding_weight", "position_embedding"),
    ("puzzle_emb.weights", "puzzle_embedding"),
    ("lm_head.", "token_head."),
    ("q_head.", "halt_head."),
    ("H_init", "y_init"),
    ("L_init", "z_init"),
    ("self_attn.qkv_proj.", "token_mixer.qkv."),
    ("self_attn.o_proj.", "token_mixer.out."),
    ("mlp_t.", "token_mixer."),
    ("mlp.", "swiglu."),
    ("gate_up_proj.", "gate_up."),
    ("down_proj.", "down."),
)
# Of each architecture its networks: their published letter, our name.
_NETWORKS: dict[str, dict[str, str]] = {
    "trm": {"L": "blocks."},
    "hrm": {"L": "z_blocks.", "H": "y_blocks."},
}
CLASSES = {
    "trm": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "hrm": "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1",
}
# By vocabulary: ARC, Sudoku, mazes. No settings file says the number of cells.
_CELLS = {12: 900, 11: 81, 6: 900}
# What is taken where neither the weights nor the settings tell.
_DEPTH = {"trm": {"H_cycles": 3, "L_cycles": 4}, "hrm": {"H_cycles": 2, "L_cycles": 2}}
_DEFAULTS = {"halt_max_steps": 16, "num_heads": 8, "expansion": 4, "pos_encodings": "rope"}


def our_name(published: str, architecture: str = "trm") -> str:
    """Our name of a published tensor, with or without its prefixes."""
    name = published.removeprefix("_orig_mod.").removeprefix("model.").removeprefix("inner.")
    for theirs, ours in _names(architecture):
        name = name.replace(theirs, ours)
    return name


def published_name(ours: str, architecture: str = "trm") -> str:
    """Invert `our_name`, with all prefixes."""
    for theirs, own in _names(architecture):
        ours = ours.replace(own, theirs)
    return PREFIX + ours


def _names(architecture: str) -> Iterator[tuple[str, str]]:
    for letter, ours in _NETWORKS[architecture].items():
        yield f"{letter}_level.layers.", ours
    yield from _NAMES


@dataclass(frozen=True)
class Published:
    """What a published file holds under our names, float32; the table stays in the file.

    `assumed` are the settings that nothing told, as sentences of a name and a value.
    """

    config: ModelConfig
    network: dict[str, Tensor]
    table: Tensor
    assumed: tuple[str, ...]


def _read_pickled(step_file: Path) -> dict[str, Tensor]:
    """A state dict written by torch.save; code in it is refused, never run."""
    try:
        mapped = zipfile.is_zipfile(step_file)  # what torch wrote before version 1.6 is not
        state = torch.load(step_file, map_location="cpu", weights_only=True, mmap=mapped)
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
    for name, tensor in state.items():
        # A view can repeat few numbers endlessly, and would be written out in full.
        whole = tensor.layout == torch.strided and tensor.device.type == "cpu"
        whole = whole and tensor.is_floating_point()
        if not whole or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise UserError(f"{step_file}: tensor {name!r} is not a plain array of numbers")
    return state


def _renamed(state: Mapping[str, Tensor], step_file: Path) -> tuple[str, dict[str, Tensor]]:
    architecture: str = "hrm" if any("H_level." in name for name in state) else "trm"
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        ours = our_name(name, architecture)
        if ours in renamed:
            raise UserError(f"{step_file} holds the tensor {published_name(ours)!r} twice")
        renamed[ours] = tensor
    return architecture, renamed


def read_settings(path: Path) -> dict[str, Any]:
    """The table `arch` of a published all_config.yaml. Raises UserError if it has none."""
    try:
        settings = yaml.safe_load(path.read_text("utf-8"))
        arch: dict[str, Any] = settings["arch"]
        return dict(arch)
    except (
        *(OSError, UnicodeDecodeError, yaml.YAMLError),
        *(KeyError, TypeError, ValueError, RecursionError),
    ) as error:
        raise UserError(
            f"{path} is not the settings file of published weights "
            f"({type(error).__name__}): it must be YAML with a table 'arch'"
        ) from None


def read_shapes(path: Path) -> dict[str, Any]:
    """`seq_len`, `vocab_size`, `num_puzzle_identifiers`, which the settings do not say."""
    shapes = read_json(path)
    if not isinstance(shapes, dict):
        raise UserError(f"{path} does not hold an object of shapes")
    return shapes


def shapes_beside(step_file: Path) -> dict[str, Any]:
    """What a shapes.json beside a weight file says, if there is one."""
    beside = step_file.with_name(SHAPES)
    return read_shapes(beside) if beside.exists() else {}


def _short(value: object) -> str:
    """For a message: YAML can hold a value that is endless when written out."""
    plain = isinstance(value, str | int | float | None)
    return repr(value)[:100] if plain else f"a {type(value).__name__}"


def settings_beside(step_file: Path) -> Path | None:
    """The all_config.yaml beside a weight file, if there is one."""
    beside = step_file.with_name(SETTINGS)
    return beside if beside.exists() else None


class _Told:
    """Settings as they are told, with published defaults, remembering which were taken."""

    def __init__(self, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.settings, self.defaults = settings, defaults
        self.assumed: list[str] = []

    def __call__(self, key: str) -> Any:
        if key in self.settings:
            return self.settings[key]
        self.assumed.append(f"{key} {self.defaults[key]}")
        return self.defaults[key]


def _check_settings(
    step_file: Path,
    settings: Mapping[str, Any],
    source: object,
    architecture: str,
    seen: Mapping[str, Any],
) -> None:
    """UserError about the first setting that is not what the weights show, `seen` by its name."""
    for key, value in settings.items():
        if key in seen and seen[key] != value:
            raise UserError(
                f"{step_file} does not fit {source}: {key} is {seen[key]!r} in the weights, "
                f"but {_short(value)} in the settings"
            )
    name = str(settings.get("name", CLASSES[architecture])).partition("@")[0].rpartition(".")[2]
    if name in CLASSES and name != architecture:
        raise UserError(
            f"{step_file} does not fit {source}: the weights are of a {architecture.upper()}, the "
            f"settings of a {name.upper()}"
        )


def open_published(
    step_file: Path, settings: Mapping[str, Any], source: object = "its settings"
) -> Published:
    """What a published weight file holds, and the config that it and `settings` say.

    Args:
        step_file: what the published trainer writes, with or without `_orig_mod.`.
        settings: by their published names, those of `arch` and, where known, `seq_len`,
            `vocab_size` and `num_puzzle_identifiers`.
        source: of the settings, for messages.

    Raises UserError: no such file, cut short, code in it, or settings that do not fit the weights.
    """
    architecture, state = _renamed(_read_pickled(step_file), step_file)
    first = "blocks.0" if architecture == "trm" else "z_blocks.0"
    for name in ("token_embedding", "puzzle_embedding", f"{first}.swiglu.down.weight"):
        if name not in state or state[name].dim() != 2 or not state[name].numel():
            known = published_name(name, architecture).removeprefix(PREFIX)
            raise UserError(f"{step_file} holds no TRM or HRM: there is no matrix {known!r}")
    table = state.pop("puzzle_embedding")
    vocabulary, hidden_size = state["token_embedding"].shape
    puzzle_emb_dim = table.shape[1]
    mixer, learned = f"{first}.token_mixer.down.weight" in state, "position_embedding" in state
    computed = math.ceil(puzzle_emb_dim / hidden_size)
    defaults = {
        **_DEFAULTS,
        **_DEPTH[architecture],
        "puzzle_emb_len": 16,
        "seq_len": _CELLS.get(vocabulary, 900),
    }
    told = _Told(settings, defaults)
    puzzle_emb_len = computed
    if architecture == "trm":
        puzzle_emb_len = told("puzzle_emb_len")
        if not isinstance(puzzle_emb_len, int):
            raise UserError(
                f"{source}: puzzle_emb_len must be a whole number, got {_short(puzzle_emb_len)}"
            )
        puzzle_emb_len = puzzle_emb_len or computed
    if mixer:
        cells = state[f"{first}.token_mixer.down.weight"].shape[0] - puzzle_emb_len
    elif learned:
        cells = state["position_embedding"].shape[0] - puzzle_emb_len
    else:
        cells = told("seq_len")
    seen: dict[str, Any] = {
        "seq_len": cells,
        "vocab_size": vocabulary,
        "num_puzzle_identifiers": len(table),
        "hidden_size": hidden_size,
        "puzzle_emb_ndim": puzzle_emb_dim,
        "mlp_t": mixer,
        **({"pos_encodings": "learned"} if learned else {}),
    }
    for letter, ours in _NETWORKS[architecture].items():
        numbers = {name.split(".")[1] for name in state if name.startswith(ours)}
        seen[f"{letter}_layers"] = len(numbers)
    _check_settings(step_file, settings, source, architecture, seen)
    positions = "learned" if learned else "none" if mixer else told("pos_encodings")
    same_depth = seen.get("H_layers") in (None, seen["L_layers"])
    config = from_dict(
        ModelConfig,
        {
            "architecture": architecture,
            "vocab_size": vocabulary,
            "seq_len": cells,
            "hidden_size": hidden_size,
            "num_layers": seen["L_layers"],
            "num_high_level_layers": None if same_depth else seen["H_layers"],
            "num_heads": told("num_heads") if not mixer else settings.get("num_heads", 8),
            "expansion": told("expansion"),
            "mixer": "mlp" if mixer else "attention",
            "pos_encoding": positions,
            "puzzle_emb_len": puzzle_emb_len,
            "puzzle_emb_dim": puzzle_emb_dim,
            "outer_cycles": told("H_cycles"),
            "inner_cycles": told("L_cycles"),
            "supervision_steps": told("halt_max_steps"),
        },
        str(source),
    )
    state = {name: tensor.float() for name, tensor in state.items()}
    check_tensors(config, state, step_file)
    check_table(table, puzzle_emb_dim, f"{step_file}: {published_name('puzzle_embedding')!r}")
    return Published(config, state, table, tuple(told.assumed))


def read_published(
    step_file: Path | str,
    config: Path | str | None = None,
    shapes: Mapping[str, int] | Path | str | None = None,
) -> PuzzleModel:
    """A model out of a published weight file, in evaluation mode.

    Args:
        step_file: what the published trainer writes, with or without `_orig_mod.`.
        config: its `all_config.yaml`; None looks beside the file. Depth and heads cannot be seen
            in the weights, so without it the published defaults are taken.
        shapes: `seq_len`, `vocab_size`, `num_puzzle_identifiers` where they are known, or the JSON
            file that holds them; they must agree with the weights. None looks for a shapes.json
            beside the file. Where nothing tells, the number of cells is seen only in a mixer's or a
            position table's weights, else it is that of the puzzles with so many tokens.

    Raises:
        UserError: no such file, cut short, code in it, or settings that do not fit the weights.
    """
    step_file = Path(step_file)
    path = Path(config) if config is not None else settings_beside(step_file)
    if shapes is None:
        known: Mapping[str, Any] = shapes_beside(step_file)
    else:
        known = read_shapes(Path(shapes)) if isinstance(shapes, str | Path) else shapes
    settings = {**(read_settings(path) if path else {}), **known}
    found = open_published(step_file, settings, path or "its settings")
    model = build(found.config, found.network)
    model.puzzle_embedding = found.table.float()
    return model.eval()
