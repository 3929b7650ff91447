"""From many predictions to two attempts (SPEC 7 in docs/model.md).

PredictionSet of all puzzles of a test input, augmentations undone, are grouped by equal grid; groups
are ranked by (votes, mean halting score), both descending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arc_trm.tasks import Grid, TaskSet, as_grid, same_grid
from submission import Score, Submission, score_ranked, to_ranked
from submission.errors import pluralise

ATTEMPTS = 2


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """What one puzzle says of one test input, augmentation undone.

    `halt` is the sigmoid of the halting logit: how sure the model is that `grid` is right.
    `runner_up` is `grid` with the cell the model was least sure of in its second colour.
    `order` is the puzzle's place among those of its task.
    """

    puzzle: str
    grid: Grid
    halt: float
    runner_up: Grid | None = None
    order: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A grid with the puzzles that voted for it and their mean halting score."""

    grid: Grid
    votes: int
    halt: float
    puzzles: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """The draft after one supervision step, None if it is no grid, and its halting score."""

    grid: Grid | None
    halt: float


def changed_steps(steps: Sequence[Step]) -> list[bool]:
    """Of each step whether its draft is another than that of the step before."""
    return [
        number == 0 or not same_grid(step.grid, steps[number - 1].grid)
        for number, step in enumerate(steps)
    ]


@dataclass(frozen=True, eq=False, repr=False)
class InputPrediction:
    """All candidates of a task's test input `test` (counted from 0), best first.

    `attempts` are the two to be submitted, of a Sudoku or maze one; those of other solvers may be
    more or fewer, and None where one failed. `steps` are the drafts of the task as it is, without
    augmentation, if known.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    task: str
    test: int
    candidates: tuple[Candidate, ...]
    attempts: tuple[Grid | None, ...]
    steps: tuple[Step, ...] = ()

    def __repr__(self) -> str:
        sizes = ", ".join(
            "none" if grid is None else "{}×{}".format(*grid.shape) for grid in self.attempts
        )
        return (
            f"<InputPrediction {self.task}, test {self.test}: attempts {sizes}; "
            f"{pluralise(len(self.candidates), 'candidate')}, {pluralise(self.votes, 'vote')}>"
        )

    @property
    def votes(self) -> int:
        """Of all puzzles that drew a grid."""
        return sum(candidate.votes for candidate in self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; grids are lists of rows."""
        return {
            "task": self.task,
            "test": self.test,
            "attempts": [None if grid is None else grid.tolist() for grid in self.attempts],
            "candidates": [
                {"grid": each.grid.tolist(), "votes": each.votes, "halt": each.halt}
                for each in self.candidates
            ],
            "steps": [
                {"grid": None if step.grid is None else step.grid.tolist(), "halt": step.halt}
                for step in self.steps
            ],
        }


def _key(grid: Grid) -> tuple[tuple[int, ...], bytes]:
    return grid.shape, grid.tobytes()


def rank(predictions: Iterable[Prediction]) -> list[Candidate]:
    """Candidates out of predictions, best first; the first puzzle's wins a tie of both ranks.

    It does not matter in which order the predictions were made.
    """
    groups: dict[tuple[tuple[int, ...], bytes], list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda p: p.order):
        groups.setdefault(_key(prediction.grid), []).append(prediction)
    candidates = [
        Candidate(
            group[0].grid,
            len(group),
            sum(p.halt for p in group) / len(group),
            tuple(p.puzzle for p in group),
        )
        for group in groups.values()
    ]
    return sorted(candidates, key=lambda c: (-c.votes, -c.halt))


def _guesses(test_input: Grid, predictions: Sequence[Prediction]) -> Iterable[Grid]:
    """What could be right where the candidates run out, likeliest first.

    The surest runner-up of a prediction; then, without knowledge of the task: the input as it is,
    turned around, and one-coloured grids of its size.
    """
    for prediction in sorted(predictions, key=lambda p: -p.halt):
        if prediction.runner_up is not None:
            yield prediction.runner_up
    yield test_input
    yield test_input[:, ::-1]
    counts = np.bincount(test_input.reshape(-1), minlength=10)
    for colour in np.argsort(-counts, kind="stable")[:3]:
        yield np.full_like(test_input, colour)


def two_attempts(
    candidates: Sequence[Candidate], test_input: Grid, predictions: Sequence[Prediction] = ()
) -> tuple[Grid, Grid]:
    """The two best distinct candidates; where there are fewer, distinct guesses follow them.

    The second attempt is never a copy of the first.
    """
    return _two([candidate.grid for candidate in candidates], test_input, predictions)


