"""Ask a model: queries enter a batch and leave it one by one, as soon as each is answered.

A batch holds queries on canvases of one size. After each supervision step those that have taken all
their steps, or may stop early, leave, so that others can take their places.

Shape letters: B batch, S cells of a canvas, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig
from arc_trm.data.dataset import parse_augmentation
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.inference.groups import GROUP_RULES, Continue, GroupKey
from arc_trm.inference.queries import Query
from arc_trm.models.state import LatentState, Sampling
from arc_trm.puzzles import SEPARATOR, Augmentation, PuzzleKind, kind_of
from arc_trm.rng import seed_for
from arc_trm.tasks import Grid, Pair, TaskSet

DECIMALS = 6
"""Of a confidence, so that a log holds what was selected by."""

Observer = Callable[[Tensor, Tensor], None]
"""Called after every supervision step with logits (B, S, V) and halting logits (B,)."""


@dataclass(slots=True)
class _Slot:
    """A query in the batch; `view` is what its answer has to be changed back by."""

    query: Query
    view: Augmentation
    max_steps: int
    steps: int = 0
    trace: list[tuple[npt.NDArray[np.uint8], float]] = field(default_factory=list)


class Engine:
    """A batch of queries that a model answers.

    Args:
        weights, tasks: of the queries.
        config: how they are asked; its selection rule is one of `SELECTION_RULES`.
        observe: see `Observer`; None if nobody needs the logits of every step.
    """

    def __init__(
        self,
        weights: Weights,
        tasks: TaskSet,
        config: InferenceConfig,
        observe: Observer | None = None,
    ) -> None:
        self.model, self.tasks, self.config, self.observe = weights.model, tasks, config, observe
        self.kind, self.full_side = kind_of(tasks), weights.model.config.side
        self.retry: list[Query] = []
        """Queries that must be repeated on the full canvas, because their predicted grid reaches
        the edge of a smaller one."""
        self._group_rule = GROUP_RULES.get(config.select)
        self._slots: list[_Slot] = []
        self._state: LatentState | None = None

    def __len__(self) -> int:
        """Return the number of queries in the batch."""
        return len(self._slots)

    @property
    def side(self) -> int | None:
        """Side of the canvas of the queries in the batch; None if there are none."""
        return self._slots[0].query.side if self._slots else None

    @property
    def max_steps(self) -> int:
        """Largest number of supervision steps of the queries in the batch; 0 without any."""
        return max((slot.max_steps for slot in self._slots), default=0)

    def add(self, queries: Sequence[Query]) -> None:
        """Add queries on canvases of the batch's size; copies of a group are added together."""
        if not queries:
            return
        side = self.side or queries[0].side
        slots = [self._slot(query) for query in queries]
        inputs = [
            self.kind.encode(Pair(slot.view.apply(self._question(slot.query))), side)[0]
            for slot in slots
        ]
        self._slots += slots  # first, so that `withdraw` returns these queries, too
        model = self.model
        tokens = torch.from_numpy(np.stack(inputs)).to(model.y_init.device, torch.int32)
        ids = [query.puzzle_id for query in queries]
        puzzle_ids = torch.tensor(ids, device=model.puzzle_embedding.device)
        sampling = [self._sampling(query) for query in queries]
        state = model.begin(tokens, puzzle_ids, sampling, self._augmentations(slots))
        if self._state is not None:
            state = LatentState.concatenate([self._state, state])
        self._state = state

    def _slot(self, query: Query) -> _Slot:
        steps = query.steps or self.config.supervision_steps or self.model.config.supervision_steps
        return _Slot(query, view_of(self.kind, query), steps)

    def _augmentations(self, slots: Sequence[_Slot]) -> Tensor | None:
        """Return the augmentations (B, A) of queries; None if the puzzle embedding is a table."""
        if self.model.composition is None:
            return None
        codes = [self.kind.augmentation_code(slot.view) for slot in slots]
        return torch.from_numpy(np.stack(codes)).to(torch.int32)

    def _question(self, query: Query) -> Grid:
        return self.tasks[query.task_id].test[query.test].input

    def _sampling(self, query: Query) -> Sampling:
        if not query.sample:
            return Sampling(seed_for(query.task_id, query.test, query.puzzle))
        seed = seed_for(self.config.seed, query.task_id, query.test, query.puzzle, query.sample)
        return Sampling(seed, self.config.starts, self.config.noise)

    def step(self) -> list[Prediction]:
        """Take one supervision step; return the predictions of the queries that leave the batch."""
        assert self._state is not None
        self._state = self.model.advance(self._state)
        for slot in self._slots:
            slot.steps += 1
        done = {i for i, slot in enumerate(self._slots) if slot.steps >= slot.max_steps}
        traced = [i for i, slot in enumerate(self._slots) if slot.query.traced]
        needs_halt = bool(traced or self.config.early_exit or self._group_rule or self.observe)
        halt_logits = None
        if needs_halt or done:
            halt_logits = self.model.read_halt_logits(self._state)
        dropped: set[int] = set()
        if self.config.early_exit and halt_logits is not None:
            halts = (halt_logits > 0).nonzero().flatten().tolist()
            done.update(i for i in halts if not self._is_grouped(i))
        logits = None
        if traced or self.observe:
            assert halt_logits is not None
            logits = self.model.read_logits(self._state)
            if self.observe is not None:
                self.observe(logits, halt_logits)
            self._record_traces(traced, logits, halt_logits)
        if self._group_rule is not None:
            assert halt_logits is not None
            winners, dropped = self._apply_group_rule(halt_logits, done)
            done |= winners
        found = []
        if done:
            assert halt_logits is not None
            if logits is None:  # resampling has not moved those that are done
                logits = self.model.read_logits(self._state)
            found = self._read(sorted(done - dropped), logits, halt_logits, is_draft=False)
        found += [self._without_answer(self._slots[i]) for i in sorted(dropped)]
        self._keep([i for i in range(len(self._slots)) if i not in done | dropped])
        return found

    def drain(self) -> list[Prediction]:
        """Return the current predictions of all queries as drafts, and empty the batch."""
        started = [i for i, slot in enumerate(self._slots) if slot.steps]
        drafts: list[Prediction] = []
        if started:
            assert self._state is not None
            logits = self.model.read_logits(self._state)
            halt_logits = self.model.read_halt_logits(self._state)
            drafts = self._read(started, logits, halt_logits, is_draft=True)
        self._keep([])
        return drafts

    def withdraw(self) -> list[Query]:
        """Return all queries, none of them answered, and empty the batch."""
        queries = [slot.query for slot in self._slots]
        self._slots, self._state = [], None
        self.retry.clear()
        return queries

    def _keep(self, indices: Sequence[int]) -> None:
        if len(indices) == len(self._slots):
            return
        self._slots = [self._slots[i] for i in indices]
        assert self._state is not None
        self._state = self._state.take(indices) if indices else None

    # Groups

    def _is_grouped(self, index: int) -> bool:
        return self._group_rule is not None and self._slots[index].query.group is not None

    def _apply_group_rule(self, halt_logits: Tensor, done: set[int]) -> tuple[set[int], set[int]]:
        """Let the rule decide what becomes of each group; return who wins, and who is dropped."""
        assert self._group_rule is not None and self._state is not None
        groups: dict[GroupKey, list[int]] = {}
        for index, slot in enumerate(self._slots):
            if slot.query.group is not None:
                groups.setdefault(slot.query.group, []).append(index)
        logits = halt_logits.float().nan_to_num(0.0).cpu().numpy()
        ancestors = list(range(len(self._slots)))
        winners, dropped = set[int](), set[int]()
        for key, members in groups.items():
            step, is_last = self._slots[members[0]].steps, members[0] in done
            decision = self._group_rule(logits[members], step, is_last, (self.config.seed, *key))
            if isinstance(decision, Continue):
                for member, ancestor in zip(members, decision.ancestors, strict=True):
                    ancestors[member] = members[ancestor]
                continue
            winner = members[decision.winner]
            winners.add(winner)
            dropped.update(set(members) - {winner})
        if ancestors != list(range(len(ancestors))):
            self._state = self._state.resample(ancestors)
            old = [(slot.view, list(slot.trace)) for slot in self._slots]
            for slot, ancestor in zip(self._slots, ancestors, strict=True):
                slot.view, slot.trace = old[ancestor][0], list(old[ancestor][1])
        return winners, dropped

    @staticmethod
    def _without_answer(slot: _Slot) -> Prediction:
        """Return the record of a copy that stopped because another one won."""
        query = slot.query
        return Prediction(
            query.task_id,
            query.test,
            query.puzzle,
            query.order,
            sample=query.sample,
            steps=slot.steps,
        )

    # Reading

    def _record_traces(self, traced: Sequence[int], logits: Tensor, halt_logits: Tensor) -> None:
        if not traced:  # for ARC about one query in a thousand is
            return
        tokens = logits[traced].argmax(-1).to(torch.uint8).cpu().numpy()
        for index, row, prob in zip(traced, tokens, _probs(halt_logits[traced]), strict=True):
            self._slots[index].trace.append((row, prob))

    def _read(
        self, indices: Sequence[int], logits: Tensor, halt_logits: Tensor, is_draft: bool
    ) -> list[Prediction]:
        """Return the current predictions at these indices; those to repeat go to `retry`."""
        kind = self.kind
        chosen, slots = logits[indices], [self._slots[index] for index in indices]
        tokens = chosen.argmax(-1).to(torch.uint8).cpu().numpy()
        second_best = _second_best(chosen, kind) if kind.max_attempts > 1 else None
        halt_probs = _probs(halt_logits[indices])
        top = chosen.softmax(-1).amax(-1).nan_to_num(0.0)
        confidences = top.mean(-1).double().clamp(0, 1).cpu().numpy().round(DECIMALS).tolist()
        predictions = []
        for row, slot in enumerate(slots):
            query, grid, runner_up = slot.query, kind.decode(tokens[row]), None
            if grid is not None:
                if query.side in grid.shape and query.side < self.full_side:
                    if not is_draft:
                        self.retry.append(replace(query, side=self.full_side))
                    continue
                if second_best is not None:
                    values, margins = second_best
                    runner_up = slot.view.invert(_with_second_best(values[row], margins[row], grid))
                grid = slot.view.invert(grid)
            predictions.append(
                Prediction(
                    query.task_id,
                    query.test,
                    query.puzzle,
                    query.order,
                    grid,
                    halt_probs[row],
                    runner_up,
                    tuple(
                        TraceStep(_inverted(kind.decode(step), slot.view), prob)
                        for step, prob in slot.trace
                    ),
                    query.sample,
                    slot.steps,
                    is_draft or query.is_draft,
                    confidences[row],
                )
            )
        return self._validated(predictions)

    def _validated(self, predictions: list[Prediction]) -> list[Prediction]:
        if not self.kind.has_rule:
            return predictions
        questions = [self.tasks[each.task_id].test[each.test].input for each in predictions]
        valid = self.kind.valid_answers(questions, [each.grid for each in predictions])
        return [replace(each, valid=flag) for each, flag in zip(predictions, valid, strict=True)]


