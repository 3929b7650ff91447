"""Manifests of datasets by name; the files of the datasets are not opened here.

Each dataset is a folder with a `manifest.toml`; a new dataset in a known format needs no code
(datasets/README.md). A split is written `arc-agi-2/evaluation`; `arc-agi-2` means all its splits in
order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from arc_trm.config import from_dict
from arc_trm.errors import UserError, format_name, format_path, format_value, suggestion
from arc_trm.io import read_toml
from arc_trm.tasks import DEFAULT_KIND, TaskSet


@dataclass(frozen=True)
class Split:
    """Size and fingerprint of a split."""

    tasks: int
    test_outputs: int
    sha256: str = ""
    """`arc_trm.tasks.TaskSet.fingerprint` of the tasks; "" if the files were not available, so that
    the numbers are only the published ones."""


@dataclass(frozen=True)
class PackageSource:
    """A file `{key: {task id: task}}` in an installed Python package, test outputs included."""

    title: str
    package: str
    version: str
    revision: str
    """Revision of the dataset; `version` is that of the package."""
    file: str
    sha256: str
    keys: dict[str, str]
    """The key in the file, by split."""


@dataclass(frozen=True)
class FileSource:
    """Files of the user."""

    title: str
    paths: dict[str, list[str]]
    """By split, paths below $ARC_TRM_DATA to try in order. A path whose file name has a `*` means
    task files, any other a challenges file or a CSV file."""
    revision: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    """By file name, where it is known."""


@dataclass(frozen=True)
class HubSource:
    """CSV files in a dataset repository on the Hugging Face Hub, by split.

    `arc-trm data fetch` downloads them into the client's cache, from which they are read.
    """

    title: str
    repository: str
    files: dict[str, str]
    revision: str = "main"


@dataclass(frozen=True)
class GeneratedSource:
    """Puzzles that are generated when they are needed."""

    title: str
    generators: dict[str, dict[str, int]]
    """By split, fields of `arc_trm.puzzles.generate.GeneratorConfig`."""


KEY = "key"
"""What messages call the keys of a manifest."""
Source = PackageSource | FileSource | HubSource | GeneratedSource


@dataclass(frozen=True)
class Overlap:
    """The tasks that two splits, such as `arc-agi-1/training`, share."""

    split: str
    other: str
    same_id: list[str] = field(default_factory=list)
    """Ids of tasks that have the same id in both."""
    changed: list[str] = field(default_factory=list)
    """Those of `same_id` whose demonstrations differ."""
    other_id: dict[str, str] = field(default_factory=dict)
    """Maps ids in `split` of other tasks with the same demonstrations to their ids in `other`."""

    @property
    def ids(self) -> dict[str, str]:
        """All shared tasks: maps ids in `split` to ids in `other`."""
        return self.other_id | {task_id: task_id for task_id in self.same_id}

    def reversed(self) -> Overlap:
        """Return the same overlap, seen from `other`."""
        other_id = {there: here for here, there in self.other_id.items()}
        return replace(self, split=self.other, other=self.split, other_id=other_id)


@dataclass(frozen=True)
class Version:
    """A version of a dataset, such as `arc-agi-1 (Kaggle 2019)`."""

    name: str
    file: str
    """Its file in the package of the dataset's first source."""
    demonstrations: list[str] = field(default_factory=list)
    """Ids of tasks with other demonstrations than in the dataset's first version."""
    tests: dict[str, list[str]] = field(default_factory=dict)
    """Digests of test inputs (`arc_trm.tasks.Task.test_digest`) and test outputs
    (`arc_trm.data.versions.outputs_digest`) by id, of the tasks whose test pairs, or their order,
    are not the same in all versions of all datasets."""


@dataclass(frozen=True)
class Manifest:
    """A dataset: its licence, the sources of its files, its splits, versions and overlaps."""

    name: str
    title: str
    licence: str
    homepage: str
    citation: str
    format: str
    sources: tuple[Source, ...]
    splits: dict[str, Split]
    overlaps: tuple[Overlap, ...]
    versions: tuple[Version, ...] = ()
    """The first is that of the first source."""
    kind: str = DEFAULT_KIND

    def chosen(self, split: str | None) -> list[str]:
        """Return the splits that a name means: `split`, or all for None."""
        return [split] if split else list(self.splits)

    def split_names(self, split: str | None = None) -> list[str]:
        """Return `arc-agi-1/training`, ...: that of `split`, or those of all splits for None."""
        return [f"{self.name}/{each}" for each in self.chosen(split)]


def manifests_folder() -> Path:
    """Return `arc_trm/datasets` of an installed wheel, or the folder beside the package in a clone.

    It is found without an import, because another package is called `datasets` too.
    """
    package = Path(__file__).parent.parent
    inside = package / "datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


@cache
def manifests() -> dict[str, Manifest]:
    """Return all manifests by the name of the dataset, which is the name of its folder."""
    paths = sorted(manifests_folder().glob("*/manifest.toml"))
    return {path.parent.name: _read_manifest(path) for path in paths}


