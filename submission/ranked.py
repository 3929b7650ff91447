"""Anybody's answers as ranked candidates, whatever holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from submission.arcprize import read_arcprize
from submission.errors import FormatError
from submission.files import StrPath, read_submission
from submission.formats import ATTEMPTS, Challenges, Ranked, Submission, submission_problems
from submission.grids import Grid

NO_GRID: Grid = [[0]]
"""What a submission, which must hold a grid, says where nobody has answered."""


def read_answers(
    path: StrPath, counts: Mapping[str, int] | None = None, challenges: Challenges | None = None
) -> Ranked:
    """The answers in a submission file, or in a folder of ARC Prize's benchmarking.

    `counts` says how many outputs tasks have: a folder's files may leave out some at the end, which
    nobody answered then. A submission must answer `challenges` if given. Raises FormatError with
    all that is wrong.
    """
    if not os.path.isdir(path):
        return ranked_of(read_submission(path, challenges))
    return {
        task_id: [*outputs, *[()] * ((counts or {}).get(task_id, 0) - len(outputs))]
        for task_id, outputs in read_arcprize(path).items()
    }


def ranked_of(submission: Submission) -> Ranked:
    """The two attempts of a submission as candidates."""
    return {
        task_id: [[answer[attempt] for attempt in ATTEMPTS] for answer in answers]
        for task_id, answers in submission.items()
    }


def counts_of(tasks: Mapping[str, Sequence[object]]) -> dict[str, int]:
    """How many outputs each task has, of solutions or of answers."""
    return {task_id: len(outputs) for task_id, outputs in tasks.items()}


def as_submission(ranked: Ranked) -> Submission:
    """The submission of the first two candidates; one alone is both attempts.

    Where an attempt failed or nobody answered there is `NO_GRID`. Raises FormatError if a task has
    no output, or a candidate is no grid.
    """
    submission = {}
    for task_id, outputs in ranked.items():
        answers = []
        for candidates in outputs:
            grids = [*candidates[: len(ATTEMPTS)]] or [NO_GRID]
            first, second = grids[0], grids[-1]
            pairs = zip(ATTEMPTS, (first or NO_GRID, second or NO_GRID), strict=True)
            answers.append({name: [list(row) for row in grid] for name, grid in pairs})
        submission[task_id] = answers
    if found := submission_problems(submission):
        raise FormatError(found)
    return submission
