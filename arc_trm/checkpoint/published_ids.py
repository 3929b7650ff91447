"""The numbering of published puzzle embeddings: which row is which puzzle (docs/model.md).

Published weights do not name their puzzles. The numbering follows from the tasks and NumPy's legacy
random generator; `rebuild_published_ids` repeats the published builder's draws in order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from arc_trm.callbacks import Progress, ignore
from arc_trm.data.loader import find_files, load_tasks, missing_files
from arc_trm.data.puzzle_ids import read_puzzle_ids
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.data.training_set import demonstrations_of
from arc_trm.errors import UserError, format_value, suggestion
from arc_trm.io import atomic_write, read_toml
from arc_trm.puzzles.arc.augmentation import ArcAugmentations
from arc_trm.puzzles.arc.deduplication import TRIALS, PuzzleHash
from arc_trm.puzzles.base import BLANK, SEPARATOR, Tokens
from arc_trm.tasks import Task

"""Takes the number of tasks that are done, and of all tasks."""


@dataclass(frozen=True)
class PublishedIds:
    """The names of the puzzle ids of a published puzzle embedding."""

    names: Sequence[str]
    """In order, `<blank>` first. The last ones may be missing."""
    num_puzzles: int
    """Rows of the embedding."""
    source: str
    """What to call the names in a message."""
    published_set: PublishedSet | None = None
    """The set with these names, if it is known."""
    note: str | None = None
    """The sentence that says which names are missing, if any."""


@dataclass(frozen=True)
class PublishedSet:
    """A training set of published weights, as its builder made it."""

    name: str
    subsets: tuple[str, ...]
    """Datasets, in order."""
    test: str
    """The subset whose test pairs are predicted."""
    augmentations: int
    """Wanted for each task."""
    seed: int
    num_puzzles: int
    sha256: str
    """Digest of the set's identifiers.json."""
    sha256_without_last: str | None = None
    """The same without the last subset, if no package carries that subset."""

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The subsets, for `TrainingFacts`."""
        return tuple(
            demonstrations_of(subset) if subset == self.test else subset for subset in self.subsets
        )


@cache
def published_sets() -> dict[str, PublishedSet]:
    """Return the sets in `datasets/published-sets.toml` by name."""
    return {
        name: PublishedSet(name, tuple(values.pop("subsets")), **values)
        for name, values in read_toml(manifests_folder() / "published-sets.toml").items()
    }


def find_sets(num_puzzles: int) -> list[str]:
    """Return the names of the published sets with so many puzzle ids."""
    return [each.name for each in published_sets().values() if each.num_puzzles == num_puzzles]


def naming_option(num_puzzles: int) -> str:
    """Return the option of `arc-trm convert` that names so many puzzle ids."""
    known = find_sets(num_puzzles)
    return f"--published-set {known[0]}" if known else "--identifiers FILE"


def rebuild_published_ids(
    subsets: Sequence[Iterable[Task]],
    augmentations: int,
    seed: int,
    progress: Progress = ignore,
) -> list[str]:
    """Return the names of all puzzle ids in the published order, `<blank>` first.

    The tasks of each subset are shuffled. Each is followed by at most A augmentations: up to 5 · A
    are drawn, and kept if their puzzle differs from the task's and from those kept before. Known
    test outputs count as part of the puzzle. A task id that comes again keeps its first number.

    Args:
        subsets: tasks in the order of their file.
        augmentations: A.
        seed: of NumPy's legacy generator.
        progress: called after each task.
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


def _augmented_names(task: Task, count: int, rng: np.random.RandomState) -> Iterator[str]:
    puzzle_hash = PuzzleHash(task)
    seen = set(puzzle_hash.original.tolist())
    trials = TRIALS * count
    while trials and count:
        # At least `count` more are drawn. One draw too many would shift those of the next task.
        drawn = min(trials, count)
        trials -= drawn
        dihedrals, colours = _draw_augmentations(rng, drawn)
        names = ArcAugmentations(dihedrals, colours).names()
        hashes = puzzle_hash(dihedrals, colours).tolist()
        for name, value in zip(names, hashes, strict=True):
            if value not in seen:
                seen.add(value)
                count -= 1
                yield f"{task.id}{SEPARATOR}{name}"


def _draw_augmentations(rng: np.random.RandomState, count: int) -> tuple[Tokens, Tokens]:
    """Draw dihedral ids (count,) and images of all colours (count, 10) like the published builder.

    It draws a dihedral id, then the images of the colours 1..9.
    """
    dihedrals = np.empty(count, np.uint8)
    colours = np.zeros((count, 10), np.uint8)
    digits = np.arange(1, 10, dtype=np.uint8)
    for index in range(count):
        dihedrals[index] = rng.randint(0, 8)
        colours[index, 1:] = rng.permutation(digits)
    return dihedrals, colours


def published_ids(name: str, progress: Progress = ignore) -> PublishedIds:
    """Rebuild the names of a published set's puzzle ids.

    If only the files of the last subset are missing, its puzzles, which come last, have no names.

    Raises:
        UserError: there is no such set, other files are missing, or the files differ from those
            that the set was made from.
    """
    if name not in published_sets():
        raise UserError(
            f"unknown published set {format_value(name)}{suggestion(name, published_sets())}"
        )
    wanted, available = published_sets()[name], available_subsets(name)
    missing = [subset for subset in wanted.subsets if subset not in available]
    optional = [wanted.subsets[-1]] if wanted.sha256_without_last else []
    if missing and missing != optional:
        raise missing_files(missing[0])
    subsets = [load_tasks(subset) for subset in available]
    names = rebuild_published_ids(subsets, wanted.augmentations, wanted.seed, progress)
    if _sha256(json.dumps(names)) != (wanted.sha256_without_last if missing else wanted.sha256):
        raise UserError(
            f"the files of {', '.join(wanted.subsets)} on this machine differ from those that "
            f"{name} was made from, so its puzzle ids cannot be named: `arc-trm data show` says "
            "which differ"
        )
    note = None
    if missing:
        note = (
            f"the last {wanted.num_puzzles - len(names):,} of {wanted.num_puzzles:,} puzzle ids "
            f"are left out: they belong to {missing[0]}, whose files are not on this machine; no "
            "other puzzle id depends on them"
        )
    return PublishedIds(names, wanted.num_puzzles, name, wanted, note)


def available_subsets(name: str) -> list[str]:
    """Return the subsets of a published set whose files are on this machine."""
    return [subset for subset in published_sets()[name].subsets if _has_files(subset)]


def _has_files(subset: str) -> bool:
    found = find_manifest(subset)
    assert found is not None, "published sets are made from known datasets"
    manifest, split = found
    return all(find_files(manifest, each) for each in manifest.chosen(split))


def read_published_ids(path: Path) -> PublishedIds:
    """Read an identifiers.json. Raises UserError if it holds no names of puzzle ids."""
    names = read_puzzle_ids(path)
    found = None
    if candidates := find_sets(len(names)):
        digest = _sha256(json.dumps(names))
        sets = (published_sets()[name] for name in candidates)
        found = next((each for each in sets if each.sha256 == digest), None)
    return PublishedIds(names, len(names), str(path), found)


def write_published_ids(path: Path, names: Sequence[str]) -> str:
    """Write identifiers.json byte for byte as published and return its SHA-256."""
    text = json.dumps(names)
    with atomic_write(path) as file:
        file.write(text)
    return _sha256(text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
