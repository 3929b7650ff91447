"""The published trainer's folder format: examples that are augmented and encoded already.

    identifiers.json                  the names of all puzzle ids, `<blank>` first
    test_puzzles.json                 the tasks to predict, with their outputs (ARC only)
    train/, test/
        dataset.json                  seq_len, vocab_size, number of names
        all__inputs.npy               (examples, S) uint8 tokens
        all__labels.npy               (examples, S) uint8 tokens, 0 where nothing is scored
        all__puzzle_identifiers.npy   (puzzles,) int32, the id of each puzzle
        all__puzzle_indices.npy       (puzzles + 1,) int32, where the examples of each puzzle begin
        all__group_indices.npy        (groups + 1,) int32, where the puzzles of each group begin

A group is a task with all its augmentations. The tokens of a real folder take several GB: they are
memory-mapped, and each example is read and checked when it is needed. The indices are read and
checked as a whole; of puzzles on a grid also all tokens, and the rule for the first example of each
group.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.data.invalid import InvalidItems
from arc_trm.data.puzzle_ids import parse_puzzle_name, read_puzzle_ids
from arc_trm.data.readers import json_file
from arc_trm.errors import UserError, format_value
from arc_trm.io import read_json
from arc_trm.puzzles import KINDS, SEPARATOR, grid_kinds
from arc_trm.puzzles.base import LazySequence, Tokens
from arc_trm.tasks import DEFAULT_KIND, PuzzleArray, TaskSet
from submission.content import file_content

IDENTIFIERS, TEST_PUZZLES, DATASET = "identifiers.json", "test_puzzles.json", "dataset.json"
SPLITS = ("train", "test")
INPUTS, LABELS = "all__inputs.npy", "all__labels.npy"
PUZZLE_IDS = "all__puzzle_identifiers.npy"
PUZZLE_STARTS = "all__puzzle_indices.npy"
GROUP_STARTS = "all__group_indices.npy"
FINGERPRINT_EXAMPLES = 1000
REBUILD = "copy, download or build the folder again"


def matches(path: Path) -> bool:
    """Return whether a folder is in the published trainer's format, even if files are missing."""
    if any(os.path.isfile(path / split / DATASET) for split in SPLITS):
        return True
    named = os.path.isfile(path / IDENTIFIERS)
    return named and any(os.path.isdir(path / split) for split in SPLITS)


def read(path: Path) -> TaskSet:
    """Read the tasks to predict: test_puzzles.json, or the test examples of grid puzzles."""
    challenges, split = path / TEST_PUZZLES, path / "test"
    if os.path.isfile(challenges):
        tasks = json_file.read(file_content(challenges), InvalidItems())
        if not isinstance(tasks, TaskSet):
            raise UserError(f"{challenges} is a solutions file, expected tasks: {REBUILD}")
        return tasks
    if not _has_grid_puzzles(split):
        raise UserError(_missing_tasks(path))
    dataset = _read_dataset(split / DATASET)
    inputs, labels = _examples(split, dataset["seq_len"])
    return _puzzles(split, dataset["vocab_size"], inputs, labels, np.arange(len(inputs)))


def _missing_tasks(folder: Path) -> str:
    """Return the error message for a folder without anything to predict."""
    try:
        trains_grid = _has_grid_puzzles(folder / "train")
    except UserError:  # other damage is not what this message is about
        trains_grid = False
    if not trains_grid:
        return (
            f"{folder} is in the published trainer's format but has no {TEST_PUZZLES}, so there "
            "are no ARC tasks in it to predict, score or show: copy the whole folder"
        )
    if os.path.isfile(folder / "test" / DATASET):
        return f"{folder} has train and test data of different vocab_size: {REBUILD}"
    return f"{folder} has no test/{DATASET}, so there is nothing in it to predict"


def _has_grid_puzzles(split: Path) -> bool:
    """Return whether a split has the vocabulary of a kind of grid puzzles."""
    path = split / DATASET
    return os.path.isfile(path) and bool(grid_kinds(_read_dataset(path)["vocab_size"]))


def _examples(split: Path, seq_len: int) -> tuple[Tokens, Tokens]:
    """Return input and label tokens of a split, (N, seq_len) each, memory-mapped."""
    paths = [_file(split.parent, f"{split.name}/{name}") for name in (INPUTS, LABELS)]
    inputs, labels = (_map(path, np.uint8, 2) for path in paths)
    for path, tokens in zip(paths, (inputs, labels), strict=True):
        if tokens.shape != (len(inputs), seq_len) or not len(inputs):
            raise UserError(
                f"{path} is of shape {tokens.shape}, expected as many examples as {INPUTS}, at "
                f"least one, of {seq_len} tokens (seq_len of {DATASET}): {REBUILD}"
            )
    return inputs, labels


