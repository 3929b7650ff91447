"""Several people's answers into one submission, by weighted votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from submission.errors import FormatError, Problem, SubmissionError
from submission.formats import ATTEMPTS, Ranked, Submission, count_problems, submission_problems
from submission.grids import Grid
from submission.ranked import as_submission, ranked_of
from submission.scoring import frozen


def merge(submissions: Sequence[Submission], weights: Sequence[float] | None = None) -> Submission:
    """`merge_ranked` of submissions.

    Raises FormatError (with places such as `submission 2, task 007bbfb7`, counted from 1) if one is
    not valid or does not fit the first; SubmissionError as `merge_ranked`.
    """
    ranked: list[Ranked] = []
    for number, submission in enumerate(submissions, 1):
        found = submission_problems(submission)
        if not found:
            ranked.append(ranked_of(submission))
            found = unlike(ranked[-1], ranked[0])
        if found:
            where = f"submission {number}"
            raise FormatError(
                [Problem(f"{where}, {p.place}" if p.place else where, p.message) for p in found]
            )
    return merge_ranked(ranked, weights)


def merge_ranked(
    answers: Sequence[Ranked],
    weights: Sequence[float] | None = None,
    spare: Sequence[Ranked] = (),
) -> Submission:
    """The submission that holds, per test output, the two grids with the most votes.

    Each of `answers` gives its weight (1 unless told) to its first candidate, half of it to the
    second, a third to the third and so on; votes for equal grids add up. Of grids with equal votes
    the one named first wins, by the order of `answers` and then of the candidates. Where fewer than
    two grids are named, those of `spare` follow, in the same order; where there is but one, both
    attempts are that grid, and without any `answers.NO_GRID`. Tasks are those of the first; where
    others lack some, they do not vote.

    Raises FormatError if others have tasks that the first lacks or other numbers of outputs,
    SubmissionError for no answers, or weights that are not one positive number each.
    """
    if not answers:
        raise SubmissionError("there is nothing to merge, expected at least one submission")
    for each in answers:
        if found := unlike(each, answers[0]):
            raise FormatError(found)
    votes = _votes(weights, len(answers))
    merged = {}
    for task_id, outputs in answers[0].items():
        merged[task_id] = [
            _filled(
                _best([_candidates(each, task_id, index) for each in answers], votes),
                [grid for each in spare for grid in _candidates(each, task_id, index)],
            )
            for index in range(len(outputs))
        ]
    return as_submission(merged)


def unlike(answers: Ranked, first: Ranked) -> list[Problem]:
    """Where answers have tasks that the first of a merger lacks, or other numbers of outputs."""
    shared = {task_id: len(first[task_id]) for task_id in answers if task_id in first}
    plain = {task_id: list(outputs) for task_id, outputs in answers.items()}
    return count_problems(plain, shared, "the first submission, which should be the most complete")


def _candidates(answers: Ranked, task_id: str, index: int) -> Sequence[Grid]:
    outputs = answers.get(task_id, ())
    return outputs[index] if index < len(outputs) else ()


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


def _best(answers: Sequence[Sequence[Grid]], votes: Sequence[Fraction]) -> list[Grid]:
    totals: dict[tuple[tuple[int, ...], ...], Fraction] = {}  # in the order of first mention
    for candidates, vote in zip(answers, votes, strict=True):
        for rank, candidate in enumerate(candidates, 1):
            if candidate:
                grid = frozen(candidate)
                totals[grid] = totals.get(grid, Fraction(0)) + vote / rank
    # Sorting is stable, also in reverse, and so leaves ties in that order.
    best = sorted(totals, key=totals.__getitem__, reverse=True)
    return [[list(row) for row in grid] for grid in best[: len(ATTEMPTS)]]


def _filled(best: list[Grid], spare: Sequence[Grid]) -> list[Grid]:
    """The best grids, and after them as many others of `spare` as there is room for."""
    for grid in spare:
        if grid and len(best) < len(ATTEMPTS) and grid not in best:
            best.append(grid)
    return best
