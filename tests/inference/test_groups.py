"""Copies that decide together: who stops a group, and who continues from whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lucky import sudoku_plan

from arc_trm.inference.groups import (
    GROUP_RULES,
    INVERSE_TEMPERATURE,
    Continue,
    Stop,
    resample_particles,
    stop_at_first_halt,
)
from arc_trm.inference.queries import further_queries

KEY = (0, "1", 0)
LARGEST = float(np.finfo(np.float32).max)
logit_lists = st.lists(
    st.floats(-40, 40, width=32) | st.sampled_from([-LARGEST, LARGEST]), min_size=1, max_size=40
).map(lambda values: np.array(values, np.float32))


@given(logit_lists, st.integers(1, 16), st.integers(0, 5))
def test_a_copy_has_as_many_successors_as_its_weight_says(
    logits: np.ndarray, step: int, seed: int
) -> None:
    decision = resample_particles(logits, step, False, (seed, *KEY))
    again = resample_particles(logits, step, False, (seed, *KEY))
    assert list(decision.ancestors) == list(again.ancestors)
    counts = np.bincount(list(decision.ancestors), minlength=len(logits))
    assert counts.sum() == len(counts) == len(logits)
    weights = np.exp(INVERSE_TEMPERATURE * (logits.astype(np.float64) - float(logits.max())))
    wanted = len(logits) * weights / weights.sum()
    rounding = 1e-9
    assert (counts >= np.floor(wanted - rounding)).all()
    assert (counts <= np.ceil(wanted + rounding)).all()


def test_random_numbers_of_a_group_depend_on_its_key_and_step() -> None:
    logits = np.linspace(-4, 4, 30).astype(np.float32)
    found = {
        tuple(resample_particles(logits, step, False, key).ancestors)
        for step in range(1, 5)
        for key in (KEY, (1, "1", 0), (0, "2", 0), (0, "1", 1), (0, "1", 0, "1|||t1"))
    }
    assert len(found) > 10


def test_after_the_last_step_nobody_is_resampled() -> None:
    logits = np.array([-9, 9], np.float32)
    assert list(resample_particles(logits, 3, True, KEY).ancestors) == [0, 1]
    assert list(resample_particles(logits, 2, False, KEY).ancestors) != [0, 1]


@given(logit_lists, st.booleans())
def test_the_first_positive_logit_ends_a_group_and_the_largest_wins(
    logits: np.ndarray, is_last: bool
) -> None:
    decision = stop_at_first_halt(logits, 1, is_last, KEY)
    if (logits > 0).any():
        assert isinstance(decision, Stop)
        assert logits[decision.winner] == logits.max() > 0
    else:
        assert isinstance(decision, Continue)
        assert list(decision.ancestors) == list(range(len(logits)))


@pytest.mark.parametrize("select", GROUP_RULES)
def test_all_further_answers_to_a_puzzle_are_one_group(select: str) -> None:
    plan = sudoku_plan(samples=3, views=2, noise=0.3, select=select)
    plain, other = plan.queries[:2]
    assert plain.group is None
    copies = further_queries(plain, plan.config, 1, 6)
    assert len({query.key for query in (plain, *copies)}) == 6
    assert len({query.group for query in copies}) == 1
    assert {q.group for q in copies}.isdisjoint(
        q.group for q in further_queries(other, plan.config, 1, 6)
    )
    alone = sudoku_plan(samples=3, views=2, noise=0.3)
    assert {q.group for q in further_queries(plain, alone.config, 1, 6)} == {None}
