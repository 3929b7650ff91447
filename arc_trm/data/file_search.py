"""Find the files of a split by what they hold, whatever their layout and their names."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from itertools import islice
from pathlib import Path

from arc_trm.data.files import read_files, read_path, walk
from arc_trm.data.invalid import InvalidItems
from arc_trm.data.registry import FileSource, Manifest, recognise_split
from arc_trm.errors import UserError

MAX_FILES = 20_000
"""Number of files in a folder that are looked at, by their names only."""


def search_files(root: Path, manifest: Manifest, split: str) -> tuple[Path, list[Path]] | None:
    """Search a folder, at any depth, for exactly the tasks of a split.

    Only what may hold them is read: a folder with as many JSON files as the split has tasks, and
    files that are named like the dataset or like one of its files.

    Returns:
        The path of a file, or a pattern with a `*` of task files, and the files; None if there are
        none, or if the split's fingerprint is not known.
    """
    if not manifest.splits[split].sha256:
        return None
    files: list[Path] = []
    with suppress(UserError):  # there is no such folder, or a part of it cannot be read
        files += islice(walk(root), MAX_FILES)
    wanted = f"{manifest.name}/{split}"
    for inside, folder in _task_files(root, files, manifest.splits[split].tasks).items():
        with suppress(UserError):  # these are other files
            if recognise_split(read_files(inside, "", InvalidItems())) == wanted:
                return folder / "**" / "*.json", list(inside)
    for file in files:
        if _named_like(file, manifest):
            with suppress(UserError):
                if recognise_split(read_path(file, InvalidItems())) == wanted:
                    return file, [file]
    return None


def _task_files(root: Path, files: list[Path], tasks: int) -> dict[tuple[Path, ...], Path]:
    """Return every so many JSON files that are all of a folder, at any depth, and this folder."""
    inside: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if file.suffix == ".json":
            for folder in file.parents:
                if folder.is_relative_to(root):
                    inside[folder].append(file)
    # Of nested folders with the same files the innermost stays.
    return {tuple(inside[each]): each for each in sorted(inside) if len(inside[each]) == tasks}


def _named_like(file: Path, manifest: Manifest) -> bool:
    """Return whether a file is named like a dataset, or like one of its files."""
    paths = [
        Path(path)
        for source in manifest.sources
        if isinstance(source, FileSource)
        for split_paths in source.paths.values()
        for path in split_paths
    ]
    return file.name in {path.name for path in paths} or _folded(manifest.name) in _folded(
        file.name
    )


def _folded(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
