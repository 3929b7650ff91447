"""The interface of a kind of puzzle: everything that differs between kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt

from arc_trm.callbacks import Progress, ignore
from arc_trm.config import DataConfig, ModelConfig
from arc_trm.errors import UserError
from arc_trm.puzzles.theme import Theme
from arc_trm.registry import Registry
from arc_trm.tasks import Grid, Pair, Task, TaskSet
from submission import Ranked, Scored

PAD = 0
"""The token of padding, in every kind; as a label it is not scored."""
BLANK = "<blank>"
"""Name of puzzle id 0, which belongs to no task."""
SEPARATOR = "|||"
"""Separates the id of a task from its augmentation in the name of a puzzle id."""

Tokens = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
T = TypeVar("T")


class LazySequence(ABC, Sequence[T]):
    """A sequence that defines `at` in place of `__getitem__`."""

    @abstractmethod
    def at(self, index: int) -> T:
        """Return the item at an index, at least 0 and below the length."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        found = range(len(self))[index]
        return self.at(found) if isinstance(found, int) else [self.at(each) for each in found]


class Augmentation(Protocol):
    """An invertible change of grids that keeps the rule of the puzzle."""

    @property
    def name(self) -> str:
        """Spelling of the augmentation in the name of a puzzle id; "" is the identity's."""

    def apply(self, grid: Grid) -> Grid:
        """Return the changed grid."""

    def invert(self, grid: Grid) -> Grid:
        """Undo `apply`."""


class Identity:
    """The augmentation that changes nothing."""

    name = ""

    def apply(self, grid: Grid) -> Grid:
        return grid

    invert = apply


IDENTITY = Identity()


class AugmentationList(LazySequence[Augmentation]):
    """The augmentations of one task."""

    def names(self) -> list[str]:
        """Return the names of all augmentations."""
        return [augmentation.name for augmentation in self]


class Augmenter(Protocol):
    """A source of augmentations that replaces a kind's own (`data.augmentation`)."""

    def sample(self, task: Task, count: int, rng: np.random.Generator) -> Sequence[Augmentation]:
        """Return at most `count` augmentations of a task without its test outputs."""

    def parse(self, name: str) -> Augmentation:
        """Return the augmentation with this name. An invalid name is a ValueError."""


AUGMENTERS: Registry[Augmenter] = Registry("augmentation", "data.augmentation")
register_augmenter = AUGMENTERS.register


class TrainingTasks(NamedTuple):
    """The tasks that a run trains on."""

    trained: TaskSet
    """Tasks whose pairs with known outputs are trained on."""
    held_out: TaskSet
    """Puzzles of the same datasets that are not trained on, for validation."""
    notes: list[str]
    """Sentences for the user."""