def _puzzles(
    split: Path,
    vocab_size: int,
    inputs: Tokens,
    labels: Tokens,
    indices: npt.NDArray[np.integer[Any]],
) -> PuzzleArray:
    """Return the examples of a split at `indices` as puzzles, validated by their rule.

    Of the kinds with its vocabulary, the first that has puzzles of this size is chosen. No token
    may be PAD. A puzzle's id is its position among the indices, from 1.
    """
    side = math.isqrt(inputs.shape[1])
    kinds = grid_kinds(vocab_size)
    sized = (kind for kind in kinds if kind.vocab_size(side) == vocab_size)
    kind = next((kind for kind in sized if not kind.side_error(side)), None)
    if side * side != inputs.shape[1] or kind is None:
        raise UserError(
            f"{split / DATASET} says {inputs.shape[1]} cells (seq_len) and {vocab_size} tokens "
            f"(vocab_size), which no {kinds[0].name} has: {REBUILD}"
        )
    for name, tokens in ((INPUTS, inputs), (LABELS, labels)):
        if tokens.min() < 1 or tokens.max() > kind.num_values(side):
            raise UserError(
                f"{split / name} has tokens from {tokens.min()} to {tokens.max()}, expected 1 to "
                f"{kind.num_values(side)} as of a {kind.name}: {REBUILD}"
            )
    questions, answers = (
        (tokens[indices] - 1).reshape(-1, side, side) for tokens in (inputs, labels)
    )
    puzzles = PuzzleArray(str(split), kind.name, questions, answers)
    faults = kind.validate(puzzles.questions, puzzles.answers, puzzles.known)
    for index, fault in zip(indices.tolist(), faults, strict=True):
        if fault:
            raise UserError(f"{split}, example {index} (from 0): {fault}; {REBUILD}")
    return puzzles


@dataclass(frozen=True, eq=False)
class PrebuiltDataset(LazySequence["PrebuiltGroup"]):
    """The training examples of a folder, as groups. `open_prebuilt` is its constructor."""

    folder: Path
    names: list[str]
    """The name of every puzzle id."""
    seq_len: int
    vocab_size: int
    inputs: Tokens
    """Memory map (N, S), as `labels`."""
    labels: Tokens
    puzzle_ids: npt.NDArray[np.int32]
    """(P,)"""
    puzzle_starts: npt.NDArray[np.int32]
    """(P + 1,); the examples of puzzle p are `puzzle_starts[p]` up to `puzzle_starts[p + 1]`."""
    group_starts: npt.NDArray[np.int32]
    """(G + 1,); the puzzles of group g are `group_starts[g]` up to `group_starts[g + 1]`."""

    @cached_property
    def _groups(self) -> list[PrebuiltGroup]:
        """All groups. Raises UserError if puzzles of one differ in their number of examples."""
        counts = np.diff(self.puzzle_starts)
        expected = np.repeat(counts[self.group_starts[:-1]], np.diff(self.group_starts))
        if len(different := np.flatnonzero(counts != expected)):
            puzzle = int(different[0])
            group = int(np.searchsorted(self.group_starts, puzzle, side="right")) - 1
            first = self.names[self.puzzle_ids[self.group_starts[group]]]
            raise UserError(
                f"{self.folder / 'train' / PUZZLE_STARTS}: in the group of "
                f"{format_value(first)} (number "
                f"{group} from 0) that puzzle has {expected[puzzle]} examples, but "
                f"{format_value(self.names[self.puzzle_ids[puzzle]])} has {counts[puzzle]}: "
                "only groups whose "
                "puzzles have equally many can be sampled; build the folder again"
            )
        return [PrebuiltGroup(self, start, stop) for start, stop in pairwise(self.group_starts)]

    def at(self, index: int) -> PrebuiltGroup:
        return self._groups[index]

    def __len__(self) -> int:
        return len(self._groups)

    @cached_property
    def grid_puzzles(self) -> PuzzleArray | None:
        """The first example of every group, which is the puzzle itself; None for ARC tasks.

        Raises UserError if one breaks the rule, or any example has a token of no value.
        """
        if not grid_kinds(self.vocab_size):
            return None
        first = self.group_starts[:-1]
        starts, ends = self.puzzle_starts[first], self.puzzle_starts[first + 1]
        indices = starts[starts < ends]  # some puzzles have no example
        return _puzzles(self.folder / "train", self.vocab_size, self.inputs, self.labels, indices)

    def pairs_per_task(self) -> dict[str, int]:
        """Return the number of training pairs of each task, by the id of the task."""
        pairs: dict[str, int] = {}
        for group in self:
            task_id = self.names[group.puzzle_id(0)].partition(SEPARATOR)[0]
            pairs[task_id] = max(group.num_pairs, pairs.get(task_id, 0))
        return pairs

    def example(self, index: int) -> tuple[Tokens, Tokens]:
        """Return input and label tokens, (S,) uint8 each. Raises UserError if one is invalid."""
        for name, array in ((INPUTS, self.inputs), (LABELS, self.labels)):
            if (largest := array[index].max()) >= self.vocab_size:
                raise UserError(
                    f"{self.folder / 'train' / name}, row {index} (from 0) holds the token "
                    f"{largest}, expected less than the vocab_size of {self.vocab_size}: {REBUILD}"
                )
        return self.inputs[index], self.labels[index]

    def fingerprint(self) -> str:
        """Return a SHA-256 of names, indices and a sample of the tokens."""
        digest = hashlib.sha256()
        for path in (self.folder / IDENTIFIERS, self.folder / "train" / DATASET):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for indices in (self.puzzle_ids, self.puzzle_starts, self.group_starts):
            digest.update(hashlib.sha256(indices.tobytes()).digest())
        stride = math.ceil(len(self.inputs) / FINGERPRINT_EXAMPLES)
        for tokens in (self.inputs, self.labels):
            digest.update(repr(tokens.shape).encode())
            digest.update(tokens[::stride].tobytes())
        return digest.hexdigest()


