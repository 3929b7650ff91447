"""VoteCounter: the golden submission, ranks, and a second attempt that is never a copy."""

from __future__ import annotations

import json

import numpy as np
import paths
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.evaluation.voting import (
    InputPrediction,
    Prediction,
    rank,
    to_submission,
    two_attempts,
)
from arc_trm.puzzles.arc.kind import decode, parse_puzzle_name
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
    """The recorded predictions by task and test input; which input it was tells the tokens."""
    challenges = read_challenges(GOLDEN / "raw" / "made-up_evaluation_challenges.json")
    tasks = TaskSet.of(
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
        task_id, augmentation = parse_puzzle_name(str(name))
        test_input = augmentation.invert(decode(inputs))
        (index,) = (
            index
            for index, pair in enumerate(tasks[task_id].test)
            if np.array_equal(pair.input, test_input)
        )
        halt = float(1 / (1 + np.exp(-np.float64(logit))))
        prediction = Prediction(str(name), augmentation.invert(decode(tokens)), halt)
        predictions.setdefault((task_id, index), []).append(prediction)
    return tasks, predictions


def test_golden_submission_and_pass_at_k() -> None:
    tasks, predictions = golden_votes()
    ranked = {
        task.id: [
            [c.grid.tolist() for c in rank(predictions.get((task.id, index), []))]
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


@given(grids, st.lists(st.tuples(grids, st.floats(0, 1), st.none() | grids), max_size=6))
def test_attempts_are_two_different_valid_grids(
    test_input: np.ndarray, said: list[tuple[np.ndarray, float, np.ndarray | None]]
) -> None:
    predictions = [Prediction(str(n), *answer) for n, answer in enumerate(said)]
    candidates = rank(predictions)
    first, second = two_attempts(candidates, test_input, predictions)
    assert not np.array_equal(first, second)
    for expected, got in zip(candidates, (first, second), strict=False):
        assert np.array_equal(expected.grid, got)
    task = Task("t", (Pair(test_input, test_input),), (Pair(test_input),))
    tasks = TaskSet.of("x", [task])
    made = to_submission([InputPrediction("t", 0, tuple(candidates), (first, second))], tasks)
    assert not submission_problems(made, {"t": task.to_json(solutions=False)})


@given(st.lists(st.tuples(grids, st.floats(0, 1)), max_size=12))
def test_rank_counts_every_vote_once(said: list[tuple[np.ndarray, float]]) -> None:
    candidates = rank(Prediction(str(n), *answer) for n, answer in enumerate(said))
    assert sorted(name for c in candidates for name in c.puzzles) == sorted(
        map(str, range(len(said)))
    )
    assert all(c.votes == len(c.puzzles) for c in candidates)
    order = [(c.votes, c.halt) for c in candidates]
    assert order == sorted(order, reverse=True)


def test_one_candidate_is_followed_by_the_surest_runner_up() -> None:
    right, near, far = as_grid([[1, 2]]), as_grid([[1, 3]]), as_grid([[4, 2]])
    predictions = [Prediction("a", right, 0.2, far), Prediction("b", right, 0.9, near)]
    _, second = two_attempts(rank(predictions), as_grid([[5]]), predictions)
    assert np.array_equal(second, near)


def test_no_prediction_still_gives_a_whole_submission() -> None:
    task = Task("t", (), (Pair(as_grid([[0, 0]])), Pair(as_grid([[1], [2]]))))
    made = to_submission([], TaskSet.of("x", [task]))
    assert len(made["t"]) == 2
    assert all(output["attempt_1"] != output["attempt_2"] for output in made["t"])
