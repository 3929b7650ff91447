"""The figure model: labels, verdicts, wrong cells, outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from arc_trm.evaluation.predictions import Candidate, InputPrediction, TraceStep
from arc_trm.tasks import Grid, Pair, Task, as_grid
from arc_trm.viz.figure import (
    CLOSE_WORDS,
    Outcome,
    Verdict,
    attempt_figure,
    candidate_figures,
    choose_examples,
    correct_rank,
    input_figures,
    predicted_inputs,
    task_figures,
    trace_figures,
)

CORRECT, VALID, WRONG = Verdict.CORRECT, Verdict.VALID, Verdict.WRONG
QUESTION, OUTPUT, OTHER = as_grid([[9, 0]]), as_grid([[1, 2], [3, 4]]), as_grid([[1, 5], [3, 5]])
DEMONSTRATION = Pair(as_grid([[1]]), as_grid([[2]]))
SUDOKU = as_grid([[1, 0, 3, 0], [0, 4, 1, 0], [2, 0, 0, 3], [0, 3, 0, 1]])
SOLVED_SUDOKU = as_grid([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])
MAZE, PATH, OTHER_PATH = as_grid([[2, 1], [1, 3]]), as_grid([[2, 4], [1, 3]]), [[2, 1], [4, 3]]


def arc_task(*outputs: Grid | None) -> Task:
    tests = tuple(Pair(QUESTION, output) for output in outputs)
    return Task("0a", (DEMONSTRATION,), tests)


def puzzle(kind: str, question: Grid, output: Grid | None) -> Task:
    return Task("7", (), (Pair(question, output),), kind)


def prediction(task: Task, *attempts: Grid | None, test: int = 0) -> InputPrediction:
    return InputPrediction(task, test, (), attempts)


@pytest.mark.parametrize(
    ("task", "answer", "verdict", "wrong_cells"),
    [
        (arc_task(OUTPUT), OUTPUT, CORRECT, ()),
        (arc_task(OUTPUT), OTHER, WRONG, ((0, 1), (1, 1))),
        (arc_task(OUTPUT), QUESTION, WRONG, ()),  # of another size
        (arc_task(OUTPUT), None, None, ()),
        (arc_task(None), OUTPUT, None, ()),
        (puzzle("sudoku", SUDOKU, SOLVED_SUDOKU), SOLVED_SUDOKU, CORRECT, ()),
        (puzzle("sudoku", SUDOKU, None), SOLVED_SUDOKU, VALID, ()),
        (puzzle("sudoku", SUDOKU, None), SUDOKU, WRONG, ()),
        (puzzle("maze", MAZE, PATH), PATH, CORRECT, ()),
        (puzzle("maze", MAZE, PATH), as_grid(OTHER_PATH), VALID, ()),
        (puzzle("maze", MAZE, PATH), MAZE, WRONG, ((0, 1),)),
        (puzzle("maze", MAZE, None), None, None, ()),
    ],
)
def test_verdicts_and_wrong_cells(
    task: Task,
    answer: Grid | None,
    verdict: Verdict | None,
    wrong_cells: tuple[tuple[int, int], ...],
) -> None:
    figure = attempt_figure(task, 0, "An answer", answer)
    assert (figure.label, figure.verdict, figure.wrong_cells) == (
        "An answer",
        verdict,
        wrong_cells,
    )


def test_labels_are_those_of_the_kind() -> None:
    task = arc_task(OUTPUT, None)
    figures = task_figures(task, [prediction(task, OTHER, OUTPUT)])
    (demonstration,), (first, second) = figures.demonstrations, figures.tests
    assert figures.title == "Task 0a"
    assert [demonstration.input.label] + [f.label for f in demonstration.answers] == [
        "Input 1",
        "Output",
    ]
    assert first.input.label == "Test input 1"
    assert [f.label for f in first.answers] == ["Attempt 1", "Attempt 2", "Correct output"]
    assert second.input.label == "Test input 2" and second.answers == ()
    maze = input_figures(puzzle("maze", MAZE, PATH), 0, [PATH])
    assert [f.label for f in (maze.input, *maze.answers)] == ["Question", "Answer", "Known answer"]


def test_given_cells_are_those_that_the_question_fills_and_the_answer_keeps() -> None:
    changed = SOLVED_SUDOKU.copy()
    changed[0, 0] = 4
    figure = attempt_figure(puzzle("sudoku", SUDOKU, None), 0, "x", changed)
    expected = SUDOKU != 0
    expected[0, 0] = False
    assert (figure.given == expected).all()
    assert not attempt_figure(arc_task(None), 0, "x", OUTPUT).given.any()


@pytest.mark.parametrize(
    ("outputs", "attempts", "outcome", "several"),
    [
        ([OUTPUT], [[OUTPUT, OTHER]], Outcome.SOLVED, False),
        ([OUTPUT], [[OTHER, OUTPUT]], Outcome.SOLVED, True),
        ([OUTPUT, OUTPUT], [[OUTPUT], [OTHER, OUTPUT]], Outcome.SOLVED, True),
        ([OUTPUT, OUTPUT], [[OUTPUT], [OTHER]], Outcome.PARTLY, False),
        ([OUTPUT, None], [[OUTPUT], [OTHER]], Outcome.PARTLY, False),
        ([OUTPUT], [[OTHER, None]], Outcome.UNSOLVED, False),
        ([OUTPUT], [[]], Outcome.UNSOLVED, False),
        ([OUTPUT, None], [[OTHER], [OTHER]], Outcome.UNSOLVED, False),
        ([None], [[OTHER]], Outcome.UNKNOWN, False),
        ([None], [[]], Outcome.UNKNOWN, False),
    ],
)
def test_outcomes_of_arc_tasks(
    outputs: Sequence[Grid | None],
    attempts: Sequence[Sequence[Grid | None]],
    outcome: Outcome,
    several: bool,
) -> None:
    task = arc_task(*outputs)
    found = [prediction(task, *grids, test=test) for test, grids in enumerate(attempts)]
    figures = task_figures(task, found)
    assert (figures.outcome, figures.needs_several_attempts) == (outcome, several)


def with_wrong_cells(count: int) -> Grid:
    """Return a grid of ten rows and columns, some of whose cells are not 1."""
    grid = np.ones((10, 10), np.uint8)
    grid.flat[:count] = 2
    return as_grid(grid)


LARGE = with_wrong_cells(0)


@pytest.mark.parametrize(
    ("outputs", "attempts", "close"),
    [
        ([LARGE], [[with_wrong_cells(10)]], True),
        ([LARGE], [[with_wrong_cells(11)]], False),
        ([as_grid([[1]])], [[as_grid([[2]])]], False),  # all of it is wrong
        ([as_grid([[1, 1, 1]])], [[as_grid([[1, 1, 2]])]], False),
        ([as_grid([[1, 1], [1, 1]])], [[as_grid([[1, 1], [1, 2]])]], True),
        ([LARGE], [[OTHER, with_wrong_cells(1)]], True),  # by either attempt
        ([LARGE], [[OTHER, LARGE]], True),  # right, but not at once
        ([LARGE], [[LARGE]], False),  # right
        ([LARGE, LARGE], [[LARGE], [with_wrong_cells(3)]], True),
        ([LARGE, LARGE], [[with_wrong_cells(3)], [with_wrong_cells(50)]], False),
        ([LARGE], [[as_grid([[1]])]], False),  # of another size
        ([LARGE], [[]], False),
        ([None], [[with_wrong_cells(1)]], False),
    ],
)
def test_close_calls(
    outputs: Sequence[Grid | None], attempts: Sequence[Sequence[Grid | None]], close: bool
) -> None:
    task = arc_task(*outputs)
    found = [prediction(task, *grids, test=test) for test, grids in enumerate(attempts)]
    assert task_figures(task, found).is_close_call is close


def test_the_docs_say_what_a_close_call_is() -> None:
    page = Path(__file__).parents[2] / "docs/evaluation.md"
    assert " ".join(page.read_text("utf-8").split()).count(CLOSE_WORDS) == 2


@pytest.mark.parametrize(
    ("output", "answer", "outcome"),
    [
        (PATH, PATH, Outcome.SOLVED),
        (PATH, as_grid(OTHER_PATH), Outcome.VALID),
        (None, PATH, Outcome.VALID),
        (PATH, MAZE, Outcome.UNSOLVED),
        (None, MAZE, Outcome.UNSOLVED),
        (None, None, Outcome.UNKNOWN),
    ],
)
def test_outcomes_of_mazes(output: Grid | None, answer: Grid | None, outcome: Outcome) -> None:
    task = puzzle("maze", MAZE, output)
    assert task_figures(task, [prediction(task, answer)]).outcome is outcome


def test_candidates_that_are_attempts_are_called_so() -> None:
    task = arc_task(OUTPUT)
    grids = [OTHER, QUESTION, OUTPUT]
    candidates = tuple(Candidate(grid, 1, 0.5, ("p",)) for grid in grids)
    found = InputPrediction(task, 0, candidates, (QUESTION, OTHER))
    figures = candidate_figures(found, 3)
    assert [f.label for f in figures] == ["Attempt 2", "Attempt 1", "Candidate 3"]
    assert [f.verdict for f in figures] == [WRONG, WRONG, CORRECT]
    assert len(candidate_figures(found, 2)) == 2
    assert correct_rank(found) == 3
    assert correct_rank(InputPrediction(arc_task(None), 0, candidates)) is None
    assert correct_rank(InputPrediction(task, 0, candidates[:2])) is None


def test_a_trace_has_one_figure_for_steps_with_the_same_prediction() -> None:
    grids = [None, OTHER, OTHER, OUTPUT]
    steps = tuple(TraceStep(grid, n / 10) for n, grid in enumerate(grids))
    trace = trace_figures(InputPrediction(arc_task(OUTPUT), 0, trace=steps))
    assert [step.figure.label for step in trace.steps] == ["Step 1", "Steps 2–3", "Step 4"]
    assert [step.figure.verdict for step in trace.steps] == [None, WRONG, CORRECT]
    assert [step.first for step in trace.steps] == [1, 2, 4]
    assert [step.halt_probs for step in trace.steps] == [(0.0,), (0.1, 0.2), (0.3,)]
    assert trace.output is not None and trace.output.label == "Correct output"
    assert trace_figures(InputPrediction(arc_task(None), 0)).steps == ()


def test_guesses_are_left_out_if_there_are_votes() -> None:
    task = arc_task(OUTPUT)
    voted = InputPrediction(task, 0, (Candidate(OTHER, 1, 0.5, ("p",)),), (OTHER,))
    guessed, unanswered = prediction(task, OTHER), prediction(task)
    assert predicted_inputs([guessed, voted, unanswered]) == [voted]
    assert predicted_inputs([guessed, unanswered]) == [guessed]


# Examples

GRID = as_grid([[1] * 5] * 5)


def changed(cells: int) -> Grid:
    """GRID with that many cells changed."""
    grid = GRID.copy()
    grid.reshape(-1)[:cells] = 2
    return grid


def voted(
    task_id: str,
    *attempts: Grid | None,
    output: Grid | None = GRID,
    votes: int = 3,
    others: int = 1,
    halt_prob: float = 0.5,
    task: Task | None = None,
) -> InputPrediction:
    """A prediction whose first candidate has `votes` votes, and the second `others`."""
    task = task or Task(task_id, (DEMONSTRATION,), (Pair(QUESTION, output),))
    counts = [(QUESTION, votes, halt_prob)] + [(OTHER, others, 0.1)] * (others > 0)
    candidates = tuple(Candidate(grid, n, prob, ("p",) * n) for grid, n, prob in counts)
    return InputPrediction(task, 0, candidates, attempts)


def chosen(*predictions: InputPrediction) -> list[tuple[str, str]]:
    return [(each.task.id, each.reason) for each in choose_examples(predictions)]


def test_a_right_one_a_close_call_and_a_wrong_one_are_chosen() -> None:
    predictions = [
        voted("wrong", changed(20), changed(25)),
        voted("surely wrong", QUESTION, None, votes=9, others=0),
        voted("right", GRID),
        voted("surely right", GRID, halt_prob=0.9),
        voted("second", changed(20), GRID, votes=9),
        voted("two cells", changed(9), changed(2)),
        voted("one cell", changed(1), None),
        voted("one cell as well", changed(1)),
    ]
    assert chosen(*predictions) == [
        ("surely right", "Right (3 of 4 votes, halt 90 %)"),
        ("one cell", "Close call: 1 of 25 cells wrong"),
        ("surely wrong", "Wrong (9 of 9 votes, halt 50 %)"),
    ]
    assert chosen(*predictions[:6])[1] == ("two cells", "Close call: 2 of 25 cells wrong")
    assert chosen(*predictions[:5])[1] == ("second", "Close call: right only at attempt 2")
    assert [reason.split()[0] for _, reason in chosen(*predictions[:4])] == ["Right", "Wrong"]


def test_the_choice_does_not_depend_on_the_order_but_for_equal_ones() -> None:
    predictions = [
        voted("a", GRID, votes=5),
        voted("b", GRID, votes=2),
        voted("c", changed(1)),
        voted("d", changed(2)),
        voted("e", changed(20), votes=2),
        voted("f", changed(20), votes=5),
    ]
    assert chosen(*predictions) == chosen(*reversed(predictions))
    assert [task_id for task_id, _ in chosen(*predictions)] == ["a", "c", "f"]
    first, second = voted("x", GRID), voted("y", GRID)
    assert chosen(first, second) == [("x", "Right (3 of 4 votes, halt 50 %)")]


def test_of_unknown_outputs_the_most_and_the_least_certain_are_chosen() -> None:
    predictions = [
        voted("middle", GRID, output=None),
        voted("sure", GRID, output=None, votes=9),
        voted("unsure", GRID, output=None, votes=1, halt_prob=0.04),
    ]
    assert chosen(*predictions) == [
        ("sure", "Most certain (9 of 10 votes, halt 50 %)"),
        ("unsure", "Least certain (1 of 2 votes, halt 4 %)"),
    ]
    assert chosen(predictions[0]) == [("middle", "Most certain (3 of 4 votes, halt 50 %)")]
    assert chosen(*predictions, voted("known", GRID)) == [
        ("known", "Right (3 of 4 votes, halt 50 %)")
    ]
    assert chosen() == []


def test_examples_of_puzzles() -> None:
    near = SOLVED_SUDOKU.copy()
    near[0, 0] = 2
    mazes = [puzzle("maze", MAZE, PATH), puzzle("maze", MAZE, None)]
    sudokus = [puzzle("sudoku", SUDOKU, SOLVED_SUDOKU), puzzle("sudoku", SUDOKU, None)]
    certain = "(3 of 4 votes, halt 50 %)"
    cases: list[tuple[Task, Grid, str]] = [
        (mazes[0], PATH, f"Right {certain}"),
        (mazes[0], as_grid(OTHER_PATH), f"Valid, but not as the known output {certain}"),
        (mazes[0], MAZE, "Close call: 1 of 4 cells wrong"),
        (mazes[1], PATH, f"Valid {certain}"),
        (mazes[1], MAZE, f"Wrong {certain}"),
        (sudokus[0], SOLVED_SUDOKU, f"Right {certain}"),
        (sudokus[0], near, "Close call: 1 of 16 cells wrong"),
        (sudokus[1], SUDOKU, f"Wrong {certain}"),
    ]
    for task, answer, reason in cases:
        assert chosen(voted("", answer, task=task)) == [("7", reason)]


def test_predictions_without_votes_have_no_certainty() -> None:
    found = InputPrediction(arc_task(OUTPUT), 0, (), (OUTPUT,))
    assert chosen(found) == [("0a", "Right")]
