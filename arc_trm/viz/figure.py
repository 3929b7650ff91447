"""What is shown of tasks and predictions, and whether it is right.

Pictures, the terminal, notebooks and reports draw these figures. Only this module decides on
labels, verdicts and wrong cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from arc_trm.errors import pluralise
from arc_trm.evaluation.predictions import InputPrediction, changed_steps
from arc_trm.puzzles import KINDS, Theme
from arc_trm.tasks import Grid, Pair, Task, same_grid

CLOSE_SHARE, CLOSE_SIZE = 0.1, 4
"""A wrong grid of the correct size is a close call with at most this share of its cells wrong, or
with a single one of at least so many."""
CLOSE_WORDS = f"at most {100 * CLOSE_SHARE:g} % of the cells wrong, or one of at least {CLOSE_SIZE}"
"""The same for readers; docs/evaluation.md says it, too."""
RIGHT, VALID, CLOSE, WRONG = "Right", "Valid", "Close call", "Wrong"
MOST_CERTAIN, LEAST_CERTAIN = "Most certain", "Least certain"


class Verdict(StrEnum):
    """What an answer is worth; the values are what is written beside it."""

    CORRECT = "right"
    """As the known output."""
    VALID = "valid"
    """Not as the known output, but it keeps the rule of the puzzle."""
    WRONG = "wrong"


class Outcome(StrEnum):
    """What became of a task."""

    SOLVED = "solved"
    VALID = "valid"
    PARTLY = "partly"
    UNSOLVED = "unsolved"
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class GridFigure:
    """A grid with its name and, if it is an answer, what it is worth.

    Attributes:
        label: for example `Attempt 2`.
        grid: None if an attempt or a step has no grid.
        question: the input of its pair; the grid itself if it is that.
        verdict: None if it is no answer, or unknown.
        wrong_cells: rows and columns, from 0, in which a wrong grid differs from a known output of
            its size.
    """

    label: str
    grid: Grid | None
    question: Grid
    verdict: Verdict | None = None
    wrong_cells: tuple[tuple[int, int], ...] = ()

    @property
    def wrong_share(self) -> float:
        """The share of cells that are wrong; 0 for a grid of another size."""
        return 0.0 if self.grid is None else len(self.wrong_cells) / self.grid.size

    @property
    def is_close(self) -> bool:
        """Whether few cells are wrong: `CLOSE_WORDS`."""
        if self.grid is not None and len(self.wrong_cells) == 1:
            return self.grid.size >= CLOSE_SIZE
        return 0 < self.wrong_share <= CLOSE_SHARE

    @property
    def given(self) -> npt.NDArray[np.bool_]:
        """(height, width) whether a cell is as the question fills it."""
        assert self.grid is not None
        if self.question.shape != self.grid.shape:
            return np.zeros(self.grid.shape, np.bool_)
        given: npt.NDArray[np.bool_] = (self.question == self.grid) & (self.grid != 0)
        return given


@dataclass(frozen=True, eq=False)
class PairFigures:
    """An input with the attempts at it and its output if it is known."""

    input: GridFigure
    attempts: tuple[GridFigure, ...] = ()
    output: GridFigure | None = None

    @property
    def answers(self) -> tuple[GridFigure, ...]:
        """The attempts, then the output if it is known."""
        return self.attempts if self.output is None else (*self.attempts, self.output)

    @property
    def grids(self) -> list[Grid]:
        return [each.grid for each in (self.input, *self.answers) if each.grid is not None]

    @property
    def verdict(self) -> Verdict | None:
        """The best verdict of the attempts; None if it is unknown."""
        verdicts = {figure.verdict for figure in self.attempts}
        best = next((verdict for verdict in Verdict if verdict in verdicts), None)
        if best is None and self.output is not None:
            return Verdict.WRONG  # not answered
        return best


@dataclass(frozen=True, eq=False)
class Example:
    """A predicted test input that is worth seeing; `reason` says why, without a full stop."""

    task: Task
    figures: PairFigures
    reason: str


@dataclass(frozen=True, eq=False)
class TaskFigures:
    """Everything that is shown of a task."""

    title: str
    demonstrations: tuple[PairFigures, ...]
    tests: tuple[PairFigures, ...]

    @property
    def grids(self) -> list[Grid]:
        return [grid for pair in (*self.demonstrations, *self.tests) for grid in pair.grids]

    @property
    def outcome(self) -> Outcome:
        verdicts = [pair.verdict for pair in self.tests]
        good = [verdict in (Verdict.CORRECT, Verdict.VALID) for verdict in verdicts]
        if all(verdict is Verdict.CORRECT for verdict in verdicts):
            return Outcome.SOLVED
        if all(good):
            return Outcome.VALID
        if any(good):
            return Outcome.PARTLY
        if all(verdict is None for verdict in verdicts):
            return Outcome.UNKNOWN
        return Outcome.UNSOLVED

    @property
    def needs_several_attempts(self) -> bool:
        """Whether the task is solved, but not by its first attempts alone."""
        return self.outcome is Outcome.SOLVED and any(
            pair.attempts[0].verdict is not Verdict.CORRECT for pair in self.tests
        )

    @property
    def is_close_call(self) -> bool:
        """Whether the task is solved by later attempts only, or but for a few wrong cells."""
        if self.needs_several_attempts:
            return True
        missed = [pair for pair in self.tests if pair.verdict is Verdict.WRONG]
        return bool(missed) and all(any(each.is_close for each in pair.attempts) for pair in missed)


@dataclass(frozen=True, eq=False)
class StepFigure:
    """A prediction that stayed the same for one or more supervision steps.

    Attributes:
        first: number of the first of these steps, from 1.
        halt_probs: the halting probability after each of them.
    """

    figure: GridFigure
    first: int
    halt_probs: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class TraceFigures:
    """How the prediction for a test input changed over the supervision steps.

    Attributes:
        output: None if it is unknown.
        title: what tells the trace from others for the same input: `sample 3`.
    """

    input: GridFigure
    steps: tuple[StepFigure, ...]
    output: GridFigure | None
    title: str = ""

    @property
    def grids(self) -> list[Grid]:
        figures = [self.input, *(step.figure for step in self.steps), self.output]
        return [each.grid for each in figures if each is not None and each.grid is not None]


def theme_of(task: Task) -> Theme:
    """Return how the grids of a task look and what they are called."""
    return KINDS[task.kind].theme


def task_title(task: Task) -> str:
    """Return `Task 007bbfb7`."""
    return f"{theme_of(task).task} {task.id}"


def task_figures(task: Task, predictions: Iterable[InputPrediction] = ()) -> TaskFigures:
    """Return the demonstrations of a task, and its tests with the attempts at them."""
    attempts = {each.test: each.attempts for each in predictions}
    tests = (input_figures(task, n, attempts.get(n, ())) for n in range(len(task.test)))
    return TaskFigures(task_title(task), tuple(demonstration_figures(task)), tuple(tests))


def demonstration_figures(task: Task) -> list[PairFigures]:
    """Return the demonstrations of a task."""
    label = theme_of(task).output
    return [
        PairFigures(_plain_figure(f"Input {number}", pair.input), (), _output_figure(label, pair))
        for number, pair in enumerate(task.train, 1)
    ]


def input_figures(task: Task, test: int, attempts: Sequence[Grid | None] = ()) -> PairFigures:
    """Return test input `test` (from 0) with the attempts at it and its known output."""
    theme, pair = theme_of(task), task.test[test]
    return PairFigures(
        _plain_figure(theme.input_name(test + 1), pair.input),
        tuple(
            attempt_figure(task, test, theme.answer_name(number), grid)
            for number, grid in enumerate(attempts, 1)
        ),
        _output_figure(theme.solution if attempts else theme.output, pair),
    )


def attempt_figure(task: Task, test: int, label: str, grid: Grid | None) -> GridFigure:
    """Return an answer to test input `test` (from 0) with what it is worth.

    Args:
        label: what the answer is called.
        grid: None for an attempt without one.
    """
    pair = task.test[test]
    if grid is None:
        return GridFigure(label, None, pair.input)
    verdict = _judge(task, pair, grid)
    wrong_cells = _differences(grid, pair.output) if verdict is Verdict.WRONG else ()
    return GridFigure(label, grid, pair.input, verdict, wrong_cells)


def candidate_figures(prediction: InputPrediction, most: int) -> list[GridFigure]:
    """Return the first `most` candidates; those that are also attempts are called so."""
    theme = theme_of(prediction.task)
    figures = []
    for number, candidate in enumerate(prediction.candidates[:most], 1):
        attempt = _find(candidate.grid, prediction.attempts)
        label = f"Candidate {number}" if attempt is None else theme.answer_name(attempt)
        figures.append(attempt_figure(prediction.task, prediction.test, label, candidate.grid))
    return figures


def correct_rank(prediction: InputPrediction) -> int | None:
    """Return the rank, from 1, of the correct candidate; None if it is unknown."""
    output = prediction.pair.output
    return None if output is None else _find(output, [c.grid for c in prediction.candidates])


def trace_figures(prediction: InputPrediction) -> TraceFigures:
    """Return how a prediction changed; equal predictions of steps in a row are one figure."""
    task, test, trace = prediction.task, prediction.test, prediction.trace
    starts = [index for index, changed in enumerate(changed_steps(trace)) if changed]
    steps = []
    for start, end in pairwise([*starts, len(trace)]):
        label = f"Step {end}" if end == start + 1 else f"Steps {start + 1}–{end}"
        figure = attempt_figure(task, test, label, trace[start].grid)
        halt_probs = tuple(step.halt_prob for step in trace[start:end])
        steps.append(StepFigure(figure, start + 1, halt_probs))
    theme = theme_of(task)
    return TraceFigures(
        _plain_figure(theme.input_name(test + 1), prediction.pair.input),
        tuple(steps),
        _output_figure(theme.solution, prediction.pair),
    )


def sample_figures(prediction: InputPrediction) -> list[TraceFigures]:
    """Return how the plain answer changed, and those of further samples and views if stored."""
    if not prediction.sample_traces:
        return [trace_figures(prediction)]
    traces = {"plain": prediction.trace, **prediction.sample_traces}
    selected = next(
        (
            title
            for title, trace in traces.items()
            if trace and any(same_grid(trace[-1].grid, grid) for grid in prediction.attempts[:1])
        ),
        None,
    )
    return [
        replace(
            trace_figures(replace(prediction, trace=trace)),
            title=f"{title}, selected" if title == selected else title,
        )
        for title, trace in traces.items()
    ]


def predicted_inputs(predictions: Iterable[InputPrediction]) -> list[InputPrediction]:
    """Return the predictions that are more than guesses: those with candidates.

    Predictions from files without candidates are all returned that have an attempt.
    """
    found = list(predictions)
    voted = [each for each in found if each.candidates]
    return voted or [each for each in found if each.attempts]


def choose_examples(predictions: Iterable[InputPrediction]) -> list[Example]:
    """Return a right, a valid and a wrong prediction and a close call, as far as there are any.

    A close call is wrong in few cells, or right only at a later attempt. Of several, the one with
    the smallest share of wrong cells is returned, and of the other groups the most certain one. If
    no output is known, the most and the least certain prediction are returned. Of equal ones the
    first is returned.
    """
    best: dict[str, tuple[tuple[float, ...], Example]] = {}
    for prediction in predictions:
        figures = input_figures(prediction.task, prediction.test, prediction.attempts)
        for group, rank, reason in _groups(prediction, figures):
            if group not in best or rank < best[group][0]:
                best[group] = rank, Example(prediction.task, figures, reason)
    judged = [best[group][1] for group in (RIGHT, VALID, CLOSE, WRONG) if group in best]
    certain = [best[group][1] for group in (MOST_CERTAIN, LEAST_CERTAIN) if group in best]
    if len({id(example.figures) for example in certain}) == 1:
        certain = certain[:1]  # one prediction, or all are as certain
    return judged or certain


def _groups(
    prediction: InputPrediction, figures: PairFigures
) -> Iterator[tuple[str, tuple[float, ...], str]]:
    """Yield the groups that a prediction is an example of, its rank there and the reason.

    The example with the lowest rank is shown.
    """
    share, halt_prob, certainty = 0.0, 0.0, ""
    if prediction.candidates:
        first, votes = prediction.candidates[0], pluralise(prediction.votes, "vote")
        share, halt_prob = first.votes / prediction.votes, first.halt_prob
        certainty = f" ({first.votes} of {votes}, halt {100 * halt_prob:.0f} %)"
    rank, verdict = (-share, -halt_prob), figures.verdict
    if verdict is None:
        yield MOST_CERTAIN, rank, MOST_CERTAIN + certainty
        yield LEAST_CERTAIN, (share, halt_prob), LEAST_CERTAIN + certainty
    elif verdict is Verdict.VALID:
        known = "" if figures.output is None else ", but not as the known output"
        yield VALID, rank, f"{VALID}{known}{certainty}"
    elif verdict is Verdict.CORRECT:
        label = next(f.label for f in figures.attempts if f.verdict is Verdict.CORRECT)
        if label == figures.attempts[0].label:
            yield RIGHT, rank, RIGHT + certainty
        else:
            yield CLOSE, (1, *rank), f"{CLOSE}: right only at {label.lower()}"
    elif close := [figure for figure in figures.attempts if figure.is_close]:
        nearest = min(close, key=lambda figure: figure.wrong_share)
        assert nearest.grid is not None
        wrong, cells = len(nearest.wrong_cells), pluralise(nearest.grid.size, "cell")
        yield CLOSE, (0, nearest.wrong_share), f"{CLOSE}: {wrong} of {cells} wrong"
    else:
        yield WRONG, rank, WRONG + certainty


def _plain_figure(label: str, grid: Grid) -> GridFigure:
    return GridFigure(label, grid, grid)


def _output_figure(label: str, pair: Pair) -> GridFigure | None:
    return None if pair.output is None else GridFigure(label, pair.output, pair.input)


def _judge(task: Task, pair: Pair, answer: Grid) -> Verdict | None:
    if pair.output is not None and same_grid(answer, pair.output):
        return Verdict.CORRECT
    valid = KINDS[task.kind].is_valid(pair.input, answer)
    if valid:
        return Verdict.VALID
    return None if pair.output is None and valid is None else Verdict.WRONG


def _differences(grid: Grid, output: Grid | None) -> tuple[tuple[int, int], ...]:
    if output is None or grid.shape != output.shape:
        return ()
    return tuple((row, column) for row, column in np.argwhere(grid != output).tolist())


def _find(grid: Grid, grids: Sequence[Grid | None]) -> int | None:
    """Return the number, from 1, of the first equal grid."""
    return next((n for n, each in enumerate(grids, 1) if same_grid(grid, each)), None)
