"""Scores under the three denominators, against the published evaluation; merging."""

from __future__ import annotations

import json
from typing import Any

import paths
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import submission as sub

GOLDEN = paths.GOLDEN / "arc"
A, B, C, D = [[1]], [[2, 2]], [[3], [3]], [[4]]


def attempts(first: Any, second: Any) -> dict[str, Any]:
    return {"attempt_1": first, "attempt_2": second}


GRIDS = st.sampled_from([A, B, C, D])
ANSWERS = st.lists(st.builds(attempts, GRIDS, GRIDS), min_size=1, max_size=3)
SUBMISSIONS = st.dictionaries(st.sampled_from("abcd"), ANSWERS, min_size=1)


# Scoring


def test_the_published_scores() -> None:
    challenges = sub.read_challenges(GOLDEN / "raw" / "made-up_evaluation_challenges.json")
    solutions = sub.read_solutions(GOLDEN / "raw" / "made-up_evaluation_solutions.json", challenges)
    submission = sub.read_submission(GOLDEN / "votes" / "submission.json", challenges)
    metrics = json.loads((GOLDEN / "votes" / "metrics.json").read_text())
    result = sub.score(submission, solutions)
    for k in (1, 2):
        assert result.pass_at[k].per_task.value == metrics[f"ARC/pass@{k}"]
    assert result.pass_at[2].per_output == sub.Rate(9, 10)


SOLUTIONS: Any = {"x": [A, B], "y": [C], "z": [D], "gone": [A, A]}
ANSWERED: Any = {
    "x": [attempts(A, B), attempts(C, D)],
    "y": [attempts(A, C)],
    "z": [attempts(D, D)],
    "other": [attempts(A, A)],
}


def test_three_denominators() -> None:
    result = sub.score(ANSWERED, SOLUTIONS)
    assert result.pass_at == {
        1: sub.PassRates(sub.Rate(1.5, 4), sub.Rate(2, 6), sub.Rate(1, 4)),
        2: sub.PassRates(sub.Rate(2.5, 4), sub.Rate(3, 6), sub.Rate(2, 4)),
    }
    assert result.tasks == {
        "x": ((True, True), (False, False)),
        "y": ((False, True),),
        "z": ((True, True),),
        "gone": ((False, False), (False, False)),
    }
    assert result.missing == ("gone",)
    assert result.unknown == ("other",)


def test_the_dictionary_of_a_score_is_json() -> None:
    result = sub.score(ANSWERED, SOLUTIONS).to_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["pass@2"] == {
        "per_task": {"solved": 2.5, "total": 4, "value": 0.625},
        "per_output": {"solved": 3, "total": 6, "value": 0.5},
        "strict": {"solved": 2, "total": 4, "value": 0.5},
    }
    assert result["tasks"]["y"] == [[False, True]]
    assert result["missing"] == ["gone"] and result["unknown"] == ["other"]


def test_answers_of_one_attempt_say_that_pass_at_2_is_pass_at_1() -> None:
    note = "no test output has a second attempt, so that pass@2 is pass@1"
    wanted = {"a": [[[1]]], "b": [[[2]]]}
    for grids, number in (
        ([[[1]]], 0),
        ([[[1]], [[1]]], 0),
        ([[[1]], []], 0),
        ([[], [[1]]], 1),
        ([[[3]], [[1]]], 1),
    ):
        for ks in ((1, 2), (1,)):
            result = sub.score_ranked({"a": [grids]}, wanted, ks=ks)
            assert result.second_attempts == result.to_dict()["second_attempts"] == number
            assert (note in result.lines()) is (number == 0 and 2 in ks)
    assert note not in sub.score_ranked({}, wanted).notes


