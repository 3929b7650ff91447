"""Several submissions into one, by weighted votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from submission.errors import FormatError, Problem, SubmissionError
from submission.formats import (
    ATTEMPTS,
    Attempts,
    Submission,
    count_problems,
    submission_problems,
)
from submission.scoring import frozen


def merge(submissions: Sequence[Submission], weights: Sequence[float] | None = None) -> Submission:
    """The submission that holds, per test output, the two grids with the most votes.

    A submission gives its weight (1 unless told) to its attempt 1 and half of it to its attempt 2;
    votes for equal grids add up. Of grids with equal votes the one named first wins, by the order
    of the submissions and then of the attempts. If all name one and the same grid, both attempts
    are that grid. Tasks come in the order of the first submission.

    Raises FormatError (with places such as `submission 2, task 007bbfb7`, counted from 1) if one is
    not valid or has not the tasks and numbers of outputs of the first; SubmissionError for weights
    that are not one positive number each.
    """
    if not submissions:
        raise SubmissionError("there is nothing to merge, expected at least one submission")
    votes = _votes(weights, len(submissions))
    for number, submission in enumerate(submissions, 1):
        found = submission_problems(submission) or unlike(submission, submissions[0])
        if found:
            where = f"submission {number}"
            raise FormatError(
                [Problem(f"{where}, {p.place}" if p.place else where, p.message) for p in found]
            )
    return {
        task_id: [
            _merge_output([submission[task_id][index] for submission in submissions], votes)
            for index in range(len(answers))
        ]
        for task_id, answers in submissions[0].items()
    }


def unlike(submission: Submission, first: Submission) -> list[Problem]:
    """Where a submission has other tasks or numbers of outputs than the first of a merger."""
    expected = {task_id: len(answers) for task_id, answers in first.items()}
    return count_problems(submission, expected, "the first submission")


def _votes(weights: Sequence[float] | None, number: int) -> list[Fraction]:
    if weights is None:
        return [Fraction(1)] * number
    if len(weights) != number:
        raise SubmissionError(
            f"the number of weights is {len(weights)}, expected {number}, one per submission"
        )
    for weight in weights:
        if not (math.isfinite(weight) and weight > 0):
            raise SubmissionError(f"a weight is {weight}, expected a positive number")
    # The decimal number that was written: 0.1 + 0.2 ties with 0.3.
    return [Fraction(str(weight)) for weight in weights]


def _merge_output(answers: Sequence[Attempts], votes: Sequence[Fraction]) -> Attempts:
    totals: dict[tuple[tuple[int, ...], ...], Fraction] = {}  # in the order of first mention
    for answer, vote in zip(answers, votes, strict=True):
        for attempt, share in zip(ATTEMPTS, (vote, vote / 2), strict=True):
            grid = frozen(answer[attempt])
            totals[grid] = totals.get(grid, Fraction(0)) + share
    # Sorting is stable, also in reverse, and so leaves ties in that order.
    best = sorted(totals, key=totals.__getitem__, reverse=True)
    pair = (best[0], best[min(1, len(best) - 1)])
    return {name: [list(row) for row in grid] for name, grid in zip(ATTEMPTS, pair, strict=True)}
