"""Weight files of the published TRM and HRM trainers: names, settings, reading (docs/model.md).

Published names appear in this module alone. A file holds the averaged weights as `torch.save` wrote
them. Its tensors show most of the model's config; the settings beside it say the rest, such as the
number of heads and the depth of the recursion.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from arc_trm.checkpoint.torch_file import NotTensors, read_state_dict
from arc_trm.checkpoint.weights_dir import build_from_tensors, check_embedding, check_tensors
from arc_trm.checkpoint.yaml_file import read_yaml
from arc_trm.config import ModelConfig, RunConfig, from_dict
from arc_trm.config.schema import MAX_INT
from arc_trm.errors import UserError
from arc_trm.io import read_json
from arc_trm.models import PuzzleModel
from arc_trm.puzzles import KINDS
from submission.errors import format_value

SETTINGS_FILE, SHAPES_FILE = "all_config.yaml", "shapes.json"
PREFIX = "_orig_mod.model.inner."
"""Before every tensor's name, because the published trainer compiles its model."""
MAX_NAMED = 5
"""Settings or tensors without a place that a message names."""

# Published name to ours. In this order each can be replaced by the other.
_NAMES = (
    ("embed_tokens.embedding_weight", "embedding.tokens"),
    ("embed_pos.embedding_weight", "embedding.positions"),
    ("puzzle_emb.weights", "puzzle_embedding"),
    ("lm_head.", "heads.token."),
    ("q_head.", "heads.halt."),
    ("H_init", "y_init"),
    ("L_init", "z_init"),
    ("self_attn.qkv_proj.", "token_mixer.qkv."),
    ("self_attn.o_proj.", "token_mixer.out."),
    ("mlp_t.", "token_mixer."),
    ("mlp.", "swiglu."),
    ("gate_up_proj.", "gate_up."),
    ("down_proj.", "down."),
)
# The networks of each architecture: published letter to our name.
_NETWORKS: dict[str, dict[str, str]] = {
    "trm": {"L": "blocks."},
    "hrm": {"L": "z_blocks.", "H": "y_blocks."},
}
_CLASSES = {
    "trm": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "hrm": "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1",
}
# Published key to ours in ModelConfig. The published code takes shapes from its data and the rest
# from the table `arch`, in which `name`, `mlp_t` and `H_layers` need more than a new name.
_SHAPE_KEYS = {"seq_len": "seq_len", "vocab_size": "vocab_size"}
_ARCH_KEYS = {
    "hidden_size": "hidden_size",
    "puzzle_emb_ndim": "puzzle_emb_dim",
    "puzzle_emb_len": "puzzle_emb_len",
    "L_layers": "num_layers",
    "pos_encodings": "pos_encoding",
    "num_heads": "num_heads",
    "expansion": "expansion",
    "H_cycles": "outer_cycles",
    "L_cycles": "inner_cycles",
    "halt_max_steps": "supervision_steps",
}
# The same for TrainConfig. Some keys need more than a new name, and some settings only say when
# this trainer ends, saves or evaluates, or are another optimiser's; any other is at a value of
# `_TRAIN_VALUES`.
_TRAIN_KEYS = {
    "global_batch_size": "global_batch_size",
    "lr": "lr",
    "lr_warmup_steps": "warmup_steps",
    "weight_decay": "weight_decay",
    "puzzle_emb_lr": "puzzle_emb_lr",
    "puzzle_emb_weight_decay": "puzzle_emb_weight_decay",
    "ema_rate": "ema_decay",
}
_TRAIN_PLACES = {
    *_TRAIN_KEYS.values(),
    *("betas", "halt_exploration_prob", "lr_min_ratio", "muon_lr"),
    *("total_steps", "max_steps", "time_limit", "save_interval_s", "keep_checkpoints"),
    *("eval_interval", "eval_time_share", "early_stopping_patience", "best_metric"),
}
_TRAIN_VALUES: dict[str, tuple[Any, ...]] = {
    "loss": ("stablemax",),
    "optimiser": ("adam_atan2",),
    "lr_schedule": ("constant", "cosine"),
    "grad_clip": (None,),
    "label_smoothing": (0.0,),
    "embedding_only_fraction": (0.0,),
    "early_halting": (True,),
    "supervision_steps": (None,),
}
# Published defaults of settings that neither the tensors nor the settings file give.
_DEFAULTS = {
    "puzzle_emb_len": 16,
    "seq_len": ModelConfig.seq_len,  # or that of the puzzles with so many tokens
    "pos_encodings": "rope",
    "num_heads": 8,
    "expansion": 4,
    "H_cycles": 3,
    "L_cycles": 4,
    "halt_max_steps": 16,
}
_HRM_CYCLES = {"H_cycles": 2, "L_cycles": 2}