def test_every_rate_is_split_by_task() -> None:
    result = sub.score_ranked(sub.to_ranked(ANSWERED), SOLUTIONS, ks=(1, 2, 3))
    assert result.deciding == ("pass@3", "per task")
    assert result.headline == ("pass@2", "per task")
    assert result.task_ids == list(SOLUTIONS)
    counts = result.counts()
    assert list(counts) == list(result.rates) == list(result.labels)
    for name, (solved, total) in counts.items():
        rate = result.rates[name]
        assert len(solved) == len(total) == len(SOLUTIONS)
        assert (solved.sum(), total.sum()) == (rate.solved, rate.total)
    assert counts["pass@2", "per task"][0].tolist() == [0.5, 1, 1, 0]


def test_a_score_reads_as_its_lines() -> None:
    result = sub.score(ANSWERED, SOLUTIONS)
    lines = result.lines()
    assert repr(result).splitlines() == lines
    assert lines[3] == "pass@2  per task    2.5/4  62.5 %"
    assert lines[6:10] == ["", *(f"{name:<10}  {text}" for name, text in sub.DENOMINATORS.items())]
    assert max(map(len, lines)) <= 80
    assert (
        lines[10:]
        == result.notes
        == [
            "1 task not in the submission, counted as unsolved: gone",
            "1 task without a solution, not counted: other",
        ]
    )


def test_notes_name_a_few_tasks() -> None:
    result = sub.score_ranked({}, {f"t{n}": [A] for n in range(6)})
    assert result.notes == [
        "6 tasks not in the submission, counted as unsolved: t0, t1, t2, t3, t4, ..."
    ]


def test_the_first_attempt_alone() -> None:
    result = sub.score(ANSWERED, SOLUTIONS, attempts=1)
    assert list(result.pass_at) == [1]
    assert result.pass_at[1] == sub.score(ANSWERED, SOLUTIONS).pass_at[1]
    with pytest.raises(ValueError, match="attempts is 3, expected 1 to 2"):
        sub.score(ANSWERED, SOLUTIONS, attempts=3)


def test_ranked_candidates() -> None:
    ranked: Any = {"x": [[D, C, A], []], "y": [[[(3,), (3,)]]], "z": [[[], D]]}
    result = sub.score_ranked(ranked, SOLUTIONS, ks=(1, 2, 3))
    assert [rates.per_output.solved for rates in result.pass_at.values()] == [1, 2, 3]
    assert result.tasks["x"] == ((False, False, True), (False, False, False))
    with pytest.raises(ValueError, match="ks is"):
        sub.score_ranked(ranked, SOLUTIONS, ks=(0, 1))


def test_answers_must_match_the_solutions() -> None:
    short: Any = {"x": [attempts(A, B)]}
    with pytest.raises(sub.FormatError, match="task x: has 1 test output, expected 2 as in the"):
        sub.score(short, SOLUTIONS)
    with pytest.raises(sub.FormatError, match="task x: has 0 test outputs, expected 2 as in the"):
        sub.score_ranked({"x": []}, SOLUTIONS)
    with pytest.raises(sub.FormatError, match='has no "attempt_2"'):
        sub.score({"x": [{"attempt_1": A}]}, SOLUTIONS)
    with pytest.raises(sub.FormatError, match="has no tasks"):
        sub.score(ANSWERED, {})


@settings(max_examples=100, deadline=None)
@given(SUBMISSIONS, st.data())
def test_score_bounds(submission: Any, data: st.DataObject) -> None:
    solutions = {
        name: data.draw(st.lists(GRIDS, min_size=len(answers), max_size=len(answers)))
        for name, answers in submission.items()
        if data.draw(st.booleans())
    }
    solutions["more"] = [A]
    result = sub.score(submission, solutions)
    one, two = result.pass_at[1], result.pass_at[2]
    for name, rate in one.by_denominator.items():
        assert 0 <= rate.value <= two.by_denominator[name].value < 1  # "more" is missing
    for rates in (one, two):
        assert rates.strict.value <= rates.per_task.value
        assert rates.per_output.total == sum(map(len, solutions.values()))
        assert rates.per_task.total == rates.strict.total == len(solutions)


