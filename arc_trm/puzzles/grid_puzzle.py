"""Puzzles on a square grid with a rule that decides which answers are valid, as Sudokus and mazes.

A new kind subclasses `GridPuzzle` and registers an instance (docs/how-to/add-a-puzzle-kind.md).
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.callbacks import Progress, ignore
from arc_trm.config import DataConfig, ModelConfig
from arc_trm.errors import UserError, pluralise
from arc_trm.puzzles.base import (
    IDENTITY,
    PAD,
    Augmentation,
    AugmentationList,
    Flags,
    Oddity,
    PuzzleKind,
    Tokens,
    TrainingTasks,
)
from arc_trm.rng import rng_for
from arc_trm.tasks import Grid, Pair, PuzzleArray, Task, TaskSet, as_grid
from submission import Ranked, Rate, RateName, Scored
from submission.formats import MAX_SIDE
from submission.scoring import Counts, format_percent, format_rate, rate_table

EXACT: RateName = ("exact",)
VALID: RateName = ("valid",)
VALIDATION_BATCH_SIZE = 10_000  # answers that are validated at once
SOLVED_AT_ONCE = 2000  # puzzles between two reports of progress
MAX_HELD_OUT = 10_000
"""Puzzles that are held out for validation unless their number is set: no evaluation has time for
more, and a file may have millions."""


@dataclass(frozen=True)
class PuzzleScore:
    """How many puzzles of a set were answered exactly and validly.

    A puzzle without an answer is neither.
    """

    kind: GridPuzzle
    task_ids: Sequence[str]
    known: Flags
    """(N,), whether the answer of each puzzle is known."""
    exact: Flags
    """(N,), whether every cell is as in the known answer."""
    valid: Flags
    """(N,), whether the answer follows the rule."""
    answered: Flags
    """(N,), whether there is an answer."""
    selected_by: str = ""
    """The rule that selected each answer among several; "" if there was one."""

    noun: ClassVar[str] = "puzzle"
    deciding: ClassVar[RateName] = EXACT
    headline: ClassVar[RateName] = EXACT

    @property
    def rates(self) -> dict[RateName, Rate]:
        """Rates by name; "exact" only where answers are known."""
        return {
            name: Rate(int(solved.sum()), int(total.sum()))
            for name, (solved, total) in self.counts().items()
        }

    @property
    def labels(self) -> dict[RateName, str]:
        """A description of each rate, by its name."""
        return {EXACT: "every cell as in the known answer, as published", VALID: self.kind.rule}

    def counts(self) -> dict[RateName, Counts]:
        """Return solved and total (N,) per puzzle for each rate."""
        ones = np.ones(len(self.task_ids))
        counts = {VALID: (self.valid.astype(np.float64), ones)}
        if self.known.any():
            exact = (self.exact & self.known).astype(np.float64), self.known.astype(np.float64)
            counts = {EXACT: exact, **counts}
        return counts

    @property
    def notes(self) -> list[str]:
        """At most one sentence: how many puzzles have an answer, if not all have."""
        total, answered = len(self.task_ids), int(self.answered.sum())
        if answered == total:
            return []
        sentence = f"{answered} of {pluralise(total, 'puzzle')} have an answer"
        if answered:
            rates = [
                (name, Rate(int(solved.sum()), int(counted[self.answered].sum())))
                for name, (solved, counted) in self.counts().items()
                if counted[self.answered].any()  # the right answers to these may be unknown
            ]
            shares = ", ".join(
                f"{name[0]} {format_rate(rate)} {format_percent(rate.value)}"
                for name, rate in rates
            )
            sentence += f", the others count as wrong; of the answered ones {shares}"
        return [sentence]

    def lines(self) -> list[str]:
        """Return the score as text for a person."""
        return [*rate_table(self), *self.notes]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def to_dict(self) -> dict[str, Any]:
        """Return the score as plain JSON."""
        flags = (self.known.tolist(), self.exact.tolist(), self.valid.tolist())
        tasks = {
            task_id: {"exact": exact if known else None, "valid": valid}
            for task_id, known, exact, valid in zip(self.task_ids, *flags, strict=True)
        }
        return {
            "kind": self.kind.name,
            "puzzles": len(self.task_ids),
            "answered": int(self.answered.sum()),
            "selected_by": self.selected_by or None,
            **{name[0]: rate.to_dict() for name, rate in self.rates.items()},
            "tasks": tasks,
        }


class _Augmentations(AugmentationList):
    """Augmentations 1, 2, ... of a puzzle, each sampled from the seed when it is looked up."""

    def __init__(self, kind: GridPuzzle, side: int, key: tuple[int, int], count: int) -> None:
        self._kind, self._side, self._key, self._count = kind, side, key, count

    def __len__(self) -> int:
        return self._count

    def at(self, index: int) -> Augmentation:
        seed, puzzle = self._key
        rng = rng_for(seed, "augmentation", puzzle, index + 1)
        return self._kind.augmentation(index + 1, self._side, rng)


class GridPuzzle(PuzzleKind):
    """A kind of puzzle whose grids fill the canvas and whose answers follow a rule.

    A cell's token is its value + 1. Questions and answers are (N, side, side) uint8 values.
    """

    first_value_token: ClassVar[int] = 1
    embeds_tasks: ClassVar[bool] = False
    quick_preset: ClassVar[str] = "maze-quick-published"
    numbered: ClassVar[bool] = True
    has_rule: ClassVar[bool] = True
    best_metrics: ClassVar[tuple[str, ...]] = ("exact", "valid", "cell_accuracy")
    max_augmentations: ClassVar[int | None] = None
    """Number of augmentations of a puzzle besides itself; None is too many to count."""
    rule: ClassVar[str]
    """Definition of a valid answer, as a part of a sentence."""

    # Each kind defines these

    @abstractmethod
    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> Augmentation:
        """Return augmentation `number`, from 1, of a puzzle with that side."""

    @abstractmethod
    def side_error(self, side: int) -> str | None:
        """Return why there are no puzzles with that side, None if there are."""

    @abstractmethod
    def validate(self, questions: Grid, answers: Grid, known: Flags) -> list[str]:
        """Return the first fault of each puzzle, "" for none. Questions are not solved.

        Args:
            questions, answers: (N, side, side) uint8 values.
            known: (N,) bool, whether there is an answer.
        """

    @abstractmethod
    def guess(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """Return answers that follow the rule cell by cell without search, as a baseline."""

    @cached_property
    def characters(self) -> frozenset[str]:
        """Every character that may stand for a cell in a file."""
        return frozenset((*self.symbols, *self.spellings))

    def resembles(self, text: str) -> bool:
        """Return whether the cells of a text, row by row, may be a puzzle of this kind."""
        return self.characters.issuperset(text)

    def notation(self, side: int, characters: Set[str]) -> dict[str, int]:
        """Map the characters that stand for cells in a file to the values of cells.

        Args:
            side: cells per side.
            characters: all characters of the puzzles in the file, by which notations differ.
        """
        values = {symbol: n for n, symbol in enumerate(self.symbols[: self.num_values(side)])}
        spelt = self.spellings.items()
        return {each: values[symbol] for each, symbol in spelt if symbol in values} | values

    def unsolved(self, text: str) -> str:
        """Return the cells of a question as text, given it or its answer, if that shows it."""
        return text

    def is_answer(self, question: str, text: str) -> bool:
        """Return whether a text has the cells of an answer to the question in another text."""
        return text != question and self.unsolved(text) == question

    def solved(self, questions: Grid) -> Flags:
        """Return whether questions (N, side, side) leave nothing to solve, (N,) bool."""
        return np.zeros(len(questions), np.bool_)

    def solve(self, questions: Grid) -> tuple[Grid, Flags]:
        """Solve valid questions, to train on them.

        Returns:
            Answers (N, side, side) uint8, and whether each was found (N,) bool; none is, unless a
            kind has a solver.
        """
        return np.zeros_like(questions), np.zeros(len(questions), np.bool_)

    def num_values(self, side: int) -> int:
        """Return how many values the cells of puzzles with that side have."""
        return len(self.symbols)

    def vocab_size(self, side: int) -> int:
        return 1 + len(self.symbols)

    def usual_side(self, vocab_size: int) -> int | None:
        """Return the default side if it has so many tokens, otherwise the smallest that has."""
        sides = (self.default_side, *range(1, MAX_SIDE + 1))
        fitting = (side for side in sides if self.vocab_size(side) == vocab_size)
        return next((side for side in fitting if not self.side_error(side)), None)

    def side_of(self, tasks: TaskSet) -> int:
        return as_puzzle_array(tasks).side

    @property
    def full_noun(self) -> str:
        """One puzzle in a sentence that names the kind: `Sudoku puzzle`, `maze`."""
        return f"{self.title} puzzle"

    def count_solutions(
        self, questions: Grid, max_guesses: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Return the number of solutions (N,) of valid questions.

        0, 1, 2 for two or more, -1 where counting takes more than `max_guesses` guesses, or more
        than the kind's usual number; 1 where any valid answer is as good as another.
        """
        return np.ones(len(questions), np.int64)

    @property
    def max_views(self) -> int | None:
        return None if self.max_augmentations is None else self.max_augmentations + 1

    def view(self, side: int, number: int) -> Augmentation:
        """Return view `number`, from 0: an augmentation that depends on the number alone."""
        if number == 0:
            return IDENTITY
        return self.augmentation(number, side, rng_for("view", self.name, side, number))

    # Generation; kinds without a generator keep these defaults

    rating_unit: ClassVar[str] = ""
    """Unit of the rating of a generated puzzle; "" if there is no generator."""
    hard_rating: ClassVar[int] = 0
    """The smallest rating of hard puzzles."""
    has_solver: ClassVar[bool] = False
    """Whether `solve` finds answers."""
    has_clues: ClassVar[bool] = False
    """Whether the number of given cells can be chosen."""

    def batch_size(self, side: int) -> int:
        """Return the number of puzzles with that side that are generated at once."""
        return 1000

    def generate(
        self, count: int, side: int, min_rating: int, clues: int, rng: np.random.Generator
    ) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
        """Generate random puzzles.

        Args:
            count: the most puzzles to return.
            side: cells per side.
            min_rating: puzzles with a lower rating may be left out.
            clues: the number of cells to leave given; 0 is as few as possible.
            rng: a generator of random numbers.

        Returns:
            Questions and answers, (K, side, side) uint8, and ratings (K,) int64; K <= `count`.
        """
        raise UserError(f"puzzles of {self.title} cannot be generated: name one of another kind")

    # All of these kinds share these

    def encode(
        self, pair: Pair, side: int, offset: tuple[int, int] = (0, 0)
    ) -> tuple[Tokens, Tokens]:
        if any(grid.shape != (side, side) for grid in pair.grids):
            raise ValueError(f"grids of {pair.input.shape} do not fill a canvas of side {side}")
        question = pair.input.reshape(-1) + 1
        if pair.output is None:
            return question, np.zeros_like(question)
        return question, pair.output.reshape(-1) + 1

    def decode(self, tokens: Tokens) -> Grid | None:
        """Return the grid in predicted tokens, or None if a cell is PAD."""
        side = round(len(tokens) ** 0.5)
        return None if (tokens == PAD).any() else as_grid(tokens.reshape(side, side) - 1)

    def augmentations(self, task: Task, index: int, count: int, seed: int) -> AugmentationList:
        if self.max_augmentations is not None:
            count = min(count, self.max_augmentations)
        return _Augmentations(self, len(task.test[0].input), (seed, index), count)

    def check_model(self, model: ModelConfig, tasks: TaskSet) -> None:
        super().check_model(model, tasks)
        puzzles = as_puzzle_array(tasks)
        if model.canvas != "full":
            raise UserError(
                f'model.canvas = "{model.canvas}" is for kinds whose grids have many sizes, but '
                f"{self.title} fills the full canvas: leave it out"
            )
        if puzzles.side != model.side:
            raise UserError(
                f"{tasks.name} has puzzles with {puzzles.side} cells a side, but the model is for "
                f"{model.side}: name other weights or data"
            )

    def predicted_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        return subsample(self._only_set(sets, "data.test", data.test), data.test_puzzles)

    def validation_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        puzzles = self._only_set(sets, "data.validation", data.validation)
        if not len(puzzles := _with_answers(puzzles)):
            raise UserError(f"no answer in {puzzles.name} is known: name others in data.validation")
        return subsample(puzzles, data.validation_puzzles)

    def _only_set(self, sets: Sequence[TaskSet], key: str, names: Sequence[str]) -> PuzzleArray:
        if len(sets) > 1:
            raise UserError(
                f"{key} is {list(names)}, but puzzles of {self.title} are numbered in each "
                "dataset, so only one of them can be predicted at once: name one"
            )
        return as_puzzle_array(sets[0])

    def training_tasks(
        self,
        sets: Sequence[TaskSet],
        predicted: TaskSet,
        validation: TaskSet,
        data: DataConfig,
        side: int,
    ) -> TrainingTasks:
        arrays = [as_puzzle_array(tasks) for tasks in sets]
        if not arrays:
            raise UserError(f"data.train names no {self.title} to train on: name a dataset")
        size = f"{arrays[0].name} has puzzles with {arrays[0].side} cells a side, but"
        for array in arrays:
            if array.side != arrays[0].side:
                raise UserError(f"{size} {array.name} with {array.side}: train on one size")
        puzzles = self._trainable(PuzzleArray.concatenate(arrays))
        if not len(puzzles):
            raise UserError(f"no answer in {puzzles.name} is known: name others to train on")
        if puzzles.side != side:
            raise UserError(
                f"{size} model.seq_len is {side**2}: add `--set model.seq_len={puzzles.side**2}`"
            )
        for key, others in (("data.test", predicted), ("data.validation", validation)):
            if len(others) and (other := as_puzzle_array(others)).side != side:
                raise UserError(
                    f"{size} {other.name} in {key} with {other.side}: one model answers one size"
                )
        trained, held_out = _split(puzzles, data)
        trained, notes = self._solved(trained)
        if not len(trained):
            raise UserError(f"no puzzle in {puzzles.name} was solved: name others to train on")
        held_out = self._solved(as_puzzle_array(held_out))[0] if len(held_out) else held_out
        return TrainingTasks(trained, held_out, [*predicted.notes, *validation.notes, *notes])

    def trained_part(self, tasks: TaskSet, data: DataConfig) -> TaskSet:
        return _split(self._trainable(as_puzzle_array(tasks)), data)[0]

    def _trainable(self, puzzles: PuzzleArray) -> PuzzleArray:
        """Return the puzzles whose answers are known or can be found."""
        return puzzles if self.has_solver else _with_answers(puzzles)

    def _solved(self, puzzles: PuzzleArray) -> tuple[PuzzleArray, list[str]]:
        """Return the puzzles with answers, found where they are unknown, and a note on these."""
        unknown = np.flatnonzero(~puzzles.known)
        if not len(unknown):
            return puzzles, []
        answers, known = puzzles.answers.copy(), puzzles.known.copy()
        for start in range(0, len(unknown), VALIDATION_BATCH_SIZE):
            batch = unknown[start : start + VALIDATION_BATCH_SIZE]
            answers[batch], known[batch] = self.solve(puzzles.questions[batch])
        found, left = int(known[unknown].sum()), int((~known).sum())
        number = pluralise(found, "puzzle")
        note = f"solved {number} of {puzzles.name} without an answer, to train on them"
        if left:
            note += f", and left out {left} without a single solution that was found"
        return puzzles.with_answers(answers, known), [note]

    def data_settings(self, data: str) -> list[str]:
        """Train on the puzzles of DATA with known answers."""
        others = (f"data.{key}=[]" for key in ("optional_train", "test", "validation"))
        return [f"data.train=[{json.dumps(data)}]", *others]

    def model_settings(self, tasks: TaskSet) -> list[str]:
        """Choose the vocabulary and the size of the puzzles."""
        side = self.side_of(tasks)
        return [f"model.vocab_size={self.vocab_size(side)}", f"model.seq_len={side**2}"]

    def shared_tasks(self, tasks: TaskSet, other: TaskSet) -> dict[str, str]:
        """Map puzzles with the same question."""
        first, second = as_puzzle_array(tasks), as_puzzle_array(other)
        if first.side != second.side:
            return {}
        keys = _question_keys(first)
        other_keys, other_indices = np.unique(_question_keys(second), return_index=True)
        shared = np.flatnonzero(np.isin(keys, other_keys))
        matches = other_indices[np.searchsorted(other_keys, keys[shared])]
        ids = map(str, first.rows[shared].tolist())
        return dict(zip(ids, map(str, second.rows[matches].tolist()), strict=True))

    def training_summary(self, groups: int, puzzles: int) -> str:
        return f"{pluralise(groups, self.full_noun)}, {puzzles} with augmentations"

    def describe(self, tasks: TaskSet) -> dict[str, Any]:
        """Return kind, side, the number of puzzles in the files and of known answers."""
        puzzles = as_puzzle_array(tasks)
        return {
            "kind": self.name,
            "side": puzzles.side,
            "here": len(puzzles),
            "known": int(puzzles.known.sum()),
        }

    def find_oddities(self, tasks: TaskSet, progress: Progress = ignore) -> Iterator[Oddity]:
        """Yield puzzles without a single solution, and those that are there twice."""
        puzzles = as_puzzle_array(tasks)
        counts = np.ones(len(puzzles), np.int64)
        for start in range(0, len(puzzles), SOLVED_AT_ONCE):
            progress(start, len(puzzles))
            batch = slice(start, start + SOLVED_AT_ONCE)
            counts[batch] = self.count_solutions(puzzles.questions[batch])
        progress(len(puzzles), len(puzzles))
        for what, found in (
            ("without a solution", counts == 0),
            ("with more than one solution", counts > 1),
            ("whose solutions take too long to count", counts < 0),
            ("with the question of an earlier one", _repeated(_question_keys(puzzles))),
            ("without a known answer", ~puzzles.known),
        ):
            if found.any():
                yield Oddity(what, list(map(str, puzzles.rows[found].tolist())))

    def prediction_error(self, grid: Grid, task: Task) -> str | None:
        height, width = grid.shape
        side = len(task.test[0].input)
        if (height, width) != (side, side):
            return f"a grid is {height}×{width}, the puzzle {side}×{side}"
        return self.value_error(grid, side)

    def is_valid(self, question: Grid, answer: Grid) -> bool:
        same_shape = answer.shape == question.shape
        return same_shape and self.validate(question[None], answer[None], np.ones(1, bool)) == [""]

    def valid_answers(
        self, questions: Sequence[Grid], answers: Sequence[Grid | None]
    ) -> list[bool | None]:
        known = np.array([each is not None for each in answers], np.bool_)
        if not len(known):
            return []
        filled = [
            question if answer is None else answer
            for question, answer in zip(questions, answers, strict=True)
        ]
        faults = self.validate(np.stack(questions), np.stack(filled), known)
        return [bool(has) and not fault for has, fault in zip(known, faults, strict=True)]

    def score(self, tasks: TaskSet, attempts: Ranked, selected_by: str = "") -> PuzzleScore:
        puzzles = as_puzzle_array(tasks)
        answers, answered = np.zeros_like(puzzles.questions), np.zeros(len(puzzles), np.bool_)
        for index, task_id in enumerate(puzzles.ids):
            candidates = attempts.get(task_id, ((),))[0]
            if len(candidates) and len(candidates[0]):
                answers[index], answered[index] = candidates[0], True
        return self._score(puzzles, answers, answered, selected_by)

    def _score(
        self, puzzles: PuzzleArray, answers: Grid, answered: Flags, selected_by: str = ""
    ) -> PuzzleScore:
        exact = answered & (answers == puzzles.answers).all((1, 2))
        valid = np.zeros(len(puzzles), np.bool_)
        indices = np.flatnonzero(answered)
        for start in range(0, len(indices), VALIDATION_BATCH_SIZE):
            batch = indices[start : start + VALIDATION_BATCH_SIZE]
            faults = self.validate(puzzles.questions[batch], answers[batch], answered[batch])
            valid[batch] = [not fault for fault in faults]
        return PuzzleScore(self, puzzles.ids, puzzles.known, exact, valid, answered, selected_by)

    def baselines(self, tasks: TaskSet, rng: np.random.Generator) -> dict[str, Scored]:
        """Return the scores of copying the question and of guessing by the rule."""
        puzzles = as_puzzle_array(tasks)
        answers = {
            "copying the question": puzzles.questions,
            "guessing by the rule": self.guess(puzzles.questions, rng),
        }
        answered = np.ones(len(puzzles), np.bool_)
        return {name: self._score(puzzles, each, answered) for name, each in answers.items()}


