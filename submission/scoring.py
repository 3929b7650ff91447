"""Scores: how many test outputs are solved, under three denominators.

- per task: the mean over tasks of the fraction of a task's test outputs that are solved.
- per output: solved test outputs / all test outputs.
- strict: tasks with all their test outputs solved / all tasks.

`DENOMINATORS` says who counts how. All scores on the boards of Kaggle's competitions of 2025 and
2026, public and private, are multiples of 1/720: 120 tasks of one to three outputs give these when
the mean is over tasks, and no number of outputs does. pass@K counts a test output as solved if one
of its first K attempts equals the solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from submission.errors import FormatError, Problem, escape_controls, format_names, pluralise
from submission.files import StrPath
from submission.formats import (
    ATTEMPTS,
    Ranked,
    Solutions,
    Submission,
    count_problems,
    solutions_problems,
    submission_problems,
)
from submission.ranked import count_outputs, to_ranked

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DENOMINATORS = {
    "per task": "mean over tasks, as Kaggle, ARC Prize, TRM and HRM count",
    "per output": "all test outputs, as Kaggle's overview suggests but no board counts",
    "strict": "tasks with all their outputs solved",
}
"""What each denominator is and who uses it, in the words that every table and report shows."""

RateName: TypeAlias = tuple[str, ...]
"""The path to a rate: `("pass@2", "per task")`, `("exact",)`."""

Counts: TypeAlias = "tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]"
"""Solved and total per task, two arrays of shape (tasks,)."""

Rows: TypeAlias = Iterable[Iterable[int]]
"""The rows of a grid: lists, tuples or a NumPy array."""


@dataclass(frozen=True)
class Rate:
    """A number of solved items out of a total, which is at least 1."""

    solved: float  # a whole number, except under the denominator "per task"
    total: int

    @property
    def value(self) -> float:
        """The rate, 0 to 1."""
        return self.solved / self.total

    def to_dict(self) -> dict[str, float]:
        return {"solved": self.solved, "total": self.total, "value": self.value}


class Scored(Protocol):
    """A score of any kind of puzzle, for comparing and showing."""

    @property
    def rates(self) -> Mapping[RateName, Rate]:
        """The rates by name; without those whose right answers are unknown."""

    @property
    def labels(self) -> Mapping[RateName, str]:
        """What each of the rates counts, as a part of a sentence."""

    @property
    def deciding(self) -> RateName:
        """The rate that decides which tasks a comparison calls gained or lost."""

    @property
    def headline(self) -> RateName:
        """The rate to set beside published results."""

    @property
    def task_ids(self) -> Sequence[str]:
        """The scored tasks."""

    @property
    def noun(self) -> str:
        """What one task is called: `task` or `puzzle`."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences without full stop on tasks that are unanswered or not counted."""

    @property
    def selected_by(self) -> str:
        """The rule that selected among several answers to each task, for example `rule`; empty if
        there was no other than the usual vote."""

    def counts(self) -> Mapping[RateName, Counts]:
        """Split every rate by task, in the order of `task_ids`.

        `sum(solved) / sum(total)` is the rate's value. A task that does not count has the total 0.
        """

    def lines(self) -> list[str]:
        """Format the score for a person."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON."""


@dataclass(frozen=True)
class PassRates:
    """pass@K for one K under the three denominators (see the module)."""

    per_task: Rate
    per_output: Rate
    strict: Rate

    @property
    def by_denominator(self) -> dict[str, Rate]:
        return dict(zip(DENOMINATORS, (self.per_task, self.per_output, self.strict), strict=True))


