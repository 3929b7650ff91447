"""What a run is made of: frozen dataclasses that check themselves, and presets.

Default < preset < `--config FILE` < `--set a.b=value`. An unknown key is an error that suggests
the right one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from arc_trm.errors import UserError, suggestion

T = typing.TypeVar("T")
Dtype = Literal["auto", "float32", "bfloat16"]
Architecture = Literal["trm", "hrm", "direct"]
Canvas = Literal["full", "fit"]
Gradient = Literal["last", "cycle", "all"]

FREE = ("outer_cycles", "inner_cycles", "supervision_steps", "canvas", "gradient")
"""Keys of ModelConfig that no weight depends on."""
LARGEST = 2**31 - 1
"""Of any whole number in a config; far beyond what makes sense, and what any library takes."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model (TRM paper, section 4; SPEC in docs/model.md).

    Paper's names: `outer_cycles` is T, `inner_cycles` is n, `supervision_steps` is N_sup.
    `canvas` is what a task is seen on: all `cells`, or the smallest square of a few sizes that fits
    it, its cells at the positions that they have on the full canvas.
    `networks` is 1 if y and z of a TRM are updated by the same network, 2 if each has its own.
    `gradient` is what of a supervision step of a TRM it goes through: the last update of z and of y
    (the approximation of HRM), the last of the T cycles (as published), or all of them.
    `architecture` is the Tiny Recursive Model, the Hierarchical Reasoning Model (two networks of
    `layers` each) or direct prediction (one network, one pass, so T = n = N_sup = 1).
    """

    architecture: Architecture = "trm"
    vocabulary: int = 12
    cells: int = 900
    hidden_size: int = 512
    layers: int = 2
    heads: int = 8
    expansion: float = 4.0
    mixer: Literal["attention", "mlp"] = "attention"
    positions: Literal["rotary", "learned", "none"] = "rotary"
    puzzle_positions: int = 16
    puzzle_size: int = 512
    outer_cycles: int = 3
    inner_cycles: int = 4
    supervision_steps: int = 16
    canvas: Canvas = "full"
    networks: int = 1
    gradient: Gradient = "cycle"

    def __post_init__(self) -> None:
        for name in (
            *("vocabulary", "cells", "hidden_size", "layers", "heads", "puzzle_positions"),
            *("puzzle_size", "outer_cycles", "inner_cycles", "supervision_steps"),
        ):
            _require(getattr(self, name) >= 1, f"model.{name} must be at least 1")
        _require(0 < self.expansion <= 64, "model.expansion must be above 0 and at most 64")
        _require(self.layers <= 1024, "model.layers must be at most 1024")
        if self.mixer == "attention":
            _require(
                self.hidden_size % self.heads == 0,
                f"model.hidden_size ({self.hidden_size}) must be a multiple of model.heads "
                f"({self.heads})",
            )
            _require(
                self.positions != "rotary" or self.hidden_size // self.heads % 2 == 0,
                f"rotary positions need an even head size, got {self.hidden_size // self.heads}: "
                "change model.heads or model.hidden_size",
            )
        _require(
            self.puzzle_size <= self.puzzle_positions * self.hidden_size,
            f"model.puzzle_size ({self.puzzle_size}) does not fit model.puzzle_positions × "
            f"model.hidden_size ({self.puzzle_positions * self.hidden_size})",
        )
        _require(
            self.canvas == "full" or self.mixer == "attention",
            'model.canvas = "fit" needs model.mixer = "attention": a mixer has weights for every '
            "position",
        )
        _require(self.networks in (1, 2), "model.networks must be 1 or 2")
        _require(
            self.architecture == "trm" or (self.networks, self.gradient) == (1, "cycle"),
            "model.networks and model.gradient are for the architecture trm: leave them out",
        )
        once = (self.outer_cycles, self.inner_cycles, self.supervision_steps) == (1, 1, 1)
        _require(
            self.architecture != "direct" or once,
            "direct prediction is a single pass: set model.outer_cycles, model.inner_cycles and "
            "model.supervision_steps to 1",
        )

    @property
    def length(self) -> int:
        """L: puzzle positions and cells."""
        return self.puzzle_positions + self.cells

    @property
    def side(self) -> int:
        """Side of the square canvas. Raises UserError if the cells are not a square."""
        side = math.isqrt(self.cells)
        _require(side * side == self.cells, f"model.cells ({self.cells}) is not a square number")
        return side


@dataclass(frozen=True)
class DataConfig:
    """What is learnt from and what is predicted.

    Of the sets in `train` every pair with a known output is learnt from; of those in `test` the
    demonstrations only. Sets in `extra` are used as `train` where their files are found. A folder
    in the published trainer's format is `train` alone and learnt from as it was built.

    Of Sudokus and mazes `train_puzzles` are learnt from and `test_puzzles` predicted, None is all;
    which these are is drawn once and for all. With `skip_bad` bad rows of files are left out.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    max_side: int = 30
    augmentations: int = 1000
    shift: bool = True
    train_puzzles: int | None = None
    test_puzzles: int | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        _require(1 <= self.max_side <= 30, "data.max_side must be 1..30")
        _require(self.augmentations >= 0, "data.augmentations must not be negative")
        for name in ("train_puzzles", "test_puzzles"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"data.{name} must be at least 1")


