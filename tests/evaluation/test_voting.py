"""Voting: the recorded submission, ranks, and a second attempt that is never a copy."""

from __future__ import annotations

import json

import numpy as np
import paths
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.evaluation.predictions import (
    InputPrediction,
    Prediction,
    build_submission,
    choose_attempts,
)
from arc_trm.evaluation.selection import select_by_votes
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.puzzles import SEPARATOR
from arc_trm.puzzles.arc.augmentation import ArcAugmentation
from arc_trm.puzzles.arc.tokenizer import decode
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from submission import read_challenges, read_solutions, score_ranked, submission_problems

GOLDEN = paths.GOLDEN / "arc"

grids = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 9), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    ).map(as_grid)
)


def golden_votes() -> tuple[TaskSet, dict[tuple[str, int], list[Prediction]]]:
    """Return the recorded predictions by task id and test index, which follows from the tokens."""
    challenges = read_challenges(GOLDEN / "raw" / "made-up_evaluation_challenges.json")
    tasks = TaskSet.from_tasks(
        "golden",
        (
            Task(
                task_id,
                tuple(Pair(as_grid(p["input"]), as_grid(p["output"])) for p in task["train"]),
                tuple(Pair(as_grid(p["input"])) for p in task["test"]),
            )
            for task_id, task in challenges.items()
        ),
    )
    recorded = np.load(GOLDEN / "votes" / "predictions.npz")
    predictions: dict[tuple[str, int], list[Prediction]] = {}
    for name, inputs, tokens, logit in zip(
        *(recorded[key] for key in ("names", "inputs", "preds", "q_halt_logits")), strict=True
    ):
        task_id, _, augmentation_name = str(name).partition(SEPARATOR)
        augmentation = ArcAugmentation.from_name(augmentation_name)
        test_input = augmentation.invert(decode(inputs))
        (index,) = (
            index
            for index, pair in enumerate(tasks[task_id].test)
            if np.array_equal(pair.input, test_input)
        )
        halt_prob = float(1 / (1 + np.exp(-np.float64(logit))))
        grid = augmentation.invert(decode(tokens))
        earlier = predictions.setdefault((task_id, index), [])
        earlier.append(Prediction(task_id, index, str(name), len(earlier), grid, halt_prob))
    return tasks, predictions


def test_golden_submission_and_pass_at_k() -> None:
    tasks, predictions = golden_votes()
    ranked = {
        task.id: [
            [c.grid.tolist() for c in select_by_votes(predictions.get((task.id, index), []))]
            for index in range(len(task.test))
        ]
        for task in tasks
    }
    expected = json.loads((GOLDEN / "votes" / "submission.json").read_text())
    for task_id, outputs in expected.items():
        for output, candidates in zip(outputs, ranked[task_id], strict=True):
            assert candidates[0] == output["attempt_1"]
            if len(candidates) > 1:  # else the published code repeats the first
                assert candidates[1] == output["attempt_2"]
    solutions = read_solutions(GOLDEN / "raw" / "made-up_evaluation_solutions.json")
    metrics = json.loads((GOLDEN / "votes" / "metrics.json").read_text())
    ks = (1, 2, 5, 10, 100, 1000)
    scored = score_ranked(ranked, solutions, ks)
    for k in ks:
        assert scored.pass_at[k].per_task.value == pytest.approx(metrics[f"ARC/pass@{k}"], abs=0)


def make_prediction(
    order: int, grid: np.ndarray, halt_prob: float, runner_up: np.ndarray | None = None
) -> Prediction:
    """Return the prediction for the only test input of task t under one augmentation."""
    return Prediction("t", 0, str(order), order, grid, halt_prob, runner_up)


@given(grids, st.lists(st.tuples(grids, st.floats(0, 1), st.none() | grids), max_size=6))
@pytest.mark.slow
def test_attempts_are_two_different_valid_grids(
    test_input: np.ndarray, predicted: list[tuple[np.ndarray, float, np.ndarray | None]]
) -> None:
    task = Task("t", (Pair(test_input, test_input),), (Pair(test_input),))
    tasks = TaskSet.from_tasks("x", [task])
    counter = VoteCounter(tasks)
    counter.add(make_prediction(order, *values) for order, values in enumerate(predicted))
    found = counter["t", 0]
    first, second = found.attempts
    assert first is not None and second is not None
    assert not np.array_equal(first, second)
    for expected, got in zip(found.candidates, (first, second), strict=False):
        assert np.array_equal(expected.grid, got)
    submission = build_submission([found], tasks)
    assert not submission_problems(submission, tasks.to_json(solutions=False))


@given(st.lists(st.tuples(grids, st.floats(0, 1)), max_size=12))
@pytest.mark.slow
def test_select_by_votes_counts_every_vote_once(predicted: list[tuple[np.ndarray, float]]) -> None:
    made = [make_prediction(n, *values) for n, values in enumerate(predicted)]
    candidates = select_by_votes(made)
    assert sorted(name for c in candidates for name in c.puzzles) == sorted(
        map(str, range(len(predicted)))
    )
    assert all(c.votes == len(c.puzzles) for c in candidates)
    order = [(c.votes, c.halt_prob) for c in candidates]
    assert order == sorted(order, reverse=True)


def test_one_candidate_is_followed_by_the_runner_up_of_the_surest_prediction() -> None:
    right, near, far = as_grid([[1, 2]]), as_grid([[1, 3]]), as_grid([[4, 2]])
    counter = VoteCounter(TaskSet.from_tasks("x", [Task("t", (), (Pair(as_grid([[5]])),))]))
    counter.add([make_prediction(0, right, 0.2, far), make_prediction(1, right, 0.9, near)])
    first, second = counter["t", 0].attempts
    assert first is not None and second is not None
    assert np.array_equal(first, right) and np.array_equal(second, near)


def test_a_single_attempt_is_no_guess() -> None:
    task = Task("t", (), (Pair(as_grid([[5]])),))
    tasks = TaskSet.from_tasks("x", [task])
    best, runner_up = as_grid([[1, 2]]), as_grid([[1, 3]])
    (attempt,) = choose_attempts(tasks, task.test[0].input, [best], runner_up, attempts=1)
    assert np.array_equal(attempt, best)
    found = InputPrediction(task, 0, (), (attempt,))
    (output,) = build_submission([found], tasks, attempts=1)["t"]
    assert output == {"attempt_1": [[1, 2]], "attempt_2": [[1, 2]]}


def test_without_predictions_the_submission_is_complete() -> None:
    task = Task("t", (), (Pair(as_grid([[0, 0]])), Pair(as_grid([[1], [2]]))))
    submission = build_submission([], TaskSet.from_tasks("x", [task]))
    assert len(submission["t"]) == 2
    assert all(output["attempt_1"] != output["attempt_2"] for output in submission["t"])