def _two(
    best: Sequence[Grid], test_input: Grid, predictions: Sequence[Prediction]
) -> tuple[Grid, Grid]:
    chosen: dict[tuple[tuple[int, ...], bytes], Grid] = {}
    for grid in (*best, *_guesses(test_input, predictions)):
        chosen.setdefault(_key(grid), grid)
        if len(chosen) == ATTEMPTS:
            break
    first, second = chosen.values()
    return first, second


@dataclass(frozen=True, eq=False, repr=False)
class PredictionSet:
    """What was answered to test inputs of `tasks`, by (task id, test index from 0), in order."""

    tasks: TaskSet
    by_test: Mapping[tuple[str, int], InputPrediction]

    @classmethod
    def of(cls, tasks: TaskSet, predictions: Iterable[InputPrediction]) -> PredictionSet:
        return cls(tasks, {(each.task, each.test): each for each in predictions})

    def __repr__(self) -> str:
        number = self.tasks.test_outputs
        return f"<PredictionSet for {len(self)} of {number} test inputs of {self.tasks.name}>"

    def __iter__(self) -> Iterator[InputPrediction]:
        return iter(self.by_test.values())

    def __len__(self) -> int:
        return len(self.by_test)

    def __getitem__(self, key: tuple[str, int]) -> InputPrediction:
        return self.by_test[key]

    def completed(self) -> PredictionSet:
        """With the guesses of `two_attempts` for test inputs that nobody has answered.

        Of boards there are no guesses.
        """
        guessing = self.tasks.is_arc
        guesses = (
            InputPrediction(task.id, test, (), two_attempts([], pair.input) if guessing else ())
            for task in self.tasks
            for test, pair in enumerate(task.test)
        )
        return PredictionSet.of(
            self.tasks, (self.by_test.get((each.task, each.test), each) for each in guesses)
        )

    def submitted(self, submission: Submission) -> PredictionSet:
        """With the attempts of a submission that answers all of `tasks`."""
        ranked = to_ranked(submission)
        return PredictionSet.of(
            self.tasks,
            (
                replace(each, attempts=tuple(map(as_grid, ranked[each.task][each.test])))
                for each in self
            ),
        )

    def submission(self) -> Submission:
        """The official submission: every task and test input of `tasks`, in order.

        Where an attempt is lacking, the guesses of `two_attempts` stand in.
        """
        return to_submission(self, self.tasks)

    def attempts(self) -> dict[str, list[list[list[list[int]]]]]:
        """The attempts as `submission.Ranked`: per task and output their grids, [] for none."""
        return self._ranked(lambda found: [_rows(grid) for grid in found.attempts])

    def candidates(self, most: int) -> dict[str, list[list[list[list[int]]]]]:
        """The first `most` candidates, which were voted for, as `submission.Ranked`."""
        return self._ranked(lambda found: [_rows(each.grid) for each in found.candidates[:most]])

    def _ranked(
        self, grids: Callable[[InputPrediction], list[list[list[int]]]]
    ) -> dict[str, list[list[list[list[int]]]]]:
        return {
            task.id: [
                grids(self.by_test[task.id, test]) if (task.id, test) in self.by_test else []
                for test in range(len(task.test))
            ]
            for task in self.tasks
        }

    def score(self) -> Score:
        """pass@1 and pass@2 against the known test outputs of `tasks`.

        Raises submission.SubmissionError if none is known.
        """
        return score_ranked(self.attempts(), self.tasks.known_solutions())

    def to_dicts(self) -> list[dict[str, Any]]:
        """As plain JSON, one dict per test input: `InputPrediction.to_dict`."""
        return [each.to_dict() for each in self]

    def _repr_html_(self) -> str:
        from arc_trm.viz import predictions_html

        return predictions_html(self.tasks, self)


def _rows(grid: Grid | None) -> list[list[int]]:
    return [] if grid is None else grid.tolist()


def to_submission(predictions: Iterable[InputPrediction], tasks: TaskSet) -> Submission:
    """The official submission: every task and test input of `tasks`, in order.

    Where an attempt is lacking, the guesses of `two_attempts` stand in.
    """
    found: Mapping[tuple[str, int], InputPrediction] = {(p.task, p.test): p for p in predictions}
    submission = {}
    for task in tasks:
        outputs = []
        for index, pair in enumerate(task.test):
            prediction = found.get((task.id, index))
            given = [*(prediction.attempts if prediction else ()), None, None][:ATTEMPTS]
            grids = list(_two([grid for grid in given if grid is not None], pair.input, ()))
            if given[0] is None and given[1] is not None:
                grids.reverse()  # what was attempt 2 remains it
            outputs.append({f"attempt_{n}": grid.tolist() for n, grid in enumerate(grids, 1)})
        submission[task.id] = outputs
    return submission