def _repeated(keys: npt.NDArray[np.bytes_]) -> Flags:
    """Return whether each key (N,) is equal to an earlier one."""
    repeated = np.ones(len(keys), np.bool_)
    repeated[np.unique(keys, return_index=True)[1]] = False
    return repeated


def _question_keys(puzzles: PuzzleArray) -> npt.NDArray[np.bytes_]:
    """Return each question as a byte string (N,), which can be sorted and searched."""
    # Bytes above 0, because NumPy's byte strings end at the first 0.
    cells = np.ascontiguousarray(puzzles.questions.reshape(len(puzzles), -1) + 1)
    keys: npt.NDArray[np.bytes_] = cells.view(f"S{puzzles.side**2}")[:, 0]
    return keys


def as_puzzle_array(tasks: TaskSet) -> PuzzleArray:
    """Return a set of tasks, each with one test pair, as arrays."""
    if isinstance(tasks, PuzzleArray):
        return tasks
    pairs = [task.test[0] for task in tasks]
    questions = np.array([pair.input for pair in pairs], np.uint8)
    unknown = [pair.input if pair.output is None else pair.output for pair in pairs]
    known = np.array([pair.output is not None for pair in pairs], np.bool_)
    rows = np.array([int(task.id) for task in tasks], np.int64)
    return PuzzleArray(
        tasks.name, tasks.kind, questions, np.array(unknown, np.uint8), known, rows, tasks.notes
    )