def our_name(published: str, architecture: str = "trm") -> str:
    """Return our name of a published tensor, with or without its prefixes."""
    name = published.removeprefix("_orig_mod.").removeprefix("model.").removeprefix("inner.")
    for theirs, ours in _names(architecture):
        name = name.replace(theirs, ours)
    return name


def published_name(ours: str, architecture: str = "trm") -> str:
    """Return the published name of a tensor, with all prefixes: the inverse of `our_name`."""
    for theirs, own in _names(architecture):
        ours = ours.replace(own, theirs)
    return PREFIX + ours


def _names(architecture: str) -> Iterator[tuple[str, str]]:
    for letter, ours in _NETWORKS[architecture].items():
        yield f"{letter}_level.layers.", ours
    yield from _NAMES


@dataclass(frozen=True)
class PublishedWeights:
    """The contents of a published weight file."""

    config: ModelConfig
    network: dict[str, Tensor]
    """Float32 tensors by our names."""
    embedding: Tensor
    """(num_puzzles, puzzle_emb_dim), mapped from the file."""
    assumed: tuple[str, ...]
    """The published defaults that were used, as `name value`."""
    settings_file: Path | None
    """The all_config.yaml that was read, if any."""


# Reading


def read_published(
    step_file: Path | str,
    config: Path | str | None = None,
    shapes: Mapping[str, int] | Path | str | None = None,
) -> PuzzleModel:
    """Read a published weight file as a model in evaluation mode; see `open_published`.

    Args:
        step_file: what the published trainer writes.
        config: its all_config.yaml; None looks beside the file.
        shapes: `seq_len`, `vocab_size` and `num_puzzle_identifiers` where they are known, or the
            JSON file that holds them; None looks for a shapes.json beside the file.
    """
    path = None if config is None else Path(config)
    known = _read_shapes(Path(shapes)) if isinstance(shapes, str | Path) else shapes
    published = open_published(Path(step_file), path, known)
    model = build_from_tensors(published.config, published.network)
    model.puzzle_embedding = published.embedding.float()
    return model.eval()


