"""Compare the settings that a file was written with to those of today, after an upgrade too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from arc_trm.config.loader import to_dict
from arc_trm.config.schema import RunConfig


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


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one table, whose keys are those of --set, such as `model.mixer`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{prefix}{name}"
        flat.update(flatten(value, f"{key}.") if isinstance(value, Mapping) else {key: value})
    return flat
