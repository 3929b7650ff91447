"""Ranked candidates: the one form of any solver's answers, whichever file holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from submission.errors import FormatError
from submission.formats import ATTEMPTS, Grid, Ranked, Submission, submission_problems

PLACEHOLDER_GRID: Grid = [[0]]
"""The attempt at an unanswered test output: a submission must hold a grid there."""


def to_ranked(submission: Submission) -> Ranked:
    """Convert a submission: its two attempts become the candidates of an output."""
    return {
        task_id: [[answer[attempt] for attempt in ATTEMPTS] for answer in answers]
        for task_id, answers in submission.items()
    }


def count_outputs(tasks: Mapping[str, Sequence[object]]) -> dict[str, int]:
    """Count the outputs per task of solutions, a submission or ranked candidates."""
    return {task_id: len(outputs) for task_id, outputs in tasks.items()}


def to_submission(ranked: Ranked) -> Submission:
    """Convert the first two candidates of every output to a submission.

    A single candidate becomes both attempts. A failed attempt and an unanswered output become
    `PLACEHOLDER_GRID`.

    Raises:
        FormatError: a task has no output, or a candidate is not a grid.
    """
    submission = {
        task_id: [_to_attempts(candidates) for candidates in outputs]
        for task_id, outputs in ranked.items()
    }
    if found := submission_problems(submission):
        raise FormatError(found)
    return submission


def _to_attempts(candidates: Sequence[Grid]) -> dict[str, Grid]:
    grids = candidates[: len(ATTEMPTS)] or [PLACEHOLDER_GRID]
    return {
        attempt: [list(row) for row in grid or PLACEHOLDER_GRID]
        for attempt, grid in zip(ATTEMPTS, (grids[0], grids[-1]), strict=True)
    }
