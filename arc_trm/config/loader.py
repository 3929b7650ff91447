"""Load configs from presets, TOML files and `--set`, and convert them to plain values."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from arc_trm.config.schema import MAX_INT, WEIGHT_INDEPENDENT_KEYS, ModelConfig, RunConfig, require
from arc_trm.errors import UserError, close_match, format_value, suggestion
from arc_trm.io import parse_toml, read_json, read_toml
from submission.content import decode_text

T = typing.TypeVar("T")
KEY_WORDS = {
    "batch_size": "train.global_batch_size",
    "bs": "train.global_batch_size",
    "depth": "model.num_layers",
    "layers": "model.num_layers",
    "dim": "model.hidden_size",
    "d_model": "model.hidden_size",
    "width": "model.hidden_size",
    "heads": "model.num_heads",
    "learning_rate": "train.lr",
    "max_grad_norm": "train.grad_clip",
    "optimizer": "train.optimiser",
    "precision": "dtype",
    "scheduler": "train.lr_schedule",
    "steps": "train.total_steps",
    "wd": "train.weight_decay",
    "warmup": "train.warmup_steps",
}
"""What people call a setting elsewhere, for suggestions."""
CLOSE = 0.6
"""Least similarity of a key that is suggested."""
MAX_KEY_LENGTH = 100
"""Characters of a key of --set; no key is as long."""
CONFIG_KEY = "config key"
PRESETS = Path(__file__).parent / "presets"


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain values, tuples as lists, ready for JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def _convert(value: Any, kind: Any, key: str, noun: str) -> Any:
    """Convert a value of TOML or JSON to the type of its field. Raises UserError if it cannot."""
    place, shown = f"{noun} {format_value(key)}", format_value(value)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        require(isinstance(value, Mapping), f"{place} is a table, got {shown}")
        return from_dict(typing.cast(type, kind), value, key, noun)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # always `X | None`
        return None if value is None else _convert(value, arguments[0], key, noun)
    if origin is Literal:
        close = close_match(value, arguments) if isinstance(value, str) else None
        hint = f"; did you mean {format_value(close)}?" if close else ""
        is_known = isinstance(value, str) and value in arguments
        require(is_known, f"{place} is one of {', '.join(arguments)}, got {shown}{hint}")
        return value
    if origin in (tuple, list):
        example = f": write [{shown}]" if isinstance(value, str) else ""
        require(isinstance(value, list | tuple), f"{place} is a list, got {shown}{example}")
        return origin(_convert(item, arguments[0], key, noun) for item in value)
    if origin in (dict, Mapping):
        require(isinstance(value, Mapping), f"{place} is a table, got {shown}")
        items = value.items()
        return {name: _convert(item, arguments[1], f"{key}.{name}", noun) for name, item in items}
    if kind is float and isinstance(value, int) and abs(value) <= MAX_INT:
        value = value if isinstance(value, bool) else float(value)
    require(
        isinstance(value, kind) and (kind is bool or not isinstance(value, bool)),
        f"{place} is of type {kind.__name__}, got {shown}",
    )
    if kind is float:
        require(math.isfinite(value), f"{place} must be finite, got {shown}")
    if kind is int:
        require(abs(value) <= MAX_INT, f"{place} is at most {MAX_INT}, got {shown}")
    return value


def _key_types(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names, such as `train.lr`, and types of all keys below a config class."""
    for name, kind in typing.get_type_hints(cls).items():
        key = f"{prefix}.{name}" if prefix else name
        tables = [each for each in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(each)]
        yield from _key_types(typing.cast(type, tables[0]), key) if tables else ((key, kind),)


@cache
def key_types() -> dict[str, Any]:
    """Return the types of all config keys by their names, such as `train.lr`."""
    return dict(_key_types(RunConfig))


def find_keys(word: str) -> list[str]:
    """Return the config keys that a word means: their names, last parts or `KEY_WORDS`.

    `lr`, `train.lr` and `learning_rate` are `train.lr`; `supervision_steps` is a key of two tables.
    """
    keys = [key for key in key_types() if word in (key, key.rpartition(".")[2])]
    same = KEY_WORDS.get(word.rpartition(".")[2])
    return keys or ([same] if same else [])


