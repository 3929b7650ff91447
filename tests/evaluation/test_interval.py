"""The interval of a rate over tasks."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm.evaluation.interval import wilson_interval
from submission import Rate


def test_published_examples() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    examples = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (solved, total), ends in examples.items():
        assert wilson_interval(Rate(solved, total)) == pytest.approx(ends, abs=5e-5)


@given(st.integers(1, 1000), st.fractions(0, 1))
def test_the_interval_holds_the_rate_and_stays_within_0_and_1(tasks: int, share: Fraction) -> None:
    low, high = wilson_interval(Rate(float(share * tasks), tasks))
    assert 0 <= low <= float(share) + 1e-12 and float(share) - 1e-12 <= high <= 1
    assert high - low > 0  # also of 0 and 1, where a bootstrap says that it is certain
    other_low, other_high = wilson_interval(Rate(float((1 - share) * tasks), tasks))
    assert (other_low, other_high) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("tasks", [25, 100, 400])
def test_about_95_of_100_intervals_hold_the_true_rate(tasks: int) -> None:
    ends = [wilson_interval(Rate(solved, tasks)) for solved in range(tasks + 1)]
    covered = []
    for percent in range(1, 100):
        p = percent / 100
        held = [n for n, (low, high) in enumerate(ends) if low <= p <= high]
        covered.append(sum(comb(tasks, n) * p**n * (1 - p) ** (tasks - n) for n in held))
    assert sum(covered) / len(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.83  # its known weakness, near 0 and 1
