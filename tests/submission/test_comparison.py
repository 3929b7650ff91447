"""Two scores of the same tasks: the difference, its interval, gained and lost tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub
from submission.comparison import MAX_NAME, comparison_table

RIGHT, WRONG, OTHER = [[1]], [[2]], [[3]]
HITS = st.lists(st.booleans(), min_size=1, max_size=3)


def score_of(hits: dict[str, list[bool]]) -> sub.Score:
    """A score with these outputs solved in attempt 1."""
    ranked = {
        name: [[RIGHT if hit else WRONG, OTHER] for hit in task] for name, task in hits.items()
    }
    return sub.score_ranked(ranked, {name: [RIGHT] * len(task) for name, task in hits.items()})


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(HITS, st.randoms()), min_size=1))
@pytest.mark.slow
def test_differences_are_those_of_the_rates(tasks: Any) -> None:
    before = {name: hits for name, (hits, _) in tasks.items()}
    after = {name: [hit != (r.random() < 0.3) for hit in hits] for name, (hits, r) in tasks.items()}
    first, second = score_of(before), score_of(after)
    found = sub.compare(first, second, generator(), resamples=200)
    turned = sub.compare(second, first, generator(), resamples=200)
    assert list(found.differences) == list(first.rates)
    for name, difference in found.differences.items():
        change = second.rates[name].value - first.rates[name].value
        assert difference.value == pytest.approx(change)
        assert -1 <= difference.low <= difference.high <= 1
        mirrored = turned.differences[name]
        assert mirrored.value == pytest.approx(-difference.value)
        assert (mirrored.low, mirrored.high) == pytest.approx((-difference.high, -difference.low))
    assert (found.gained, found.lost) == (turned.lost, turned.gained)
    solved = {name: (sum(before[name]), sum(after[name])) for name in before}
    assert set(found.gained) == {name for name, (a, b) in solved.items() if b > a}
    assert set(found.lost) == {name for name, (a, b) in solved.items() if b < a}


def test_equal_scores_have_no_interval() -> None:
    score = score_of({"a": [True], "b": [False, True]})
    found = sub.compare(score, score, generator())
    assert {(d.value, d.low, d.high) for d in found.differences.values()} == {(0, 0, 0)}
    assert (found.gained, found.lost, found.p_value) == ((), (), 1)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of solvers whose rates differ by 0.2 on tasks drawn anew, 95 % of the intervals hold it."""
    rng, held, trials = np.random.default_rng(1), 0, 200
    for _ in range(trials):
        hard = rng.random(100)
        before, after = ((hard < rate).tolist() for rate in (0.3, 0.5))  # paired: after solves more
        first, second = (
            score_of({str(n): [hit] for n, hit in enumerate(hits)}) for hits in (before, after)
        )
        found = sub.compare(first, second, rng, resamples=500)
        difference = found.differences["pass@1", "per task"]
        held += difference.low <= 0.2 <= difference.high
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
        found = sub.compare(score_of(tasks), score_of(after), generator())
        difference = found.differences["pass@1", "per output"]
        intervals.append((difference.low, difference.high))
    assert intervals[0] == intervals[1]


def test_only_the_same_solutions_compare() -> None:
    one = score_of({"a": [True]})
    for other in ({"a": [True, True]}, {"b": [True]}, {"a": [True], "b": [True]}):
        with pytest.raises(sub.SubmissionError, match="the same solutions"):
            sub.compare(one, score_of(other), generator())
    first = sub.score_ranked({}, {"a": [RIGHT]}, ks=[1])
    with pytest.raises(sub.SubmissionError, match="the same rates"):
        sub.compare(first, one, generator())


def test_the_order_of_the_tasks_does_not_matter() -> None:
    before, after = {"a": [True], "b": [False], "c": [False]}, {"c": [False], "b": [True]}
    first, second = score_of(before), score_of({**after, "a": [True]})
    assert sub.compare(first, second, generator()).gained == ("b",)


def test_the_dictionary_of_a_comparison_is_nested() -> None:
    first, second = score_of({"a": [False]}), score_of({"a": [True]})
    found = sub.compare(first, second, generator()).to_dict()
    assert list(found) == ["pass@1", "pass@2", "gained", "lost", "p_value"]
    assert found["pass@2"]["per_output"] == {"value": 1, "low": 1, "high": 1}
    assert found["gained"] == ["a"] and found["lost"] == []