def open_published(
    step_file: Path,
    arch_config: Path | None = None,
    shapes: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> PublishedWeights:
    """Read a published weight file and find the config of its model.

    Tensors do not show depth and heads: without settings the published defaults are assumed. Only
    an MLP mixer and learned positions show the number of cells, which otherwise is that of the
    puzzles with so many tokens.

    Args:
        step_file: what the published trainer writes, with or without `_orig_mod.`.
        arch_config: its all_config.yaml; None looks beside the file.
        shapes: see `read_published`; None looks for a shapes.json beside the file.
        settings: published settings that count where these files are missing or silent.

    Raises:
        UserError: the file does not exist, is cut short or has code in it, or the settings do not
            fit the tensors.
    """
    arch_config = arch_config or _beside(step_file, SETTINGS_FILE)
    shapes_file = _beside(step_file, SHAPES_FILE)
    if shapes is None:
        shapes = _read_shapes(shapes_file) if shapes_file else {}
    arch = _read_settings(arch_config) if arch_config else {}
    settings = {**(settings or {}), **arch, **shapes}
    source = str(arch_config or "its settings")
    architecture, network = _rename(_read_state_dict(step_file), step_file)
    _check_matrices(architecture, network, step_file)
    embedding = network.pop("puzzle_embedding")
    vocab_size, hidden_size = network["embedding.tokens"].shape
    smallest = math.ceil(embedding.shape[1] / hidden_size)
    if architecture == "hrm":  # which has no such setting
        settings["puzzle_emb_len"] = smallest
    _check_scalars(settings, source)
    puzzle_emb_len = settings.get("puzzle_emb_len", _DEFAULTS["puzzle_emb_len"])
    if not isinstance(puzzle_emb_len, int):
        got = format_value(puzzle_emb_len)
        raise UserError(f"{source}: puzzle_emb_len must be a whole number, got {got}")
    # 0 means as few positions as hold a puzzle embedding.
    puzzle_emb_len = puzzle_emb_len or smallest
    shown = _shown_settings(architecture, network, embedding, puzzle_emb_len)
    _check_settings(f"{step_file} does not fit {source}", settings, architecture, shown)
    known = {**settings, **shown}
    if shown["mlp_t"]:  # neither setting has an effect then
        known = {"num_heads": 8, **settings, "pos_encodings": "none", **shown}
    defaults = _DEFAULTS | (_HRM_CYCLES if architecture == "hrm" else {})
    usual_sides = (kind.usual_side(vocab_size) for kind in KINDS.values())
    if side := next(filter(None, usual_sides), None):
        defaults["seq_len"] = side**2
    assumed = [f"{key} {value}" for key, value in defaults.items() if key not in known]
    known = {**defaults, **known, "puzzle_emb_len": puzzle_emb_len}
    config = _model_config(architecture, known, source)
    network = {name: tensor.float() for name, tensor in network.items()}
    check_tensors(config, network, step_file)
    name = published_name("puzzle_embedding")
    check_embedding(embedding, config.puzzle_emb_dim, f"{step_file}: {name!r}")
    return PublishedWeights(config, network, embedding, tuple(assumed), arch_config)


def _model_config(architecture: str, settings: Mapping[str, Any], source: str) -> ModelConfig:
    """Return the config that complete published settings mean; `source` is for messages."""
    values = {ours: settings[theirs] for theirs, ours in (_SHAPE_KEYS | _ARCH_KEYS).items()}
    values["architecture"] = architecture
    values["mixer"] = "mlp" if settings["mlp_t"] else "attention"
    if architecture == "hrm" and settings["H_layers"] != settings["L_layers"]:
        values["num_high_level_layers"] = settings["H_layers"]
    try:
        return from_dict(ModelConfig, values, "model")
    except UserError as error:  # which calls settings by our names
        message = str(error)
        for theirs, ours in (_SHAPE_KEYS | _ARCH_KEYS).items():
            message = re.sub(rf"\bmodel\.{ours}\b", theirs, message)
        raise UserError(f"{source}: {message}") from None


def _beside(step_file: Path, name: str) -> Path | None:
    path = step_file.with_name(name)
    return path if path.exists() else None


def _read_settings(path: Path) -> dict[str, Any]:
    """Read the table `arch` of a published all_config.yaml. Raises UserError if it has none."""
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(
            f"{path} is not the settings file of published weights ({reason}): it must be YAML "
            "with a table 'arch'"
        ) from None
    arch = content.get("arch") if isinstance(content, dict) else None
    if not isinstance(arch, dict):
        raise UserError(
            f"{path} is not the settings file of published weights: it has no table 'arch'"
        )
    return arch


def _read_shapes(path: Path) -> dict[str, Any]:
    """Read `seq_len`, `vocab_size` and `num_puzzle_identifiers`, which the settings do not say."""
    shapes = read_json(path)
    if not isinstance(shapes, dict):
        raise UserError(f"{path} does not hold an object of shapes")
    return shapes


def _read_state_dict(step_file: Path) -> dict[str, Tensor]:
    """Read a state dict that torch.save wrote. Code in it is refused, never executed."""
    if os.path.isfile(step_file) and not os.path.getsize(step_file):
        raise UserError(f"{step_file} is empty, expected a published weight file: copy it again")
    try:
        return read_state_dict(step_file)
    except OSError as error:
        raise UserError(f"{step_file} cannot be read: {error.strerror or error}") from None
    except NotTensors as error:
        raise UserError(
            f"{step_file} is not a published weight file: it is cut short, or holds more than "
            f"tensors, which is refused ({error})"
        ) from None


def _rename(state: Mapping[str, Tensor], step_file: Path) -> tuple[str, dict[str, Tensor]]:
    """Return the architecture of published tensors, and the tensors by our names."""
    architecture = "hrm" if any("H_level." in name for name in state) else "trm"
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        ours = our_name(name, architecture)
        if ours in renamed:
            raise UserError(f"{step_file} holds the tensor {published_name(ours)!r} twice")
        renamed[ours] = tensor
    return architecture, renamed


def _first_block(architecture: str) -> str:
    return f"{_NETWORKS[architecture]['L']}0"


def _check_matrices(architecture: str, network: Mapping[str, Tensor], step_file: Path) -> None:
    """Raise UserError unless the tensors that show the config are matrices."""
    block = _first_block(architecture)
    required = ("embedding.tokens", "puzzle_embedding", f"{block}.swiglu.down.weight")
    optional = ("embedding.positions", f"{block}.token_mixer.down.weight")
    for name in (*required, *(each for each in optional if each in network)):
        if name not in network or network[name].dim() != 2 or not network[name].numel():
            theirs = published_name(name, architecture).removeprefix(PREFIX)
            raise UserError(f"{step_file} holds no TRM or HRM: there is no matrix {theirs!r}")


def _shown_settings(
    architecture: str, network: Mapping[str, Tensor], embedding: Tensor, puzzle_emb_len: int
) -> dict[str, Any]:
    """Return the settings that the tensors show, by their published names."""
    vocab_size, hidden_size = network["embedding.tokens"].shape
    mixer = network.get(f"{_first_block(architecture)}.token_mixer.down.weight")
    learned = network.get("embedding.positions")
    shown: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_puzzle_identifiers": len(embedding),
        "puzzle_emb_ndim": embedding.shape[1],
        "mlp_t": mixer is not None,
    }
    positions = learned if mixer is None else mixer
    if positions is not None:
        shown["seq_len"] = positions.shape[0] - puzzle_emb_len
    if learned is not None:
        shown["pos_encodings"] = "learned"
    for letter, ours in _NETWORKS[architecture].items():
        blocks = {name.split(".")[1] for name in network if name.startswith(ours)}
        shown[f"{letter}_layers"] = len(blocks)
    return shown


