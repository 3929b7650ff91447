"""Vote among the predictions of all augmentations of a task (docs/model.md, section 7).

A voting rule ranks the grids predicted for a test input. The published one groups equal
grids and ranks them by (votes, mean halting probability), both descending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class _Counted:
    """What was counted for one test input; `ranked` is None until it is needed."""

    puzzles: set[str] = field(default_factory=set)
    votes: list[Prediction] = field(default_factory=list)
    certainty: tuple[float, int] | None = None
    runner_up: Grid | None = None
    trace: tuple[TraceStep, ...] = ()
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
        rule: VotingRule = majority_vote,
        attempts: int | None = None,
    ) -> None:
        self.tasks, self.rule, self.attempts = tasks, rule, attempts
        self._counted: defaultdict[tuple[str, int], _Counted] = defaultdict(_Counted)
        self._grids: dict[GridKey, Grid] = {}

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count predictions; only the first for each puzzle counts."""
        for prediction in predictions:
            task_id, test, _ = prediction.key
            key = task_id, test
            exists = task_id in self.tasks and 0 <= test < len(self.tasks[task_id].test)
            if not exists or self.has(*prediction.key):
                continue
            counted = self._counted[key]
            counted.puzzles.add(prediction.puzzle)
            if prediction.trace:
                counted.trace, counted.ranked = prediction.trace, None
            grid = prediction.grid
            if grid is None:
                continue
            order, halt_prob = prediction.order, prediction.halt_prob
            if counted.certainty is None or (halt_prob, -order) > counted.certainty:
                # Its runner-up may become an attempt.
                counted.certainty, counted.runner_up = (halt_prob, -order), prediction.runner_up
            grid = self._deduplicate(grid)
            counted.votes.append(Prediction(*key, prediction.puzzle, order, grid, halt_prob))
            counted.ranked = None

    def has(self, task_id: str, test: int, puzzle: str | None = None) -> bool:
        """Return whether a test input has a prediction, of this puzzle or, for None, of any."""
        counted = self._counted.get((task_id, test))
        puzzles = counted.puzzles if counted else ()
        return bool(puzzles) if puzzle is None else puzzle in puzzles

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
            candidates = tuple(self.rule(counted.votes))
            grids, test_input = [each.grid for each in candidates], task.test[test].input
            attempts = choose_attempts(
                self.tasks, test_input, grids, counted.runner_up, self.attempts
            )
            counted.ranked = InputPrediction(task, test, candidates, attempts, counted.trace)
        return counted.ranked

    def __iter__(self) -> Iterator[InputPrediction]:
        """Yield the predictions of all test inputs, in order."""
        for task in self.tasks:
            for test in range(len(task.test)):
                yield self[task.id, test]