@dataclass(frozen=True)
class PuzzleScore:
    """A score of puzzles, some without a known answer (None), as other packages define one."""

    exact: dict[str, bool | None]

    deciding = headline = ("exact",)
    noun = "puzzle"
    notes = ()
    selected_by = ""

    @property
    def task_ids(self) -> list[str]:
        return list(self.exact)

    @property
    def rates(self) -> dict[sub.RateName, sub.Rate]:
        known = [right for right in self.exact.values() if right is not None]
        return {("exact",): sub.Rate(sum(known), len(known))} if known else {}

    @property
    def labels(self) -> dict[sub.RateName, str]:
        return {name: "every cell is right" for name in self.rates}

    def counts(self) -> dict[sub.RateName, Any]:
        solved = np.array([bool(right) for right in self.exact.values()], np.float64)
        total = np.array([right is not None for right in self.exact.values()], np.float64)
        return {name: (solved, total) for name in self.rates}

    def lines(self) -> list[str]:
        return [f"exact {rate.solved}" for rate in self.rates.values()]

    def to_dict(self) -> dict[str, Any]:
        return {"exact": self.exact}


def test_puzzles_compare_by_the_same_function() -> None:
    first = PuzzleScore({"1": True, "2": False, "3": None, "4": False})
    second = PuzzleScore({"1": False, "2": True, "3": None, "4": True})
    described, lines = sub.describe_scores(["one", "two"], [first, second])
    assert described["first"] == {"file": "one", "exact": first.exact}
    difference = described["difference"]
    assert list(difference) == ["exact", "gained", "lost", "p_value"]
    assert difference["exact"]["value"] == pytest.approx(1 / 3)
    assert -1 <= difference["exact"]["low"] <= difference["exact"]["high"] <= 1
    assert (difference["gained"], difference["lost"]) == (["2", "4"], ["1"])
    assert "gained 2 puzzles by exact: 2, 4" in lines
    assert sub.describe_scores(["one"], [first]) == (first.to_dict(), ["exact 1"])


def test_puzzles_without_known_answers_do_not_compare() -> None:
    score = PuzzleScore({"1": None})
    with pytest.raises(sub.SubmissionError, match="no puzzle is known, so the scores cannot be"):
        sub.compare(score, score, generator())


def test_puzzles_without_a_known_answer_leave_the_interval_alone() -> None:
    known = {"1": True, "2": False, "3": False}
    after = {**known, "2": True}
    unknown = {f"x{n}": None for n in range(100)}
    few = sub.compare(PuzzleScore({**known}), PuzzleScore({**after}), generator())
    many = sub.compare(
        PuzzleScore({**unknown, **known}), PuzzleScore({**unknown, **after}), generator()
    )
    assert few == many


@pytest.mark.slow
def test_hundreds_of_thousands_of_puzzles_are_a_handful_of_groups() -> None:
    drawn: list[int] = []

    class Recorder:
        """A generator that records how many groups it draws from."""

        def multinomial(self, number: int, shares: Any, size: int) -> Any:
            drawn.append(len(shares))
            return generator().multinomial(number, shares, size)

    hits = np.random.default_rng(1).random((2, 200_000)) < 0.5
    first, second = (
        PuzzleScore({str(n): hit for n, hit in enumerate(each)}) for each in hits.tolist()
    )
    found = sub.compare(first, second, Recorder(), resamples=100)  # type: ignore[arg-type]
    assert set(drawn) == {3}  # gained, lost, equal
    assert 0 < found.p_value <= 1
    table = comparison_table(("one", "two"), (first, second), found)
    assert table[-2].endswith(", ...") and table[-2].count(",") == sub.errors.MAX_NAMED


def test_the_table_names_everything() -> None:
    first = score_of({"a": [False], "b": [True]})
    second = score_of({"a": [True], "b": [True]})
    rows = comparison_table(
        ("one", "two"), (first, second), sub.compare(first, second, generator())
    )
    assert rows[0].split() == ["one", "two", "difference", "95", "%", "interval"]
    assert rows[1].split()[:7] == ["pass@1", "per", "task", "1/2", "50.0", "%", "2/2"]
    assert "+50.0  [+0.0, +100.0]" in rows[1]
    assert rows[-5] == "Differences are points of two minus one."
    assert rows[-3] == "gained 1 task by pass@2 per task: a"
    assert rows[-2] == "lost 0 tasks by pass@2 per task"
    assert rows[-1] == "sign test on what changed: p = 1"


def test_equal_scores_say_how_little_they_prove() -> None:
    score = score_of({f"t{n}": [n % 3 == 0] for n in range(10)})
    # 10 tasks of which none changed: (1 - s)^10 = 5 % for a share s of 25.9 %.
    notes = [
        "No task changed, and then such an interval says nothing.",
        "At most 25.9 % of tasks like these change, with 95 % confidence.",
    ]
    for count in (2, 3, 5):
        lines = sub.describe_scores("abcde"[:count], [score] * count)[1]
        assert lines[-2:] == notes and lines.count(notes[0]) == 1
    other = score_of({f"t{n}": [n == 1] for n in range(10)})
    assert not set(notes) & set(sub.describe_scores("ab", [score, other])[1])
    assert notes[0] in sub.describe_scores("abc", [score, other, score])[1]


# Several seeds