class PrebuiltGroup:
    """The puzzles `start` up to `stop` of a folder: one task with all its augmentations."""

    def __init__(self, dataset: PrebuiltDataset, start: int, stop: int) -> None:
        self.dataset, self.start, self.stop = dataset, int(start), int(stop)
        first, end = dataset.puzzle_starts[self.start : self.start + 2]
        self.num_pairs = int(end - first)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def seq_len(self) -> int:
        return self.dataset.seq_len

    def puzzle_id(self, puzzle: int) -> int:
        return int(self.dataset.puzzle_ids[self.start + puzzle])

    def augmentation_code(self, puzzle: int) -> Tokens | None:
        return None

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        """Return an example; offsets are fixed in the arrays, so `offset_seed` has no effect."""
        return self.dataset.example(int(self.dataset.puzzle_starts[self.start + puzzle]) + pair)


class ComposedGroup:
    """A group of a folder as a composed puzzle embedding knows it: task and augmentations.

    Args:
        group: of the folder.
        ids, codes: what each puzzle id of the folder becomes: that of the task (N,), and the code
            of the augmentation (N, A).
    """

    def __init__(self, group: PrebuiltGroup, ids: npt.NDArray[np.int64], codes: Tokens) -> None:
        self._group, self._ids, self._codes = group, ids, codes
        self.num_pairs, self.seq_len = group.num_pairs, group.seq_len

    def __len__(self) -> int:
        return len(self._group)

    def puzzle_id(self, puzzle: int) -> int:
        return int(self._ids[self._group.puzzle_id(puzzle)])

    def augmentation_code(self, puzzle: int) -> Tokens | None:
        code: Tokens = self._codes[self._group.puzzle_id(puzzle)]
        return code

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        return self._group.example(puzzle, pair, offset_seed)


def compose_ids(dataset: PrebuiltDataset) -> tuple[list[ComposedGroup], list[str]]:
    """Return the groups of a folder, and the name of every puzzle id: `<blank>` and the tasks.

    Raises:
        UserError: the name of an augmentation is invalid.
    """
    kind = KINDS[DEFAULT_KIND]
    tasks: dict[str, int] = {}
    ids, codes = [], []
    for name in dataset.names:
        try:
            task_id, augmentation = parse_puzzle_name(kind, name)
        except ValueError as error:
            raise UserError(f"{dataset.folder / IDENTIFIERS}: {error}; {REBUILD}") from None
        ids.append(tasks.setdefault(task_id, len(tasks)))
        codes.append(kind.augmentation_code(augmentation))
    arrays = np.array(ids), np.stack(codes)
    return [ComposedGroup(group, *arrays) for group in dataset], list(tasks)