@settings(max_examples=50, deadline=None)
@given(SUBMISSIONS)
def test_a_submission_of_the_solutions_is_perfect(submission: Any) -> None:
    solutions = {
        name: [answer["attempt_2"] for answer in answers] for name, answers in submission.items()
    }
    rates = sub.score(submission, solutions).pass_at[2]
    assert rates.per_output.value == rates.per_task.value == rates.strict.value == 1


# Merging


def merge_outputs(*pairs: Any, weights: Any = None) -> Any:
    merged = sub.merge([{"t": [attempts(*pair)]} for pair in pairs], weights)
    return tuple(merged["t"][0].values())


def test_votes_are_pooled() -> None:
    assert merge_outputs((A, B), (C, B), (D, C)) == (C, A)  # C 1.5; A, B, D 1 each
    assert merge_outputs((A, B), (C, B), weights=[1, 1.5]) == (C, B)
    assert merge_outputs((A, B), (C, D), weights=[1, 3]) == (C, D)


def test_ties_go_to_the_earlier_file_and_then_to_the_earlier_attempt() -> None:
    assert merge_outputs((A, B), (C, D)) == (A, C)
    assert merge_outputs((C, D), (A, B)) == (C, A)
    assert merge_outputs((A, B), (B, A)) == (A, B)
    assert merge_outputs((A, A), (B, C), weights=[0.1, 0.3]) == (B, A)  # A and C tie at 0.15
    assert merge_outputs((C, D), (A, B), (A, B), weights=[0.3, 0.1, 0.2]) == (C, A)


def test_a_single_candidate_is_both_attempts_and_shares_nothing() -> None:
    merged = sub.merge([{"t": [attempts(A, A)]}])
    assert merged == {"t": [attempts(A, A)]}
    merged["t"][0]["attempt_1"][0][0] = 9
    assert merged["t"][0]["attempt_2"] == A == [[1]]


def test_merged_files_must_match_the_first() -> None:
    one: Any = {"t": [attempts(A, B)]}
    two: Any = {"t": [attempts(A, B), attempts(A, B)]}
    cases: list[tuple[Any, str]] = [
        ([one, two], "submission 2, task t: has 2 test outputs, expected 1 as in submission 1"),
        ([one, {}], "submission 2: has no tasks, expected at least one"),
        ([one, {"u": one["t"]}], r"submission 2: has 1 task that submission 1 lacks \(u\)"),
        ([one, {**one, "u": 1}], "submission 2, task u: is 1, expected a list with two attempts"),
        ([], "there is nothing to merge"),
    ]
    for submissions, message in cases:
        with pytest.raises(sub.SubmissionError, match=message):
            sub.merge(submissions)
    for weights in ([1], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]):
        with pytest.raises(sub.SubmissionError, match="weight"):
            sub.merge([one, one], weights)


@settings(max_examples=100, deadline=None)
@given(SUBMISSIONS, st.integers(1, 3))
def test_merging_a_file_with_itself(submission: Any, copies: int) -> None:
    # With equal attempts there is one candidate, which is then both attempts: the same again.
    assert sub.merge([submission] * copies) == submission


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 2), st.integers(1, 4))
def test_a_merged_submission_is_valid_and_holds_only_grids_of_its_files(
    data: st.DataObject, outputs: int, files: int
) -> None:
    answers = st.lists(st.builds(attempts, GRIDS, GRIDS), min_size=outputs, max_size=outputs)
    submissions = [{"t": data.draw(answers)} for _ in range(files)]
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=files, max_size=files))
    merged = sub.merge(submissions, weights)
    assert sub.submission_problems(merged) == []
    for index, answer in enumerate(merged["t"]):
        named = [grid for each in submissions for grid in each["t"][index].values()]
        distinct = {json.dumps(grid) for grid in named}
        assert all(grid in named for grid in answer.values())
        assert (answer["attempt_1"] == answer["attempt_2"]) == (len(distinct) == 1)
