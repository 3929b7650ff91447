"""Compare the settings that a file was written with to those of today, after an upgrade too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from arc_trm.config.loader import load_config, preset_names, to_dict
from arc_trm.config.schema import RunConfig
from arc_trm.errors import format_name

MAX_SHOWN = 3
"""Changed settings that are named beside a preset."""

NO_CHANGE = (
    "seed",
    "data.train",
    "data.test",
    "train.max_steps",
    "train.time_limit",
    "train.save_interval_s",
    "train.eval_interval",
    "train.eval_time_share",
    "train.best_metric",
    "train.keep_checkpoints",
    "dtype",
)
"""Settings that are no change of a preset: what is said beside it, when a run ends, is saved and is
evaluated, and the dtype, because `auto` has become that of the machine."""


class Change(NamedTuple):
    """A setting that differs."""

    key: str
    """As on the command line, such as `model.mixer`."""
    before: Any
    now: Any


class Changes(NamedTuple):
    """How settings differ from those of before."""

    changed: tuple[Change, ...]
    unknown: tuple[Change, ...]
    """Settings of before that this version of arc-trm does not have; `now` is None."""


def compare_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """Return the differences between two parts of a `RunConfig`, nested plain values.

    A setting that `before` lacks is newer than `before` and had its default, which is how the
    program worked without the setting. What an unknown setting did cannot be known, so it differs.
    """
    old, new, defaults = flatten(before), flatten(now), flatten(to_dict(RunConfig()))
    known = {**defaults, **old}
    pairs = ((key, known.get(key), value) for key, value in new.items())
    changed = tuple(Change(*each) for each in pairs if each[1] != each[2])
    unknown = tuple(Change(key, value, None) for key, value in old.items() if key not in new)
    return Changes(changed, unknown)


def preset_of(config: RunConfig) -> tuple[str | None, tuple[str, ...]]:
    """Return the preset that a config is named after and the settings in which it differs.

    Not compared is what is said beside a preset, or what differs between machines: `NO_CHANGE`.
    Neither is the model of a run that adapts, because it comes from the weights.

    Returns:
        The name, None if there is no such preset. The settings as for --set, `train.lr=0.001`.
    """
    if config.name not in preset_names():
        return None, ()
    own = flatten(to_dict(config))
    skipped = {*NO_CHANGE, *(key for key in own if key.startswith("adapt"))}
    if config.adapt is not None:
        skipped |= {key for key in own if key.startswith("model.")}
    preset = flatten(to_dict(load_config(config.name)))
    changed = {key: value for key, value in own.items() if preset.get(key) != value}
    return config.name, tuple(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in changed.items()
        if key not in skipped
    )


def format_preset(name: str, changed: Sequence[str]) -> str:
    """Return `quickstart with train.lr=0.001`; of many settings the first ones and their number."""
    shown = [format_name(each) for each in changed[:MAX_SHOWN]]
    more = f" and {len(changed) - MAX_SHOWN} more" if changed[MAX_SHOWN:] else ""
    return f"{format_name(name)} with {', '.join(shown)}{more}" if shown else format_name(name)


def describe_preset(config: RunConfig) -> str:
    """Return the name of a config, and what differs from the preset of that name."""
    return format_preset(config.name, preset_of(config)[1])


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one table, whose keys are those of --set, such as `model.mixer`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        flat.update(flatten(value, f"{key}.") if isinstance(value, Mapping) else {key: value})
    return flat
