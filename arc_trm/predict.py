"""Predict with every puzzle of a task, undo the augmentations, vote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from arc_trm.checkpoint import Weights
from arc_trm.domains.arc import (
    FIRST_COLOUR,
    SEPARATOR,
    VOCABULARY,
    Augmentation,
    decode,
    encode_pair,
    parse_puzzle_name,
)
from arc_trm.errors import UserError
from arc_trm.tasks import Grid, Pair, TaskSet
from arc_trm.voting import Prediction, TestPrediction, rank, two_attempts

POSITIONS = 2**17
"""Positions that go through the model at once, unless a batch size is given."""


@dataclass(frozen=True)
class _Question:
    """One test input as one puzzle sees it."""

    task: str
    test: int
    puzzle: str
    augmentation: Augmentation
    row: int
    inputs: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Unanswerable:
    """A test input that the model cannot be asked about, and why."""

    task: str
    test: int
    reason: str


def _puzzles(
    weights: Weights, tasks: TaskSet, augmentations: int | None
) -> dict[str, list[tuple[str, Augmentation, int]]]:
    """Per task the puzzles that the weights know: name, augmentation, row; the task itself first.

    At most `augmentations` beside the task itself.
    """
    known: dict[str, list[tuple[str, Augmentation, int]]] = defaultdict(list)
    for name, row in weights.rows.items():
        task_id, _, _ = name.partition(SEPARATOR)
        if task_id in tasks:
            try:
                _, augmentation = parse_puzzle_name(name)
            except ValueError as error:
                raise UserError(f"the weights' row {row} has a wrong name: {error}") from None
            known[task_id].append((name, augmentation, row))
    limit = None if augmentations is None else 1 + augmentations
    return {task_id: puzzles[:limit] for task_id, puzzles in known.items()}


def _questions(
    weights: Weights, tasks: TaskSet, augmentations: int | None
) -> tuple[list[_Question], list[Unanswerable]]:
    puzzles = _puzzles(weights, tasks, augmentations)
    side = weights.model.config.side
    questions, unanswerable = [], []
    for task in tasks:
        for index, pair in enumerate(task.test):
            height, width = pair.input.shape
            if task.id not in puzzles:
                reason = "the weights have no row for this task"
                unanswerable.append(Unanswerable(task.id, index, reason))
            elif max(height, width) > side:
                reason = f"its input of {height}×{width} does not fit the {side}×{side} canvas"
                unanswerable.append(Unanswerable(task.id, index, reason))
            else:
                for name, augmentation, row in puzzles[task.id]:
                    augmented = Pair(augmentation.apply(pair.input))
                    inputs, _ = encode_pair(augmented, side)
                    questions.append(_Question(task.id, index, name, augmentation, row, inputs))
    return questions, unanswerable


def _runner_up(
    second: npt.NDArray[np.uint8],
    margin: npt.NDArray[np.float32],
    grid: Grid,
) -> Grid:
    """The decoded `grid` with its least certain cell in its second colour."""
    side = round(len(second) ** 0.5)
    height, width = grid.shape
    margins = margin.reshape(side, side)[:height, :width]
    row, column = np.unravel_index(int(margins.argmin()), margins.shape)
    changed = grid.copy()
    changed[row, column] = second[row * side + column]
    changed.flags.writeable = False
    return changed


def _answers(
    weights: Weights, batch: list[_Question], supervision_steps: int | None
) -> Iterator[Prediction | None]:
    """What the model says of a batch of questions; None where it draws no grid."""
    model = weights.model
    device = model.y_init.device
    inputs = torch.from_numpy(np.stack([q.inputs for q in batch])).to(device, torch.int32)
    rows = torch.tensor([q.row for q in batch], device=model.puzzle_table.device)
    for step in model.solve(inputs, rows, supervision_steps):
        logits, halt = step
    tokens = logits.argmax(-1).to(torch.uint8).cpu().numpy()
    top, colours = logits[..., FIRST_COLOUR:].topk(2)
    second = colours[..., 1].to(torch.uint8).cpu().numpy()
    margin = (top[..., 0] - top[..., 1]).cpu().numpy()
    for index, (question, probability) in enumerate(
        zip(batch, halt.sigmoid().tolist(), strict=True)
    ):
        grid = decode(tokens[index])
        if grid is None:
            yield None
            continue
        changed = _runner_up(second[index], margin[index], grid)
        undo = question.augmentation.invert
        yield Prediction(question.puzzle, undo(grid), probability, undo(changed))


def predict(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    batch_size: int | None = None,
    supervision_steps: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[TestPrediction], list[Unanswerable]]:
    """Two attempts and all candidates for every test input of `tasks`, in order.

    Args:
        weights: model and rows; only tasks with a row can be answered.
        tasks: their test outputs, where known, are not looked at.
        augmentations: at most so many beside the task itself; None is all that have a row.
        batch_size: questions that go through the model at once; None suits their length.
        supervision_steps: None is the model's own number.
        progress: is told the questions answered and their total.

    Returns:
        Predictions, and the test inputs that had to be guessed.

    Raises UserError if the weights' names or vocabulary are not those of ARC.
    """
    if weights.model.config.vocabulary != VOCABULARY:
        raise UserError(
            f"the weights have {weights.model.config.vocabulary} tokens, but ARC has {VOCABULARY}"
        )
    questions, unanswerable = _questions(weights, tasks, augmentations)
    predictions: dict[tuple[str, int], list[Prediction]] = defaultdict(list)
    batch_size = batch_size or min(512, max(1, POSITIONS // weights.model.config.length))
    asked = {(question.task, question.test) for question in questions}
    progress(0, len(questions))
    for start in range(0, len(questions), batch_size):
        batch = questions[start : start + batch_size]
        answers = _answers(weights, batch, supervision_steps)
        for question, answer in zip(batch, answers, strict=True):
            if answer is not None:
                predictions[question.task, question.test].append(answer)
        progress(start + len(batch), len(questions))
    results = []
    for task in tasks:
        for index, pair in enumerate(task.test):
            found = predictions.get((task.id, index), [])
            candidates = rank(found)
            if (task.id, index) in asked and not found:
                unanswerable.append(Unanswerable(task.id, index, "the model draws no grid"))
            attempts = two_attempts(candidates, pair.input, found)
            results.append(TestPrediction(task.id, index, tuple(candidates), attempts))
    return results, unanswerable