def view_of(kind: PuzzleKind, query: Query) -> Augmentation:
    """Return the augmentation of a query's task, or the view of its puzzle."""
    if kind.embeds_tasks:
        return parse_augmentation(kind, query.puzzle.partition(SEPARATOR)[2])
    return _cached_view(kind, query.side, query.order)


@lru_cache(maxsize=4096)
def _cached_view(kind: PuzzleKind, side: int, number: int) -> Augmentation:
    return kind.view(side, number)


def _inverted(grid: Grid | None, view: Augmentation) -> Grid | None:
    return None if grid is None else view.invert(grid)


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


def _probs(halt_logits: Tensor) -> list[float]:
    """Return halting probabilities; NaN of a diverged model becomes 0."""
    probs: list[float] = halt_logits.sigmoid().nan_to_num(0.0).tolist()
    return probs


def predict_batch(
    weights: Weights,
    tasks: TaskSet,
    batch: Sequence[Query],
    supervision_steps: int | None,
    retry: list[Query],
    observe: Observer | None = None,
) -> list[Prediction]:
    """Return the plain predictions for a batch of queries, augmentations undone.

    Except for rounding, a prediction does not depend on the rest of the batch.

    Args:
        weights, tasks: of the queries.
        batch: queries on canvases of one size.
        supervision_steps: per query; None is the model's number.
        retry: a list to which queries are added that must be repeated on the full canvas, because
            their predicted grid reaches the edge of a smaller one.
        observe: see `Observer`.
    """
    engine = Engine(weights, tasks, InferenceConfig(supervision_steps=supervision_steps), observe)
    engine.add(batch)
    predictions: list[Prediction] = []
    while len(engine):
        predictions += engine.step()
    retry += engine.retry
    return predictions