def _check_scalars(settings: Mapping[str, Any], source: str) -> None:
    """Raise UserError if a setting of the model is no number or text, or a huge number."""
    for key in (*_SHAPE_KEYS, *_ARCH_KEYS, "name", "mlp_t", "H_layers"):
        value = settings.get(key)
        huge = isinstance(value, int) and abs(value) > MAX_INT
        if huge or not isinstance(value, str | int | float | None):
            found = format_value(value)
            raise UserError(f"{source}: {key} is {found}, expected a number or a name")


def _check_settings(
    problem: str, settings: Mapping[str, Any], architecture: str, shown: Mapping[str, Any]
) -> None:
    """Raise UserError about the first setting that differs from what the tensors show."""
    for key, value in settings.items():
        if key in shown and shown[key] != value:
            raise UserError(
                f"{problem}: {key} is {format_value(shown[key])} in the weights, but "
                f"{format_value(value)} in the settings"
            )
    name = str(settings.get("name", "")).partition("@")[0].rpartition(".")[2]
    if name in _CLASSES and name != architecture:
        raise UserError(
            f"{problem}: the weights are of the architecture {architecture}, the settings of {name}"
        )


# Writing


def publishable_state(
    source: object, config: ModelConfig, network: Mapping[str, Tensor], embedding: Tensor
) -> dict[str, Tensor]:
    """Return the tensors of a model by their published names, for `torch.save`.

    Lists of what the published code has decide, not lists of what it lacks. So a setting or tensor
    that is new here is refused, a setting at its default too: nothing says that the published code
    computes the same.

    Args:
        source: where the model comes from, for the message.
        config: of the model.
        network: tensors by our names.
        embedding: (num_puzzles, puzzle_emb_dim).

    Raises:
        UserError: the published code has no place for a setting or a tensor.
    """
    refused = _unpublished_settings(config)
    if refused:  # the tensors are those of another model, too
        raise _no_place(source, refused)
    state = {published_name(name, config.architecture): each for name, each in network.items()}
    state[published_name("puzzle_embedding")] = embedding
    arch = published_settings(config, None)["arch"]
    expected = _published_tensors(arch, published_shapes(config, len(embedding)))
    shapes = {name.removeprefix(PREFIX): tuple(tensor.shape) for name, tensor in state.items()}
    refused = [
        f"the tensor {name} {shape}"
        for name, shape in shapes.items()
        if expected.get(name) != shape
    ]
    refused += [f"a model without {name}" for name in expected if name not in shapes]
    if refused:
        raise _no_place(source, refused)
    # Tensors of one file share its storage, which would be written in full for each of them.
    return {name: each if each is embedding else each.clone() for name, each in state.items()}


