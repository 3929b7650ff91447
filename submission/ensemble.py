"""Merge several solvers' answers into one submission by weighted votes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from submission.errors import (
    FormatError,
    Problem,
    SubmissionError,
    WriteError,
    format_names,
    format_path,
    pluralise,
)
from submission.files import StrPath, write_json
from submission.formats import (
    ATTEMPTS,
    Grid,
    Ranked,
    Submission,
    count_problems,
    submission_problems,
    summarise,
)
from submission.ranked import to_ranked, to_submission
from submission.scoring import to_hashable


class Merged(NamedTuple):
    """What `merge_files` wrote.

    Attributes:
        summary: one sentence without full stop on the written file.
        notes: one sentence without full stop for each file that lacks tasks.
    """

    summary: str
    notes: list[str]


def merge(
    submissions: Sequence[Submission], vote_weights: Sequence[float] | None = None
) -> Submission:
    """Merge submissions by weighted votes, as `merge_ranked` does.

    Raises:
        FormatError: a submission is invalid or does not match the first. Places start with the
            number of the submission, from 1: `submission 2, task 007bbfb7`.
        SubmissionError: as in `merge_ranked`.
    """
    ranked: list[Ranked] = []
    for number, submission in enumerate(submissions, 1):
        found = submission_problems(submission)
        if not found:
            ranked.append(to_ranked(submission))
            found = mismatches(ranked[-1], ranked[0], "submission 1")
        if found:
            where = f"submission {number}"
            raise FormatError(
                [Problem(f"{where}, {p.place}" if p.place else where, p.message) for p in found]
            )
    return merge_ranked(ranked, vote_weights)


def merge_ranked(
    ranked: Sequence[Ranked],
    vote_weights: Sequence[float] | None = None,
    fallback: Sequence[Ranked] = (),
) -> Submission:
    """Merge ranked candidates: the two grids with the most votes become the attempts.

    A solver gives its weight to its first candidate, half of it to the second, a third to the third
    and so on. Votes for equal grids add up. Of grids with equal votes the one named first wins, by
    the order of the solvers and then of their candidates. A single grid becomes both attempts.

    Args:
        ranked: the candidates of each solver. The first solver sets the tasks; another that lacks
            some of them does not vote on these.
        vote_weights: one positive number per solver; default: 1 each.
        fallback: candidates that follow, in this order, where `ranked` has fewer than two grids.
            Without any, the attempts are `ranked.PLACEHOLDER_GRID`.

    Raises:
        FormatError: a solver has tasks that the first lacks, or other numbers of outputs.
        SubmissionError: there are no solvers, or the weights are invalid.
    """
    if not ranked:
        raise SubmissionError("there is nothing to merge, expected at least one submission")
    for each in ranked:
        if found := mismatches(each, ranked[0], "the first submission"):
            raise FormatError(found)
    weights = _exact_weights(vote_weights, len(ranked))
    merged = {}
    for task_id, outputs in ranked[0].items():
        merged[task_id] = [
            _fill(
                _most_voted([_candidates(each, task_id, index) for each in ranked], weights),
                [grid for each in fallback for grid in _candidates(each, task_id, index)],
            )
            for index in range(len(outputs))
        ]
    return to_submission(merged)


def merge_files(
    out: StrPath,
    paths: Sequence[StrPath],
    ranked: Sequence[Ranked],
    vote_weights: Sequence[float] | None = None,
    fallback: Sequence[Ranked] = (),
) -> Merged:
    """Merge candidates that were read from files, and write the submission.

    Args:
        out: the submission to write.
        paths: the file or folder of each solver.
        ranked: the candidates in each of `paths`.
        vote_weights: as in `merge_ranked`.
        fallback: as in `merge_ranked`.

    Raises:
        FormatError: a file does not match the first; it names the file.
        SubmissionError: as in `merge_ranked`.
        WriteError: `out` cannot be written or is one of `paths`.
    """
    notes = []
    for path, each in zip(paths, ranked, strict=True):
        if os.path.exists(out) and os.path.samefile(path, out):
            raise WriteError(out, "it is one of the files to merge")
        if found := mismatches(each, ranked[0], format_path(paths[0])):
            raise FormatError(found, path)
        if missing := len(ranked[0]) - len(each):
            notes.append(f"{format_path(path)}: lacks {pluralise(missing, 'task')} of the first")
    merged = merge_ranked(ranked, vote_weights, fallback)
    write_json(out, merged)
    return Merged(f"{format_path(out)}: {summarise('submission', merged)}", notes)


def mismatches(ranked: Ranked, first: Ranked, name: str) -> list[Problem]:
    """List tasks that the first solver, called `name`, lacks, and other numbers of outputs."""
    more = [task_id for task_id in ranked if task_id not in first]
    message = (
        f"has {pluralise(len(more), 'task')} that {name} lacks ({format_names(more)}), but merging "
        "takes the tasks of the first file: name the file with the most tasks first"
    )
    shared = {task_id: list(ranked[task_id]) for task_id in first if task_id in ranked}
    expected = {task_id: len(first[task_id]) for task_id in shared}
    return ([Problem("", message)] if more else []) + count_problems(shared, expected, name)


def _candidates(ranked: Ranked, task_id: str, index: int) -> Sequence[Grid]:
    outputs = ranked.get(task_id, ())
    return outputs[index] if index < len(outputs) else ()


def _exact_weights(weights: Sequence[float] | None, number: int) -> list[Fraction]:
    if weights is None:
        return [Fraction(1)] * number
    if len(weights) != number:
        raise SubmissionError(
            f"the number of vote weights is {len(weights)}, expected {number}, one per submission"
        )
    for weight in weights:
        if not (math.isfinite(weight) and weight > 0):
            raise SubmissionError(f"a vote weight is {weight}, expected a positive number")
    # The decimal number as written: 0.1 + 0.2 ties with 0.3.
    return [Fraction(str(weight)) for weight in weights]


def _most_voted(candidates: Sequence[Sequence[Grid]], weights: Sequence[Fraction]) -> list[Grid]:
    """Return the two grids with the most votes among the candidates of each solver."""
    votes: dict[tuple[tuple[int, ...], ...], Fraction] = {}  # in the order of first mention
    for grids, weight in zip(candidates, weights, strict=True):
        for rank, candidate in enumerate(grids, 1):
            if candidate:
                grid = to_hashable(candidate)
                votes[grid] = votes.get(grid, Fraction(0)) + weight / rank
    # Sorting is stable, also in reverse, so ties stay in the order of first mention.
    best = sorted(votes, key=votes.__getitem__, reverse=True)
    return [[list(row) for row in grid] for grid in best[: len(ATTEMPTS)]]


def _fill(best: list[Grid], fallback: Sequence[Grid]) -> list[Grid]:
    """Append grids of the fallback to the best ones until there are two."""
    for grid in fallback:
        if grid and len(best) < len(ATTEMPTS) and grid not in best:
            best.append(grid)
    return best
