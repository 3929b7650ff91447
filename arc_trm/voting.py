"""From many predictions to two attempts (SPEC 7 in docs/model.md).

Predictions of all puzzles of a test input, augmentations undone, are grouped by equal grid; groups
are ranked by (votes, mean halting score), both descending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arc_trm.tasks import Grid, TaskSet

ATTEMPTS = 2


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """What one puzzle says of one test input, augmentation undone.

    `halt` is the sigmoid of the halting logit: how sure the model is that `grid` is right.
    `runner_up` is `grid` with the cell the model was least sure of in its second colour.
    `order` is the puzzle's place among those of its task.
    """

    puzzle: str
    grid: Grid
    halt: float
    runner_up: Grid | None = None
    order: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A grid with the puzzles that voted for it and their mean halting score."""

    grid: Grid
    votes: int
    halt: float
    puzzles: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TestPrediction:
    """All candidates of a task's test input `test` (counted from 0), best first."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    task: str
    test: int
    candidates: tuple[Candidate, ...]
    attempts: tuple[Grid, Grid]


def _key(grid: Grid) -> tuple[tuple[int, ...], bytes]:
    return grid.shape, grid.tobytes()


def rank(predictions: Iterable[Prediction]) -> list[Candidate]:
    """Candidates out of predictions, best first; the first puzzle's wins a tie of both ranks.

    It does not matter in which order the predictions were made.
    """
    groups: dict[tuple[tuple[int, ...], bytes], list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda p: p.order):
        groups.setdefault(_key(prediction.grid), []).append(prediction)
    candidates = [
        Candidate(
            group[0].grid,
            len(group),
            sum(p.halt for p in group) / len(group),
            tuple(p.puzzle for p in group),
        )
        for group in groups.values()
    ]
    return sorted(candidates, key=lambda c: (-c.votes, -c.halt))


def _guesses(test_input: Grid, predictions: Sequence[Prediction]) -> Iterable[Grid]:
    """What could be right where the candidates run out, likeliest first.

    The surest runner-up of a prediction; then, without knowledge of the task: the input as it is,
    turned around, and one-coloured grids of its size.
    """
    for prediction in sorted(predictions, key=lambda p: -p.halt):
        if prediction.runner_up is not None:
            yield prediction.runner_up
    yield test_input
    yield test_input[:, ::-1]
    counts = np.bincount(test_input.reshape(-1), minlength=10)
    for colour in np.argsort(-counts, kind="stable")[:3]:
        yield np.full_like(test_input, colour)


def two_attempts(
    candidates: Sequence[Candidate], test_input: Grid, predictions: Sequence[Prediction] = ()
) -> tuple[Grid, Grid]:
    """The two best distinct candidates; where there are fewer, distinct guesses follow them.

    The second attempt is never a copy of the first.
    """
    chosen: dict[tuple[tuple[int, ...], bytes], Grid] = {}
    for grid in (*(c.grid for c in candidates), *_guesses(test_input, predictions)):
        chosen.setdefault(_key(grid), grid)
        if len(chosen) == ATTEMPTS:
            break
    first, second = chosen.values()
    return first, second


def to_submission(
    predictions: Iterable[TestPrediction], tasks: TaskSet
) -> dict[str, list[dict[str, list[list[int]]]]]:
    """The official submission: every task and test input of `tasks`, in order.

    Test inputs without a prediction get the guesses of `two_attempts`.
    """
    found: Mapping[tuple[str, int], TestPrediction] = {(p.task, p.test): p for p in predictions}
    submission = {}
    for task in tasks:
        outputs = []
        for index, pair in enumerate(task.test):
            prediction = found.get((task.id, index))
            attempts = prediction.attempts if prediction else two_attempts([], pair.input)
            outputs.append({f"attempt_{n}": grid.tolist() for n, grid in enumerate(attempts, 1)})
        submission[task.id] = outputs
    return submission