@dataclass(frozen=True)
class TrainConfig:
    """Objective, optimisers and schedule (SPEC 5 and 6 in docs/model.md).

    `supervision_steps` None means the model's own. Rates are reached after `warmup_steps` and fall
    along a cosine to `lr_min_ratio` of themselves at `total_steps`; None is a run without an end.
    For the first `rows_share` of all steps the puzzle rows alone learn. Without `halting` every
    sequence takes all of its supervision steps.
    """

    global_batch_size: int = 768
    lr: float = 1e-4
    puzzle_lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    puzzle_weight_decay: float = 0.1
    warmup_steps: int = 2000
    lr_min_ratio: float = 1.0
    total_steps: int | None = None
    rows_share: float = 0.0
    ema_decay: float = 0.999
    exploration: float = 0.1
    halting: bool = True
    supervision_steps: int | None = None

    def __post_init__(self) -> None:
        _require(self.global_batch_size >= 1, "train.global_batch_size must be at least 1")
        _require(
            self.total_steps is None or self.total_steps >= 0,
            "train.total_steps must not be negative",
        )
        _require(self.warmup_steps >= 0, "train.warmup_steps must not be negative")
        _require(
            self.supervision_steps is None or self.supervision_steps >= 1,
            "train.supervision_steps must be at least 1",
        )
        for name in ("lr", "puzzle_lr", "weight_decay", "puzzle_weight_decay"):
            value = getattr(self, name)
            _require(value >= 0, f"train.{name} must not be negative")
        _require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            "train.betas must be two numbers, 0 or more and below 1",
        )
        for name in ("ema_decay", "exploration", "lr_min_ratio", "rows_share"):
            _require(0 <= getattr(self, name) <= 1, f"train.{name} must be 0..1")


@dataclass(frozen=True)
class AdaptConfig:
    """What a run is that adapts pretrained weights to the demonstrations of new tasks.

    `weights` is the folder that it begins with. `time_limit` (seconds) plans the number of steps.
    Of the augmentations that are learnt, `voters` vote at prediction, None is all.
    """

    weights: str = ""
    time_limit: float | None = None
    voters: int | None = None

    def __post_init__(self) -> None:
        _require(
            self.time_limit is None or self.time_limit > 0,
            "adapt.time_limit (seconds) must be positive",
        )
        _require(self.voters is None or self.voters >= 0, "adapt.voters must not be negative")