def close_keys(word: str) -> list[str]:
    """Return the config keys that a word means, else those whose last part resembles it most."""
    last = word.rpartition(".")[2]
    names = {key.rpartition(".")[2] for key in key_types()}
    return find_keys(word) or find_keys(last) or find_keys(close_match(last, names, CLOSE) or "")


def show_setting(key: str, text: str) -> str:
    """Return `--set KEY=TEXT` for a shell; a list is written as one."""
    kind = key_types().get(key)
    if typing.get_origin(kind) is tuple:
        items = [each.strip(" \"'") for each in text.strip().strip("[]").split(",")]
        texts = typing.get_args(kind)[0] is str
        text = f"[{', '.join(map(_toml_string, items) if texts else items)}]"
    setting = f"{key}={text}"
    safe = not set(setting) & set('"$`\\!') and setting.isprintable()
    quoted = f'"{setting}"' if safe and shlex.quote(setting) != setting else shlex.quote(setting)
    return f"--set {quoted}"


def _toml_string(text: str) -> str:
    """Return a text as a string of TOML."""
    literal = text.isprintable() and "'" not in text
    return f"'{text}'" if literal else json.dumps(text, ensure_ascii=False)


def _key_advice(cls: type, name: str, prefix: str) -> str:
    """Return which key an unknown `name` in a table may mean, otherwise the keys of the table."""
    own = [f"{prefix}.{each}" if prefix else each for each in typing.get_type_hints(cls)]
    tables = [key for key in own if key not in key_types()]
    keys = find_keys(name) or [each for each in [close_match(name, tables)] if each]
    if found := keys or close_keys(name):
        return f"; did you mean {' or '.join(map(format_value, found))}?"
    return f"; known: {', '.join(sorted(own))}"


def from_dict(
    cls: type[T], values: Mapping[str, Any], prefix: str = "", noun: str = CONFIG_KEY
) -> T:
    """Convert nested plain values to a dataclass, such as a config.

    Args:
        cls: the dataclass; its fields are plain values, lists and tables of these, and dataclasses.
        values: by the names of the fields.
        prefix: of the keys in messages.
        noun: what messages call a key.

    Raises:
        UserError: a key is unknown, missing or has a value of another type; it names the key.
    """
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        key = f"{prefix}.{name}" if prefix else name
        if name not in hints:
            is_config = noun == CONFIG_KEY
            advice = _key_advice(cls, name, prefix) if is_config else suggestion(name, hints)
            raise UserError(f"unknown {noun} {format_value(key)}{advice}")
        arguments[name] = _convert(value, hints[name], key, noun)
    for field in dataclasses.fields(typing.cast(Any, cls)):
        default = (field.default, field.default_factory)
        if field.name not in arguments and default == (dataclasses.MISSING, dataclasses.MISSING):
            key = f"{prefix}.{field.name}" if prefix else field.name
            raise UserError(f"there is no {noun} {format_value(key)}")
    return cls(**arguments)


def read_config(path: Path, noun: str, format: str, cls: type[T], table: str = "") -> T:
    """Read the config in the JSON file that describes a folder, which messages call `noun`.

    The config is under the key `table`, or beside the key "format" if that is empty. Raises
    UserError if the file is missing, of another format or damaged.
    """
    return parse_config(read_tables(path, noun, format), path, cls, table)


def read_tables(path: Path, noun: str, format: str) -> dict[str, Any]:
    """Read the JSON file that describes a folder, without its key "format"; see `read_config`."""
    if not os.path.isfile(path):  # Path.is_file raises for names that are too long
        raise UserError(f"{path.parent} is not a {noun}: it has no {path.name}")
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != format:
        raise UserError(
            f"{path} does not say {format!r}: it is from another version of arc-trm, "
            "which can still use it, or from another project"
        )
    return content


