"""What several answers were worth, and how it is told."""

from __future__ import annotations

from typing import Any

import copycat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lucky import sudoku_weights, sudokus, without_answers

from arc_trm.config import InferenceConfig
from arc_trm.evaluation.breadth import Asked, Breadth
from arc_trm.evaluation.predictions import Prediction, PredictionSet
from arc_trm.evaluation.selection import SELECTION_RULES
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference import predict_tasks
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from submission import Scored

COUNT = 3


def worth(found: PredictionSet) -> Breadth:
    return Breadth.of(found, found.score())


def solved(score: Scored) -> dict[Any, float]:
    return {name: rate.value for name, rate in score.rates.items()}


def collected(tasks: TaskSet, predictions: list[Prediction], rule: str) -> PredictionSet:
    counter = VoteCounter(tasks, SELECTION_RULES[rule])
    counter.add(predictions)
    return PredictionSet(tasks, counter, selected_by=rule)


@given(
    st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 3), st.floats(0, 1)), max_size=12),
    st.sampled_from(["rule", "votes", "best_halt", "confidence"]),
    st.booleans(),
)
def test_no_rule_is_above_the_ceiling(
    answers: list[tuple[int, int, float]], rule: str, known: bool
) -> None:
    """Answers are the solution, a wrong grid, another one, or none."""
    tasks = sudokus(COUNT) if known else without_answers(sudokus(COUNT))
    made = []
    for number, (puzzle, choice, prob) in enumerate(answers):
        task_id, truth = tasks.ids[puzzle], sudokus(COUNT)[tasks.ids[puzzle]].test[0].output
        assert truth is not None
        grid = [truth, as_grid(np.ones((4, 4))), as_grid(np.full((4, 4), 2)), None][choice]
        made.append(
            Prediction(
                task_id, 0, task_id, 0, grid, prob, sample=number, steps=3, valid=choice == 0
            )
        )
    found = collected(tasks, made, rule)
    breadth = worth(found)
    for name, ceiling in solved(breadth.ceiling).items():
        assert solved(breadth.chosen)[name] <= ceiling
        assert solved(breadth.plain)[name] <= ceiling
        right = {puzzle for puzzle, choice, _ in answers if choice == 0}
        assert ceiling == pytest.approx(len(right) / COUNT)
    counts = [sum(puzzle == each for puzzle, *_ in answers) for each in range(COUNT)]
    assert breadth.most == max(counts)


def test_a_right_guess_is_no_more_than_the_ceiling() -> None:
    """For ARC a runner-up or a guess may be the attempt that is right."""
    tasks = copycat.tasks()
    guesses = PredictionSet(tasks, VoteCounter(tasks)).submission()
    known = TaskSet.from_tasks(
        "known",
        (
            Task(
                task.id,
                task.train,
                tuple(
                    Pair(pair.input, as_grid(guesses[task.id][test]["attempt_1"]))
                    for test, pair in enumerate(task.test)
                ),
            )
            for task in tasks
        ),
    )
    breadth = worth(collected(known, [Prediction("a", 0, "a", 0, as_grid([[1]]), 0.5)], "votes"))
    assert max(solved(breadth.chosen).values()) > 0
    for name, value in solved(breadth.chosen).items():
        assert value <= solved(breadth.ceiling)[name]


def test_the_plain_score_is_that_of_a_job_that_asks_once() -> None:
    once = predict_tasks(sudoku_weights(), sudokus())
    config = InferenceConfig(samples=8, noise=0.3)
    breadth = worth(predict_tasks(sudoku_weights(), sudokus(), config=config))
    assert solved(breadth.plain) == solved(once.score())
    assert breadth.plain.selected_by == ""
    assert breadth.chosen.selected_by == "rule"
    assert solved(breadth.chosen)[("exact",)] > solved(breadth.plain)[("exact",)]
    lines = breadth.lines()
    assert [line.split()[0] for line in lines] == ["selected", "plain", f"pass@{breadth.most}"]
    assert "exact by rule" in lines[0] and "by rule" not in lines[1] + lines[2]
    record = breadth.to_dict()
    assert record["selected"]["exact"]["solved"] <= record["any"]["exact"]["solved"]


def test_how_much_was_asked() -> None:
    found = predict_tasks(
        sudoku_weights(), sudokus(), config=InferenceConfig(samples=4, noise=0.3, select="votes")
    )
    asked = Asked.of(found, "votes")
    assert asked is not None
    counts = [each.answers for each in found]
    assert asked.answers == (sum(counts) / len(counts), 1, 4)
    assert asked.steps == 3 * asked.answers[0]
    mean = asked.answers[0]
    assert asked.text("puzzle") == (
        f"{mean:.1f} answers (1 to 4) and {3 * mean:.1f} supervision steps per puzzle, "
        "selected by votes"
    )
    assert Asked.of(PredictionSet(sudokus(), []), "votes") is None
