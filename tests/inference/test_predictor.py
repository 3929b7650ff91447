"""Prediction asks every puzzle, undoes its augmentation, and ignores the rest of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from copycat import SIDE, Copycat, tasks, weights

from arc_trm.checkpoint import Weights
from arc_trm.errors import UserError
from arc_trm.inference import predict
from arc_trm.models.trm import TRM
from arc_trm.puzzles.arc.kind import decode, encode_pair, parse_puzzle_name
from arc_trm.tasks import Pair, Task, TaskSet, as_grid


def test_all_puzzles_vote_for_what_they_said_with_augmentations_undone() -> None:
    known = tasks()
    predictions, unanswerable = predict(weights(Copycat, known), known)
    assert not unanswerable
    assert [(p.task, p.test) for p in predictions] == [("a", 0), ("a", 1), ("b", 0)]
    for prediction in predictions:
        test_input = known[prediction.task].test[prediction.test].input
        (candidate,) = prediction.candidates
        assert np.array_equal(candidate.grid, test_input)
        assert candidate.votes == len(set(candidate.puzzles)) == 7
        assert {parse_puzzle_name(name)[0] for name in candidate.puzzles} == {prediction.task}
        first, second = prediction.attempts
        assert np.array_equal(first, test_input)
        assert first.shape == second.shape and (first != second).sum() == 1


def test_fewer_augmentations_begin_with_the_task_itself() -> None:
    known = tasks()
    for count in (0, 2):
        predictions, _ = predict(weights(Copycat, known), known, augmentations=count)
        assert all(p.candidates[0].votes == 1 + count for p in predictions)
        assert all(p.task in p.candidates[0].puzzles for p in predictions)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_prediction_does_not_depend_on_its_batch(batch_size: int) -> None:
    known = tasks()
    loaded = weights(TRM, known)
    whole, _ = predict(loaded, known)
    parts, _ = predict(loaded, known, batch_size=batch_size)
    alone, _ = predict(loaded, TaskSet.of("b", [known["b"]]), batch_size=batch_size)
    for expected, got in [*zip(whole, parts, strict=True), (list(whole)[-1], next(iter(alone)))]:
        assert [c.puzzles for c in expected.candidates] == [c.puzzles for c in got.candidates]
        for one, other in zip(expected.candidates, got.candidates, strict=True):
            assert np.array_equal(one.grid, other.grid)
            assert one.halt == pytest.approx(other.halt, abs=1e-6)


def test_what_cannot_be_asked_is_guessed_and_named() -> None:
    known = tasks()
    large = Pair(as_grid(np.ones((5, 2), np.uint8)))
    asked = TaskSet.of("y", [Task("a", (), (large,)), Task("new", (), (known["a"].test[0],))])
    predictions, unanswerable = predict(weights(TRM, known), asked)
    assert [(u.task, u.reason) for u in unanswerable] == [
        ("a", "its input of 5×2 does not fit the 4×4 canvas"),
        ("new", "the weights have no row for this task"),
    ]
    for prediction in predictions:
        assert not prediction.candidates
        assert not np.array_equal(*prediction.attempts)


def test_rows_with_wrong_names_are_told() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    for name in ("a|||t9|||0123456789", "a|||b", "b|||t1|||0000000000"):
        with pytest.raises(UserError, match="row 1 has a wrong name"):
            predict(Weights(loaded.model, {"<blank>": 0, name: 1}), known)


def test_a_model_that_draws_nothing_is_said_to() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    with torch.no_grad():
        loaded.model.token_head.weight.zero_()  # so every cell is PAD
    predictions, unanswerable = predict(loaded, known)
    assert {u.reason for u in unanswerable} == {"the model draws no grid"}
    assert len(unanswerable) == len(predictions) == 3


def test_the_answer_is_that_of_the_last_supervision_step() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    (pair,) = known["b"].test
    tokens = torch.from_numpy(encode_pair(pair, SIDE)[0]).int()[None]
    *_, (logits, _) = loaded.model.predict_steps(tokens, torch.tensor([loaded.rows["b"]]))
    expected = decode(logits.argmax(-1)[0].to(torch.uint8).numpy())
    (prediction,), _ = predict(loaded, TaskSet.of("b", [known["b"]]), augmentations=0)
    if expected is None:
        assert not prediction.candidates
    else:
        assert np.array_equal(prediction.candidates[0].grid, expected)


def test_drafts_of_the_task_itself_are_kept() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    predictions, _ = predict(loaded, known, batch_size=4, supervision_steps=3)
    for prediction in predictions:
        assert len(prediction.steps) == 3
        pair = known[prediction.task].test[prediction.test]
        tokens = torch.from_numpy(encode_pair(pair, SIDE)[0]).int()[None]
        row = torch.tensor([loaded.rows[prediction.task]])
        solved = loaded.model.predict_steps(tokens, row, 3)
        for step, (logits, halt) in zip(prediction.steps, solved, strict=True):
            expected = decode(logits.argmax(-1)[0].to(torch.uint8).numpy())
            assert (step.grid is None) == (expected is None)
            assert step.grid is None or np.array_equal(step.grid, expected)
            assert step.halt == pytest.approx(halt.sigmoid().item(), abs=1e-5)


def test_a_model_that_has_diverged_is_sure_of_nothing() -> None:
    known = tasks()
    loaded = weights(TRM, known)
    with torch.no_grad():
        loaded.model.halt_head.weight.fill_(float("nan"))
    predictions, _ = predict(loaded, known)
    for prediction in predictions:
        assert {each.halt for each in prediction.candidates} <= {0}
        assert {step.halt for step in prediction.steps} == {0}
