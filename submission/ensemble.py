"""Merge several solvers' answers into one submission by weighted votes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from itertools import chain

from submission.errors import (
    FormatError,
    Problem,
    SubmissionError,
    WriteError,
    format_names,
    format_path,
    pluralise,
)
from submission.files import StrPath, check_replaceable, write_json
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


def merge(
    submissions: Sequence[Submission], vote_weights: Sequence[float] | None = None
) -> Submission:
    """Merge submissions as `merge_ranked` does; problems start with `submission 2`, for example."""
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

    def attempts(task_id: str, index: int) -> list[Grid]:
        candidates = _candidates(ranked, task_id, index)
        return _choose_attempts(candidates, weights, _candidates(fallback, task_id, index))

    merged = {
        task_id: [attempts(task_id, index) for index in range(len(outputs))]
        for task_id, outputs in ranked[0].items()
    }
    return to_submission(merged)


def check_vote_weights(vote_weights: Sequence[float] | None, number: int) -> None:
    """Raise SubmissionError unless there is one positive number per submission, or None."""
    if vote_weights is None:
        return
    if len(vote_weights) != number:
        raise SubmissionError(
            f"the number of vote weights is {len(vote_weights)}, expected {number}, one per "
            "submission"
        )
    for weight in vote_weights:
        if not (math.isfinite(weight) and weight > 0):
            raise SubmissionError(f"a vote weight is {weight}, expected a positive number")


def merge_files(
    out: StrPath,
    paths: Sequence[StrPath],
    ranked: Sequence[Ranked],
    vote_weights: Sequence[float] | None = None,
    fallback: Sequence[Ranked] = (),
    overwrite: bool = False,
) -> tuple[str, list[str]]:
    """Merge candidates that were read from these paths, and write the submission `out`.

    Returns:
        A sentence without full stop on the written file, and one for each path that lacks tasks.

    Raises:
        FormatError: a file does not match the first; it names the file.
        SubmissionError: as in `merge_ranked`, or `out` exists and may not be overwritten.
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
    check_replaceable(out, overwrite)
    merged = merge_ranked(ranked, vote_weights, fallback)
    write_json(out, merged)
    return f"Wrote {format_path(out)}: {summarise('submission', merged)}", notes


def mismatches(ranked: Ranked, first: Ranked, name: str) -> list[Problem]:
    """List tasks that the first solver, called `name`, lacks, and other numbers of outputs."""
    more = [task_id for task_id in ranked if task_id not in first]
    message = (
        f"has {pluralise(len(more), 'task')} that {name} lacks ({format_names(more)}), but merging "
        "takes the tasks of the first: put one that has all tasks first"
    )
    shared = {task_id: list(ranked[task_id]) for task_id in first if task_id in ranked}
    expected = {task_id: len(first[task_id]) for task_id in shared}
    return ([Problem("", message)] if more else []) + count_problems(shared, expected, name)


def _candidates(solvers: Sequence[Ranked], task_id: str, index: int) -> list[Sequence[Grid]]:
    """Return each solver's candidates for one output."""
    answers = [each.get(task_id, ()) for each in solvers]
    return [outputs[index] if index < len(outputs) else () for outputs in answers]


def _exact_weights(weights: Sequence[float] | None, number: int) -> list[Fraction]:
    check_vote_weights(weights, number)
    if weights is None:
        return [Fraction(1)] * number
    # The decimal number as written: 0.1 + 0.2 ties with 0.3.
    return [Fraction(str(weight)) for weight in weights]


def _choose_attempts(
    candidates: Sequence[Sequence[Grid]],
    weights: Sequence[Fraction],
    fallback: Sequence[Sequence[Grid]],
) -> list[Grid]:
    """Return the two grids with the most votes, filled up with grids of the fallback."""
    votes: dict[tuple[tuple[int, ...], ...], Fraction] = {}  # in the order of first mention
    for grids, weight in zip(candidates, weights, strict=True):
        for rank, candidate in enumerate(grids, 1):
            if candidate:
                grid = to_hashable(candidate)
                votes[grid] = votes.get(grid, Fraction(0)) + weight / rank
    # Sorting is stable, also in reverse, so ties stay in the order of first mention.
    ranked = sorted(votes, key=votes.__getitem__, reverse=True)
    best = [[list(row) for row in grid] for grid in ranked[: len(ATTEMPTS)]]
    for other in chain.from_iterable(fallback):
        if other and other not in best:
            best.append(other)
    return best[: len(ATTEMPTS)]
