"""The published trainer's folder format: examples that are augmented and encoded already.

    identifiers.json                  the names of all rows, `<blank>` first
    test_puzzles.json                 the tasks to predict, with their outputs (ARC only)
    train/, test/
        dataset.json                  cells, vocabulary, number of names
        all__inputs.npy               (examples, S) uint8 tokens
        all__labels.npy               (examples, S) uint8 tokens, 0 where nothing is asked
        all__puzzle_identifiers.npy   (puzzles,) int32, the row of each puzzle
        all__puzzle_indices.npy       (puzzles + 1,) int32, where each puzzle's examples begin
        all__group_indices.npy        (groups + 1,) int32, where each group's puzzles begin

A group is a task with all its augmentations. The tokens of a real folder take several GB: they are
memory-mapped, read example by example and checked then. The indices are read and checked whole, and
of Sudokus and mazes all tokens and the rule of the first example of each group.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arc_trm.data.puzzle_ids import read_puzzle_ids
from arc_trm.errors import UserError
from arc_trm.puzzles import Board, of_vocab_size
from arc_trm.puzzles.arc.kind import SEPARATOR
from arc_trm.puzzles.base import Tokens
from arc_trm.tasks import Boards
from submission import read_json

IDENTIFIERS, TEST_PUZZLES, DATASET = "identifiers.json", "test_puzzles.json", "dataset.json"
PARTS = ("train", "test")
INPUTS, LABELS = "all__inputs.npy", "all__labels.npy"
ROWS, PUZZLE_STARTS, GROUP_STARTS = (
    *("all__puzzle_identifiers.npy", "all__puzzle_indices.npy"),
    "all__group_indices.npy",
)
MARKED_EXAMPLES = 1000
AGAIN = "copy, download or build the folder again"


def is_built(folder: Path) -> bool:
    """Whether a folder is meant to be one of the published trainer, whole or not."""
    if any(os.path.isfile(folder / part / DATASET) for part in PARTS):
        return True
    named = os.path.isfile(folder / IDENTIFIERS)
    return named and any(os.path.isdir(folder / part) for part in PARTS)


def tasks_file(folder: Path) -> Path | None:
    """The file with the tasks of a built folder; None if it is of Sudokus or mazes."""
    if os.path.isfile(folder / TEST_PUZZLES):
        return folder / TEST_PUZZLES
    if _board(folder, "test") is None:
        lacking = (
            f"{folder} is in the published trainer's format but has no {TEST_PUZZLES}, so there "
            "are no ARC tasks in it to predict, score or show: copy the whole folder"
        )
        with suppress(UserError):  # whatever else is wrong with it
            if _board(folder, "train") is not None:
                lacking = f"{folder} has no test/{DATASET}, so there is nothing in it to predict"
                if os.path.isfile(folder / "test" / DATASET):
                    lacking = f"{folder} has halves of different vocab_size: {AGAIN}"
        raise UserError(lacking)
    return None


def _board(folder: Path, part: str) -> Board | None:
    """Of which kind other than ARC the puzzles of a built folder are, by their vocabulary."""
    path = folder / part / DATASET
    if not os.path.isfile(path):
        return None
    domain = of_vocab_size(_read_dataset(path)["vocab_size"])
    return domain if isinstance(domain, Board) else None


def read_built_boards(folder: Path) -> Boards:
    """The puzzles of the test half of a built folder of Sudokus or mazes.

    A puzzle's row is the place of its example, counted from 1. Raises UserError if they do not
    read or there are none.
    """
    board = _board(folder, "test")
    assert board is not None, "`tasks_file` has looked"
    cells = _read_dataset(folder / "test" / DATASET)["seq_len"]
    inputs, labels = _examples(folder / "test", cells)
    return _boards(folder / "test", board, inputs, labels, np.arange(len(inputs)))


def _examples(half: Path, cells: int) -> tuple[Tokens, Tokens]:
    """Input and label tokens of a half of a built folder, (N, cells) each, mapped into memory."""
    inputs, labels = (
        _map(_file(half.parent, f"{half.name}/{name}"), np.uint8, 2) for name in (INPUTS, LABELS)
    )
    for name, tokens in ((INPUTS, inputs), (LABELS, labels)):
        if tokens.shape != (len(inputs), cells) or not len(inputs):
            raise UserError(
                f"{half / name} is of shape {tokens.shape}, expected at least one example, as many "
                f"as in {INPUTS}, of the {cells} tokens that {DATASET} says (seq_len): {AGAIN}"
            )
    return inputs, labels


def _boards(
    half: Path, board: Board, inputs: Tokens, labels: Tokens, places: npt.NDArray[np.integer[Any]]
) -> Boards:
    """The examples at some places of a half of a built folder, checked by the rule.

    No token of any example may be that of no value. Raises UserError naming what is wrong.
    """
    side = math.isqrt(inputs.shape[1])
    if side * side != inputs.shape[1] or board.wrong_size(side):
        raise UserError(
            f"{half / DATASET} says {inputs.shape[1]} tokens (seq_len), which no {board.name} has: "
            f"{AGAIN}"
        )
    for name, tokens in ((INPUTS, inputs), (LABELS, labels)):
        if tokens.min() < 1 or tokens.max() > board.values(side):
            raise UserError(
                f"{half / name} holds tokens from {tokens.min()} to {tokens.max()}, expected 1 to "
                f"{board.values(side)} as of a {board.name}: {AGAIN}"
            )
    questions, answers = ((each[places] - 1).reshape(-1, side, side) for each in (inputs, labels))
    boards = Boards(board.name, questions, answers)
    for place, text in zip(
        places.tolist(),
        board.problems(boards.questions, boards.answers, boards.known),
        strict=True,
    ):
        if text:
            raise UserError(f"{half}, example {place} (from 0): {text}; {AGAIN}")
    return boards


@dataclass(frozen=True, eq=False)
class Built:
    """The training half of a built folder. `open_built` makes and checks it.

    `names` has the name of every row. `inputs` and `labels` are memory maps (N, `cells`) uint8.
    `rows` (P,) int32 is the row of each puzzle; its examples are `puzzle_starts[p]` up to
    `puzzle_starts[p + 1]`, the puzzles of group g `group_starts[g]` up to `group_starts[g + 1]`.
    """

    folder: Path
    names: list[str]
    cells: int
    vocabulary: int
    inputs: Tokens
    labels: Tokens
    rows: npt.NDArray[np.int32]
    puzzle_starts: npt.NDArray[np.int32]
    group_starts: npt.NDArray[np.int32]

    def groups(self) -> list[BuiltGroup]:
        """All groups in the order of the file, as `arc_trm.data.sampler` draws from them.

        Raises UserError if puzzles of one group differ in their number of examples.
        """
        counts = np.diff(self.puzzle_starts)
        expected = np.repeat(counts[self.group_starts[:-1]], np.diff(self.group_starts))
        if len(different := np.flatnonzero(counts != expected)):
            puzzle = int(different[0])
            group = int(np.searchsorted(self.group_starts, puzzle, side="right")) - 1
            first = self.names[self.rows[self.group_starts[group]]]
            raise UserError(
                f"{self.folder / 'train' / PUZZLE_STARTS}: in the group of {first!r} (number "
                f"{group} from 0) that puzzle has {expected[puzzle]} examples, but "
                f"{self.names[self.rows[puzzle]]!r} has {counts[puzzle]}: only groups whose "
                "puzzles have equally many can be sampled; build the folder again"
            )
        return [BuiltGroup(self, start, stop) for start, stop in pairwise(self.group_starts)]

    @cached_property
    def first_boards(self) -> Boards | None:
        """Of every group the first example, which is the puzzle itself; None if they are of ARC.

        Raises UserError if one breaks the rule, or any example holds a token of no value.
        """
        board = of_vocab_size(self.vocabulary)
        if not isinstance(board, Board):
            return None
        starts = self.puzzle_starts[self.group_starts[:-1]]
        places = starts[starts < self.puzzle_starts[self.group_starts[:-1] + 1]]  # some have none
        return _boards(self.folder / "train", board, self.inputs, self.labels, places)

    def pairs_of_tasks(self) -> dict[str, int]:
        """How many pairs of each task are learnt from, by the id of the task."""
        pairs: dict[str, int] = {}
        for group in self.groups():
            task_id = self.names[group.row(0)].partition(SEPARATOR)[0]
            pairs[task_id] = max(group.pairs, pairs.get(task_id, 0))
        return pairs

    def example(self, number: int) -> tuple[Tokens, Tokens]:
        """Tokens of an input and its labels, (S,) uint8 each.

        Raises UserError if one is outside the vocabulary.
        """
        for name, array in ((INPUTS, self.inputs), (LABELS, self.labels)):
            largest = array[number].max()
            if largest >= self.vocabulary:
                raise UserError(
                    f"{self.folder / 'train' / name}, row {number} (from 0) holds the token "
                    f"{largest}, expected less than the vocab_size of {self.vocabulary}: {AGAIN}"
                )
        return self.inputs[number], self.labels[number]

    def mark(self) -> str:
        """SHA-256 by which the data is known again: names, indices and a sample of the tokens."""
        digest = hashlib.sha256()
        for path in (self.folder / IDENTIFIERS, self.folder / "train" / DATASET):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        for indices in (self.rows, self.puzzle_starts, self.group_starts):
            digest.update(hashlib.sha256(indices.tobytes()).digest())
        stride = -(-len(self.inputs) // MARKED_EXAMPLES)
        for tokens in (self.inputs, self.labels):
            digest.update(repr(tokens.shape).encode())
            digest.update(tokens[::stride].tobytes())
        return digest.hexdigest()


class BuiltGroup:
    """The puzzles `start` up to `stop` of a built folder: one task with all its augmentations."""

    def __init__(self, built: Built, start: int, stop: int) -> None:
        self.built, self.start, self.stop = built, int(start), int(stop)
        first, end = built.puzzle_starts[self.start : self.start + 2]
        self.pairs = int(end - first)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def cells(self) -> int:
        return self.built.cells

    def row(self, puzzle: int) -> int:
        return int(self.built.rows[self.start + puzzle])

    def example(self, puzzle: int, pair: int, place: int | None) -> tuple[Tokens, Tokens]:
        """As `Built.example`; `place` does not matter, for the offsets are in the arrays."""
        return self.built.example(int(self.built.puzzle_starts[self.start + puzzle]) + pair)


def open_built(folder: Path) -> Built:
    """Open the training half of a built folder; the examples' tokens are not looked at.

    Takes little more memory than the names. Raises UserError, each
    one sentence, if a file is missing, damaged or does not fit the others.
    """
    # The small files first: they say soonest that a folder is not whole.
    dataset_path = _file(folder, f"train/{DATASET}")
    dataset = _read_dataset(dataset_path)
    paths = {name: _file(folder, f"train/{name}") for name in (ROWS, PUZZLE_STARTS, GROUP_STARTS)}
    names = read_puzzle_ids(_file(folder, IDENTIFIERS))
    if len(names) != dataset["num_puzzle_identifiers"]:
        raise UserError(
            f"{folder / IDENTIFIERS} has {len(names)} names, but {dataset_path} says "
            f"num_puzzle_identifiers {dataset['num_puzzle_identifiers']}: the two must come from "
            f"one build; {AGAIN}"
        )
    cells = dataset["seq_len"]
    inputs, labels = _examples(folder / "train", cells)
    for tokens in (inputs, labels):
        _expect_random_reads(tokens)
    rows, puzzle_starts, group_starts = (
        np.array(_map(paths[name], np.int32, 1)) for name in (ROWS, PUZZLE_STARTS, GROUP_STARTS)
    )
    _check_starts(paths[PUZZLE_STARTS], puzzle_starts, len(inputs), "examples")
    _check_starts(paths[GROUP_STARTS], group_starts, len(puzzle_starts) - 1, "puzzles")
    if not (np.diff(group_starts) > 0).all():
        raise UserError(f"{paths[GROUP_STARTS]} has a group without a puzzle: {AGAIN}")
    if len(rows) != len(puzzle_starts) - 1:
        raise UserError(
            f"{paths[ROWS]} has {len(rows)} puzzles, but {PUZZLE_STARTS} has "
            f"{len(puzzle_starts) - 1}: {AGAIN}"
        )
    outside = np.flatnonzero((rows < 0) | (rows >= len(names)))
    if len(outside):
        raise UserError(
            f"{paths[ROWS]} gives puzzle {outside[0]} (from 0) the row {rows[outside[0]]}, "
            f"expected one of the {len(names)} in {IDENTIFIERS}: {AGAIN}"
        )
    return Built(
        *(folder, names, cells, dataset["vocab_size"]),
        inputs,
        labels,
        *(rows, puzzle_starts, group_starts),
    )


def _file(folder: Path, name: str) -> Path:
    if not os.path.isfile(folder / name):
        raise UserError(
            f"{folder} has no {name}, which belongs to the published trainer's format: {AGAIN}"
        )
    return folder / name


def _read_dataset(path: Path) -> dict[str, Any]:
    """The numbers of a dataset.json that matter here."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object with the dataset's numbers: {AGAIN}")
    for key in ("seq_len", "vocab_size", "num_puzzle_identifiers"):
        number = content.get(key)
        if type(number) is not int or number < 1:
            raise UserError(f"{path} needs a whole number above 0 under {key!r}: {AGAIN}")
    for key, expected in (("ignore_label_id", 0), ("sets", ["all"])):
        if content.get(key) != expected:
            raise UserError(
                f"{path} needs {expected!r} under {key!r}, as the published builders write it: "
                "data built otherwise cannot be read"
            )
    return content


