"""Selection among the answers to a test input: which rule prefers which, and ties."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.evaluation.selection import (
    SELECTION_RULES,
    resolve_selection,
    select_by_confidence,
    select_by_halting,
    select_by_rule,
    select_by_votes,
    selection_label,
)
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.puzzles import KINDS
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

GRIDS = [as_grid([[value]]) for value in range(4)]
ONE = TaskSet.from_tasks("one", [Task("t", (), (Pair(as_grid([[9]])),))])


def made(
    value: int | None,
    halt_prob: float = 0.0,
    sample: int = 0,
    view: int = 0,
    **fields: object,
) -> Prediction:
    """An answer of one cell, of which 3 is valid."""
    grid = None if value is None else GRIDS[value]
    name = f"t|||view {view}" if view else "t"
    fields = {"steps": 3, "valid": value == 3, **fields}
    return Prediction("t", 0, name, view, grid, halt_prob, sample=sample, **fields)


def values(rule: str, predictions: Sequence[Prediction]) -> list[int]:
    return [int(each.grid[0, 0]) for each in SELECTION_RULES[rule](predictions)]


answer_lists = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12
).map(
    lambda found: [
        made(value, prob, sample=n // 2, view=n % 2, confidence=confidence)
        for n, (value, prob, confidence) in enumerate(found)
    ]
)


@pytest.mark.parametrize("rule", SELECTION_RULES)
@given(answers=answer_lists, random=st.randoms())
def test_every_answer_is_in_one_candidate_whatever_their_order(
    rule: str, answers: list[Prediction], random: Random
) -> None:
    found = SELECTION_RULES[rule](answers)
    assert sum(each.votes for each in found) == len(answers)
    assert len({each.grid.tobytes() for each in found}) == len(found)
    mixed = random.sample(answers, len(answers))
    assert values(rule, mixed) == values(rule, answers)
    assert SELECTION_RULES[rule]([]) == []


@given(answer_lists)
def test_what_each_rule_prefers(answers: list[Prediction]) -> None:
    def best(value: int, name: str) -> float:
        return max(getattr(each, name) for each in answers if each.grid is GRIDS[value])

    counts = {value: sum(each.grid is GRIDS[value] for each in answers) for value in range(4)}
    assert counts[values("votes", answers)[0]] == max(counts.values())
    for rule, name in (("best_halt", "halt_prob"), ("confidence", "confidence")):
        ranked = [best(value, name) for value in values(rule, answers)]
        assert ranked == sorted(ranked, reverse=True)
    if counts[3]:
        assert values("rule", answers)[0] == 3
    else:
        assert values("rule", answers) == values("votes", answers)
    assert values("particles", answers) == values("votes", answers)
    assert values("first_halt", answers) == values("best_halt", answers)


def test_equal_votes_are_decided_by_halting_and_then_by_who_was_asked_first() -> None:
    answers = [made(0, 0.1), made(1, 0.3, 1), made(0, 0.4, 2), made(1, 0.3, 3)]
    assert values("votes", answers) == [1, 0]
    tie = [made(2, 0.2, 1), made(1, 0.2)]
    assert values("votes", tie) == [1, 2]
    candidate = select_by_votes(answers)[0]
    assert (candidate.votes, candidate.halt_prob) == (2, pytest.approx(0.3))


def test_the_rule_takes_the_first_valid_answer_by_turn() -> None:
    """By sample, then by view: not the surest, and not the one that arrived first."""
    other = as_grid([[3, 3]])
    late = Prediction("t", 0, "t", 0, other, 0.99, sample=2, valid=True)
    answers = [late, made(3, 0.1, 1, 1), made(0, 0.9), made(0, 0.9, 1)]
    first, second, third = select_by_rule(answers)
    assert first.grid is GRIDS[3] and second.grid is other and third.grid is GRIDS[0]
    unknown = [made(0, 0.2, valid=None), made(1, 0.3, 1, valid=None)]
    assert select_by_rule(unknown)[0].grid is GRIDS[1]


def test_one_sure_answer_outweighs_many() -> None:
    answers = [made(0, 0.5, n, confidence=0.9) for n in range(5)]
    answers.append(made(1, 0.6, 5, confidence=0.1))
    assert select_by_halting(answers)[0].grid is GRIDS[1]
    assert select_by_confidence(answers)[0].grid is GRIDS[0]


def test_auto_is_the_rule_where_there_is_one() -> None:
    assert resolve_selection("auto", KINDS["sudoku"]) == "rule"
    assert resolve_selection("auto", KINDS["maze"]) == "rule"
    assert resolve_selection("auto", KINDS["arc"]) == "votes"
    assert resolve_selection("confidence", KINDS["arc"]) == "confidence"
    with pytest.raises(UserError, match=r"needs puzzles with a rule, but .* has none: use 'votes'"):
        resolve_selection("rule", KINDS["arc"])
    with pytest.raises(UserError, match='did you mean "best_halt"'):
        resolve_selection("best-halt", KINDS["sudoku"])


def test_a_score_names_the_rule_only_where_it_chose() -> None:
    sudoku, arc = KINDS["sudoku"], KINDS["arc"]
    assert selection_label("rule", 1, sudoku) == selection_label("votes", 4, arc) == ""
    assert selection_label("votes", 4, sudoku) == "votes"
    assert selection_label("best_halt", 4, arc) == "best_halt"


# Counting


def counted(predictions: Sequence[Prediction], rule: str = "votes") -> VoteCounter:
    counter = VoteCounter(ONE, SELECTION_RULES[rule])
    counter.add(predictions)
    return counter


drafts = st.lists(
    st.tuples(
        st.integers(0, 3),  # sample
        st.integers(1, 5),  # supervision steps
        st.none() | st.integers(0, 3),
        st.floats(0, 1),
    ),
    max_size=8,
)


@given(drafts, drafts, st.randoms())
def test_drafts_are_replaced_by_deeper_ones_and_by_answers(
    early: list[tuple[int, int, int | None, float]],
    final: list[tuple[int, int, int | None, float]],
    random: Random,
) -> None:
    """Drafts of queries that are answered leave nothing behind, whatever the order."""
    answers = {sample: (steps, value, prob) for sample, steps, value, prob in final}
    finals = [
        made(
            value,
            prob,
            sample,
            steps=steps,
            runner_up=None if value is None else as_grid([[5 + sample % 4]]),
            trace=(TraceStep(None, 0.5),) * (steps % 2),
        )
        for sample, (steps, value, prob) in answers.items()
    ]
    begun = [
        made(
            value,
            prob,
            sample,
            steps=steps,
            is_draft=True,
            runner_up=None if value is None else as_grid([[8]]),
            trace=(TraceStep(None, 0.1),),
        )
        for sample, steps, value, prob in early
        if sample in answers
    ]
    mixed = random.sample([*begun, *finals], len(begun) + len(finals))
    one, other = counted(finals)["t", 0], counted(mixed)["t", 0]
    assert one.to_dict() == other.to_dict()
    assert (
        (one.answers, one.steps)
        == (other.answers, other.steps)
        == (
            len(answers),
            sum(steps for steps, *_ in answers.values()),
        )
    )
    assert one.sample_traces.keys() == other.sample_traces.keys()
    deepest: dict[int, int] = {}
    for each in begun:
        deepest[each.sample] = max(each.steps, deepest.get(each.sample, 0))
    kept = counted(begun).predictions("t", 0)
    assert {each.sample: each.steps for each in kept} == deepest


def candidate(counter: VoteCounter) -> int:
    """The only cell of the best candidate."""
    return int(counter["t", 0].candidates[0].grid[0, 0])


def test_a_draft_counts_until_its_query_is_answered() -> None:
    counter = counted([made(1, 0.9, steps=1, is_draft=True)])
    assert len(counter["t", 0].candidates) == 1 and candidate(counter) == 1
    assert counter.has("t", 0) and not counter.has("t", 0, "t") and counter.count("t", 0) == 0
    counter.add([made(2, 0.1, steps=2)])
    assert len(counter["t", 0].candidates) == 1 and candidate(counter) == 2
    assert counter.has("t", 0, "t") and counter.count("t", 0) == 1
    counter.add([made(1, 0.9, steps=3, is_draft=True), made(1, 0.9, steps=3)])
    assert len(counter["t", 0].candidates) == 1 and candidate(counter) == 2


def test_samples_and_views_are_counted_apart_and_their_traces_named() -> None:
    trace = (TraceStep(GRIDS[0], 0.5),)
    found = [made(0, 0.1, sample, view, trace=trace) for sample in (0, 1) for view in (0, 1)]
    prediction = counted([*found, *found])["t", 0]
    assert (prediction.answers, prediction.votes, prediction.steps) == (4, 4, 12)
    assert list(prediction.sample_traces) == ["view 1", "sample 1", "view 1, sample 1"]
    assert prediction.trace == trace
    assert np.array_equal(prediction.plain[0], GRIDS[0])


def test_copies_without_an_answer_are_asked_but_do_not_vote() -> None:
    prediction = counted([made(0), made(None, sample=1), made(1, 0.9, 2)], "first_halt")["t", 0]
    assert (prediction.answers, prediction.votes) == (3, 2)
    assert np.array_equal(prediction.candidates[0].grid, GRIDS[1])
    assert np.array_equal(prediction.plain[0], GRIDS[0])
