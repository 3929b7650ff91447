"""Build queries for the test inputs of tasks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

from torch import Tensor

from arc_trm.checkpoint import Weights, WeightsDir
from arc_trm.config import Canvas, EmbeddingChoice, InferenceConfig
from arc_trm.data.dataset import parse_augmentation
from arc_trm.device import DTYPES, pick_device, pick_dtype, require_compiler
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.predictions import NO_EMBEDDING, QueryKey, Skipped
from arc_trm.inference.groups import GROUP_RULES, GroupKey
from arc_trm.puzzles import SEPARATOR, PuzzleKind, kind_of
from arc_trm.rng import rng_for
from arc_trm.tasks import Pair, Task, TaskSet

MAX_BATCH = 512
MAX_COMPOSED = 10_000
"""Augmentations of a task that can vote if the puzzle embedding is composed; a table has bounds of
its own."""
MAX_TRACED = 8
"""Answers to a test input whose intermediate predictions are stored, at most."""
POSITIONS_PER_BATCH = 2**17
"""Maximum number of positions in a batch, if no batch size is given."""


@dataclass(frozen=True, slots=True)
class Query:
    """One sample of one test input under one augmentation or view.

    Attributes:
        test: index of the test input, from 0.
        puzzle, puzzle_id: the augmented task, and its index in the puzzle embedding.
        order: index of the augmented task, or of the view, among those of its task; 0 is the task
            itself.
        side: of the canvas.
        traced: whether intermediate predictions are stored.
        sample: index of the sample; 0 is the plain one, without noise.
        steps: number of supervision steps; None is that of the job.
        is_draft: whether the query is to be repeated with more steps if there is time.
        group: what is asked side by side with it and decided together; None if nothing is.
    """

    task_id: str
    test: int
    puzzle: str
    puzzle_id: int
    order: int
    side: int
    traced: bool
    sample: int = 0
    steps: int | None = None
    is_draft: bool = False
    group: GroupKey | None = None

    @property
    def key(self) -> QueryKey:
        """As `Prediction.key`."""
        return self.task_id, self.test, self.puzzle, self.sample


def load_for_inference(
    folder: WeightsDir,
    tasks: Collection[str],
    device: str = "auto",
    canvas: Canvas | None = None,
    compiled: bool = False,
    puzzle_embedding: EmbeddingChoice = "trained",
) -> Weights:
    """Load weights with the puzzle embeddings of some tasks, as all may take gigabytes.

    Args:
        folder: of the weights.
        tasks: their ids.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        canvas: `model.canvas` of prediction; None is as in training.
        compiled: use torch.compile, which delays the first answers.
        puzzle_embedding: `trained`, or what it is replaced by (`replace_embedding`).

    Raises:
        UserError: the folder has no weights, or a network without a puzzle embedding.
    """
    target = pick_device(device)
    if compiled:
        require_compiler(target)
    weights = folder.load(target, DTYPES[pick_dtype("auto", target)], tasks)
    if not weights.has_puzzle_embedding:
        raise UserError(
            f"{folder.folder} has a network without a puzzle embedding, which can predict no task: "
            "convert it again with --identifiers or --published-set"
        )
    replace_embedding(weights.model.puzzle_embedding, puzzle_embedding)
    weights = replace(weights, embedding_choice=puzzle_embedding)
    weights.model.compiled = compiled
    if canvas is not None:
        weights.model.config = replace(weights.model.config, canvas=canvas)
    return weights


def replace_embedding(embedding: Tensor, choice: EmbeddingChoice) -> None:
    """Replace a puzzle embedding in place, to see what it contributes to predictions.

    Args:
        embedding: (num_puzzles, puzzle_emb_dim), of the tasks to predict; row 0 is the blank one's.
        choice: `trained` changes nothing; `zero` sets zeros; `mean` sets the mean of all rows but
            the blank one in each of them; `shuffled` gives each row to the next one but the blank
            one, in an order that depends on their number alone, so that no puzzle keeps its own.
    """
    rows = embedding[1:]
    if choice == "zero":
        embedding.zero_()
    elif choice == "mean" and len(rows):
        rows.copy_(rows.mean(0).expand_as(rows))
    elif choice == "shuffled" and len(rows):
        order = rng_for("shuffled embedding", len(rows)).permutation(len(rows)).tolist()
        taken = rows[[*order[1:], order[0]]].clone()
        rows[order] = taken


def max_batch_size(weights: Weights, side: int) -> int:
    """Return the maximum number of queries in a batch with a canvas of this side."""
    length = weights.model.state_length(side * side)
    return min(MAX_BATCH, max(1, POSITIONS_PER_BATCH // length))


def inference_notes(
    weights: Weights, tasks: TaskSet, augmentations: int | None = None
) -> list[str]:
    """Return what a user should know before the first query; arguments as of `build_queries`."""
    notes = [weights.model.speed_advice()]
    is_table = weights.model.composition is None
    if augmentations and is_table and kind_of(tasks).embeds_tasks:
        known = _known_puzzles(weights, tasks, None).values()
        trained = max((len(puzzles) - 1 for puzzles in known), default=augmentations)
        if trained < augmentations:
            notes.append(
                f"the weights know at most {pluralise(trained, 'augmentation')} of a task, so "
                f"{trained} vote, not {augmentations}"
            )
    return [note for note in notes if note]


def build_queries(
    weights: Weights,
    tasks: TaskSet,
    augmentations: int | None = None,
    config: InferenceConfig | None = None,
) -> tuple[list[Query], list[Skipped]]:
    """Return all queries, in rounds over all tasks: first the tasks themselves, then augmentations.

    Of kinds that embed tasks, further samples follow in rounds of their own. Of other kinds only
    the plain queries are returned, from which `further_queries` makes the others.

    If there are several canvas sizes, rounds are joined until the queries of one size fill a batch.

    Args:
        weights: of the model.
        tasks: of the model's kind and size.
        augmentations: maximum number besides the task itself; None is all that were trained, of a
            composed puzzle embedding as many.
        config: how the model is asked; None asks once.

    Returns:
        The queries, and the test inputs that cannot be queried.

    Raises:
        UserError: a name of a puzzle id is invalid, or too many augmentations are asked.
    """
    config = config or InferenceConfig()
    model, kind = weights.model.config, kind_of(tasks)
    if augmentations and not kind.embeds_tasks:
        raise UserError(
            f"{tasks.name} holds {kind.title}, which has views in place of augmentations: use "
            "--views"
        )
    if model.puzzle_embedding == "composed" and (augmentations or 0) > MAX_COMPOSED:
        raise UserError(
            f"at most {MAX_COMPOSED:,} augmentations of a composed puzzle embedding can vote, got "
            f"{augmentations:,}: ask for fewer with --augmentations"
        )
    known = _known_puzzles(weights, tasks, augmentations)
    bucketed = model.canvas == "bucketed"
    queries: list[Query] = []
    skipped: list[Skipped] = []
    for index, task in enumerate(tasks):
        puzzles, side = known.get(task.id, []), model.side
        if bucketed:
            side = kind.canvas_side(task.without_solutions(), side)
        stored = kind.max_traces is None or index < kind.max_traces
        for test, pair in enumerate(task.test):
            if reason := _skip_reason(pair, puzzles, model.side):
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
        rounds = math.ceil(len(sides) * max_batch_size(weights, model.side) / len(inputs))

    if kind.embeds_tasks:
        queries += [
            more for query in queries for more in further_queries(query, config, 1, config.samples)
        ]

    def position(query: Query) -> tuple[int, int, int, int]:
        block = query.order and 1 + (query.order - 1) // rounds
        sample_round = min(query.sample, 1) if query.group else query.sample
        return sample_round, block, query.side, query.order

    return sorted(queries, key=position), skipped


def further_queries(query: Query, config: InferenceConfig, start: int, stop: int) -> list[Query]:
    """Return the queries `start` to `stop` - 1 that belong to a plain one, which is number 0.

    The plain queries of all views come first, then the second samples of all views, and so on.
    """
    grouped = config.select in GROUP_RULES
    key: GroupKey = (query.task_id, query.test, *([query.puzzle] if query.puzzle_id else []))
    return [
        replace(
            query,
            puzzle=f"{query.puzzle}{SEPARATOR}view {view}" if view else query.puzzle,
            order=view or query.order,
            sample=sample,
            traced=query.traced and number < MAX_TRACED,
            group=key if grouped else None,
        )
        for number in range(start, stop)
        for sample, view in [divmod(number, config.views)]
    ]


def _known_puzzles(
    weights: Weights, tasks: TaskSet, augmentations: int | None
) -> dict[str, list[tuple[str, int]]]:
    """Map task ids to the names and ids of their puzzles in the weights, the task itself first."""
    kind = kind_of(tasks)
    if not kind.embeds_tasks:
        return {task.id: [(task.id, 0)] for task in tasks}
    if weights.model.composition is not None:
        return {
            task.id: [
                (name, weights.puzzle_ids[task.id])
                for name in _composed_names(weights, task, kind, augmentations)
            ]
            for task in tasks
            if task.id in weights.puzzle_ids
        }
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


def _composed_names(weights: Weights, task: Task, kind: PuzzleKind, count: int | None) -> list[str]:
    """Return the names of a task and of `count` augmentations, the trained ones first.

    None is as many as were trained.
    """
    trained, seed = weights.trained_augmentations
    asked = min(trained, MAX_COMPOSED) if count is None else count
    augmentations = kind.nested_augmentations(task, asked, seed)
    return [task.id, *(f"{task.id}{SEPARATOR}{name}" for name in augmentations.names())]


def _skip_reason(pair: Pair, puzzles: Sequence[object], side: int) -> str | None:
    height, width = pair.input.shape
    if max(height, width) > side:  # first, because adapting would not help
        return f"its input of {height}×{width} does not fit the {side}×{side} canvas"
    return None if puzzles else NO_EMBEDDING


def shard(queries: Sequence[Query], rank: int, world_size: int) -> Sequence[Query]:
    """Return every `world_size`-th query, so that all processes take part in every round.

    Queries that are decided together count as one.
    """
    parts = groupby(enumerate(queries), lambda numbered: numbered[1].group or numbered[0])
    own = islice(parts, rank, None, world_size)
    return [query for _, part in own for _, query in part]
