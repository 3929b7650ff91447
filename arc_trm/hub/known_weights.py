"""Published weights that are known by name, with what their repositories leave out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from arc_trm.checkpoint.published_ids import PublishedSet, published_sets
from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError, format_value
from arc_trm.evaluation.leaderboard import PublishedResult, published_result
from arc_trm.hub.repo_id import RepoId
from arc_trm.io import read_toml
from arc_trm.puzzles import kinds_with_vocab

UNKNOWN = "unknown"
BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class Recipe:
    """What was published for the recipe of some weights; nothing was measured on the weights.

    Attributes:
        system: its name in datasets/leaderboard.toml.
        parameters: rounded as published, without the puzzle embedding.
        layers: of the network.
    """

    system: str
    parameters: int
    layers: int


@dataclass(frozen=True)
class KnownWeights:
    """An entry of known_weights.toml.

    Attributes:
        subfolder: None is the top folder.
        file: name of the weight file, if it is known.
        identifiers: the published set that the weights were trained on, if any.
        settings: published settings, used without an all_config.yaml beside the weights.
        trained_on: see `TrainingFacts`; empty if it is unknown.
        recipe: None if it is unknown.
        scored_on: dataset of the recipe's published score.
        recommended: for what these are the weights to start with, if for anything.
        licence: None if it is unknown.
    """

    repository: str
    subfolder: str | None = None
    file: str | None = None
    identifiers: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    recipe: Recipe | None = None
    scored_on: str | None = None
    recommended: str | None = None
    licence: str | None = None

    @property
    def name(self) -> str:
        """What to give to `arc-trm pull`."""
        return str(RepoId(self.repository, None, self.subfolder))

    @property
    def published_set(self) -> PublishedSet | None:
        """The set that `identifiers` names."""
        return published_sets()[self.identifiers] if self.identifiers else None

    @property
    def download_bytes(self) -> int | None:
        """About how much is downloaded, computed for the recipe; None if it is unknown."""
        if self.recipe is None:
            return None
        num_puzzles = self.published_set.num_puzzles if self.published_set else 1
        numbers = self.recipe.parameters + num_puzzles * ModelConfig.puzzle_emb_dim
        return BYTES_PER_NUMBER * numbers

    @property
    def score(self) -> PublishedResult | None:
        """The published score of the recipe, which was not measured on these weights."""
        if self.recipe is None or self.scored_on is None:
            return None
        return published_result(self.recipe.system, self.scored_on)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known as plain JSON, null for what is unknown."""
        recipe, score, ids = self.recipe, self.score, self.published_set
        return {
            "weights": self.name,
            "trained_on": list(self.trained_on),
            "parameters": recipe and recipe.parameters,
            "puzzle_embeddings": ids and ids.num_puzzles,
            "download_bytes": self.download_bytes,
            "layers": recipe and recipe.layers,
            "outer_cycles": self.settings["H_cycles"],
            "inner_cycles": self.settings["L_cycles"],
            "supervision_steps": self.settings["halt_max_steps"],
            "licence": self.licence,
            "published_score_of_recipe": score and score.to_dict(),
            "recommended": self.recommended,
        }

    def lines(self) -> list[str]:
        """Return what is known for a person: the name, and a line for each fact."""
        facts = {
            "canvas": self._canvas(),
            "trained on": ", ".join(self.trained_on) or UNKNOWN,
            "size": self._size(),
            "depth": self._depth(),
            "licence": self.licence or f"{UNKNOWN}: see the page of {self.repository}",
            "recipe": self._score(),
        }
        return [self.name, *(f"  {label:<11}{text}" for label, text in facts.items())]

    def _size(self) -> str:
        if self.recipe is None or self.download_bytes is None:
            return UNKNOWN
        size = f"{self.recipe.parameters // 10**6}M parameters"
        if self.published_set is not None:
            size += f", {self.published_set.num_puzzles:,} puzzle embeddings"
        if self.download_bytes < 1e9:
            return f"{size}, about {self.download_bytes / 1e6:.0f} MB"
        return f"{size}, about {self.download_bytes / 1e9:.1f} GB"

    def _canvas(self) -> str:
        side = math.isqrt(self.settings["seq_len"])
        kinds = kinds_with_vocab(self.settings["vocab_size"])
        return f"{side}×{side}, for {' or '.join(kind.title for kind in kinds)}"

    def _depth(self) -> str:
        layers = f"{self.recipe.layers} layers, " if self.recipe is not None else ""
        settings = self.settings
        return (
            f"{layers}{settings['H_cycles']} × {settings['L_cycles']} cycles, "
            f"{settings['halt_max_steps']} supervision steps"
        )

    def _score(self) -> str:
        score = self.score
        if score is None:
            return UNKNOWN
        return (
            f"{score.text} {score.denominator} of {score.dataset} for {score.system} "
            f"({score.origin}); this file was not measured"
        )


@dataclass(frozen=True)
class _File:
    """What known_weights.toml holds."""

    settings: dict[str, dict[str, Any]]
    recipes: dict[str, Recipe]
    weights: list[dict[str, Any]]


@cache
def known_weights() -> tuple[KnownWeights, ...]:
    """Return all entries."""
    return read_known_weights(Path(__file__).with_name("known_weights.toml"))


def read_known_weights(path: Path) -> tuple[KnownWeights, ...]:
    """Read the entries in a file. Raises UserError if it is not TOML or lacks something."""
    values = read_toml(path)
    try:
        file = from_dict(_File, values, noun="key")
        return tuple(_entry(facts, file) for facts in file.weights)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _entry(facts: dict[str, Any], file: _File) -> KnownWeights:
    tables: dict[str, Mapping[str, Any]] = {
        "settings": file.settings,
        "recipe": file.recipes,
        "identifiers": published_sets(),
    }
    for key, table in tables.items():
        name = facts.get(key)
        if name is not None and not (isinstance(name, str) and name in table):
            raise UserError(f'the key "{key}" names {format_value(name)}, which is not there')
    recipe = file.recipes[facts["recipe"]] if "recipe" in facts else None
    changed = {"settings": file.settings[facts["settings"]]} if "settings" in facts else {}
    plain = {key: value for key, value in facts.items() if key != "recipe"}
    known = replace(from_dict(KnownWeights, {**plain, **changed}, "weights", "key"), recipe=recipe)
    published = known.published_set
    return known if published is None else replace(known, trained_on=published.trained_on)


def find_known_weights(repository: str, subfolder: str | None) -> KnownWeights:
    """Return the entry of exactly these weights, one that says nothing if they are unknown."""
    for known in known_weights():
        if (known.repository, known.subfolder) == (repository, subfolder):
            return known
    return KnownWeights(repository, subfolder)


def known_subfolders(repository: str) -> list[KnownWeights]:
    """Return the entries of a repository of which every one has a subfolder."""
    found = [known for known in known_weights() if known.repository == repository]
    return found if all(known.subfolder for known in found) else []


def describe_known_weights(weights: Sequence[KnownWeights]) -> list[str]:
    """Return known weights as text for a person."""
    lines = [line for known in weights for line in (*known.lines(), "")]
    lines.append("Size and depth are the recipe's, too; `pull` prints what the file holds.")
    lines += [
        f"For {known.recommended}: `arc-trm pull {known.name}`"
        for known in weights
        if known.recommended
    ]
    return lines
