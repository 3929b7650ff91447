"""The types of predictions: one query's, one test input's, and those of a whole set of tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from arc_trm.display import Displayed
from arc_trm.errors import escape_controls, format_name, pluralise, quote_path, verb
from arc_trm.puzzles import kind_of
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid, same_grid
from arc_trm.time_limit import format_duration
from submission import Ranked, Scored, Submission, to_ranked, write_submission

NO_EMBEDDING = "the weights have no puzzle embedding for this task"
"""The reason why a test input of unknown tasks has no prediction."""

QueryKey = tuple[str, int, str, int]
"""Task id, test index, puzzle and sample."""
GridKey = tuple[tuple[int, ...], bytes]


@dataclass(frozen=True)
class Skipped:
    """A test input without a prediction, and the reason."""

    task_id: str
    test: int
    reason: str


@dataclass(frozen=True)
class PredictionJob:
    """The outcome of a prediction job.

    Attributes:
        predicted_queries: number of queries with a prediction.
        queries: number of all queries, one per test input and augmentation.
        guesses: test inputs without a candidate.
        files: paths that were written, by `submission`, `predictions` and `seal`.
        time_limit: in seconds; None for none.
        weights: path or name of the weights.
    """

    predicted_queries: int
    queries: int
    guesses: tuple[Skipped, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    time_limit: float | None = None
    weights: str = "WEIGHTS"

    def notes(self, tasks: TaskSet) -> list[str]:
        """Return sentences on queries and test inputs without a prediction."""
        notes = []
        if self.predicted_queries < self.queries and self.time_limit is not None:
            notes.append(
                f"the time limit of {format_duration(self.time_limit)} ended the prediction after "
                f"{self.predicted_queries} of {self.queries} queries; the same command resumes it"
            )
        if self.guesses:
            first, kind = self.guesses[0], kind_of(tasks)
            number = f", test input {first.test + 1}" if kind.theme.numbered else ""
            have = verb(len(self.guesses), "has", "have")
            notes.append(
                f"{len(self.guesses)} of {tasks.test_outputs} test inputs {have} no predicted "
                f"grid: first {kind.noun} {format_name(first.task_id)}{number}: {first.reason}"
            )
        if any(each.reason == NO_EMBEDDING for each in self.guesses):
            weights, data = quote_path(self.weights), quote_path(tasks.name)
            notes.append(
                "weights predict tasks that they were trained on or adapted to: use `arc-trm adapt "
                f"{weights} --data {data}`, and predict with the run that it makes"
            )
        return notes

    def guessed_too_much(self, tasks: TaskSet, max_share: float | None = None) -> bool:
        """Return whether more than a share of the test inputs are guesses; None: whether all."""
        if max_share is None:
            return 0 < tasks.test_outputs == len(self.guesses)
        return len(self.guesses) > max_share * tasks.test_outputs

    def to_dict(self, tasks: TaskSet) -> dict[str, Any]:
        """Return counts and files as plain JSON."""
        return {
            "tasks": len(tasks),
            "test_inputs": tasks.test_outputs,
            "queries": self.queries,
            "predicted_queries": self.predicted_queries,
            "guesses": len(self.guesses),
            **{name: str(path) for name, path in self.files.items()},
        }


@dataclass(frozen=True, eq=False, slots=True)
class TraceStep:
    """The prediction after one supervision step; fields as in `Prediction`."""

    grid: Grid | None
    halt_prob: float


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """The model's prediction for one test input of one augmented task, augmentation undone.

    Attributes:
        test: index of the test input, from 0.
        puzzle: name of the puzzle id, or of the view, that was queried.
        order: index of the puzzle among those of its task; 0 is the task itself.
        grid: None if the model predicts no grid, or if another copy decided before it.
        halt_prob: the sigmoid of the halting logit, an estimate that `grid` is correct.
        runner_up: `grid` with the second most likely value in its least certain cell.
        trace: intermediate predictions, stored for some queries only.
        sample: index of the sample; 0 is the plain one, without noise.
        steps: number of supervision steps after which this is the prediction.
        is_draft: whether the query was to take more steps.
        confidence: mean over the cells of the canvas of the most likely token's probability.
        valid: whether the grid keeps the rule of the puzzle; None if it has none, or if nobody
            needed to know.
    """

    task_id: str
    test: int
    puzzle: str
    order: int = 0
    grid: Grid | None = None
    halt_prob: float = 0.0
    runner_up: Grid | None = None
    trace: tuple[TraceStep, ...] = ()
    sample: int = 0
    steps: int = 0
    is_draft: bool = False
    confidence: float = 0.0
    valid: bool | None = None

    @property
    def key(self) -> QueryKey:
        """The task id, the test index, the puzzle and the sample: what was queried."""
        return self.task_id, self.test, self.puzzle, self.sample

    @property
    def title(self) -> str:
        """What tells the query from others for its test input: `sample 3`, `view 2, sample 1`."""
        parts = [f"view {self.order}"] if self.order else []
        parts += [f"sample {self.sample}"] if self.sample else []
        return ", ".join(parts) or "plain"

    @property
    def turn(self) -> tuple[int, int]:
        """Sorts predictions for a test input by the order in which they are asked."""
        return self.sample, self.order


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A grid, the puzzles that voted for it and their mean halting probability."""

    grid: Grid
    votes: int
    halt_prob: float
    puzzles: tuple[str, ...]


