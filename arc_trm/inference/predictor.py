"""Build queries for the test inputs of tasks, and predict them in batches."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from arc_trm.checkpoint import Weights, WeightsDir
from arc_trm.config import Canvas
from arc_trm.data.dataset import parse_augmentation
from arc_trm.device import DTYPES, compiles, pick_device, pick_dtype
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.predictions import NO_EMBEDDING, Prediction, Skipped, TraceStep
from arc_trm.puzzles import SEPARATOR, PuzzleKind, kind_of
from arc_trm.rng import seed_for
from arc_trm.tasks import Grid, Pair, TaskSet

MAX_BATCH = 512
POSITIONS_PER_BATCH = 2**17
"""Maximum number of positions in a batch, if no batch size is given."""


@dataclass(frozen=True, slots=True)
class Query:
    """One test input under one augmentation.

    Attributes:
        test: index of the test input, from 0.
        puzzle, puzzle_id: the augmented task, and its index in the puzzle embedding.
        order: index of the augmented task among those of its task; 0 is the task itself.
        side: of the canvas.
        traced: whether intermediate predictions are stored.
    """

    task_id: str
    test: int
    puzzle: str
    puzzle_id: int
    order: int
    side: int
    traced: bool


def load_for_inference(
    folder: WeightsDir,
    tasks: Collection[str],
    device: str = "auto",
    canvas: Canvas | None = None,
    compiled: bool | None = None,
) -> Weights:
    """Load weights with the puzzle embeddings of some tasks, as all may take gigabytes.

    Args:
        folder: of the weights.
        tasks: their ids.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        canvas: `model.canvas` of prediction; None is as in training.
        compiled: use torch.compile; None uses it on GPUs that it supports.

    Raises:
        UserError: the folder has no weights, or a network without a puzzle embedding.
    """
    target = pick_device(device)
    weights = folder.load(target, DTYPES[pick_dtype("auto", target)], tasks)
    if not weights.has_puzzle_embedding:
        raise UserError(
            f"{folder.folder} has a network without a puzzle embedding, which can predict no task: "
            "convert it again with --identifiers or --published-set"
        )
    weights.model.compiled = compiles(target, compiled)
    if canvas is not None:
        weights.model.config = replace(weights.model.config, canvas=canvas)
    return weights


def max_batch_size(weights: Weights, side: int) -> int:
    """Return the maximum number of queries in a batch with a canvas of this side."""
    length = weights.model.state_length(side * side)
    return min(MAX_BATCH, max(1, POSITIONS_PER_BATCH // length))


def inference_notes(
    weights: Weights, tasks: TaskSet, augmentations: int | None = None
) -> list[str]:
    """Return what a user should know before the first query; arguments as of `build_queries`."""
    notes = [weights.model.speed_advice()]
    if augmentations:
        known = _known_puzzles(weights, tasks, None).values()
        trained = max((len(puzzles) - 1 for puzzles in known), default=augmentations)
        if trained < augmentations:
            notes.append(
                f"the weights know at most {pluralise(trained, 'augmentation')} of a task, so "
                f"{trained} vote, not {augmentations}"
            )
    return [note for note in notes if note]


def build_queries(
    weights: Weights, tasks: TaskSet, augmentations: int | None = None
) -> tuple[list[Query], list[Skipped]]:
    """Return all queries, in rounds over all tasks: first the tasks themselves, then augmentations.

    If there are several canvas sizes, rounds are joined until the queries of one size fill a batch.

    Args:
        weights: of the model.
        tasks: of the model's kind and size.
        augmentations: maximum number besides the task itself; None is all that were trained.

    Returns:
        The queries, and the test inputs that cannot be queried.

    Raises:
        UserError: a name of a puzzle id is invalid.
    """
    config, kind = weights.model.config, kind_of(tasks)
    if augmentations and not kind.embeds_tasks:
        raise UserError(
            f"{tasks.name} holds {kind.title}, which is predicted once without augmentations: "
            "leave them out"
        )
    known = _known_puzzles(weights, tasks, augmentations)
    bucketed = config.canvas == "bucketed"
    queries: list[Query] = []
    skipped: list[Skipped] = []
    for index, task in enumerate(tasks):
        puzzles, side = known.get(task.id, []), config.side
        if bucketed:
            side = kind.canvas_side(task.without_solutions(), side)
        stored = kind.max_traces is None or index < kind.max_traces
        for test, pair in enumerate(task.test):
            if reason := _skip_reason(pair, puzzles, config.side):
                skipped.append(Skipped(task.id, test, reason))
                continue
            queries += (
                Query(task.id, test, name, puzzle_id, order, side, stored and name == task.id)
                for order, (name, puzzle_id) in enumerate(puzzles)
            )
    rounds = 1
    if bucketed and queries:  # as many as fill a batch of every canvas size
        sides = {query.side for query in queries}
        inputs = {(query.task_id, query.test) for query in queries}
        rounds = math.ceil(len(sides) * max_batch_size(weights, config.side) / len(inputs))

    def position(query: Query) -> tuple[int, int, int]:
        block = query.order and 1 + (query.order - 1) // rounds
        return block, query.side, query.order

    return sorted(queries, key=position), skipped


def _known_puzzles(
    weights: Weights, tasks: TaskSet, augmentations: int | None
) -> dict[str, list[tuple[str, int]]]:
    """Map task ids to the names and ids of their puzzles in the weights, the task itself first."""
    kind = kind_of(tasks)
    if not kind.embeds_tasks:
        return {task.id: [(task.id, 0)] for task in tasks}
    known: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, puzzle_id in weights.puzzle_ids.items():
        task_id, _, augmentation = name.partition(SEPARATOR)
        if task_id in tasks:
            try:
                parse_augmentation(kind, augmentation)
            except ValueError as error:
                raise UserError(
                    f"puzzle id {puzzle_id} of the weights has an invalid name: {error}"
                ) from None
            known[task_id].append((name, puzzle_id))
    limit = None if augmentations is None else 1 + augmentations
    return {task_id: puzzles[:limit] for task_id, puzzles in known.items()}


def _skip_reason(pair: Pair, puzzles: Sequence[object], side: int) -> str | None:
    height, width = pair.input.shape
    if max(height, width) > side:  # first, because adapting would not help
        return f"its input of {height}×{width} does not fit the {side}×{side} canvas"
    return None if puzzles else NO_EMBEDDING


def shard(queries: Sequence[Query], rank: int, world_size: int) -> Sequence[Query]:
    """Return every `world_size`-th query, so that all processes take part in every round."""
    return queries[rank::world_size]


def predict_batch(
    weights: Weights,
    tasks: TaskSet,
    batch: Sequence[Query],
    supervision_steps: int | None,
    retry: list[Query],
    observe: Callable[[torch.Tensor, torch.Tensor], None] = lambda logits, halt_logits: None,
) -> Iterator[Prediction]:
    """Yield the predictions for a batch of queries, augmentations undone.

    Except for rounding, a prediction does not depend on the rest of the batch.

    Args:
        weights, tasks: of the queries.
        batch: queries on canvases of one size.
        supervision_steps: per query; None is the model's number.
        retry: a list to which queries are added that must be repeated on the full canvas, because
            their predicted grid reaches the edge of a smaller one.
        observe: called after every supervision step with the logits (B, S, V) and the halting
            logits (B,) of the batch.
    """
    model, side, full = weights.model, batch[0].side, weights.model.config.side
    kind = kind_of(tasks)
    augmentations = [
        parse_augmentation(kind, query.puzzle.partition(SEPARATOR)[2]) for query in batch
    ]
    encoded = [
        kind.encode(Pair(augmentation.apply(tasks[query.task_id].test[query.test].input)), side)
        for query, augmentation in zip(batch, augmentations, strict=True)
    ]
    device = model.y_init.device
    inputs = torch.from_numpy(np.stack([tokens for tokens, _ in encoded])).to(device, torch.int32)
    puzzle_ids = torch.tensor([q.puzzle_id for q in batch], device=model.puzzle_embedding.device)
    traced = [index for index, query in enumerate(batch) if query.traced]
    steps: list[tuple[torch.Tensor, torch.Tensor]] = []
    seeds = [seed_for(query.task_id, query.test, query.puzzle) for query in batch]
    for logits, halt_logits in model.predict_steps(inputs, puzzle_ids, supervision_steps, seeds):
        observe(logits, halt_logits)
        if traced:  # for ARC about one query in a thousand
            steps.append((logits[traced].argmax(-1).to(torch.uint8), halt_logits[traced]))
    traces = _traces(traced, steps, kind)
    tokens = logits.argmax(-1).to(torch.uint8).cpu().numpy()
    second_best = _second_best(logits, kind) if kind.max_attempts > 1 else None
    halt_probs = _halt_probs(halt_logits)
    for index, (query, augmentation) in enumerate(zip(batch, augmentations, strict=True)):
        grid, runner_up = kind.decode(tokens[index]), None
        if grid is not None:
            if side in grid.shape and side < full:
                retry.append(replace(query, side=full))
                continue
            if second_best is not None:
                values, margins = second_best
                changed = _with_second_best(values[index], margins[index], grid)
                runner_up = augmentation.invert(changed)
            grid = augmentation.invert(grid)
        yield Prediction(
            query.task_id,
            query.test,
            query.puzzle,
            query.order,
            grid,
            halt_probs[index],
            runner_up,
            traces.get(index, ()),
        )


def _second_best(
    logits: torch.Tensor, kind: PuzzleKind
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return the second most likely value of each cell, and the margin of the best one, (B, S)."""
    top, values = logits[..., kind.first_value_token :].topk(2)
    chosen = logits.argmax(-1, keepdim=True) - kind.first_value_token
    # If two logits are equal, `topk` and `argmax` may order them differently.
    other = torch.where(values[..., :1] == chosen, values[..., 1:], values[..., :1])
    second_best = other.squeeze(-1).to(torch.uint8).cpu().numpy()
    return second_best, (top[..., 0] - top[..., 1]).cpu().numpy()


