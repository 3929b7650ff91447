"""Two scores on the same tasks: the difference, its interval, gains and losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub

RIGHT, WRONG = [[1]], [[2]]
HITS = st.lists(st.booleans(), min_size=1, max_size=3)


def score_of(hits: dict[str, list[bool]]) -> sub.Score:
    """A score with these outputs solved in attempt 1."""
    ranked = {name: [[RIGHT if hit else WRONG] for hit in task] for name, task in hits.items()}
    return sub.score_ranked(ranked, {name: [RIGHT] * len(task) for name, task in hits.items()})


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(HITS, st.randoms()), min_size=1))
def test_differences_are_those_of_the_rates(tasks: Any) -> None:
    before = {name: hits for name, (hits, _) in tasks.items()}
    after = {name: [hit != (r.random() < 0.3) for hit in hits] for name, (hits, r) in tasks.items()}
    first, second = score_of(before), score_of(after)
    found = sub.compare(first, second, generator(), resamples=200)
    turned = sub.compare(second, first, generator(), resamples=200)
    for k, named in found.differences.items():
        for name, difference in named.items():
            rates = [each.pass_at[k].named[name].value for each in (first, second)]
            assert difference.value == pytest.approx(rates[1] - rates[0])
            assert -1 <= difference.low <= difference.high <= 1
            mirrored = turned.differences[k][name]
            assert mirrored.value == pytest.approx(-difference.value)
            assert (mirrored.low, mirrored.high) == pytest.approx(
                (-difference.high, -difference.low)
            )
    assert (found.gained, found.lost) == (turned.lost, turned.gained)
    solved = {name: (sum(before[name]), sum(after[name])) for name in before}
    assert set(found.gained) == {name for name, (a, b) in solved.items() if b > a}
    assert set(found.lost) == {name for name, (a, b) in solved.items() if b < a}


def test_equal_scores_have_no_interval() -> None:
    score = score_of({"a": [True], "b": [False, True]})
    for named in sub.compare(score, score, generator()).differences.values():
        assert {(d.value, d.low, d.high) for d in named.values()} == {(0, 0, 0)}


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of solvers whose rates differ by 0.2 on tasks drawn anew, 95 % of the intervals hold it."""
    rng, held, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        hard = rng.random(100)
        before, after = ((hard < rate).tolist() for rate in (0.3, 0.5))  # paired: after solves more
        first, second = (
            score_of({str(n): [hit] for n, hit in enumerate(hits)}) for hits in (before, after)
        )
        found = sub.compare(first, second, rng, resamples=500).differences[1]["per task"]
        held += found.low <= 0.2 <= found.high
    # A binomial of 200 and 0.95 is below 178 less than once in a thousand times; percentiles are
    # known to be a little narrow.
    assert held >= 178


def test_outputs_of_a_task_are_drawn_together() -> None:
    """Ten outputs of one task that change as one tell no more than one output."""
    few = {"a": [False], "b": [True], "c": [True], "d": [False]}
    many = {name: hits * 10 for name, hits in few.items()}
    intervals = []
    for tasks in (few, many):
        after = {**tasks, "a": [True] * len(tasks["a"])}
        found = sub.compare(score_of(tasks), score_of(after), generator()).differences[1]
        intervals.append((found["per output"].low, found["per output"].high))
    assert intervals[0] == intervals[1]


def test_only_the_same_solutions_compare() -> None:
    one, other = score_of({"a": [True]}), score_of({"a": [True, True]})
    with pytest.raises(sub.SubmissionError, match="the same solutions"):
        sub.compare(one, other, generator())
    first = sub.score_ranked({}, {"a": [RIGHT]}, ks=[1])
    with pytest.raises(sub.SubmissionError, match="the same K"):
        sub.compare(first, one, generator())


def test_the_table_names_everything() -> None:
    first = score_of({"a": [False], "b": [True]})
    second = score_of({"a": [True], "b": [True]})
    table = sub.comparison_table(
        ("one", "two"), (first, second), sub.compare(first, second, generator())
    )
    rows = table.splitlines()
    assert rows[0].split() == ["one", "two", "difference", "95%", "interval"]
    assert rows[1].split()[:7] == ["pass@1", "per", "output", "1/2", "50.0", "%", "2/2"]
    assert "+50.0  [+0.0, +100.0]" in rows[1]
    assert rows[-4].startswith("Differences are points of two minus one;")
    assert rows[-3:-1] == ["gained 1 task at pass@2: a", "lost 0 tasks at pass@2"]
    assert rows[-1] == "sign test on what changed: p = 1"


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [(0, 0, 1), (1, 0, 1), (4, 0, 0.125), (0, 5, 0.0625), (9, 1, 22 / 1024), (3, 3, 1)],
)
def test_the_sign_test(gained: int, lost: int, expected: float) -> None:
    comparison = sub.Comparison({}, ("a",) * gained, ("b",) * lost)
    assert comparison.p_value == pytest.approx(expected)
    assert sub.Comparison({}, ("a",) * 3000, ("b",) * 3000).p_value == 1
