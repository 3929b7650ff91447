"""Collect the predictions for test inputs, and select among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from arc_trm.evaluation.predictions import (
    GridKey,
    InputPrediction,
    Prediction,
    TraceStep,
    choose_attempts,
    grid_key,
)
from arc_trm.evaluation.selection import SelectionRule, select_by_votes
from arc_trm.puzzles import kind_of
from arc_trm.tasks import Grid, TaskSet


@dataclass(slots=True)
class _Counted:
    """What was counted for one test input; `ranked` is None until it is needed.

    Predictions are those with the most supervision steps of each query, by puzzle and sample.
    `runner_up` is that of the prediction with the largest `certainty`, which is no draft if there
    is another one, and whose query is `surest`.
    """

    predictions: dict[tuple[str, int], Prediction] = field(default_factory=dict)
    certainty: tuple[bool, float, int, int] | None = None
    surest: tuple[str, int] | None = None
    runner_up: Grid | None = None
    trace: tuple[TraceStep, ...] = ()
    sample_traces: dict[tuple[int, int], tuple[str, tuple[TraceStep, ...]]] = field(
        default_factory=dict
    )
    ranked: InputPrediction | None = None


class VoteCounter:
    """Collects predictions and ranks them per test input.

    Args:
        tasks: predictions for other tasks are not counted.
        rule: ranks the predictions of a test input.
        attempts: number per test input; None is the maximum of the kind of puzzle.
    """

    def __init__(
        self,
        tasks: TaskSet,
        rule: SelectionRule = select_by_votes,
        attempts: int | None = None,
    ) -> None:
        self.tasks, self.rule, self.attempts = tasks, rule, attempts
        self._counted: defaultdict[tuple[str, int], _Counted] = defaultdict(_Counted)
        self._grids: dict[GridKey, Grid] = {}

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions.

        Of several for one query, that of the most supervision steps counts, and of these the first.
        """
        for prediction in predictions:
            task_id, test, puzzle, sample = prediction.key
            key = task_id, test
            exists = task_id in self.tasks and 0 <= test < len(self.tasks[task_id].test)
            if not exists or self.has(*prediction.key):
                continue
            counted = self._counted[key]
            earlier = counted.predictions.get((puzzle, sample))
            if earlier is not None and prediction.is_draft and prediction.steps <= earlier.steps:
                continue
            counted.ranked = None
            if earlier is not None:
                self._forget_draft(counted, earlier)
            if prediction.trace and prediction.turn == (0, 0):
                counted.trace = prediction.trace
            elif prediction.trace:
                counted.sample_traces[prediction.turn] = prediction.title, prediction.trace
            grid, halt_prob = prediction.grid, prediction.halt_prob
            certainty = (not prediction.is_draft, halt_prob, -prediction.order, -sample)
            if grid is not None and (counted.certainty is None or certainty > counted.certainty):
                # Its runner-up may become an attempt.
                counted.certainty, counted.runner_up = certainty, prediction.runner_up
                counted.surest = puzzle, sample
            # Only what selection needs is kept.
            grid = None if grid is None else self._deduplicate(grid)
            kept = replace(prediction, task_id=task_id, grid=grid, runner_up=None, trace=())
            counted.predictions[puzzle, sample] = kept

    @staticmethod
    def _forget_draft(counted: _Counted, draft: Prediction) -> None:
        """Forget what was kept besides a draft, so that it leaves nothing behind."""
        counted.sample_traces.pop(draft.turn, None)
        if draft.turn == (0, 0):
            counted.trace = ()
        if counted.surest == (draft.puzzle, draft.sample):
            counted.certainty = counted.surest = counted.runner_up = None

    def has(self, task_id: str, test: int, puzzle: str | None = None, sample: int = 0) -> bool:
        """Return whether a query has a prediction that is no draft.

        `puzzle` None asks whether the test input has any prediction.
        """
        counted = self._counted.get((task_id, test))
        if counted is None or puzzle is None:
            return counted is not None and bool(counted.predictions)
        found = counted.predictions.get((puzzle, sample))
        return found is not None and not found.is_draft

    def count(self, task_id: str, test: int) -> int:
        """Return how many predictions of a test input are no drafts."""
        return sum(not each.is_draft for each in self.predictions(task_id, test))

    def predictions(self, task_id: str, test: int) -> list[Prediction]:
        """Return the predictions that are counted for a test input, without their traces."""
        counted = self._counted.get((task_id, test))
        return [] if counted is None else list(counted.predictions.values())

    def _deduplicate(self, grid: Grid) -> Grid:
        """Return an equal grid that all equal predictions share, which saves memory."""
        shape, cells = grid_key(grid)
        if (shape, cells) not in self._grids:
            self._grids[shape, cells] = np.frombuffer(cells, np.uint8).reshape(shape)
        return self._grids[shape, cells]

    def __getitem__(self, key: tuple[str, int]) -> InputPrediction:
        """Return candidates and attempts of (task id, test index)."""
        counted = self._counted[key]
        if counted.ranked is None:
            task, test = self.tasks[key[0]], key[1]
            found = counted.predictions.values()
            candidates = tuple(self.rule([each for each in found if each.grid is not None]))
            grids, test_input = [each.grid for each in candidates], task.test[test].input
            attempts = choose_attempts(
                self.tasks, test_input, grids, counted.runner_up, self.attempts
            )
            counted.ranked = InputPrediction(
                task,
                test,
                candidates,
                attempts,
                counted.trace,
                dict(counted.sample_traces[turn] for turn in sorted(counted.sample_traces)),
                self._plain_attempts(counted, test_input, attempts),
                len(found),
                sum(each.steps for each in found),
            )
        return counted.ranked

    def _plain_attempts(
        self, counted: _Counted, test_input: Grid, attempts: tuple[Grid, ...]
    ) -> tuple[Grid, ...]:
        """Return the attempts without further samples and views.

        Those of kinds that embed tasks are the votes of all augmentations. `attempts` are those of
        all predictions.
        """
        embeds_tasks = kind_of(self.tasks).embeds_tasks
        found = counted.predictions.values()
        plain = [each for each in found if not each.sample and (embeds_tasks or not each.order)]
        if len(plain) == len(found):
            return attempts
        candidates = self.rule([each for each in plain if each.grid is not None])
        grids = [each.grid for each in candidates]
        return choose_attempts(self.tasks, test_input, grids, attempts=self.attempts)

    def __iter__(self) -> Iterator[InputPrediction]:
        """Yield the predictions of all test inputs, in order."""
        for task in self.tasks:
            for test in range(len(task.test)):
                yield self[task.id, test]
