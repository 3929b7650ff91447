"""Anybody's answers as ranked candidates, whatever holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from submission.arcprize import read_arcprize
from submission.files import StrPath, read_submission
from submission.formats import ATTEMPTS, Challenges, Ranked, Submission
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


def two_attempts(ranked: Ranked) -> Submission:
    """The submission of the first two candidates; the first stands in for the second.

    Where an attempt failed the other stands in for it; where nobody answered, `NO_GRID`.
    """
    submission = {}
    for task_id, outputs in ranked.items():
        answers = []
        for candidates in outputs:
            first_two = [*candidates[: len(ATTEMPTS)], [], []]
            best = next((grid for grid in first_two if grid), NO_GRID)
            grids = [grid or best for grid in first_two]
            pairs = zip(ATTEMPTS, grids, strict=False)
            answers.append({name: [list(row) for row in grid] for name, grid in pairs})
        submission[task_id] = answers
    return submission
