"""Ranked candidates: the one form of any solver's answers, whichever file holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from submission.arcprize import read_arcprize
from submission.errors import FormatError
from submission.files import StrPath, read_submission
from submission.formats import ATTEMPTS, Challenges, Grid, Ranked, Submission, submission_problems

PLACEHOLDER_GRID: Grid = [[0]]
"""The attempt at an unanswered test output: a submission must hold a grid there."""


def read_ranked(
    path: StrPath, counts: Mapping[str, int] | None = None, challenges: Challenges | None = None
) -> Ranked:
    """Read the answers in a submission file or in an ARC Prize benchmarking folder.

    Args:
        path: the file or folder.
        counts: the number of outputs per task. A folder may lack the last outputs of a task, which
            then get no candidates.
        challenges: the tasks that a submission must answer.

    Raises:
        FormatError: the file or folder cannot be read or is invalid.
    """
    if not os.path.isdir(path):
        return to_ranked(read_submission(path, challenges))
    ranked = dict(read_arcprize(path))
    for task_id, outputs in ranked.items():
        missing = max(0, (counts or {}).get(task_id, 0) - len(outputs))
        ranked[task_id] = [*outputs, *(() for _ in range(missing))]
    return ranked


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