def seeds() -> list[sub.Score]:
    """Three scores of 25 tasks, two of which have two outputs."""
    hits = np.random.default_rng(0).random((3, 25, 2)) < 0.4
    tasks = [{f"t{n}": each[: 1 + (n < 2)] for n, each in enumerate(s)} for s in hits.tolist()]
    return [score_of(each) for each in tasks]


def test_three_scores_have_a_mean_a_deviation_and_differences_from_the_first() -> None:
    scores, names = seeds(), ["zero", "one", "two"]
    described, lines = sub.describe_scores(names, scores)
    files = [{"file": name, **each.to_dict()} for name, each in zip(names, scores, strict=True)]
    assert list(described) == ["scores", "mean", "deviation", "differences"]
    assert described["scores"] == files
    for k, denominator in scores[0].rates:
        values = [each.rates[k, denominator].value for each in scores]
        key = denominator.replace(" ", "_")
        assert described["mean"][k][key] == pytest.approx(np.mean(values))
        assert described["deviation"][k][key] == pytest.approx(np.std(values, ddof=1))
    for number, name in enumerate(names[1:], 1):
        # A difference is the same as if the two were compared alone.
        alone, _ = sub.describe_scores(["zero", name], [scores[0], scores[number]])
        assert described["differences"][number - 1] == {"file": name, **alone["difference"]}

    rows = {line.split()[0]: line.split()[1:] for line in lines[:8] if line}
    for name, score in zip(names, scores, strict=True):
        assert rows[name] == [f"{100 * rate.value:.1f}" for rate in score.rates.values()]
    for name in ("mean", "deviation"):
        values = [value for rates in described[name].values() for value in rates.values()]
        assert rows[name] == [f"{100 * value:.1f}" for value in values]
    assert rows["total"] == ["25", "27", "25"] * 2
    difference = described["differences"][1]["pass@2"]["per_task"]
    value, low, high = (f"{100 * difference[key]:+.1f}" for key in ("value", "low", "high"))
    (line,) = [line for line in lines if line.startswith("two") and "per task" in line][:1]
    assert line.endswith(f"{value}  [{low}, {high}]")
    assert "Differences are points of each minus zero." in lines
    gained, lost = (len(described["differences"][0][key]) for key in ("gained", "lost"))
    assert lines[-2].startswith(f"one: gained {gained} tasks, lost {lost} by pass@2 per task;")


@pytest.mark.parametrize("count", [2, 3, 12])
def test_tables_of_long_names_fit_80_columns(count: int) -> None:
    scores = [seeds()[n % 3] for n in range(count)]
    long = [f"runs/2026-11-26-a-run-with-a-long-name-{n}" for n in range(count)]
    lines = sub.describe_scores(long, scores)[1]
    assert lines[0].split() == ["#1", long[0]] and lines[count - 1].split() == [
        f"#{count}",
        long[-1],
    ]
    assert max(map(len, lines)) <= 80
    short = [f"seed{n:0{MAX_NAME - 4}}" for n in range(count)]
    lines = sub.describe_scores(short, scores)[1]
    assert "#1" not in "".join(lines) and max(map(len, lines)) <= 80


def test_three_scores_of_puzzles() -> None:
    scores = [PuzzleScore({"1": True, "2": second, "3": None}) for second in (True, False, True)]
    described, lines = sub.describe_scores(["a", "b", "c"], scores)
    assert described["mean"] == {"exact": pytest.approx(2.5 / 3)}
    assert lines[0].split() == ["exact"] and lines[2].split() == ["b", "50.0"]
    assert "b: gained 0 puzzles, lost 1 by exact; sign test p = 1" in lines


def test_notes_name_their_file_and_stand_above_the_table() -> None:
    scores = [
        sub.score_ranked(ranked, {"a": [RIGHT]}) for ranked in ({}, {"a": [[OTHER, RIGHT]]}, {})
    ]
    lines = sub.describe_scores(["one", "two", "three"], scores)[1]
    assert [line.split(":")[0] for line in lines[:2]] == ["one", "three"]


def test_scores_that_cannot_be_compared_are_named() -> None:
    same, other = score_of({"a": [True]}), score_of({"b": [True]})
    with pytest.raises(sub.SubmissionError, match=r"^one and three: .* the same solutions"):
        sub.describe_scores(["one", "two", "three"], [same, same, other])


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [(0, 0, 1), (1, 0, 1), (4, 0, 0.125), (0, 5, 0.0625), (9, 1, 22 / 1024), (3, 3, 1)],
)
def test_the_sign_test(gained: int, lost: int, expected: float) -> None:
    comparison = sub.Comparison({}, ("a",) * gained, ("b",) * lost, gained + lost)
    assert comparison.p_value == pytest.approx(expected)
    assert sub.Comparison({}, ("a",) * 3000, ("b",) * 3000, 6000).p_value == 1
