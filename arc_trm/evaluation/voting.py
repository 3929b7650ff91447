"""From the predictions of all augmentations to candidates and attempts (docs/model.md, section 7).

A voting rule ranks the grids that were predicted for a test input. The published one groups equal
grids and ranks them by (votes, mean halting probability), both descending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from arc_trm.evaluation.predictions import (
    Candidate,
    GridKey,
    InputPrediction,
    Prediction,
    TraceStep,
    choose_attempts,
    grid_key,
)
from arc_trm.registry import Registry
from arc_trm.tasks import Grid, TaskSet

VotingRule = Callable[[Sequence[Prediction]], list[Candidate]]
"""Returns candidates, best first, of predictions that have a grid. Their order must not matter."""

VOTING_RULES: Registry[VotingRule] = Registry("voting rule")
register_voting_rule = VOTING_RULES.register


@register_voting_rule("majority")
def majority_vote(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank equal grids by (votes, mean halting probability).

    Of equals the one predicted for the first puzzle wins.
    """
    groups: dict[GridKey, list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda p: p.order):
        assert prediction.grid is not None, "only predictions with a grid vote"
        groups.setdefault(grid_key(prediction.grid), []).append(prediction)
    candidates = []
    for group in groups.values():
        grid, halt_prob = group[0].grid, sum(p.halt_prob for p in group) / len(group)
        assert grid is not None
        candidates.append(Candidate(grid, len(group), halt_prob, tuple(p.puzzle for p in group)))
    return sorted(candidates, key=lambda c: (-c.votes, -c.halt_prob))


class VoteCounter:
    """Collects predictions and ranks them per test input.

    Args:
        tasks: predictions for other tasks are not counted.
        voters: names of the puzzles whose votes count; None is all.
        rule: ranks the predictions of a test input.
        attempts: per test input; None is what the kind of puzzle allows.
    """

    def __init__(
        self,
        tasks: TaskSet,
        voters: Mapping[str, object] | None = None,
        rule: VotingRule = majority_vote,
        attempts: int | None = None,
    ) -> None:
        self.tasks, self.voters, self.rule, self.attempts = tasks, voters, rule, attempts
        self._predicted: dict[tuple[str, int], set[str]] = {}
        self._grids: dict[GridKey, Grid] = {}
        self._votes: dict[tuple[str, int], list[Prediction]] = {}
        self._surest: dict[tuple[str, int], Prediction] = {}
        self._traces: dict[tuple[str, int], tuple[TraceStep, ...]] = {}
        self._ranked: dict[tuple[str, int], InputPrediction] = {}

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions; of several for one puzzle the first counts."""
        for prediction in predictions:
            key = (prediction.task_id, prediction.test)
            exists = prediction.task_id in self.tasks and (
                0 <= prediction.test < len(self.tasks[prediction.task_id].test)
            )
            if not exists or self.has(*key, prediction.puzzle):
                continue
            self._predicted.setdefault(key, set()).add(prediction.puzzle)
            if prediction.trace:
                self._traces[key] = prediction.trace
                self._ranked.pop(key, None)
            grid = prediction.grid
            if grid is None or (self.voters is not None and prediction.puzzle not in self.voters):
                continue
            surest = self._surest.get(key)
            rank = (prediction.halt_prob, -prediction.order)
            if surest is None or rank > (surest.halt_prob, -surest.order):
                self._surest[key] = prediction  # its runner-up may become an attempt
            vote = Prediction(
                prediction.task_id,
                prediction.test,
                prediction.puzzle,
                prediction.order,
                self._shared(grid),
                prediction.halt_prob,
            )
            self._votes.setdefault(key, []).append(vote)
            self._ranked.pop(key, None)

    def has(self, task_id: str, test: int, puzzle: str | None = None) -> bool:
        """Return whether there is a prediction, for this puzzle or for any."""
        puzzles = self._predicted.get((task_id, test), set())
        return bool(puzzles) if puzzle is None else puzzle in puzzles

    def _shared(self, grid: Grid) -> Grid:
        """Return an equal grid, stored once however often it is predicted."""
        shape, cells = grid_key(grid)
        if (shape, cells) not in self._grids:
            self._grids[shape, cells] = np.frombuffer(cells, np.uint8).reshape(shape)
        return self._grids[shape, cells]

    def __getitem__(self, key: tuple[str, int]) -> InputPrediction:
        """Return candidates and attempts of (task id, test index)."""
        if key not in self._ranked:
            task_id, test = key
            task = self.tasks[task_id]
            candidates = self.rule(self._votes.get(key, ()))
            surest = self._surest.get(key)
            attempts = choose_attempts(
                self.tasks,
                task.test[test].input,
                [candidate.grid for candidate in candidates],
                surest.runner_up if surest else None,
                self.attempts,
            )
            trace = self._traces.get(key, ())
            self._ranked[key] = InputPrediction(task, test, tuple(candidates), attempts, trace)
        return self._ranked[key]

    def __iter__(self) -> Iterator[InputPrediction]:
        """Yield the predictions of all test inputs, in order."""
        for task in self.tasks:
            for test in range(len(task.test)):
                yield self[task.id, test]
