"""ARC-AGI: demonstrations define a task; each test input allows two attempts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, islice
from typing import Any

import numpy as np

from arc_trm.config import DataConfig, ModelConfig
from arc_trm.errors import UserError, format_name, format_value, pluralise, verb
from arc_trm.puzzles.arc import canvas, oddities, tokenizer
from arc_trm.puzzles.arc.augmentation import IDENTITY, ArcAugmentation, ArcAugmentations
from arc_trm.puzzles.arc.deduplication import distinct_augmentations, nested_augmentations
from arc_trm.puzzles.arc.tokenizer import FULL_SIDE
from arc_trm.puzzles.base import Augmentation, PuzzleKind, Tokens, TrainingTasks
from arc_trm.puzzles.theme import ARC_PALETTE, Theme
from arc_trm.rng import rng_for
from arc_trm.tasks import Grid, Pair, Task, TaskSet
from submission import Ranked, Score, score_ranked


class Arc(PuzzleKind):
    """ARC-AGI-1, ARC-AGI-2 and tasks in their format."""

    name = "arc"
    title = "ARC"
    noun = "task"
    first_value_token = tokenizer.FIRST_COLOUR
    default_side = FULL_SIDE
    embeds_tasks = True
    max_attempts = 2
    writes_submission = True
    max_traces = None
    best_metrics = ("pass_at_2", "pass_at_1", "exact", "cell_accuracy")
    theme = Theme(ARC_PALETTE)
    quick_preset = "quickstart"

    def vocab_size(self, side: int) -> int:
        return tokenizer.VOCAB_SIZE

    encode = staticmethod(tokenizer.encode_pair)
    decode = staticmethod(tokenizer.decode)
    random_offset = staticmethod(tokenizer.random_offset)
    canvas_side = staticmethod(canvas.canvas_side)
    parse_augmentation = staticmethod(ArcAugmentation.from_name)
    find_oddities = staticmethod(oddities.find_oddities)

    def augmentations(self, task: Task, index: int, count: int, seed: int) -> ArcAugmentations:
        rng = rng_for(seed, "augmentations", task.id)
        return ArcAugmentations(*distinct_augmentations(task.without_solutions(), count, rng))

    def nested_augmentations(self, task: Task, count: int, seed: int) -> ArcAugmentations:
        rng = rng_for(seed, "nested augmentations", task.id)
        return ArcAugmentations(*nested_augmentations(task.without_solutions(), count, rng))

    def augmentation_code(self, augmentation: Augmentation) -> Tokens:
        if isinstance(augmentation, ArcAugmentation):
            return augmentation.code
        if augmentation.name:
            raise ValueError(f"{augmentation.name!r} is no rotation, reflection or recolouring")
        return IDENTITY.code

    def check_canvas(
        self, model: ModelConfig, tasks: TaskSet, weights: str | None = None
    ) -> list[str]:
        side, canvas = model.side, f"{model.side}×{model.side}"
        sides = {task.id: [max(pair.input.shape) for pair in task.test] for task in tasks}
        too_large = [name for name, each in sides.items() if max(each, default=0) > side]
        if not too_large:
            return []
        largest = max(max(sides[name]) for name in too_large)
        needed = f"up to {largest}×{largest} (first task {format_name(too_large[0])})"
        if any(each <= side for task_sides in sides.values() for each in task_sides):
            return [
                f"the {canvas} canvas of {weights or 'the model'} is too small for test inputs of "
                f"{len(too_large)} of {len(tasks)} tasks, which need {needed}: these get "
                "guesses; `arc-trm pull --list` shows weights with a larger canvas"
            ]
        problem = f"but the test inputs of {tasks.name} need {needed}"
        if weights is None:
            raise UserError(
                f"the canvas of the model is {canvas}, {problem}: add `--set "
                f"model.seq_len={largest**2}`"
            )
        raise UserError(
            f"{weights} was trained for a canvas of {canvas}, {problem}: use weights with a larger "
            "canvas, which `arc-trm pull --list` shows"
        )

    def predicted_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        """Return the tasks that fit `data.max_grid_size`, chosen without their test outputs.

        Raises:
            UserError: two sets have different tasks under one id.
        """
        return TaskSet(", ".join(data.test), _merge(sets, "data.test", data), kind=self.name)

    def validation_tasks(self, sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
        """Return the tasks that fit `data.max_grid_size` and whose test outputs are all known.

        Raises:
            UserError: there is none, or two sets have different tasks under one id.
        """
        merged = _merge(sets, "data.validation", data)
        known = [task_id for task_id, task in merged.items() if task.solutions is not None]
        if not known:
            raise UserError(
                f"data.validation is {list(data.validation)}, which has no task with known test "
                f"outputs whose grids fit data.max_grid_size ({data.max_grid_size}): name others"
            )
        if data.validation_puzzles is not None:
            order = rng_for("drawn tasks", len(known)).permutation(len(known)).tolist()
            known = [known[index] for index in sorted(order[: data.validation_puzzles])]
        chosen = {task_id: merged[task_id] for task_id in known}
        return TaskSet(", ".join(data.validation), chosen, kind=self.name)

    def training_tasks(
        self,
        sets: Sequence[TaskSet],
        predicted: TaskSet,
        validation: TaskSet,
        data: DataConfig,
        side: int,
    ) -> TrainingTasks:
        if data.validation_puzzles and not data.validation:
            raise UserError(
                "data.validation_puzzles needs ARC tasks to choose from, but data.validation is "
                "[]: name some"
            )
        notes = []
        candidates = [task for tasks in sets for task in tasks.filter_by_size(data.max_grid_size)]
        by_id = {task.id: task for task in candidates}
        if len(by_id) < len(candidates):
            notes.append(
                f"{len(candidates) - len(by_id)} tasks are in more than one dataset of data.train: "
                "each is used once, as in the last of them"
            )
        sets = [tasks for tasks in (validation, predicted) if len(tasks)]
        merged = _merge(sets, "data.test and data.validation", data)
        unseen = {task_id: merged[task_id] for task_id in (*predicted.ids, *merged)}
        if in_both := [task_id for task_id in by_id if task_id in unseen]:
            notes.append(
                f"data.train also has {pluralise(len(in_both), 'task')} to predict (first "
                f"{format_name(in_both[0])}): of these only demonstrations are trained on"
            )
        allowed = [task for task in by_id.values() if task.id not in unseen]
        allowed += [task.without_solutions() for task in unseen.values()]
        if not data.generated_pairs and any(task.generated for task in allowed):
            notes.append(
                "the tasks have generated pairs (arc-gen), which are not trained on: add `--set "
                "data.generated_pairs=N` to train on N of each task"
            )
        allowed = [_with_generated(task, data.generated_pairs) for task in allowed]
        chosen = [_pairs_that_fit(task, side) for task in allowed]
        unusable = [task.id for task in chosen if not _has_output(task)]
        if len(unusable) == len(chosen):
            raise UserError(f"there is no pair to train on: {_no_pair(allowed, data, side)}")
        if unusable:
            are = verb(len(unusable), "is", "are")
            have = verb(len(unusable), "it has", "they have")
            notes.append(
                f"{len(unusable)} of {len(chosen)} tasks (first {unusable[0]}) {are} not trained "
                f"on: {have} no pair with a known output that fits the {side}×{side} canvas"
            )
        trained = TaskSet("training tasks", {task.id: task for task in chosen})
        return TrainingTasks(trained, TaskSet("", {}), notes)

    def data_settings(self, data: str) -> list[str]:
        """Train on the demonstrations of DATA and predict its test inputs."""
        others = (f"data.{key}=[]" for key in ("train", "optional_train", "validation"))
        return [*others, f"data.test=[{json.dumps(data)}]"]

    def model_settings(self, tasks: TaskSet) -> list[str]:
        """Choose the smallest canvas that fits all tasks."""
        sides = (self.canvas_side(task.without_solutions()) for task in tasks)
        return [
            f"model.seq_len={max(sides, default=FULL_SIDE) ** 2}",
            'model.canvas="bucketed"',
            f"data.max_grid_size={FULL_SIDE}",
        ]

    def shared_tasks(self, tasks: TaskSet, other: TaskSet) -> dict[str, str]:
        """Map tasks that have the same id, or the same demonstrations in any order.

        ARC-AGI-2 took tasks from ARC-AGI-1 and shuffled their demonstrations.
        """
        by_content = {_demonstrations(task): task.id for task in other}
        found = {
            task.id: task.id if task.id in other else by_content.get(_demonstrations(task))
            for task in tasks
        }
        return {here: there for here, there in found.items() if there is not None}

    def training_summary(self, groups: int, puzzles: int) -> str:
        return f"{groups} tasks, {puzzles} puzzles"

    def describe(self, tasks: TaskSet) -> dict[str, Any]:
        """Return how many tasks fit a canvas of side 1, 2, ..., 30, under the key `fits`."""
        sides = Counter(task.max_side for task in tasks)
        return {"fits": list(accumulate(sides[side] for side in range(1, FULL_SIDE + 1)))}

    def fallback_guesses(self, test_input: Grid) -> Iterator[Grid]:
        """Yield the input, its mirror image, and grids of its size in its most common colours."""
        yield test_input
        yield test_input[:, ::-1]
        counts = np.bincount(test_input.reshape(-1), minlength=10)
        for colour in np.argsort(-counts, kind="stable")[:3]:
            yield np.full_like(test_input, colour)

    def score(self, tasks: TaskSet, attempts: Ranked, selected_by: str = "") -> Score:
        if not tasks.has_known_outputs:
            raise UserError(
                f"no test output of {format_name(tasks.name)} is known, so nothing can be scored"
            )
        return replace(score_ranked(attempts, tasks.known_solutions()), selected_by=selected_by)


def _merge(sets: Sequence[TaskSet], keys: str, data: DataConfig) -> dict[str, Task]:
    """Return the tasks of all sets that fit `data.max_grid_size`, by id.

    Of several under one id the last stays. Raises UserError, which says that the sets are those of
    `keys`, if they have different test inputs.
    """
    found: dict[str, Task] = {}
    for tasks in sets:
        for task in tasks.filter_by_size(data.max_grid_size):
            same_id = found.get(task.id)
            if same_id is not None and _test_inputs(task) != _test_inputs(same_id):
                names = ", ".join(each.name for each in sets)
                raise UserError(
                    f"the datasets of {keys} ({names}) have different tasks under the id "
                    f"{format_value(task.id)}: name only one of them"
                )
            found[task.id] = task
    return found


def _no_pair(tasks: Sequence[Task], data: DataConfig, side: int) -> str:
    """Return why no pair of these tasks is trained on, and what to do."""
    names = [*data.train, *data.optional_train, *data.test, *data.validation]
    if not names:
        return "data.train is [] and data.test is []: name tasks with --data"
    if not tasks:
        return (
            f"every task of {', '.join(names)} has a grid larger than data.max_grid_size "
            f"({data.max_grid_size}): raise it"
        )
    pairs = [pair for task in tasks for pair in (*task.train, *task.test)]
    needed = max((_side(pair) for pair in pairs if pair.output is not None), default=None)
    if needed is None:
        return f"no output in {', '.join(names)} is known: name other tasks"
    return (
        f"no pair with a known output fits the {side}×{side} canvas, they need up to "
        f"{needed}×{needed}: train with `--set model.seq_len={needed**2}`, or adapt weights with a "
        "larger canvas, which `arc-trm pull --list` shows"
    )


def _side(pair: Pair) -> int:
    return max(int(side) for grid in pair.grids for side in grid.shape)


def _has_output(task: Task) -> bool:
    return any(pair.output is not None for pair in (*task.train, *task.test))


def _test_inputs(task: Task) -> list[list[list[int]]]:
    return [pair.input.tolist() for pair in task.test]


def _with_generated(task: Task, count: int) -> Task:
    """Return the task with its first generated pairs as demonstrations, without test inputs."""
    hidden = {(pair.input.shape, pair.input.tobytes()) for pair in task.test}
    allowed = (p for p in task.generated if (p.input.shape, p.input.tobytes()) not in hidden)
    return replace(task, train=(*task.train, *islice(allowed, count)), generated=())


def _pairs_that_fit(task: Task, side: int) -> Task:
    """Return the task without the pairs that have a grid larger than the canvas."""
    train, test = (
        tuple(pair for pair in pairs if _side(pair) <= side) for pairs in (task.train, task.test)
    )
    return replace(task, train=train, test=test)


def _demonstrations(task: Task) -> frozenset[bytes]:
    return frozenset(
        b"".join(bytes(grid.shape) + grid.tobytes() for grid in pair.grids) for pair in task.train
    )