@dataclass(frozen=True, repr=False)
class Score:
    """The score of answers to ARC tasks; implements `Scored`.

    Attributes:
        pass_at: K -> its rates.
        tasks: task id -> one tuple per test output, which says for each K, in the order of
            `pass_at`, whether the output is solved.
        missing: tasks without an answer, counted as unsolved.
        unknown: answered tasks without a solution, not counted.
        second_attempts: number of answered outputs with a second attempt, which differs from the
            first.
    """

    pass_at: Mapping[int, PassRates]
    tasks: Mapping[str, tuple[tuple[bool, ...], ...]]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    second_attempts: int
    selected_by: str = ""

    noun: ClassVar[str] = "task"
    headline: ClassVar[RateName] = ("pass@2", "per task")  # as boards and papers count

    @property
    def rates(self) -> dict[RateName, Rate]:
        """The rates by K and denominator."""
        return {
            (f"pass@{k}", name): rate
            for k, rates in self.pass_at.items()
            for name, rate in rates.by_denominator.items()
        }

    @property
    def labels(self) -> dict[RateName, str]:
        return {name: DENOMINATORS[name[-1]] for name in self.rates}

    @property
    def deciding(self) -> RateName:
        """pass@K per task, for the largest K."""
        return f"pass@{max(self.pass_at)}", "per task"

    @property
    def task_ids(self) -> list[str]:
        return list(self.tasks)

    @property
    def notes(self) -> list[str]:
        """Sentences on tasks that only the answers or only the solutions have, and on attempts."""
        groups = {
            "not in the submission, counted as unsolved": self.missing,
            "without a solution, not counted": self.unknown,
        }
        notes = [
            f"{pluralise(len(task_ids), 'task')} {what}: {format_names(task_ids)}"
            for what, task_ids in groups.items()
            if task_ids
        ]
        answered = len(self.tasks) - len(self.missing)
        if answered and not self.second_attempts and 2 in self.pass_at:
            notes.append("no test output has a second attempt, so that pass@2 is pass@1")
        return notes

    def counts(self) -> dict[RateName, Counts]:
        """Split every rate by task, as `Scored.counts` says."""
        import numpy as np

        total = np.array([len(task) for task in self.tasks.values()], np.float64)
        one = np.ones_like(total)
        counts: dict[RateName, Counts] = {}
        for place, k in enumerate(self.pass_at):
            hits = [sum(output[place] for output in task) for task in self.tasks.values()]
            solved = np.array(hits, np.float64)
            counts[f"pass@{k}", "per task"] = solved / total, one
            counts[f"pass@{k}", "per output"] = solved, total
            counts[f"pass@{k}", "strict"] = (solved == total).astype(np.float64), one
        return counts

    def lines(self) -> list[str]:
        """Format the score for a person: a line per rate, the denominators, then the notes."""
        return [*rate_table(self), *self.notes]

    def __repr__(self) -> str:
        return "\n".join(map(escape_controls, self.lines()))

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON, with the keys `pass@1` and so on."""
        return {
            **nest({name: rate.to_dict() for name, rate in self.rates.items()}),
            "tasks": {name: [list(hits) for hits in task] for name, task in self.tasks.items()},
            "missing": list(self.missing),
            "unknown": list(self.unknown),
            "second_attempts": self.second_attempts,
            "selected_by": self.selected_by or None,
        }


def score(submission: Submission, solutions: Solutions, attempts: int = 2) -> Score:
    """Score a submission by pass@K, for K from 1 to `attempts`.

    Raises:
        FormatError: either is invalid, or a task has different numbers of outputs in both.
    """
    if not 1 <= attempts <= len(ATTEMPTS):
        raise ValueError(f"attempts is {attempts}, expected 1 to {len(ATTEMPTS)}")
    _raise(submission_problems(submission))
    return score_ranked(to_ranked(submission), solutions, ks=range(1, attempts + 1))


def score_ranked(
    ranked: Mapping[str, Sequence[Sequence[Rows]]], solutions: Solutions, ks: Sequence[int] = (1, 2)
) -> Score:
    """Score ranked candidates.

    Args:
        ranked: candidate grids per task and test output, from best to worst, any number of them. A
            repeated candidate uses up an attempt.
        solutions: the right outputs; tasks without candidates count as unsolved.
        ks: every K of pass@K.

    Raises:
        FormatError: the solutions are invalid, or a task has different numbers of outputs in both.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {list(ks)}, expected at least one integer from 1 up")
    _raise(solutions_problems(solutions))
    answered = {task_id: list(ranked[task_id]) for task_id in solutions if task_id in ranked}
    expected = count_outputs({task_id: solutions[task_id] for task_id in answered})
    _raise(count_problems(answered, expected, "the solutions"))

    tasks = {}
    for task_id, outputs in solutions.items():
        candidates = answered.get(task_id, [()] * len(outputs))
        tasks[task_id] = tuple(
            _hits(grids, solution, ks) for grids, solution in zip(candidates, outputs, strict=True)
        )
    return Score(
        pass_at={k: _pass_rates(tasks, place) for place, k in enumerate(ks)},
        tasks=tasks,
        missing=tuple(task_id for task_id in solutions if task_id not in ranked),
        unknown=tuple(task_id for task_id in ranked if task_id not in solutions),
        second_attempts=sum(
            _has_second(grids) for outputs in answered.values() for grids in outputs
        ),
    )