def parse_config(content: Any, path: Path, cls: type[T], table: str = "") -> T:
    """Return the config in what `read_tables` has read from a file; see `read_config`."""
    if table:
        content = content.get(table)
        require(isinstance(content, dict), f"{path} has no table {table!r}")
    try:
        return from_dict(cls, content, table)
    except UserError as error:
        raise UserError(
            f"{path} is not as it was written ({error}): restore the original file, or use the "
            "version of arc-trm that wrote it"
        ) from None


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named config with a description.

    Its hardware, time and memory are requirements; those from a paper are marked `published`.
    """

    name: str
    summary: str
    """The model and the data, in one sentence."""
    command: str
    hardware: str
    time: str
    memory: str
    gives: str
    """The expected result, or that it was not measured."""
    text: str
    """The settings as TOML."""


def preset_names() -> list[str]:
    """Return the names of all presets."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def adapting_presets() -> list[str]:
    """Return the names of the presets that adapt pretrained weights."""
    return [name for name in preset_names() if "adapt" in read_toml(_preset_path(name))]


def read_preset(name: str) -> Preset:
    """Read a preset. An unknown name is a UserError that suggests the closest one."""
    path = _preset_path(name)
    about = read_toml(path).get("preset")
    require(isinstance(about, dict), f"{path} has no table 'preset'")
    text = decode_text(path.read_bytes(), path)
    return from_dict(Preset, {**typing.cast(Any, about), "name": name, "text": text}, "preset")


def _preset_path(name: str) -> Path:
    if name not in preset_names():
        raise UserError(f"unknown preset {format_value(name)}{suggestion(name, preset_names())}")
    return PRESETS / f"{name}.toml"


def _merge(base: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings, with those of `overrides` in place of those of `base`."""
    merged = dict(base)
    for key, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Return `a.b=value` as nested settings. Raises UserError if it has another form."""
    key, equals, value = text.partition("=")
    is_key = 0 < len(key.strip()) <= MAX_KEY_LENGTH
    require(bool(equals and is_key), f"--set takes key=value, got {format_value(text)}")
    nested = _parse_value(value)
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return typing.cast(dict[str, Any], nested)


def _check_list(override: str) -> None:
    """Raise UserError, which shows how to write it, if a list lacks its brackets or quotes."""
    key, _, text = override.partition("=")
    key = key.strip()
    is_list = typing.get_origin(key_types().get(key)) is tuple
    if is_list and not isinstance(_parse_value(text), list):
        raise UserError(
            f"config key {format_value(key)} is a list, got {format_value(text)}: write "
            f"`{show_setting(key, text)}`"
        )


def _parse_value(text: str) -> Any:
    """Parse the value of an override; a bare word is a string."""
    try:
        return parse_toml(f"value = {text}".encode(), "--set")["value"]
    except (UserError, UnicodeEncodeError):
        return text


def load_config(
    preset: str = "quickstart",
    file: Path | None = None,
    overrides: Sequence[str] = (),
    pretrained: ModelConfig | None = None,
) -> RunConfig:
    """Load the config of a run.

    Args:
        preset: name of the preset.
        file: TOML file whose settings replace the preset's.
        overrides: `a.b=value`, which replace both.
        pretrained: config of the weights to adapt; only `WEIGHT_INDEPENDENT_KEYS` may change.

    Raises:
        UserError: a file, key or value is invalid.
    """
    base = {"name": preset} | ({"model": to_dict(pretrained)} if pretrained else {})
    values = _merge(base, read_toml(_preset_path(preset)))
    if file is not None:
        values = _merge(values, read_toml(file))
    values.pop("preset", None)  # the preset's description is no setting
    for override in overrides:
        _check_list(override)
        values = _merge(values, parse_override(override))
    config = from_dict(RunConfig, values)
    require(
        pretrained is None or config.adapt is not None,
        f"preset {format_value(preset)} trains from scratch: name one that adapts, "
        f"{' or '.join(adapting_presets())}",
    )
    for key, value in to_dict(config.model).items() if pretrained else ():
        trained = getattr(pretrained, key)
        require(
            key in WEIGHT_INDEPENDENT_KEYS or value == trained,
            f"model.{key} is {trained} in the weights and cannot become {value}: leave it out",
        )
    return config
