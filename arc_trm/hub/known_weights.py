"""What is known about published weights that their repositories leave out (known_weights.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class KnownWeights:
    """An entry of known_weights.toml.

    Attributes:
        subfolder: None is the top folder.
        file: name of the weight file, if it is known.
        identifiers: the published set that the weights were trained on, if any.
        settings: published settings, used without an all_config.yaml beside the weights.
    """

    repository: str
    subfolder: str | None = None
    file: str | None = None
    identifiers: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@cache
def known_weights() -> tuple[KnownWeights, ...]:
    """Return all entries."""
    path = resources.files("arc_trm.hub") / "known_weights.toml"
    values = tomllib.loads(path.read_text("utf-8"))
    return tuple(
        KnownWeights(**{**entry, "settings": values["settings"][entry["settings"]]})
        for entry in values["weights"]
    )


def find_known_weights(repository: str, subfolder: str | None) -> KnownWeights:
    """Return the entry of exactly these weights, one that says nothing if they are unknown."""
    for known in known_weights():
        if (known.repository, known.subfolder) == (repository, subfolder):
            return known
    return KnownWeights(repository, subfolder)