def _map(path: Path, kind: type[np.generic], dimensions: int) -> Any:
    """A .npy file mapped into memory, read-only; whatever it says, nothing in it is run."""
    try:
        # What np.load does for mmap_mode, but for .npy files alone: no archives, no pickles.
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy raises many kinds here, all meaning the same to a user
        raise UserError(
            f"{path} is not a whole .npy file of plain numbers ({_one_line(error)}): {AGAIN}"
        ) from None
    if array.dtype != kind or array.ndim != dimensions:
        raise UserError(
            f"{path} holds {array.dtype} of {array.ndim} dimensions, expected "
            f"{np.dtype(kind)} of {dimensions}: {AGAIN}"
        )
    return array


def _expect_random_reads(mapped: npt.NDArray[Any]) -> None:
    """Keep the system from reading megabytes around every example, in the end the whole file."""
    if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        mapped.base.madvise(mmap.MADV_RANDOM)


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0]


def _check_starts(path: Path, starts: npt.NDArray[np.int32], total: int, what: str) -> None:
    if not len(starts) or starts[0] != 0:
        raise UserError(f"{path} does not start at 0: {AGAIN}")
    if len(falling := np.flatnonzero(starts[1:] < starts[:-1])):
        at = falling[0] + 1
        raise UserError(f"{path} decreases from {starts[at - 1]} to {starts[at]} at {at}: {AGAIN}")
    if starts[-1] != total:
        raise UserError(f"{path} ends at {starts[-1]}, but there are {total} {what}: {AGAIN}")