def open_prebuilt(folder: Path) -> PrebuiltDataset:
    """Open the training examples of a folder without reading their tokens.

    Raises:
        UserError: a file is missing, damaged or does not fit the others.
    """
    # Small files first, which show sooner whether the folder is incomplete.
    dataset_path = _file(folder, f"train/{DATASET}")
    dataset = _read_dataset(dataset_path)
    ids_path = _file(folder, f"train/{PUZZLE_IDS}")
    puzzles_path = _file(folder, f"train/{PUZZLE_STARTS}")
    groups_path = _file(folder, f"train/{GROUP_STARTS}")
    names = read_puzzle_ids(_file(folder, IDENTIFIERS))
    if len(names) != dataset["num_puzzle_identifiers"]:
        raise UserError(
            f"{folder / IDENTIFIERS} has {len(names)} names, but {dataset_path} says "
            f"num_puzzle_identifiers {dataset['num_puzzle_identifiers']}: the two must come from "
            f"one build; {REBUILD}"
        )
    seq_len, vocab_size = dataset["seq_len"], dataset["vocab_size"]
    inputs, labels = _examples(folder / "train", seq_len)
    for tokens in (inputs, labels):
        _expect_random_reads(tokens)
    puzzle_ids = np.array(_map(ids_path, np.int32, 1))
    puzzle_starts = np.array(_map(puzzles_path, np.int32, 1))
    group_starts = np.array(_map(groups_path, np.int32, 1))
    num_puzzles = len(puzzle_starts) - 1
    _check_starts(puzzles_path, puzzle_starts, len(inputs), "examples")
    _check_starts(groups_path, group_starts, num_puzzles, "puzzles")
    if not (np.diff(group_starts) > 0).all():
        raise UserError(f"{groups_path} has a group without a puzzle: {REBUILD}")
    if len(puzzle_ids) != num_puzzles:
        raise UserError(
            f"{ids_path} has {len(puzzle_ids)} puzzles, but {PUZZLE_STARTS} has {num_puzzles}: "
            f"{REBUILD}"
        )
    if len(outside := np.flatnonzero((puzzle_ids < 0) | (puzzle_ids >= len(names)))):
        raise UserError(
            f"{ids_path} gives puzzle {outside[0]} (from 0) the id {puzzle_ids[outside[0]]}, "
            f"expected one of the {len(names)} in {IDENTIFIERS}: {REBUILD}"
        )
    arrays = (inputs, labels, puzzle_ids, puzzle_starts, group_starts)
    return PrebuiltDataset(folder, names, seq_len, vocab_size, *arrays)


def _file(folder: Path, name: str) -> Path:
    if not os.path.isfile(folder / name):
        raise UserError(
            f"{folder} has no {name}, which belongs to the published trainer's format: {REBUILD}"
        )
    return folder / name


def _read_dataset(path: Path) -> dict[str, Any]:
    """Read and check a dataset.json."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object with the dataset's numbers: {REBUILD}")
    for key in ("seq_len", "vocab_size", "num_puzzle_identifiers"):
        number = content.get(key)
        if type(number) is not int or number < 1:
            raise UserError(f"{path} needs a whole number above 0 under {key!r}: {REBUILD}")
    for key, expected in (("ignore_label_id", 0), ("sets", ["all"])):
        if content.get(key) != expected:
            raise UserError(
                f"{path} needs {expected!r} under {key!r}, as the published builder writes it: "
                "build the data with that builder"
            )
    return content


def _map(path: Path, kind: type[np.generic], dimensions: int) -> Any:
    """Map a .npy file into memory, read-only, without running code from it."""
    try:
        # Unlike np.load, this opens no archives and no pickles.
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy raises many types here, for the same reason
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is not a whole .npy file of plain numbers ({reason}): {REBUILD}"
        ) from None
    if array.dtype != kind or array.ndim != dimensions:
        raise UserError(
            f"{path} holds {array.dtype} of {array.ndim} dimensions, expected "
            f"{np.dtype(kind)} of {dimensions}: {REBUILD}"
        )
    return array


def _expect_random_reads(mapped: npt.NDArray[Any]) -> None:
    """Advise the operating system not to read ahead, which costs megabytes per example."""
    if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        mapped.base.madvise(mmap.MADV_RANDOM)


def _check_starts(path: Path, starts: npt.NDArray[np.int32], total: int, what: str) -> None:
    """Raise UserError unless `starts` rises from 0 to `total`."""
    if not len(starts) or starts[0] != 0:
        raise UserError(f"{path} does not start at 0: {REBUILD}")
    if len(falling := np.flatnonzero(starts[1:] < starts[:-1])):
        index = falling[0] + 1
        raise UserError(
            f"{path} decreases from {starts[index - 1]} to {starts[index]} at {index}: {REBUILD}"
        )
    if starts[-1] != total:
        raise UserError(f"{path} ends at {starts[-1]}, but there are {total} {what}: {REBUILD}")
