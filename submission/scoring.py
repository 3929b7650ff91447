"""Scores, each with its denominator, because a score without one means nothing.

- per output: solved test outputs / all test outputs. The ARC Prize competition on Kaggle.
- per task: the mean over tasks of the fraction of a task's test outputs that are solved. The
  published pass@K of TRM and HRM, and ARC Prize's own benchmarking.
- strict: tasks with all their test outputs solved / all tasks.

pass@K counts a test output as solved if one of its first K attempts equals the solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from submission.errors import FormatError, Problem, counted, shown_name
from submission.formats import (
    ATTEMPTS,
    Solutions,
    Submission,
    count_problems,
    solutions_problems,
    submission_problems,
)
from submission.ranked import counts_of, ranked_of

MAX_NAMED = 5
LABELS = {
    "per output": "ARC Prize competition",
    "per task": "pass@K as published for TRM and HRM; ARC Prize's benchmarking",
    "strict": "tasks with all their outputs solved",
}
Rows: TypeAlias = Iterable[Iterable[int]]  # a grid, or a NumPy array, or tuples


@dataclass(frozen=True)
class Rate:
    """`solved` of `total`; `solved` is a whole number but for the per-task denominator."""

    solved: float
    total: int

    @property
    def value(self) -> float:
        """The rate, 0 to 1."""
        return self.solved / self.total

    def to_dict(self) -> dict[str, float]:
        """As plain JSON."""
        return {"solved": self.solved, "total": self.total, "value": self.value}


@dataclass(frozen=True)
class PassRates:
    """pass@K under the three denominators (see the module)."""

    per_output: Rate
    per_task: Rate
    strict: Rate

    @property
    def named(self) -> dict[str, Rate]:
        """By the names in `LABELS`."""
        return dict(zip(LABELS, (self.per_output, self.per_task, self.strict), strict=True))

    def to_dict(self) -> dict[str, dict[str, float]]:
        """As plain JSON, with the keys `per_output` and so on."""
        return {key(name): rate.to_dict() for name, rate in self.named.items()}


@dataclass(frozen=True, repr=False)
class Score:
    """What was solved.

    `pass_at` maps K to its rates. `tasks` maps each task of the solutions to one tuple per test
    output that says for each K, in the order of `pass_at`, whether it is solved. `missing` are
    tasks without an answer, counted as unsolved; `unknown` are answers without a solution, not
    counted.
    """

    pass_at: Mapping[int, PassRates]
    tasks: Mapping[str, tuple[tuple[bool, ...], ...]]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def __repr__(self) -> str:
        return score_table(self)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, with the keys `pass@1` and so on."""
        return {
            **{f"pass@{k}": rates.to_dict() for k, rates in self.pass_at.items()},
            "tasks": {
                task_id: [list(hits) for hits in task] for task_id, task in self.tasks.items()
            },
            "missing": list(self.missing),
            "unknown": list(self.unknown),
        }


def score(submission: Submission, solutions: Solutions, attempts: int = 2) -> Score:
    """pass@1 and pass@2 of a submission; with `attempts=1`, pass@1 alone.

    Raises FormatError if either is not valid, or if a task has not as many outputs in both.
    """
    if not 1 <= attempts <= len(ATTEMPTS):
        raise ValueError(f"attempts is {attempts}, expected 1 to {len(ATTEMPTS)}")
    _raise(submission_problems(submission))
    return score_ranked(ranked_of(submission), solutions, ks=range(1, attempts + 1))


def score_ranked(
    ranked: Mapping[str, Sequence[Sequence[Rows]]],
    solutions: Solutions,
    ks: Sequence[int] = (1, 2),
) -> Score:
    """pass@K, for every K in `ks`, of candidates ranked from best to worst.

    `ranked` holds per task, per test output, a list of candidate grids as long as it may be, or
    empty: nothing solves that output. Candidates are taken as they come; a repeated one uses up an
    attempt. Raises FormatError if the solutions are not valid, or if a task has not as many outputs
    in both.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {list(ks)}, expected at least one integer from 1 up")
    _raise(solutions_problems(solutions))
    counts = counts_of(solutions)
    known = {task_id: list(ranked[task_id]) for task_id in solutions if task_id in ranked}
    shared = {task_id: counts[task_id] for task_id in known}
    _raise(count_problems(known, shared, "the solutions"))

    ranks = {
        task_id: [
            _rank(candidates, solution)
            for candidates, solution in zip(
                known.get(task_id, [()] * len(outputs)), outputs, strict=True
            )
        ]
        for task_id, outputs in solutions.items()
    }
    return Score(
        pass_at={k: _rates(ranks, k) for k in ks},
        tasks={
            task_id: tuple(tuple(_solved(rank, k) for k in ks) for rank in task)
            for task_id, task in ranks.items()
        },
        missing=tuple(task_id for task_id in solutions if task_id not in ranked),
        unknown=tuple(task_id for task_id in ranked if task_id not in solutions),
    )


def score_table(result: Score) -> str:
    """The score as a person reads it: one line per K and denominator, then what is missing."""
    lines = [
        f"pass@{k}  {name:<10}  {fraction(rate):>11}  {100 * rate.value:5.1f} %  ({LABELS[name]})"
        for k, rates in result.pass_at.items()
        for name, rate in rates.named.items()
    ]
    return "\n".join([*lines, *left_out(result)])


def left_out(result: Score) -> list[str]:
    """One sentence each on tasks that are in one of the submission and the solutions only."""
    sentences = []
    for task_ids, what in (
        (result.missing, "not in the submission, counted as unsolved"),
        (result.unknown, "without a solution, not counted"),
    ):
        if task_ids:
            named = ", ".join(map(shown_name, task_ids[:MAX_NAMED])) + (
                ", ..." if task_ids[MAX_NAMED:] else ""
            )
            sentences.append(f"{counted(len(task_ids), 'task')} {what}: {named}")
    return sentences


def frozen(grid: Rows) -> tuple[tuple[int, ...], ...]:
    """A grid as a value to compare and to hash: lists, tuples and arrays alike."""
    return tuple(tuple(row) for row in grid)


def _rank(candidates: Iterable[Rows], solution: Rows) -> int | None:
    """How many candidates it takes to meet the solution; None if all of them miss it."""
    wanted = frozen(solution)
    return next((n for n, grid in enumerate(candidates, 1) if frozen(grid) == wanted), None)


def _solved(rank: int | None, k: int) -> bool:
    return rank is not None and rank <= k


def _rates(ranks: Mapping[str, Sequence[int | None]], k: int) -> PassRates:
    solved = [(sum(_solved(rank, k) for rank in task), len(task)) for task in ranks.values()]
    # Exact fractions, so that the order of the tasks cannot change the last digit.
    fractions = sum((Fraction(part, whole) for part, whole in solved), Fraction(0))
    return PassRates(
        per_output=Rate(sum(part for part, _ in solved), sum(whole for _, whole in solved)),
        per_task=Rate(float(fractions), len(solved)),
        strict=Rate(sum(part == whole for part, whole in solved), len(solved)),
    )


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise FormatError(problems)


def key(name: str) -> str:
    """The key in JSON of a denominator's name."""
    return name.replace(" ", "_")


def fraction(rate: Rate) -> str:
    """`12/29`; `5.5/7`"""
    return f"{round(rate.solved, 2):.12g}/{rate.total}"
