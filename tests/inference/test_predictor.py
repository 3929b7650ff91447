"""Prediction queries every puzzle, undoes its augmentation, and ignores the rest of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from copycat import SIDE, Copycat, tasks, weights

from arc_trm.checkpoint import Weights
from arc_trm.config import InferenceConfig
from arc_trm.errors import UserError
from arc_trm.inference import predict_tasks
from arc_trm.models.trm import TRM
from arc_trm.puzzles import SEPARATOR
from arc_trm.puzzles.arc.tokenizer import decode, encode_pair
from arc_trm.tasks import Pair, Task, TaskSet, as_grid


def test_all_puzzles_vote_with_augmentations_undone() -> None:
    known = tasks()
    predictions = predict_tasks(weights(Copycat, known), known)
    assert predictions.job is not None and not predictions.job.guesses
    assert [(p.task_id, p.test) for p in predictions] == [("a", 0), ("a", 1), ("b", 0)]
    for prediction in predictions:
        test_input = known[prediction.task_id].test[prediction.test].input
        (candidate,) = prediction.candidates
        assert np.array_equal(candidate.grid, test_input)
        assert candidate.votes == len(set(candidate.puzzles)) == 7
        task_ids = {name.partition(SEPARATOR)[0] for name in candidate.puzzles}
        assert task_ids == {prediction.task_id}
        first, second = prediction.attempts
        assert first is not None and second is not None
        assert np.array_equal(first, test_input)
        assert first.shape == second.shape and (first != second).sum() == 1


def test_fewer_augmentations_begin_with_the_task_itself() -> None:
    known = tasks()
    for count in (0, 2):
        predictions = predict_tasks(weights(Copycat, known), known, augmentations=count)
        assert all(p.candidates[0].votes == 1 + count for p in predictions)
        assert all(p.task_id in p.candidates[0].puzzles for p in predictions)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_prediction_does_not_depend_on_its_batch(batch_size: int) -> None:
    known = tasks()
    loaded = weights(TRM, known)
    whole = predict_tasks(loaded, known)
    parts = predict_tasks(loaded, known, batch_size=batch_size)
    alone = predict_tasks(loaded, TaskSet.from_tasks("b", [known["b"]]), batch_size=batch_size)
    for expected, got in [*zip(whole, parts, strict=True), (whole[-1], alone[0])]:
        assert [c.puzzles for c in expected.candidates] == [c.puzzles for c in got.candidates]
        for one, other in zip(expected.candidates, got.candidates, strict=True):
            assert np.array_equal(one.grid, other.grid)
            assert one.halt_prob == pytest.approx(other.halt_prob, abs=1e-6)


def test_inputs_that_cannot_be_queried_are_guessed_and_named() -> None:
    known = tasks()
    large = Pair(as_grid(np.ones((5, 2), np.uint8)))
    queried = TaskSet.from_tasks(
        "y", [Task("a", (), (large,)), Task("new", (), (known["a"].test[0],))]
    )
    predictions = predict_tasks(weights(TRM, known), queried)
    assert predictions.job is not None
    assert [(guess.task_id, guess.reason) for guess in predictions.job.guesses] == [
        ("a", "its input of 5×2 does not fit the 4×4 canvas"),
        ("new", "the weights have no puzzle embedding for this task"),
    ]
    assert len(predictions) == 2
    for prediction in predictions:
        assert not prediction.candidates
        first, second = prediction.attempts
        assert first is not None and second is not None
        assert not np.array_equal(first, second)


def test_puzzle_ids_with_invalid_names_are_rejected() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    for name in ("a|||t9|||0123456789", "a|||b", "b|||t1|||0000000000"):
        with pytest.raises(UserError, match="puzzle id 1 of the weights has an invalid name: "):
            predict_tasks(Weights(loaded.model, {"<blank>": 0, name: 1}), known)


def test_a_model_that_predicts_no_grid_is_reported() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    with torch.no_grad():
        loaded.model.heads.token.weight.zero_()  # so every cell is PAD
    predictions = predict_tasks(loaded, known)
    assert predictions.job is not None
    guesses = predictions.job.guesses
    assert {guess.reason for guess in guesses} == {"the model predicts no grid"}
    assert len(guesses) == len(predictions) == 3


def test_the_prediction_is_that_of_the_last_supervision_step() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    (pair,) = known["b"].test
    tokens = torch.from_numpy(encode_pair(pair, SIDE)[0]).int()[None]
    puzzle_id = torch.tensor([loaded.puzzle_ids["b"]])
    *_, (logits, _) = loaded.model.predict_steps(tokens, puzzle_id)
    expected = decode(logits.argmax(-1)[0].to(torch.uint8).numpy())
    one_task = TaskSet.from_tasks("b", [known["b"]])
    (prediction,) = predict_tasks(loaded, one_task, augmentations=0)
    if expected is None:
        assert not prediction.candidates
    else:
        assert np.array_equal(prediction.candidates[0].grid, expected)


def test_traces_of_the_task_itself_are_kept() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    for prediction in predict_tasks(
        loaded, known, batch_size=4, config=InferenceConfig(supervision_steps=3)
    ):
        assert len(prediction.trace) == 3
        tokens = torch.from_numpy(encode_pair(prediction.pair, SIDE)[0]).int()[None]
        puzzle_id = torch.tensor([loaded.puzzle_ids[prediction.task_id]])
        steps = loaded.model.predict_steps(tokens, puzzle_id, 3)
        for step, (logits, halt_logits) in zip(prediction.trace, steps, strict=True):
            expected = decode(logits.argmax(-1)[0].to(torch.uint8).numpy())
            assert (step.grid is None) == (expected is None)
            if step.grid is not None and expected is not None:
                assert np.array_equal(step.grid, expected)
            assert step.halt_prob == pytest.approx(halt_logits.sigmoid().item(), abs=1e-5)


def test_halting_probabilities_of_a_diverged_model_are_zero() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    with torch.no_grad():
        loaded.model.heads.halt.weight.fill_(float("nan"))
    for prediction in predict_tasks(loaded, known):
        assert {each.halt_prob for each in prediction.candidates} <= {0}
        assert {step.halt_prob for step in prediction.trace} == {0}