def _no_place(source: object, refused: Sequence[str]) -> UserError:
    more = f" and {len(refused) - MAX_NAMED} more" if len(refused) > MAX_NAMED else ""
    return UserError(
        f"{source} cannot be written for the published code, which has no place for "
        f"{', '.join(refused[:MAX_NAMED])}{more}"
    )


def _unpublished_settings(config: ModelConfig) -> list[str]:
    """Return the settings that the published code cannot express."""
    published = _published_values(config)
    refused = []
    for field in dataclasses.fields(config):
        value, known = getattr(config, field.name), published.get(field.name, ())
        if known is not None and value not in known:
            instead = f" (only for {', '.join(map(repr, known))})" if known else ""
            refused.append(f"model.{field.name} {value!r}{instead}")
    return refused


def _published_values(config: ModelConfig) -> dict[str, tuple[Any, ...] | None]:
    """Return the values that the published code can express, by setting; None is any value.

    HRM's code has neither the mixer nor a model without positions, and derives the number of
    positions of the puzzle embedding.
    """
    any_value: dict[str, tuple[Any, ...] | None] = dict.fromkeys(
        [*_SHAPE_KEYS.values(), *_ARCH_KEYS.values()]
    )
    values = any_value | {
        "architecture": tuple(_CLASSES),
        "block": ("post_norm",),
        "mixer": ("attention", "mlp"),
        "pos_encoding": ("rope", "learned", "none"),
        "num_high_level_layers": (None,),
        "canvas": ("full",),
        "separate_networks": (False,),
        "backprop_through": ("last_cycle",),
        "puzzle_embedding": ("table",),
        "colour_roles": (True,),
        "initial_state": ("fixed",),
        "damping": (1.0,),
        "latent_noise": (0.0,),
    }
    if config.architecture == "hrm":
        values |= {
            "mixer": ("attention",),
            "pos_encoding": ("rope", "learned"),
            "num_high_level_layers": None,
            "puzzle_emb_len": (math.ceil(config.puzzle_emb_dim / config.hidden_size),),
        }
    return values


