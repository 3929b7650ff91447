"""The arithmetic of evaluations, and which one is the best."""

from __future__ import annotations

import math

import numpy as np
import pytest

from arc_trm.errors import UserError
from arc_trm.evaluation.metrics import (
    Outcome,
    best_evaluation,
    calibration_error,
    describe_evaluation,
    evaluations,
    halting_steps,
    resolve_best_metric,
    summarise,
)
from arc_trm.puzzles import KINDS
from arc_trm.tasks import Pair, PuzzleArray, Task, TaskSet, as_grid


def test_an_answer_halts_at_the_first_step_with_a_positive_logit() -> None:
    logits = [[-1.0, 2.0, -1.0, 0.0], [0.5, -3.0, -1.0, 0.0], [-1.0, 1.0, -1.0, float("nan")]]
    assert halting_steps(np.array(logits, np.float32)).tolist() == [2, 1, 3, 3]


def test_calibration_error_of_known_values() -> None:
    assert calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert calibration_error([1.0, 1.0, 0.0], [False, False, True]) == 1
    # One bin of four with mean 0.9 of which half are right, one of one with 0.1 and none right.
    probs, correct = [0.9] * 4 + [0.1], [True, True, False, False, False]
    assert calibration_error(probs, correct) == pytest.approx((4 * 0.4 + 0.1) / 5)
    # 0.41 and 0.46 are in one bin, 6/15 to 7/15, so their errors cancel out; 0.47 is in the next.
    assert calibration_error([0.41, 0.46], [True, False]) == pytest.approx(abs(1 - 0.87) / 2)
    assert calibration_error([0.41, 0.47], [True, False]) == pytest.approx((0.59 + 0.47) / 2)


def test_metrics_of_puzzles_with_a_rule() -> None:
    answer = np.array([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]], np.uint8)
    puzzles = PuzzleArray("x", "sudoku", np.zeros((3, 4, 4), np.uint8), np.array([answer] * 3))
    other = answer[::-1]  # valid, as nothing is given, but not the answer
    attempts = {"1": [[answer]], "2": [[other]], "3": [[np.ones((4, 4), np.uint8)]]}
    outcomes = [
        Outcome(True, 1.0, 1, 0.99),
        Outcome(False, 0.0, 2, 0.0),
        Outcome(False, 0.25, 3, 0.0),
    ]
    assert summarise(puzzles, attempts, outcomes) == {
        "puzzles": 3,
        "exact": pytest.approx(1 / 3),
        "valid": pytest.approx(2 / 3),
        "cell_accuracy": pytest.approx(1.25 / 3),
        "halt_step": 2,
        "halt_calibration_error": pytest.approx(0.01 / 3),
    }


def test_metrics_of_tasks_with_two_attempts() -> None:
    right, wrong = as_grid([[1]]), as_grid([[2]])
    tasks = [Task(name, (), (Pair(wrong, right),)) for name in "ab"]
    attempts = {"a": [[right, wrong]], "b": [[wrong, right]]}
    found = summarise(TaskSet.from_tasks("x", tasks), attempts, [Outcome(False, 0.5, 4, 0.5)] * 2)
    assert (found["exact"], found["pass_at_1"], found["pass_at_2"]) == (0, 0.5, 1)
    assert "valid" not in found


def test_the_best_evaluation_is_the_first_of_the_largest() -> None:
    values = [0.1, 0.5, 0.5, 0.2]
    records = [{"step": n, "eval/puzzles": 2.0, "eval/exact": v} for n, v in enumerate(values, 1)]
    mixed = [{"step": 9, "train/loss": 1.0}, *records]
    assert evaluations(mixed) == records
    assert best_evaluation(mixed, "exact") == records[1]
    assert best_evaluation(mixed, "pass_at_2") is None
    strange = [{"step": 0, "eval/exact": value} for value in (math.nan, math.inf)]
    assert best_evaluation([*strange, *mixed], "exact") == records[1]
    assert describe_evaluation(records[1]) == "exact 50.0 % of 2 validation puzzles"


def test_of_equal_evaluations_the_best_has_more_right_cells() -> None:
    values = [(math.nan, 0.9), (0.0, 0.1), (0.0, 0.4), (0.0, 0.4), (0.0, 0.2)]
    records = [
        {"step": n, "eval/puzzles": 2.0, "eval/exact": exact, "eval/cell_accuracy": cells}
        for n, (exact, cells) in enumerate(values)
    ]
    assert best_evaluation(records, "exact") == records[2]
    assert best_evaluation(records, "cell_accuracy") == records[0]
    assert best_evaluation(records[:1], "exact") is None
    solved = {**records[1], "step": 5, "eval/exact": 0.5}
    assert best_evaluation([*records, solved], "exact") == solved


def test_validation_puzzles_of_arc_are_tasks() -> None:
    record = {"eval/puzzles": 1.0, "eval/pass_at_1": 0.0, "eval/pass_at_2": 1.0}
    assert describe_evaluation(record) == "pass@1 0.0 %, pass@2 100.0 % of 1 validation task"


def test_auto_is_the_metric_of_the_kind_and_others_are_listed() -> None:
    assert resolve_best_metric("auto", KINDS["arc"]) == "pass_at_2"
    assert resolve_best_metric("auto", KINDS["maze"]) == "exact"
    assert resolve_best_metric("valid", KINDS["maze"]) == "valid"
    with pytest.raises(UserError) as caught:
        resolve_best_metric("valid", KINDS["arc"])
    assert str(caught.value) == (
        'train.best_metric is "valid", but an evaluation of ARC has pass_at_2, pass_at_1, exact, '
        "cell_accuracy: choose one of these, or auto"
    )
