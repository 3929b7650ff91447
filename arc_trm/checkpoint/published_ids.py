"""Which row of a published embedding table is which puzzle (SPEC 2 in docs/model.md).

Published weights name no puzzles: their rows follow from the tasks, one legacy NumPy generator and
the rule below, which `rebuild_published_ids` repeats draw by draw.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from arc_trm.data.loader import find_files, load_tasks, missing_files
from arc_trm.data.puzzle_ids import read_puzzle_ids
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.errors import UserError, suggestion
from arc_trm.puzzles.arc.kind import BLANK, SEPARATOR, TRIALS, PuzzleHash, augmentation_names
from arc_trm.puzzles.base import Tokens
from arc_trm.tasks import Task
from submission import atomic_write

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PublishedIds:
    """The names of an embedding table's rows, `<blank>` first.

    `rows` is the size of the table; there may be fewer names where the tasks of the last rows are
    not known here, and `note` is then the sentence that says so. `source` is what to call it in a
    message.
    """

    names: Sequence[str]
    rows: int
    source: str
    note: str | None = None


@dataclass(frozen=True)
class PublishedSet:
    """A set that published weights were trained on: its subsets in order, how it was made.

    `rows` and `sha256` are those of its identifiers.json; `without_last` is the same for the names
    without the last subset, where that one does not come with a package.
    """

    name: str
    subsets: tuple[str, ...]
    test: str
    augmentations: int
    seed: int
    rows: int
    sha256: str
    without_last: str | None = None


@cache
def published_sets() -> dict[str, PublishedSet]:
    """The sets by name, out of `datasets/published-sets.toml`."""
    text = (manifests_folder() / "published-sets.toml").read_text("utf-8")
    return {
        name: PublishedSet(name, tuple(values.pop("subsets")), **values)
        for name, values in tomllib.loads(text).items()
    }


def sets_of(rows: int) -> list[str]:
    """The names of the published sets with so many rows."""
    return [each.name for each in published_sets().values() if each.rows == rows]


def naming_option(rows: int) -> str:
    """The option of `arc-trm convert` that names so many rows, as far as it can be guessed."""
    known = sets_of(rows)
    return f"--set {known[0]}" if known else "--identifiers FILE"


def _trials(rng: np.random.RandomState, count: int) -> tuple[Tokens, Tokens]:
    """`count` augmentations as published: a dihedral id, then the images of colours 1..9."""
    dihedrals = np.empty(count, np.uint8)
    colours = np.zeros((count, 10), np.uint8)
    digits = np.arange(1, 10, dtype=np.uint8)
    for index in range(count):
        dihedrals[index] = rng.randint(0, 8)
        colours[index, 1:] = rng.permutation(digits)
    return dihedrals, colours


def _augmented_names(task: Task, count: int, rng: np.random.RandomState) -> Iterator[str]:
    puzzle_hash = PuzzleHash(task)
    seen = set(puzzle_hash.original.tolist())
    left = TRIALS * count
    while left and count:
        # So many are needed at least, and one more would take numbers that belong to the next task.
        drawn = min(left, count)
        left -= drawn
        dihedrals, colours = _trials(rng, drawn)
        hashes = puzzle_hash(dihedrals, colours).tolist()
        for name, value in zip(augmentation_names(dihedrals, colours), hashes, strict=True):
            if value not in seen:
                seen.add(value)
                count -= 1
                yield f"{task.id}{SEPARATOR}{name}"


def rebuild_published_ids(
    subsets: Sequence[Iterable[Task]],
    augmentations: int,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """The names of all rows in the published order, `<blank>` first.

    Subset after subset the tasks are shuffled; each is followed by those of up to 5 · A random
    augmentations that make a puzzle of their own, A at most. Test outputs take part. An id that
    comes again keeps its first row.

    Args:
        subsets: tasks in the order of their file.
        augmentations: A, wanted for each task.
        seed: of NumPy's legacy generator.
        progress: is told the tasks done and their total.
    """
    rng = np.random.RandomState(seed)
    shuffled = [list(tasks) for tasks in subsets]
    total, done = sum(map(len, shuffled)), 0
    names = {BLANK: None}  # a set that keeps its order
    for tasks in shuffled:
        rng.shuffle(tasks)  # type: ignore[arg-type]
        for task in tasks:
            names[task.id] = None
            names |= dict.fromkeys(_augmented_names(task, augmentations, rng))
            done += 1
            progress(done, total)
    return list(names)


def write_published_ids(path: Path, names: Sequence[str]) -> str:
    """Write identifiers.json as published, whole or not at all; returns its SHA-256."""
    text = json.dumps(names)
    with atomic_write(path) as file:
        file.write(text)
    return _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_published_ids(path: Path) -> PublishedIds:
    """The names in an identifiers.json. Raises UserError if it holds none."""
    names = read_puzzle_ids(path)
    return PublishedIds(names, len(names), str(path))


def available_subsets(name: str) -> list[str]:
    """The subsets of a published set whose files are on this machine."""
    return [subset for subset in published_sets()[name].subsets if _files_are_here(subset)]


def _files_are_here(subset: str) -> bool:
    found = find_manifest(subset)
    assert found is not None, "published sets are made of known datasets"
    manifest, only = found
    return all(find_files(manifest, split) for split in manifest.chosen(only))


def published_ids(name: str, progress: Progress = lambda done, total: None) -> PublishedIds:
    """The identifiers of a published set, rebuilt.

    Where the files of the last subset are not on this machine, its rows, which come last, stay
    without names. Raises UserError if there is no such set, other files are missing, or the files
    here are not those that it was made of.
    """
    if name not in published_sets():
        raise UserError(f"unknown set {name!r}{suggestion(name, published_sets())}")
    wanted = published_sets()[name]
    available = available_subsets(name)
    missing = [subset for subset in wanted.subsets if subset not in available]
    last = wanted.without_last and [wanted.subsets[-1]]
    if missing and missing != last:
        raise missing_files(missing[0])
    present = [load_tasks(subset) for subset in available]
    names = rebuild_published_ids(present, wanted.augmentations, wanted.seed, progress)
    expected = wanted.without_last if missing else wanted.sha256
    if _digest(json.dumps(names)) != expected:
        raise UserError(
            f"the files of {', '.join(wanted.subsets)} on this machine are not those that {name} "
            "was made of, so its rows cannot be named; `arc-trm data show` tells which differ"
        )
    note = None
    if missing:
        note = (
            f"the last {wanted.rows - len(names):,} of {wanted.rows:,} rows belong to {missing[0]} "
            "and are left out, as its files are not on this machine; no other row depends on them"
        )
    return PublishedIds(names, wanted.rows, name, note)
