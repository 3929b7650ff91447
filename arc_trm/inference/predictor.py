"""What to ask a model of the test inputs of tasks, and asking it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from arc_trm.checkpoint import Weights
from arc_trm.data.splits import check_model_fits
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import Answer
from arc_trm.evaluation.scoring import MAX_TRACES
from arc_trm.evaluation.voting import Prediction, Step
from arc_trm.puzzles import ARC, DOMAINS, Domain
from arc_trm.puzzles.arc.kind import (
    FIRST_COLOUR,
    IDENTITY,
    SEPARATOR,
    Augmentation,
    canvas_side,
    parse_puzzle_name,
)
from arc_trm.tasks import Grid, Pair, TaskSet

POSITIONS = 2**17
"""Positions that go through the model at once, unless a batch size is given."""


@dataclass(frozen=True, slots=True)
class Question:
    """One test input as one puzzle of its task sees it, on a canvas of `side` × `side`.

    `order` is the puzzle's place in its task. `drafts` is whether those of the answer are kept.
    """

    task: str
    test: int
    puzzle: str
    row: int
    order: int
    side: int
    drafts: bool


@dataclass(frozen=True)
class Skipped:
    """A test input that the model cannot be asked about, and why."""

    task: str
    test: int
    reason: str


def batch_limit(weights: Weights, side: int) -> int:
    """Questions on a canvas of `side` × `side` that go through at once unless a number is given."""
    length = weights.model.config.puzzle_emb_len + side * side
    return min(512, max(1, POSITIONS // length))


def _puzzles(
    weights: Weights, tasks: TaskSet, augmentations: int | None
) -> dict[str, list[tuple[str, int]]]:
    """Per task the names and rows of the puzzles that the weights know; the task itself first.

    At most `augmentations` beside the task itself.
    """
    known: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, row in weights.rows.items():
        task_id, _, _ = name.partition(SEPARATOR)
        if task_id in tasks:
            try:
                parse_puzzle_name(name)
            except ValueError as error:
                raise UserError(f"the weights' row {row} has a wrong name: {error}") from None
            known[task_id].append((name, row))
    limit = None if augmentations is None else 1 + augmentations
    return {task_id: puzzles[:limit] for task_id, puzzles in known.items()}


def questions(
    weights: Weights, tasks: TaskSet, augmentations: int | None = None
) -> tuple[list[Question], list[Skipped]]:
    """Everything to ask, in rounds over all tasks: first every task as it is, and what cannot be.

    With canvases of several sizes so many rounds are taken together that batches of one size fill.

    At most `augmentations` beside the task itself are asked; None is all that have a row. Sudokus
    and mazes are asked once, as the blank puzzle. Raises UserError if the weights' names or
    vocabulary are not those of the kind of tasks.
    """
    config = weights.model.config
    check_model_fits(config, tasks)
    if not DOMAINS[tasks.domain].by_examples:
        return _boards(tasks, augmentations), []
    puzzles = _puzzles(weights, tasks, augmentations)
    side, fit = config.side, config.canvas == "bucketed"
    asked: list[Question] = []
    unanswerable = []
    for task in tasks:
        canvas = canvas_side(task.without_solutions(), side) if fit else side
        for test, pair in enumerate(task.test):
            height, width = pair.input.shape
            if task.id not in puzzles:
                reason = "the weights have no row for this task"
                unanswerable.append(Skipped(task.id, test, reason))
            elif max(height, width) > side:
                reason = f"its input of {height}×{width} does not fit the {side}×{side} canvas"
                unanswerable.append(Skipped(task.id, test, reason))
            else:
                asked += (
                    Question(task.id, test, name, row, order, canvas, name == task.id)
                    for order, (name, row) in enumerate(puzzles[task.id])
                )
    together = 1
    if fit and asked:
        enough = len({question.side for question in asked}) * batch_limit(weights, side)
        together = -(-enough // len({(question.task, question.test) for question in asked}))

    def place(question: Question) -> tuple[int, int, int]:
        block = question.order and 1 + (question.order - 1) // together
        return block, question.side, question.order

    return sorted(asked, key=place), unanswerable


def _boards(tasks: TaskSet, augmentations: int | None) -> list[Question]:
    """Each puzzle of boards once."""
    if augmentations:
        raise UserError(
            f"{tasks.name} holds {DOMAINS[tasks.domain].title}, which is asked once: votes of "
            "augmentations are for ARC"
        )
    return [
        Question(name, 0, name, 0, 0, tasks.boards.side, place < MAX_TRACES)
        for place, name in enumerate(tasks.tasks)
    ]


def dealt(asked: Sequence[Question], rank: int, world: int) -> Sequence[Question]:
    """The questions that process `rank` of `world` asks.

    They are dealt one by one, as neighbours cost the same and every process is to go through the
    rounds over all tasks.
    """
    return asked[rank::world]


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


def answers(
    weights: Weights,
    tasks: TaskSet,
    batch: Sequence[Question],
    supervision_steps: int | None,
    again: list[Question],
) -> Iterator[Answer]:
    """What the model says of a batch of questions about `tasks`, augmentations undone.

    An answer does not depend on the rest of the batch, beyond rounding. All are on one canvas. A
    grid that reaches the end of a smaller canvas than the full one may go on beyond it: that
    question is not answered but put into `again`, to be asked on the full one.
    """
    model, side, full = weights.model, batch[0].side, weights.model.config.side
    domain = DOMAINS[tasks.domain]
    augmentations = [_augmentation(question, domain) for question in batch]
    encoded = [
        domain.encode(Pair(augmentation.apply(tasks[q.task].test[q.test].input)), side)
        for q, augmentation in zip(batch, augmentations, strict=True)
    ]
    device = model.y_init.device
    inputs = torch.from_numpy(np.stack([tokens for tokens, _ in encoded])).to(device, torch.int32)
    rows = torch.tensor([q.row for q in batch], device=model.puzzle_embedding.device)
    plain = [index for index, question in enumerate(batch) if question.drafts]
    drafts: list[tuple[torch.Tensor, torch.Tensor]] = []
    for logits, halt in model.predict_steps(inputs, rows, supervision_steps):
        if plain:  # seldom of ARC: a task as it is is one question of a thousand
            drafts.append((logits[plain].argmax(-1).to(torch.uint8), halt[plain]))
    steps = _steps(plain, drafts, domain)
    tokens = logits.argmax(-1).to(torch.uint8).cpu().numpy()
    second_best = _second_best(logits) if domain is ARC else None
    probabilities = _sure(halt)
    for index, (question, augmentation) in enumerate(zip(batch, augmentations, strict=True)):
        grid, prediction = domain.decode(tokens[index]), None
        if grid is not None and side in grid.shape and side < full:
            again.append(replace(question, side=full))
            continue
        if grid is not None:
            undo, runner_up = augmentation.invert, None
            if second_best is not None:
                second, margin = second_best
                runner_up = undo(_runner_up(second[index], margin[index], grid))
            prediction = Prediction(
                *(question.puzzle, undo(grid), probabilities[index], runner_up, question.order)
            )
        kept = steps.get(index, ())
        yield Answer(question.task, question.test, question.puzzle, prediction, kept)


def _augmentation(question: Question, domain: Domain) -> Augmentation:
    return parse_puzzle_name(question.puzzle)[1] if domain.by_examples else IDENTITY


def _second_best(
    logits: torch.Tensor,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Per cell (B, S) the next best colour, and by how much the best one is better."""
    top, colours = logits[..., FIRST_COLOUR:].topk(2)
    chosen = logits.argmax(-1, keepdim=True) - FIRST_COLOUR
    # Of two equal logits `topk` may put the other one first.
    other = torch.where(colours[..., :1] == chosen, colours[..., 1:], colours[..., :1])
    second = other.squeeze(-1).to(torch.uint8).cpu().numpy()
    return second, (top[..., 0] - top[..., 1]).cpu().numpy()


def _sure(halt_logits: torch.Tensor) -> Any:
    """Halting scores as nested lists; a model that has diverged is sure of nothing."""
    return halt_logits.sigmoid().nan_to_num(0.0).tolist()


def _steps(
    plain: Sequence[int], drafts: Sequence[tuple[torch.Tensor, torch.Tensor]], domain: Domain
) -> dict[int, tuple[Step, ...]]:
    """Drafts of the questions at `plain`; of these, tokens (N, S) and halt logits (N,) per step."""
    if not plain:
        return {}
    tokens = torch.stack([draft for draft, _ in drafts]).cpu().numpy()
    scores = _sure(torch.stack([halt for _, halt in drafts]))
    return {
        index: tuple(
            Step(domain.decode(tokens[step, place]), scores[step][place])
            for step in range(len(drafts))
        )
        for place, index in enumerate(plain)
    }
