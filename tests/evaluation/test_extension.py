"""Selection rules from outside the package plug in by name, or as plain callables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from copycat import Copycat, tasks, weights

import arc_trm
from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import Candidate, Prediction
from arc_trm.evaluation.selection import (
    SELECTION_RULES,
    SelectionRule,
    register_selection,
    select_by_votes,
)
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference import predict_tasks
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from submission import read_submission

OFTEN, SURE = as_grid([[1]]), as_grid([[2]])


@pytest.fixture
def surest() -> Iterator[SelectionRule]:
    """A registered rule: grids by the halting probability of their surest prediction."""

    @register_selection("surest")
    def rank_by_surest(predictions: Sequence[Prediction]) -> list[Candidate]:
        probs = {each.puzzle: each.halt_prob for each in predictions}
        return sorted(
            select_by_votes(predictions),
            key=lambda candidate: -max(probs[puzzle] for puzzle in candidate.puzzles),
        )

    yield rank_by_surest
    del SELECTION_RULES["surest"]


def votes() -> list[Prediction]:
    """Return two unsure predictions of one grid, and a sure one of another."""
    return [
        Prediction("t", 0, "t", 0, OFTEN, 0.3),
        Prediction("t", 0, "t1", 1, OFTEN, 0.2),
        Prediction("t", 0, "t2", 2, SURE, 0.9),
    ]


def test_a_registered_rule_decides_the_attempts(surest: SelectionRule) -> None:
    one = TaskSet.from_tasks("one", [Task("t", (), (Pair(as_grid([[0]])),))])
    for rule, expected in ((select_by_votes, [OFTEN, SURE]), (surest, [SURE, OFTEN])):
        counter = VoteCounter(one, rule=rule)
        counter.add(votes())
        found = counter["t", 0]
        assert [each.grid.tolist() for each in found.candidates] == [g.tolist() for g in expected]
        for attempt, grid in zip(found.attempts, expected, strict=True):
            assert attempt is not None and np.array_equal(attempt, grid)


def test_a_rule_sees_all_predictions_that_have_a_grid() -> None:
    seen: list[list[str]] = []

    def keep_first(predictions: Sequence[Prediction]) -> list[Candidate]:
        seen.append([each.puzzle for each in predictions])
        return select_by_votes(predictions)[:1]

    known = tasks()
    found = predict_tasks(weights(Copycat, known), known, rule=keep_first)
    assert [len(set(puzzles)) for puzzles in seen] == [7, 7, 7]
    assert all(len(each.candidates) == 1 for each in found)


def test_predict_takes_the_name_of_a_rule_or_itself(surest: SelectionRule, tiny_run: Path) -> None:
    by_name = arc_trm.predict(tiny_run, select="surest")
    assert by_name.job is not None
    written = read_submission(by_name.job.files["submission"])
    assert written == by_name.submission()
    itself = arc_trm.predict(tiny_run, select=surest)
    assert itself.to_dicts() == by_name.to_dicts()

    def none(predictions: Sequence[Prediction]) -> list[Candidate]:
        return []

    assert not any(each.candidates for each in arc_trm.predict(tiny_run, select=none))


def test_an_unknown_rule_suggests_the_right_one(surest: SelectionRule, tiny_run: Path) -> None:
    assert {"votes", "rule", "particles"} < set(SELECTION_RULES)
    assert list(SELECTION_RULES)[-1] == "surest"
    with pytest.raises(UserError, match=r'select: unknown selection rule "surset".*surest'):
        arc_trm.predict(tiny_run, select="surset")
    with pytest.raises(ValueError, match="the selection rule 'surest' is registered already"):
        register_selection("surest")(select_by_votes)