def find_manifest(name: str) -> tuple[Manifest, str | None] | None:
    """Return the dataset and the split, if any, that a name means; None if it names no dataset."""
    dataset, slash, split = name.partition("/")
    manifest = manifests().get(dataset)
    if manifest is None or (slash and split not in manifest.splits):
        return None
    return manifest, split or None


def unknown_name(name: str) -> UserError:
    """Return the error for a name that is neither a dataset nor a path."""
    dataset, slash, split = name.partition("/")
    if slash and (manifest := manifests().get(dataset)):
        return UserError(
            f"dataset {dataset} has no split {format_value(split)}"
            f"{suggestion(split.lower(), manifest.splits)}"
        )
    known = list(manifests())
    if slash:
        known += [each for manifest in manifests().values() for each in manifest.split_names()]
    hint = suggestion(name.lower(), known)
    return UserError(
        f"{format_path(name)} is neither a dataset nor an existing folder or file{hint}"
    )


def recorded_overlaps(name: str) -> list[Overlap]:
    """Return the overlaps in which `split` belongs to a dataset or split; none for other names.

    A manifest records each overlap once, on one of the two sides.
    """
    names = _split_names(name)
    recorded = [each for manifest in manifests().values() for each in manifest.overlaps]
    both_directions = [*recorded, *(overlap.reversed() for overlap in recorded)]
    return [overlap for overlap in both_directions if overlap.split in names]


def known_overlap(first: str, second: str) -> dict[str, str]:
    """Map the ids of tasks of dataset `first` that dataset `second` contains to their ids there.

    Only manifests are read. Tasks that a split shares with itself are not listed.
    """
    names = _split_names(second)
    shared: dict[str, str] = {}
    for overlap in recorded_overlaps(first):
        if overlap.other in names:
            ids = overlap.ids.items()
            shared |= {here: there for here, there in ids if here not in shared or here == there}
    return shared


def recognise_split(tasks: TaskSet) -> str | None:
    """Return the split, such as `concept-arc/corpus`, that has exactly these tasks, or None.

    Their fingerprint decides, which covers test outputs but no names of files.
    """
    same_size = {
        split.sha256: f"{manifest.name}/{name}"
        for manifest in manifests().values()
        for name, split in manifest.splits.items()
        if manifest.kind == tasks.kind
        and (split.tasks, split.test_outputs) == (len(tasks), tasks.test_outputs)
    }
    return same_size.get(tasks.fingerprint()) if any(same_size) else None


def _split_names(name: str) -> list[str]:
    found = find_manifest(name)
    return found[0].split_names(found[1]) if found else []


@dataclass(frozen=True)
class _ManifestFile:
    """The fields of a manifest.toml."""

    title: str
    licence: str
    homepage: str
    citation: str
    format: str
    sources: list[dict[str, Any]]
    splits: dict[str, Split]
    overlaps: list[Overlap] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    kind: str = DEFAULT_KIND


def _read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises UserError if it is not TOML or lacks something."""
    values, name = read_toml(path), path.parent.name
    try:
        file = from_dict(_ManifestFile, values, noun=KEY)
        sources = tuple(map(_source, file.sources))
        for source in sources:
            _check_splits(source, file.splits)
    except UserError as error:
        raise UserError(f"{path}: {error}; datasets/README.md says what it holds") from None
    return Manifest(
        name,
        file.title,
        file.licence,
        file.homepage,
        file.citation,
        file.format,
        sources,
        file.splits,
        tuple(replace(each, split=f"{name}/{each.split}") for each in file.overlaps),
        _versions(name, file.versions),
        file.kind,
    )


def _source(values: dict[str, Any]) -> Source:
    """Return the source with these fields; the field that only it has decides its type."""
    kinds = {"package": PackageSource, "repository": HubSource, "generators": GeneratedSource}
    kind = next((kinds[key] for key in kinds if key in values), FileSource)
    source: Source = from_dict(kind, values, "sources", KEY)
    return source


def _check_splits(source: Source, splits: Mapping[str, Split]) -> None:
    """Raise UserError unless a source says for every split where its files are."""
    match source:
        case PackageSource():
            known: Mapping[str, Any] = source.keys
        case HubSource():
            known = source.files
        case GeneratedSource():
            known = source.generators
        case FileSource():
            known = source.paths
            for path in (path for paths in source.paths.values() for path in paths):
                if not path or "\0" in path or PurePosixPath(path).is_absolute():
                    raise UserError(f"the path {format_value(path)} is not relative to a folder")
    if missing := splits.keys() - known.keys():
        raise UserError(
            f"the source {format_value(source.title)} has no {format_name(min(missing))}"
        )


def _versions(dataset: str, listed: list[Version]) -> tuple[Version, ...]:
    """Return the versions of a dataset; those after the first list only tests that differ."""
    first = listed[0].tests if listed else {}
    return tuple(
        replace(each, name=f"{dataset} ({each.name})", tests=first | each.tests) for each in listed
    )
