"""Training data as groups of puzzles: tasks with their augmentations.

Examples are augmented and encoded when they are needed. `arc_trm.data.readers.prebuilt` has groups
for folders whose examples are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from arc_trm.errors import UserError, format_value, suggestion
from arc_trm.puzzles import BLANK, IDENTITY, SEPARATOR, Augmentation, PuzzleKind, kind_of
from arc_trm.puzzles.base import AUGMENTERS, AugmentationList, LazySequence, Tokens
from arc_trm.rng import rng_for
from arc_trm.tasks import Pair, Task, TaskSet

STANDARD = "standard"
"""The value of `data.augmentation` for each kind's own augmentations."""


@dataclass(frozen=True, eq=False)
class TaskGroup:
    """A task with its augmentations; puzzle 0 is the task itself."""

    kind: PuzzleKind
    task: Task
    """Its pairs with known outputs are trained on."""
    augmentations: Sequence[Augmentation]
    """Augmentations of the task, without the identity."""
    first_id: int
    """Puzzle id of the task itself; 0 means that all puzzles have the blank id. Those of its
    augmentations follow, or are the same if the puzzle embedding is composed."""
    side: int
    """Cells per side of the canvas."""
    translate: bool
    """Whether grids are placed at random offsets."""
    composed: bool = False
    """Whether the puzzle embedding is composed."""

    @cached_property
    def _pairs(self) -> list[Pair]:
        return [pair for pair in (*self.task.train, *self.task.test) if pair.output is not None]

    def __len__(self) -> int:
        return 1 + len(self.augmentations)

    @property
    def num_pairs(self) -> int:
        return len(self._pairs)

    @property
    def seq_len(self) -> int:
        return self.side**2

    def puzzle_id(self, puzzle: int) -> int:
        return self.first_id + puzzle if self.first_id and not self.composed else self.first_id

    def augmentation_code(self, puzzle: int) -> Tokens | None:
        return self.kind.augmentation_code(self._augmentation(puzzle)) if self.composed else None

    def _augmentation(self, puzzle: int) -> Augmentation:
        return self.augmentations[puzzle - 1] if puzzle else IDENTITY

    def example(self, puzzle: int, pair: int, offset_seed: int | None) -> tuple[Tokens, Tokens]:
        augmentation = self._augmentation(puzzle)
        original = self._pairs[pair]
        assert original.output is not None, "only pairs with known outputs are trained on"
        augmented = Pair(augmentation.apply(original.input), augmentation.apply(original.output))
        offset = (0, 0)
        if self.translate and offset_seed is not None:
            rng = np.random.default_rng(offset_seed)
            offset = self.kind.random_offset(augmented, self.side, rng)
        return self.kind.encode(augmented, self.side, offset)


@dataclass(eq=False)
class TaskDataset(LazySequence[TaskGroup]):
    """A group for each task.

    Groups are made when they are looked up if all share the blank puzzle id; otherwise puzzle ids
    are numbered from 1 in the order of the tasks.

    Raises:
        UserError: an id cannot be part of a puzzle's name, there is no such augmenter, or its
            augmentations cannot be composed.
    """

    tasks: TaskSet
    """Tasks of one kind; only pairs that may be trained on have outputs."""
    num_augmentations: int
    """Augmentations per task, besides the task itself."""
    seed: int
    side: int
    """Cells per side of the full canvas."""
    bucketed: bool = False
    """Whether tasks are on the smallest canvas that fits them."""
    translate: bool = True
    """Whether grids are placed at random offsets."""
    augmenter: str = STANDARD
    """`standard`, or the name of a registered augmenter."""
    composed: bool = False
    """Whether the puzzle embedding is composed: augmented tasks share the puzzle id of their
    task."""

    def __post_init__(self) -> None:
        if self.augmenter not in (STANDARD, *AUGMENTERS):
            advice = suggestion(self.augmenter, [STANDARD, *AUGMENTERS])
            raise UserError(
                f"data.augmentation: unknown augmentation {format_value(self.augmenter)}{advice}"
            )
        if self.composed and self.augmenter != STANDARD:
            raise UserError(
                'model.puzzle_embedding = "composed" knows rotations, reflections and permutations '
                f"of colours alone, but data.augmentation is {format_value(self.augmenter)}: use "
                f"{STANDARD} augmentation, or a table"
            )
        self.kind, self._ids = kind_of(self.tasks), self.tasks.ids
        self._groups: list[TaskGroup] | None = None
        if self.kind.embeds_tasks:
            self._groups = []
            first_id = 1
            for index in range(len(self)):
                self._groups.append(self._make(index, first_id))
                first_id += 1 if self.composed else len(self._groups[-1])

    def _make(self, index: int, first_id: int) -> TaskGroup:
        task = self.tasks[self._ids[index]]
        if first_id and (SEPARATOR in task.id or task.id == BLANK):
            raise UserError(
                f"task {format_value(task.id)} cannot be trained on under this id, because "
                f"{SEPARATOR} "
                f"separates a task from its augmentation and {BLANK} is no task: rename it"
            )
        side = self.kind.canvas_side(task, self.side) if self.bucketed else self.side
        augmentations = self._augmentations(task, index)
        return TaskGroup(
            self.kind, task, augmentations, first_id, side, self.translate, self.composed
        )

    def _augmentations(self, task: Task, index: int) -> Sequence[Augmentation]:
        if self.composed:
            return self.kind.nested_augmentations(task, self.num_augmentations, self.seed)
        if self.augmenter == STANDARD:
            return self.kind.augmentations(task, index, self.num_augmentations, self.seed)
        rng = rng_for(self.seed, "augmentations", task.id)
        augmenter = AUGMENTERS[self.augmenter]
        return augmenter.sample(task.without_solutions(), self.num_augmentations, rng)

    def at(self, index: int) -> TaskGroup:
        return self._make(index, 0) if self._groups is None else self._groups[index]

    def __len__(self) -> int:
        return len(self.tasks)

    def puzzle_names(self) -> Iterator[str]:
        """Yield the name of every puzzle id, `<blank>` first."""
        yield BLANK
        for group in self._groups or ():
            yield group.task.id
            if self.composed:
                continue
            if isinstance(group.augmentations, AugmentationList):
                names = group.augmentations.names()
            else:
                names = [f"{self.augmenter}:{each.name}" for each in group.augmentations]
            for name in names:
                yield f"{group.task.id}{SEPARATOR}{name}"


def parse_augmentation(kind: PuzzleKind, name: str) -> Augmentation:
    """Return the augmentation in the name of a puzzle id. An invalid name is a ValueError."""
    source, colon, rest = name.partition(":")
    if colon and source in AUGMENTERS:
        return AUGMENTERS[source].parse(rest)
    return kind.parse_augmentation(name)