def score_file(ranked: Ranked, solutions: Solutions, path: StrPath) -> Score:
    """Score the candidates that were read from a file, which must answer some of the tasks.

    Raises:
        FormatError: the candidates do not match the solutions; it names the file.
    """
    if not ranked.keys() & solutions.keys():
        number = pluralise(len(solutions), "task")
        raise FormatError([Problem("", f"answers none of the {number} with solutions")], path)
    try:
        return score_ranked(ranked, solutions)
    except FormatError as error:
        raise FormatError(error.problems, path) from error


def nest(values: Mapping[RateName, Any]) -> dict[str, Any]:
    """Nest values along the paths of their names, with `_` for the spaces in a name."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = [name.replace(" ", "_") for name in path]
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return nested


def headline_rate(scored: Scored) -> RateName:
    """Return the name of the rate that counts, or the first one if its answers are unknown."""
    return scored.headline if scored.headline in scored.rates else next(iter(scored.rates))


def rate_title(scored: Scored, name: RateName) -> str:
    """Return what a rate is called beside its value: `pass@2 per task`, `exact by rule`."""
    return " ".join([*name, *_selection(scored)])


def _selection(scored: Scored) -> list[str]:
    return [f"by {scored.selected_by}"] if scored.selected_by else []


def rate_table(scored: Scored) -> list[str]:
    """Format a score as a line per rate, then a line for each thing that the rates count."""
    if not scored.rates:
        return []
    rows = [
        [*name, *_selection(scored), format_rate(rate), format_percent(rate.value)]
        for name, rate in scored.rates.items()
    ]
    # Rates that count the same thing share its line.
    counted = {name[-1]: scored.labels[name] for name in scored.rates}
    meanings = align_columns([list(each) for each in counted.items()], left=2)
    return [*align_columns(rows, left=len(rows[0]) - 2), "", *meanings]


def align_columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Align the columns of a table: the first `left` ones to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def format_rate(rate: Rate) -> str:
    """Format a rate as a fraction: `12/29`, `5.5/7`."""
    return f"{round(rate.solved, 2):.12g}/{rate.total}"


def format_percent(value: float) -> str:
    """Format a rate's value in percent: `29.0 %`."""
    return f"{100 * value:.1f} %"


def to_hashable(grid: Rows) -> tuple[tuple[int, ...], ...]:
    """Convert a grid to tuples; equal grids in lists, tuples or arrays become equal."""
    return tuple(tuple(row) for row in grid)


def _has_second(candidates: Sequence[Rows]) -> bool:
    """Return whether there is a second candidate, which is a grid and differs from the first."""
    first, second = [*map(to_hashable, candidates[:2]), (), ()][:2]
    return second not in ((), first)


def _hits(candidates: Iterable[Rows], solution: Rows, ks: Sequence[int]) -> tuple[bool, ...]:
    """Return for each K whether one of the first K candidates equals the solution."""
    wanted = to_hashable(solution)
    rank = next((n for n, grid in enumerate(candidates, 1) if to_hashable(grid) == wanted), None)
    return tuple(rank is not None and rank <= k for k in ks)


def _pass_rates(tasks: Mapping[str, Sequence[Sequence[bool]]], place: int) -> PassRates:
    """Return the rates for the K at a place among the hits of each output."""
    solved = [(sum(hits[place] for hits in task), len(task)) for task in tasks.values()]
    # Exact fractions, so that the order of the tasks cannot change the last digit.
    fractions = sum((Fraction(part, whole) for part, whole in solved), Fraction(0))
    return PassRates(
        per_task=Rate(float(fractions), len(solved)),
        per_output=Rate(sum(part for part, _ in solved), sum(whole for _, whole in solved)),
        strict=Rate(sum(part == whole for part, whole in solved), len(solved)),
    )


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise FormatError(problems)