def _published_tensors(
    arch: Mapping[str, Any], shapes: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of the published model, by name without `PREFIX`.

    Args:
        arch: the table `arch` of an all_config.yaml.
        shapes: the contents of a shapes.json.
    """
    width, vocab_size, dim = arch["hidden_size"], shapes["vocab_size"], arch["puzzle_emb_ndim"]
    length = shapes["seq_len"] + arch.get("puzzle_emb_len", math.ceil(dim / width))
    tensors: dict[str, tuple[int, ...]] = {
        "embed_tokens.embedding_weight": (vocab_size, width),
        "lm_head.weight": (vocab_size, width),
        "q_head.weight": (2, width),
        "q_head.bias": (2,),
        "puzzle_emb.weights": (shapes["num_puzzle_identifiers"], dim),
        "H_init": (width,),
        "L_init": (width,),
    }
    if arch["pos_encodings"] == "learned":
        tensors["embed_pos.embedding_weight"] = (length, width)
    layer = _swiglu_tensors("mlp", width, arch["expansion"])
    if arch.get("mlp_t"):
        layer |= _swiglu_tensors("mlp_t", length, arch["expansion"])
    else:
        layer["self_attn.qkv_proj.weight"] = (3 * width, width)
        layer["self_attn.o_proj.weight"] = (width, width)
    for letter in "LH":
        for index in range(arch[f"{letter}_layers"]):
            prefix = f"{letter}_level.layers.{index}."
            tensors |= {prefix + name: shape for name, shape in layer.items()}
    return tensors


def _swiglu_tensors(name: str, width: int, expansion: float) -> dict[str, tuple[int, ...]]:
    hidden = math.ceil(round(expansion * width * 2 / 3) / 256) * 256
    return {
        f"{name}.gate_up_proj.weight": (2 * hidden, width),
        f"{name}.down_proj.weight": (width, hidden),
    }


def published_settings(config: ModelConfig, run: RunConfig | None) -> dict[str, Any]:
    """Return the contents of an all_config.yaml, with the training settings of the run, if any."""
    arch = {theirs: getattr(config, ours) for theirs, ours in _ARCH_KEYS.items()} | {
        "name": _CLASSES[config.architecture],
        "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
        "halt_exploration_prob": run.train.halt_exploration_prob if run else 0.1,
        "forward_dtype": run.dtype if run and run.dtype != "auto" else "bfloat16",
    }
    if config.architecture == "hrm":
        del arch["puzzle_emb_len"]
        arch["H_layers"] = config.num_high_level_layers or config.num_layers
    else:
        arch |= {"H_layers": 0, "mlp_t": config.mixer == "mlp", "no_ACT_continue": True}
    if run is None:
        return {"arch": arch}
    train = {theirs: getattr(run.train, ours) for theirs, ours in _TRAIN_KEYS.items()}
    return {
        "arch": arch,
        "data_paths": list(run.data.train),
        "epochs": run.epochs,
        "seed": run.seed,
        "beta1": run.train.betas[0],
        "beta2": run.train.betas[1],
        "ema": run.train.ema_decay > 0,
        # The published schedule is a cosine, which ends where it starts if the ratio is 1.
        "lr_min_ratio": 1.0 if run.train.lr_schedule == "constant" else run.train.lr_min_ratio,
        **train,
    }


def unpublished_training(run: RunConfig) -> list[str]:
    """Return how a run was trained otherwise than the published trainer can."""
    refused = [] if run.adapt is None else ["adapt"]
    for field in dataclasses.fields(run.train):
        value, known = getattr(run.train, field.name), _TRAIN_VALUES.get(field.name, ())
        if field.name not in _TRAIN_PLACES and value not in known:
            refused.append(f"train.{field.name} {value!r}")
    return refused


def published_shapes(config: ModelConfig, num_puzzles: int) -> dict[str, int]:
    """Return the contents of a shapes.json."""
    shapes = {theirs: getattr(config, ours) for theirs, ours in _SHAPE_KEYS.items()}
    return {**shapes, "num_puzzle_identifiers": num_puzzles}