def changed_steps(trace: Sequence[TraceStep]) -> list[bool]:
    """Return for each step whether its grid differs from that of the step before."""
    return [
        index == 0 or not same_grid(step.grid, trace[index - 1].grid)
        for index, step in enumerate(trace)
    ]


def to_rows(grid: Grid | None) -> list[list[int]] | None:
    """Return a grid as lists for JSON, None for None."""
    return None if grid is None else grid.tolist()


def grid_key(grid: Grid) -> GridKey:
    """Return a hashable key that equal grids share."""
    return grid.shape, grid.tobytes()


@dataclass(frozen=True, eq=False, repr=False)
class InputPrediction(Displayed):
    """Everything predicted for one test input.

    Attributes:
        test: index of the test input, from 0.
        candidates: grids with votes, best first.
        attempts: the grids to submit; None is a failed attempt. Those of other solvers may be more
            or fewer than the kind of puzzle allows.
        trace: intermediate predictions for the task without augmentation, if stored.
        sample_traces: those of further samples and views, if stored, by their names.
        plain: the attempts that there are without further samples and views.
        answers: number of predictions, with those that have no grid.
        steps: number of supervision steps that they took.
    """

    task: Task
    test: int
    candidates: tuple[Candidate, ...] = ()
    attempts: tuple[Grid | None, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    sample_traces: Mapping[str, tuple[TraceStep, ...]] = field(default_factory=dict)
    plain: tuple[Grid | None, ...] = ()
    answers: int = 0
    steps: int = 0

    @property
    def task_id(self) -> str:
        return self.task.id

    @property
    def pair(self) -> Pair:
        """The test input, and its output if it is known."""
        return self.task.test[self.test]

    @property
    def votes(self) -> int:
        """Number of puzzles that voted."""
        return sum(candidate.votes for candidate in self.candidates)

    @property
    def is_answered(self) -> bool:
        """Whether there is an attempt that is not None."""
        return any(grid is not None for grid in self.attempts)

    def __repr__(self) -> str:
        sizes = ", ".join(
            "none" if grid is None else "{}×{}".format(*grid.shape) for grid in self.attempts
        )
        name = f"{escape_controls(self.task_id)}, test input {self.test + 1}"
        return (
            f"<InputPrediction {name}: attempts {sizes}; "
            f"{pluralise(len(self.candidates), 'candidate')}, {pluralise(self.votes, 'vote')}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain JSON; grids are lists of rows."""
        return {
            "task": self.task_id,
            "test": self.test,
            "attempts": [to_rows(grid) for grid in self.attempts],
            "candidates": [
                {"grid": to_rows(each.grid), "votes": each.votes, "halt_prob": each.halt_prob}
                for each in self.candidates
            ],
            "trace": [
                {"grid": to_rows(step.grid), "halt_prob": step.halt_prob} for step in self.trace
            ],
        }


class PredictionSet(Displayed):
    """Predictions for some or all test inputs of `tasks`, by (task id, test index), in order.

    `job` is the outcome of the job that made them, None for stored ones; `selected_by` is the rule
    that selected among several answers, as of `Scored`.
    """

    def __init__(
        self,
        tasks: TaskSet,
        predictions: Iterable[InputPrediction],
        job: PredictionJob | None = None,
        selected_by: str = "",
    ) -> None:
        self.tasks, self.job, self.selected_by = tasks, job, selected_by
        self.by_input: Mapping[tuple[str, int], InputPrediction] = {
            (each.task_id, each.test): each for each in predictions
        }

    def __repr__(self) -> str:
        total, name = self.tasks.test_outputs, escape_controls(self.tasks.name)
        return f"<PredictionSet for {len(self)} of {total} test inputs of {name}>"

    def __iter__(self) -> Iterator[InputPrediction]:
        return iter(self.by_input.values())

    def __len__(self) -> int:
        return len(self.by_input)

    def __getitem__(self, key: int | tuple[str, int]) -> InputPrediction:
        """Return a prediction by its position or by (task id, test index from 0)."""
        if isinstance(key, tuple):
            return self.by_input[key]
        return list(self.by_input.values())[key]

    def fill_missing(self, attempts: int | None = None) -> PredictionSet:
        """Return predictions for all test inputs, with fallback guesses where there are none.

        `attempts`: number of guesses; None is the maximum of the kind of puzzle.
        """
        predictions = (
            self.by_input.get((task.id, test))
            or InputPrediction(
                task, test, (), choose_attempts(self.tasks, pair.input, (), attempts=attempts)
            )
            for task in self.tasks
            for test, pair in enumerate(task.test)
        )
        return PredictionSet(self.tasks, predictions, selected_by=self.selected_by)

    def with_submission(self, submission: Submission) -> PredictionSet:
        """Return the predictions with the attempts of a submission for all of `tasks`."""
        ranked = to_ranked(submission)
        predictions = []
        for each in self:
            attempts = tuple(map(as_grid, ranked[each.task_id][each.test]))
            predictions.append(replace(each, attempts=attempts))
        return PredictionSet(self.tasks, predictions, selected_by=self.selected_by)

    def submission(self) -> Submission:
        """Return the official submission, as `build_submission` does."""
        return build_submission(self, self.tasks)

    def write_submission(self, path: str | os.PathLike[str]) -> None:
        """Write the official submission, whole or not at all; raise UserError if that fails."""
        write_submission(path, self.submission(), self.tasks.to_json(solutions=False))

    def attempts(self) -> Ranked:
        """Return the attempts per task and test input, best first; () for none."""
        return self._ranked(lambda found: found.attempts)

    def candidates(self, count: int) -> Ranked:
        """Return the best `count` candidates per task and test input, best first."""
        return self._ranked(lambda found: [each.grid for each in found.candidates[:count]])

    def _ranked(self, grids: Callable[[InputPrediction], Sequence[Grid | None]]) -> Ranked:
        return {
            task.id: [
                [to_rows(grid) or [] for grid in grids(found)]
                if (found := self.by_input.get((task.id, test)))
                else []
                for test in range(len(task.test))
            ]
            for task in self.tasks
        }

    def score(self) -> Scored:
        """Score the attempts; raise UserError if no test output of `tasks` is known."""
        return kind_of(self.tasks).score(self.tasks, self.attempts(), self.selected_by)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one `InputPrediction.to_dict` per test input."""
        return [each.to_dict() for each in self]


def choose_attempts(
    tasks: TaskSet,
    test_input: Grid,
    grids: Sequence[Grid],
    runner_up: Grid | None = None,
    attempts: int | None = None,
) -> tuple[Grid, ...]:
    """Return the attempts at a test input, all different.

    Args:
        tasks: their kind decides the number of attempts and the fallback guesses.
        test_input: what to guess for.
        grids: candidates, best first.
        runner_up: grid to attempt before any guess.
        attempts: their number; None is the maximum of the kind.
    """
    kind = kind_of(tasks)
    max_attempts = kind.max_attempts if attempts is None else attempts
    guesses = kind.fallback_guesses(test_input)
    runners_up = (runner_up,) if runner_up is not None and max_attempts > 1 else ()
    chosen: dict[GridKey, Grid] = {}
    for grid in chain(grids, runners_up, guesses):
        if len(chosen) == max_attempts:
            break
        chosen.setdefault(grid_key(grid), grid)
    return tuple(chosen.values())


def build_submission(
    predictions: Iterable[InputPrediction], tasks: TaskSet, attempts: int | None = None
) -> Submission:
    """Return the official submission: every test input of `tasks`, in order.

    Fallback guesses replace missing attempts. If `attempts` is 1, the attempt is repeated; None is
    the maximum of the kind.

    Raises:
        UserError: the kind of puzzle has no submissions.
    """
    kind = kind_of(tasks)
    kind.require_submission("submitting", tasks.name)
    found = {(each.task_id, each.test): each for each in predictions}
    submission: Submission = {}
    for task in tasks:
        outputs = []
        for test, pair in enumerate(task.test):
            prediction = found.get((task.id, test))
            predicted = (prediction.attempts if prediction else ())[: kind.max_attempts]
            grids = [grid for grid in predicted if grid is not None]
            chosen = list(choose_attempts(tasks, pair.input, grids, attempts=attempts))
            if grids and predicted[0] is None:
                chosen.reverse()  # keep the second attempt the second
            chosen += chosen[:1] * (kind.max_attempts - len(chosen))
            outputs.append({f"attempt_{n}": grid.tolist() for n, grid in enumerate(chosen, 1)})
        submission[task.id] = outputs
    return submission
