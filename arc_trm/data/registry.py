"""What is known about the published datasets before a file of theirs is opened.

One folder per dataset with a `manifest.toml`; a new dataset in a known format is a new folder and
no code. A split is written `arc-agi-2/evaluation`; `arc-agi-2` means all its splits in order.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from arc_trm.errors import UserError, suggestion


@dataclass(frozen=True)
class Split:
    """`sha256` is the `arc_trm.data.loader.content_digest` of the tasks, in whatever files.

    It is empty where nobody here has seen the files; then the numbers are those that are published.
    """

    tasks: int
    test_outputs: int
    sha256: str = ""


@dataclass(frozen=True)
class PackageSource:
    """A data file in an installed Python package: `{key: {task id: task}}`, test outputs included.

    `keys` has the key of every split.
    """

    title: str
    package: str
    version: str
    revision: str
    file: str
    sha256: str
    keys: dict[str, str]


@dataclass(frozen=True)
class FileSource:
    """Files that a user has: `places` says for every split where they may lie in $ARC_TRM_DATA.

    A place whose file name has a `*` is that of task files, any other that of a challenges file.
    `sha256` is that of the files, by name, where it is known.
    """

    title: str
    places: dict[str, list[str]]
    revision: str = ""
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HubSource:
    """CSV files in a dataset repository on the Hugging Face Hub, by split.

    They are used from the client's cache, into which `arc-trm data fetch` puts them.
    """

    title: str
    repository: str
    files: dict[str, str]
    revision: str = "main"


@dataclass(frozen=True)
class MadeSource:
    """Puzzles that are made when they are needed: by split the fields of
    `arc_trm.puzzles.generate.Recipe`, but for its domain."""

    title: str
    recipes: dict[str, dict[str, int]]


Source = PackageSource | FileSource | HubSource | MadeSource


@dataclass(frozen=True)
class Overlap:
    """The tasks that two splits, such as `arc-agi-1/training`, share.

    `same_id` are the ids of those that have one id in both, `changed` the ones among them whose
    demonstrations differ. `other_id` has those with the same demonstrations under another id: the
    id in `other` by the id in `split`.
    """

    split: str
    other: str
    same_id: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    other_id: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> dict[str, str]:
        """All shared tasks: the id in `other` by the id in `split`."""
        return self.other_id | {task_id: task_id for task_id in self.same_id}

    def turned(self) -> Overlap:
        """The same, seen from `other`."""
        other_id = {there: here for here, there in self.other_id.items()}
        return replace(self, split=self.other, other=self.split, other_id=other_id)


@dataclass(frozen=True)
class Manifest:
    """A dataset: whose it is, where its files come from, what they hold, what they share."""

    name: str
    title: str
    licence: str
    homepage: str
    citation: str
    format: str
    sources: tuple[Source, ...]
    splits: dict[str, Split]
    overlaps: tuple[Overlap, ...]
    domain: str = "arc"

    def chosen(self, split: str | None) -> list[str]:
        """The splits that a name means: `split` or, for None, all."""
        return [split] if split else list(self.splits)

    def split_names(self, split: str | None = None) -> list[str]:
        """`arc-agi-1/training`, ...: that of `split` or, for None, those of all splits."""
        return [f"{self.name}/{each}" for each in self.chosen(split)]


def manifests_folder() -> Path:
    """`arc_trm/datasets` in an installed wheel, else the folder beside the package in a clone.

    Found without an import: `datasets` is also the name of somebody else's package.
    """
    package = Path(__file__).parent.parent
    inside = package / "datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


@cache
def manifests() -> dict[str, Manifest]:
    """All manifests by the name of their dataset, which is that of their folder."""
    paths = sorted(manifests_folder().glob("*/manifest.toml"))
    return {path.parent.name: _read_manifest(path) for path in paths}


def find_manifest(name: str) -> tuple[Manifest, str | None] | None:
    """The dataset and, if `name` has one, the split that it names; None if it names none."""
    dataset, slash, split = name.partition("/")
    manifest = manifests().get(dataset)
    if manifest is None or (slash and split not in manifest.splits):
        return None
    return manifest, split or None


def unknown_name(name: str) -> UserError:
    """The error to raise for a name that is neither a dataset's nor a path's."""
    dataset, slash, split = name.partition("/")
    if slash and (manifest := manifests().get(dataset)):
        return UserError(
            f"dataset {dataset} has no split {split!r}{suggestion(split.lower(), manifest.splits)}"
        )
    known = list(manifests())
    if slash:
        known += [each for manifest in manifests().values() for each in manifest.split_names()]
    hint = suggestion(name.lower(), known)
    return UserError(f"{name!r} is neither a dataset nor an existing folder or file{hint}")


def recorded_overlaps(name: str) -> list[Overlap]:
    """The overlaps of a dataset or split with others and within itself, as `name`'s splits see it.

    A manifest records each of them once, on one of the two sides. A name that is no dataset's has
    none.
    """
    if (found := find_manifest(name)) is None:
        return []
    mine = found[0].split_names(found[1])
    recorded = [each for manifest in manifests().values() for each in manifest.overlaps]
    both_ways = [*recorded, *(overlap.turned() for overlap in recorded)]
    return [overlap for overlap in both_ways if overlap.split in mine]


def known_overlap(first: str, second: str) -> dict[str, str]:
    """The tasks of `first` that `second` has too, from the manifests alone: id there by id here.

    Both are names of datasets or splits; what a split shares with itself is not listed.
    """
    if (found := find_manifest(second)) is None:
        return {}
    theirs = found[0].split_names(found[1])
    shared: dict[str, str] = {}
    for overlap in recorded_overlaps(first):
        if overlap.other in theirs:
            shared |= {
                here: there
                for here, there in overlap.ids.items()
                if here not in shared or here == there
            }
    return shared


def _source(values: dict[str, Any]) -> Source:
    for key, kind in (
        ("package", PackageSource),
        ("repository", HubSource),
        ("recipes", MadeSource),
    ):
        if key in values:
            return kind(**values)
    return FileSource(**values)


def _read_manifest(path: Path) -> Manifest:
    values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    name = path.parent.name
    sources = [_source(source) for source in values.pop("sources")]
    splits = {split: Split(**of_split) for split, of_split in values.pop("splits").items()}
    overlaps = [
        Overlap(f"{name}/{overlap.pop('split')}", **overlap)
        for overlap in values.pop("overlaps", [])
    ]
    return Manifest(
        name=name, sources=tuple(sources), splits=splits, overlaps=tuple(overlaps), **values
    )
