"""Vote among the predictions of all augmentations of a task (docs/model.md, section 7).

A voting rule ranks the grids predicted for a test input. The published one groups equal
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
"""Maps predictions with a grid, in any order, to candidates, best first."""

VOTING_RULES: Registry[VotingRule] = Registry("voting rule")
register_voting_rule = VOTING_RULES.register


@register_voting_rule("majority")
def majority_vote(predictions: Sequence[Prediction]) -> list[Candidate]:
    """Rank equal grids by (votes, mean halting probability).

    Of candidates with equal rank, the one of the first puzzle comes first.
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
        attempts: number per test input; None is the maximum of the kind of puzzle.
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
        self._most_certain: dict[tuple[str, int], Prediction] = {}
        self._traces: dict[tuple[str, int], tuple[TraceStep, ...]] = {}
        self._ranked: dict[tuple[str, int], InputPrediction] = {}

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions; only the first for each puzzle counts."""
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
            most_certain = self._most_certain.get(key)
            rank = (prediction.halt_prob, -prediction.order)
            if most_certain is None or rank > (most_certain.halt_prob, -most_certain.order):
                self._most_certain[key] = prediction  # its runner-up may become an attempt
            grid, order = self._deduplicate(grid), prediction.order
            vote = Prediction(*key, prediction.puzzle, order, grid, prediction.halt_prob)
            self._votes.setdefault(key, []).append(vote)
            self._ranked.pop(key, None)

    def has(self, task_id: str, test: int, puzzle: str | None = None) -> bool:
        """Return whether a test input has a prediction, of this puzzle or, for None, of any."""
        puzzles = self._predicted.get((task_id, test), set())
        return bool(puzzles) if puzzle is None else puzzle in puzzles

    def _deduplicate(self, grid: Grid) -> Grid:
        """Return an equal grid that all equal predictions share, which saves memory."""
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
            most_certain = self._most_certain.get(key)
            attempts = choose_attempts(
                self.tasks,
                task.test[test].input,
                [candidate.grid for candidate in candidates],
                most_certain.runner_up if most_certain else None,
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