@dataclass(frozen=True)
class Oddity:
    """Something odd about some tasks.

    Attributes:
        what: what these tasks are, after their number: `with a single demonstration`.
        ids: of the tasks.
        earlier: for each the id of an earlier task that it resembles, if that is what is odd.
    """

    what: str
    ids: Sequence[str]
    earlier: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The ids, with those of the earlier tasks."""
        if not self.earlier:
            return list(self.ids)
        pairs = zip(self.ids, self.earlier, strict=True)
        return [f"{task_id} (as {other})" for task_id, other in pairs]


class PuzzleKind(ABC):
    """One kind of puzzle. Stateless; `arc_trm.puzzles.KINDS` holds the registered instances."""

    name: ClassVar[str]
    title: ClassVar[str]
    """Name of the kind in sentences."""
    noun: ClassVar[str] = "puzzle"
    """Word for one puzzle in sentences."""
    first_value_token: ClassVar[int]
    """The token of value 0; those of the other values follow."""
    default_side: ClassVar[int]
    """Side of the canvas in published models."""
    embeds_tasks: ClassVar[bool]
    """Whether every augmented task has a puzzle embedding of its own, trained on its
    demonstrations; otherwise all share the blank one."""
    numbered: ClassVar[bool] = False
    """Whether ids are numbers within a dataset, which mean other puzzles in other datasets."""
    has_rule: ClassVar[bool] = False
    """Whether a rule decides which answers are valid, so that it can choose among several."""
    max_attempts: ClassVar[int] = 1
    """Answers per test input."""
    writes_submission: ClassVar[bool] = False
    """Whether predictions are also written as an official submission."""
    max_traces: ClassVar[int | None] = 1000
    """Test inputs of a set whose intermediate predictions are stored and drawn; None is all."""
    symbols: ClassVar[str] = ""
    """The characters of the values in CSV files; "" if there are no such files."""
    spellings: ClassVar[Mapping[str, str]] = {}
    """Other characters that files use for some of `symbols`."""
    best_metrics: ClassVar[tuple[str, ...]] = ("exact", "cell_accuracy")
    """Metrics of an evaluation by which the best weights can be chosen, the default first."""
    theme: ClassVar[Theme]
    quick_preset: ClassVar[str]
    """Preset of a small model that a CPU trains in minutes."""

    # Tokens

    @abstractmethod
    def vocab_size(self, side: int) -> int:
        """Return the number of tokens, PAD included, on canvases with that side."""

    def usual_side(self, vocab_size: int) -> int | None:
        """Return the usual side of a canvas with so many tokens, None if no size has them."""
        return self.default_side if self.vocab_size(self.default_side) == vocab_size else None

    def side_of(self, tasks: TaskSet) -> int:
        """Return the side of the full canvas of tasks."""
        return self.default_side

    @abstractmethod
    def encode(
        self, pair: Pair, side: int, offset: tuple[int, int] = (0, 0)
    ) -> tuple[Tokens, Tokens]:
        """Return input and label tokens, (side²,) uint8 each.

        Without a known output all labels are PAD. `offset` is row and column of the grids' first
        cell.

        Raises:
            ValueError: a grid does not fit the canvas.
        """

    @abstractmethod
    def decode(self, tokens: Tokens) -> Grid | None:
        """Return the grid in (side²,) predicted tokens, or None if they form no grid."""

    def random_offset(self, pair: Pair, side: int, rng: np.random.Generator) -> tuple[int, int]:
        """Return a random offset at which both grids of a pair fit the canvas."""
        return 0, 0

    def canvas_side(self, task: Task, full: int) -> int:
        """Return the side of the smallest canvas for a task without its test outputs."""
        return full

    # Augmentation

    @abstractmethod
    def augmentations(self, task: Task, index: int, count: int, seed: int) -> AugmentationList:
        """Return at most `count` augmentations of a task besides itself, the same for equal seeds.

        The test outputs of the task must have no effect. `index` is that of the task in its
        training set, `seed` that of the run.
        """

    def nested_augmentations(self, task: Task, count: int, seed: int) -> AugmentationList:
        """Return `augmentations` of which fewer are the beginning of more.

        A composed puzzle embedding is trained and asked with these. Only kinds that embed tasks
        have them.
        """
        raise ValueError(f"{self.title} has no composed puzzle embedding")

    def augmentation_code(self, augmentation: Augmentation) -> Tokens:
        """Return an augmentation as numbers, (A,) uint8, for a composed puzzle embedding.

        Raises:
            ValueError: the kind has none, or it is not one of the kind's own augmentations.
        """
        raise ValueError(f"augmentations of {self.title} have no code")

    def parse_augmentation(self, name: str) -> Augmentation:
        """Return the augmentation with this name. An invalid name is a ValueError."""
        if name:
            raise ValueError(f"puzzles of {self.title} have no named augmentation, got {name!r}")
        return IDENTITY

    @property
    def max_views(self) -> int | None:
        """Number of views of a puzzle, itself included; None is any number.

        Kinds that embed tasks have the augmentations that were trained instead.
        """
        return 1

    def view(self, side: int, number: int) -> Augmentation:
        """Return view `number`, from 0, of puzzles with that side; view 0 is the puzzle itself."""
        return IDENTITY

    # Data

    def check_embedding(self, model: ModelConfig) -> None:
        """Raise UserError if the puzzle embedding of a model is not for this kind."""
        if model.puzzle_embedding == "composed" and not self.embeds_tasks:
            raise UserError(
                'model.puzzle_embedding = "composed" is for ARC, whose tasks have embeddings of '
                f"their own, but all puzzles of {self.title} share one: leave it out"
            )

    def check_model(self, model: ModelConfig, tasks: TaskSet) -> None:
        """Raise UserError if a model of this shape cannot predict `tasks`."""
        self.check_embedding(model)
        needed = self.vocab_size(self.side_of(tasks))
        if model.vocab_size != needed:
            raise UserError(
                f"the weights have a vocabulary of {model.vocab_size} tokens, but {self.title} "
                f"needs {needed}: name other weights, or other data than {tasks.name}"
            )

    def check_canvas(
        self, model: ModelConfig, tasks: TaskSet, weights: str | None = None
    ) -> list[str]:
        """Return notes on tasks whose test inputs do not fit the canvas of a model.

        Args:
            model: its config.
            tasks: to predict.
            weights: name of the model's weights; None is a model that is still to be trained.

        Raises:
            UserError: no test input fits.
        """
        return []

    @abstractmethod
    def predicted_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        """Return the tasks of the `data.test` sets that a run predicts."""

    @abstractmethod
    def validation_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        """Return the tasks of the `data.validation` sets, at least one, with known outputs.

        Raises:
            UserError: no output is known.
        """

    @abstractmethod
    def training_tasks(
        self,
        sets: Sequence[TaskSet],
        predicted: TaskSet,
        validation: TaskSet,
        data: DataConfig,
        side: int,
    ) -> TrainingTasks:
        """Return what is trained on, and what of it is held out for validation.

        Args:
            sets: the datasets of `data.train` and `data.optional_train`.
            predicted: tasks that the run predicts. Of these and of `validation`, kinds that embed
                tasks train the demonstrations and never the test outputs.
            validation: tasks of `data.validation`. Without any, puzzles may be held out.
            data: the run's data settings.
            side: of the full canvas.

        Raises:
            UserError: there is nothing to train on.
        """

    def trained_part(self, tasks: TaskSet, data: DataConfig) -> TaskSet:
        """Return the tasks of a dataset that a run with no other training set trains on."""
        return tasks

    @abstractmethod
    def data_settings(self, data: str) -> list[str]:
        """Return settings, `KEY=VALUE`, of a run that trains on DATA alone."""

    @abstractmethod
    def model_settings(self, tasks: TaskSet) -> list[str]:
        """Return settings, `KEY=VALUE`, that make the model of `quick_preset` suit these tasks."""

    @abstractmethod
    def shared_tasks(self, tasks: TaskSet, other: TaskSet) -> dict[str, str]:
        """Map the ids of `tasks` that `other` contains too to their ids there."""

    @abstractmethod
    def training_summary(self, groups: int, puzzles: int) -> str:
        """Say how much is trained on, for example `25 tasks, 125 puzzles`."""

    def describe(self, tasks: TaskSet) -> dict[str, Any]:
        """Return facts about a set for `arc-trm data show`, as plain JSON."""
        return {}

    def find_oddities(self, tasks: TaskSet, progress: Progress = ignore) -> Iterator[Oddity]:
        """Yield what is odd about tasks, for `arc-trm data check`.

        `progress` is called with the number of puzzles looked at so far and their total.
        """
        yield from ()

    # Predictions

    def fallback_guesses(self, test_input: Grid) -> Iterator[Grid]:
        """Yield grids that may be right where the model has no candidate, likeliest first."""
        yield from ()

    def prediction_error(self, grid: Grid, task: Task) -> str | None:
        """Return why a grid cannot be a prediction for a task, None if it can."""
        return self.value_error(grid, self.default_side)

    def value_error(self, grid: Grid, side: int) -> str | None:
        """Return which value of a grid has no token on a canvas with that side, None if all do."""
        last = self.vocab_size(side) - self.first_value_token - 1
        if grid.max() > last:
            return f"a grid has the value {grid.max()}, puzzles of {self.title} have 0 to {last}"
        return None

    def is_valid(self, question: Grid, answer: Grid) -> bool | None:
        """Return whether an answer follows the rule of the puzzle; None if there is no rule."""
        return None

    def valid_answers(
        self, questions: Sequence[Grid], answers: Sequence[Grid | None]
    ) -> list[bool | None]:
        """Return for each answer what `is_valid` says; False for None."""
        return [
            False if answer is None else self.is_valid(question, answer)
            for question, answer in zip(questions, answers, strict=True)
        ]

    @abstractmethod
    def score(self, tasks: TaskSet, attempts: Ranked, selected_by: str = "") -> Scored:
        """Score attempts at test inputs of `tasks`.

        Args:
            tasks: with the known outputs.
            attempts: per task and test input, best first.
            selected_by: as of `Scored`.

        Raises:
            UserError: no output is known.
        """

    def baselines(self, tasks: TaskSet, rng: np.random.Generator) -> dict[str, Scored]:
        """Return the scores of trivial answers by their description."""
        return {}

    def require_submission(self, what: str, source: str) -> None:
        """Raise UserError unless predictions of this kind are written as submissions.

        The sentence begins with `what`, for example `--out`; `source` holds the puzzles.
        """
        if not self.writes_submission:
            raise UserError(
                f"{what} needs an ARC submission, but {source} holds {self.title}, which has none"
            )