def subsample(puzzles: PuzzleArray, count: int | None) -> PuzzleArray:
    """Return a random subset of `count` puzzles in order; None is all.

    The subset depends only on `count` and the number of puzzles.
    """
    if count is None or count >= len(puzzles):
        return puzzles
    return puzzles.take(np.sort(_drawn(len(puzzles))[:count]))


def _with_answers(puzzles: PuzzleArray) -> PuzzleArray:
    return puzzles if puzzles.known.all() else puzzles.take(puzzles.known)


def _split(puzzles: PuzzleArray, data: DataConfig) -> tuple[PuzzleArray, TaskSet]:
    """Return the puzzles that a run trains on, and those that it holds out for validation."""
    if data.validation:
        return subsample(puzzles, data.train_puzzles), TaskSet("", {})
    return hold_out(puzzles, data.train_puzzles, data.validation_puzzles)


def hold_out(
    puzzles: PuzzleArray, train: int | None, validation: int | None
) -> tuple[PuzzleArray, PuzzleArray]:
    """Split puzzles at random into those to train on and those for validation, each in order.

    Args:
        puzzles: with known answers.
        train: how many are trained on; None is all but those for validation.
        validation: how many are held out; None is all that are not trained on, at most
            `MAX_HELD_OUT`.

    Returns:
        The puzzles `subsample` returns for the number to train on, and others.

    Raises:
        UserError: there are not so many puzzles.
    """
    total, held_out = len(puzzles), validation or 0
    if train is None:
        train = total - held_out
    elif not held_out:
        train = min(train, total)
    if train < 1 or train + held_out > total:
        raise UserError(
            f"{puzzles.name} has {pluralise(total, 'puzzle')} with a known answer, too few to hold "
            f"out {held_out} (data.validation_puzzles) and train on "
            f"{'others' if train < 1 else f'{train} (data.train_puzzles)'}: lower one of them"
        )
    if validation is None:
        held_out = min(total - train, MAX_HELD_OUT)
    rest = puzzles.take(np.sort(_drawn(total)[train : train + held_out]))
    return subsample(puzzles, train), rest


def _drawn(total: int) -> npt.NDArray[np.int64]:
    """Return the indices of `total` puzzles in the order in which they are drawn."""
    return rng_for("drawn puzzles", total).permutation(total)