@dataclass(frozen=True)
class RunConfig:
    """A whole run; its TOML file has one table per part.

    It ends after `epochs` or `train.total_steps`, whichever comes first. With `adapt` it begins
    with pretrained weights instead of fresh ones.
    """

    name: str = "run"
    seed: int = 0
    epochs: int | None = None
    dtype: Dtype = "auto"
    checkpoint_every: float = 300.0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    adapt: AdaptConfig | None = None

    def __post_init__(self) -> None:
        _require(self.seed >= 0, "seed must not be negative")
        _require(self.epochs is None or self.epochs >= 1, "epochs must be at least 1")
        _require(self.checkpoint_every > 0, "checkpoint_every (seconds) must be positive")
        _require(
            self.model.architecture != "direct" or self.train.supervision_steps in (None, 1),
            "direct prediction is a single pass: leave out train.supervision_steps or set it to 1",
        )
        voters = self.adapt.voters if self.adapt else None
        _require(
            voters is None or voters <= self.data.augmentations,
            f"adapt.voters ({voters}) is at most data.augmentations ({self.data.augmentations}): "
            "an augmentation that was not learnt cannot vote",
        )


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values, tuples as lists, ready for JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def _convert(value: Any, kind: Any, key: str) -> Any:
    """`value` out of TOML or JSON as the type that a field declares, or a UserError."""
    if dataclasses.is_dataclass(kind):
        _require(isinstance(value, Mapping), f"config key {key!r} is a table, got {value!r}")
        return from_dict(typing.cast(type, kind), value, key)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # only `X | None` is in use
        return None if value is None else _convert(value, arguments[0], key)
    if origin is Literal:
        hint = suggestion(value, arguments) if isinstance(value, str) else ""
        choices = ", ".join(arguments)
        _require(value in arguments, f"config key {key!r} is one of {choices}, got {value!r}{hint}")
        return value
    if origin is tuple:
        _require(isinstance(value, list | tuple), f"config key {key!r} is a list, got {value!r}")
        return tuple(_convert(item, arguments[0], key) for item in value)
    if kind is float and isinstance(value, int) and abs(value) <= LARGEST:
        value = value if isinstance(value, bool) else float(value)
    shown = repr(value) if not isinstance(value, int) or abs(value) <= LARGEST else "a huge number"
    _require(
        isinstance(value, kind) and (kind is bool or not isinstance(value, bool)),
        f"config key {key!r} is of type {kind.__name__}, got {shown}",
    )
    if kind is float:
        _require(math.isfinite(value), f"config key {key!r} must be finite, got {shown}")
    if kind is int:
        _require(abs(value) <= LARGEST, f"config key {key!r} is at most {LARGEST}, got {shown}")
    return value


def from_dict(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """A checked config out of nested plain values. Raises UserError naming the key."""
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        key = f"{prefix}.{name}" if prefix else name
        _require(name in hints, f"unknown config key {key!r}{suggestion(name, hints)}")
        arguments[name] = _convert(value, hints[name], key)
    return cls(**arguments)


def preset_names() -> list[str]:
    folder = resources.files("arc_trm") / "presets"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name[-5:] == ".toml")


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    _require(bool(equals and key.strip()), f"--set takes key=value, got {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value  # a bare word is a string
    nested: Any = parsed
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return typing.cast(dict[str, Any], nested)


def _read_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not valid TOML: {error}") from None


def load_config(
    preset: str = "quickstart",
    file: Path | None = None,
    overrides: Sequence[str] = (),
    pretrained: ModelConfig | None = None,
) -> RunConfig:
    """The config of a run: preset, then the TOML `file`, then `a.b=value` overrides.

    With the shape of `pretrained` weights below them, of which depth and canvas alone may be
    changed; then it must be one that adapts.
    """
    if preset not in preset_names():
        hint = suggestion(preset, preset_names())
        raise UserError(f"unknown preset {preset!r}{hint}")
    text = (resources.files("arc_trm") / "presets" / f"{preset}.toml").read_text("utf-8")
    base = {"name": preset} | ({"model": to_dict(pretrained)} if pretrained else {})
    values = _merge(base, _read_toml(text, f"preset {preset}"))
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UserError(f"cannot read config file {file}: {reason}") from None
        values = _merge(values, _read_toml(text, str(file)))
    for override in overrides:
        values = _merge(values, _parse_override(override))
    config = from_dict(RunConfig, values)
    _require(
        pretrained is None or config.adapt is not None,
        f"preset {preset!r} trains from scratch: name one that adapts, with a table [adapt]",
    )
    for key, value in to_dict(config.model).items() if pretrained else ():
        given = getattr(pretrained, key)
        _require(
            key in FREE or value == given,
            f"model.{key} is {given} in the weights and cannot become {value}: leave it out",
        )
    return config