def _with_second_best(
    values: npt.NDArray[np.uint8], margins: npt.NDArray[np.float32], grid: Grid
) -> Grid:
    """Return the decoded grid with the second most likely value in its least certain cell."""
    side = round(len(values) ** 0.5)
    height, width = grid.shape
    margins = margins.reshape(side, side)[:height, :width]
    row, column = np.unravel_index(int(margins.argmin()), margins.shape)
    changed = grid.copy()
    changed[row, column] = values[row * side + column]
    changed.flags.writeable = False
    return changed


def _halt_probs(halt_logits: torch.Tensor) -> Any:
    """Return halting probabilities as nested lists; NaN of a diverged model becomes 0."""
    return halt_logits.sigmoid().nan_to_num(0.0).tolist()


def _traces(
    traced: Sequence[int], steps: Sequence[tuple[torch.Tensor, torch.Tensor]], kind: PuzzleKind
) -> dict[int, tuple[TraceStep, ...]]:
    """Map indices in a batch to traces, from tokens (N, S) and halting logits (N,) per step."""
    if not traced:
        return {}
    tokens = torch.stack([step for step, _ in steps]).cpu().numpy()
    probs = _halt_probs(torch.stack([halt_logits for _, halt_logits in steps]))
    return {
        index: tuple(
            TraceStep(kind.decode(tokens[step, row]), probs[step][row])
            for step in range(len(steps))
        )
        for row, index in enumerate(traced)
    }
