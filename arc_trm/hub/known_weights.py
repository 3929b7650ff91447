"""Published weights that are known by name (known_weights.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Known:
    """What is known about published weights without opening them; see known_weights.toml."""

    repository: str
    subfolder: str | None = None
    file: str | None = None
    identifiers: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@cache
def known_weights() -> tuple[Known, ...]:
    """All entries of known_weights.toml."""
    values = tomllib.loads(
        (resources.files("arc_trm.hub") / "known_weights.toml").read_text("utf-8")
    )
    return tuple(
        Known(**{**entry, "settings": values["settings"][entry["settings"]]})
        for entry in values["weights"]
    )


def find_known(repository: str, subfolder: str | None) -> Known | None:
    """The entry of exactly these weights, None if they are unknown."""
    for known in known_weights():
        if (known.repository, known.subfolder) == (repository, subfolder):
            return known
    return None
