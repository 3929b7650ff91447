"""Answers with their tasks, published results beside them, and what notebooks show."""

from __future__ import annotations

import json
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tiny import log_with, write_challenges

import submission as sub
from arc_trm import load_tasks
from arc_trm.cli import main
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.errors import UserError
from arc_trm.evaluation.leaderboard import published_beside
from arc_trm.evaluation.prediction_log import Answer, PredictionLog, digest_of, read_predictions
from arc_trm.evaluation.source import (
    answered_tasks,
    find_answers,
    read_ranked,
    read_results,
    read_some,
)
from arc_trm.evaluation.voting import InputPrediction, Prediction, PredictionSet, Step
from arc_trm.tasks import Pair, Task, TaskSet, as_grid

A, B, C = as_grid([[1]]), as_grid([[2, 3]]), as_grid([[4], [5]])


def log_of(path: Path, tasks: TaskSet, **about: object) -> PredictionLog:
    log = PredictionLog(path)
    log.begin({"tasks": digest_of(tasks)}, about)
    return log


# The file


grids = st.sampled_from([A, B, C])
steps = st.lists(
    st.builds(Step, grids | st.none(), st.floats(0, 1).map(lambda x: round(x, 4))), max_size=6
)


@given(steps)
def test_steps_come_back_as_they_were(drafts: list[Step]) -> None:
    # A folder of its own for every example: hypothesis does not renew pytest's.
    with tempfile.TemporaryDirectory() as name:
        log = PredictionLog(Path(name) / "p.jsonl")
        log.begin({}, {})
        log.add([Answer("t", 0, "t", None, tuple(drafts))])
        (answer,) = log.read()
    assert [step.halt for step in answer.steps] == [step.halt for step in drafts]
    for got, expected in zip(answer.steps, drafts, strict=True):
        assert (got.grid is None) == (expected.grid is None)
        if got.grid is not None and expected.grid is not None:
            assert np.array_equal(got.grid, expected.grid)


@pytest.mark.parametrize("wrong", ["[[0.5,[[1,2],[3]]]]", '[["x"]]', "[0.5]", "[[0.5,7]]", "[[]]"])
def test_wrong_steps_are_named(tmp_path: Path, wrong: str) -> None:
    log = log_with(tmp_path, f'{{"task":"a","test":0,"puzzle":"a","steps":{wrong}}}')
    with pytest.raises(UserError, match=r"p\.jsonl, line 2 is not a prediction"):
        list(log.read())


def test_what_is_said_about_answers_tells_none_apart(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "p.jsonl")
    assert log.begin({"weights": "1"}, {"model": "a", "began": "early"}) is None
    log.add([Answer("t", 0, "t", None)])
    again = {"model": "b", "began": "late"}
    assert PredictionLog(log.path).begin({"weights": "1"}, again) is None
    assert PredictionLog(log.path).header()["about"] == {"model": "b", "began": "early"}
    assert len(list(PredictionLog(log.path).read())) == 1
    moved = PredictionLog(log.path).begin({"weights": "2"}, {"model": "a"})
    assert moved and moved != log.path
    assert PredictionLog(log.path).begin({"weights": "1"}, {"model": "c"})
    assert PredictionLog(log.path).header()["about"] == {"model": "c", "began": "early"}
    assert len(list(PredictionLog(log.path).read())) == 1


# Its tasks


def test_a_log_finds_its_tasks_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    log = log_of(tmp_path / "p.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert set(answered_tasks(log.path).tasks) == set(tasks.tasks)
    # Other tasks under the same name are not taken for those that were answered.
    changed = json.loads(challenges.read_text())
    changed["task0"]["test"][0]["input"] = [[0]]
    challenges.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"are others than those that .* answers: name these with"):
        answered_tasks(log.path)
    assert "task0" in answered_tasks(log.path, str(challenges))


@pytest.mark.parametrize(
    "about", [{}, {"data": "x", "max_grid_size": 30}, {"data": [1], "max_grid_size": 0}]
)
def test_a_log_that_does_not_say_its_tasks(tmp_path: Path, about: dict[str, object]) -> None:
    log = PredictionLog(tmp_path / "p.jsonl")
    log.begin({}, about)
    with pytest.raises(UserError):
        answered_tasks(log.path)


def test_which_file_a_folder_means(tmp_path: Path) -> None:
    assert find_answers(tmp_path) == tmp_path  # perhaps one of ARC Prize's benchmarking
    (tmp_path / "submission.json").touch()
    assert find_answers(tmp_path).name == "submission.json"
    (tmp_path / "predictions.jsonl").touch()
    assert find_answers(tmp_path).name == "predictions.jsonl"
    assert find_answers(tmp_path, ("submission.json",)).name == "submission.json"
    assert find_answers(tmp_path / "gone") == tmp_path / "gone"


def test_answers_that_do_not_fit_the_tasks(tmp_path: Path) -> None:
    tasks = load_tasks(write_challenges(tmp_path))
    two = [{"attempt_1": [[1]], "attempt_2": [[1]]}] * 2
    sub.write_json(tmp_path / "s.json", {"task0": two, "other": two})
    with pytest.raises(sub.FormatError, match="task task0: has 2 answers, expected 1"):
        read_results(tmp_path / "s.json", tasks)


def test_every_kind_gives_the_same_score(tmp_path: Path) -> None:
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    right = tasks.known_solutions()
    log = log_of(tmp_path / "predictions.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    first = as_grid(right["task0"][0])
    log.add(
        Answer("task0", 0, f"p{n}", Prediction(f"p{n}", grid, 0.5, None, n))
        for n, grid in enumerate([B, first])
    )
    found = read_predictions(log.path, tasks)
    sub.write_json(tmp_path / "submission.json", found.submission())
    now = datetime(2026, 1, 1)
    whole = found.completed().attempts()
    sub.write_arcprize(tmp_path / "theirs", whole, sub.Provenance("x", "y", now, now))
    # The tasks mirror their input, which is what a solver without an idea says in attempt 2.
    expected = found.completed().score().pass_at
    assert expected[2].per_task == sub.Rate(3, 3) and expected[1].per_task == sub.Rate(0, 3)
    assert found.score().pass_at[2].per_task == sub.Rate(1, 3)
    for name in ("predictions.jsonl", "submission.json", "theirs"):
        answers = tmp_path / name
        assert read_results(answers, tasks).score().pass_at == expected
        ranked = read_ranked(answers, sub.count_outputs(right))
        assert sub.score_ranked(ranked, right).pass_at == expected


def test_what_was_submitted_counts(tmp_path: Path) -> None:
    """A submission may hold older answers, where there was no time for new ones."""
    challenges = write_challenges(tmp_path)
    tasks = load_tasks(challenges)
    log = log_of(tmp_path / "predictions.jsonl", tasks, data=[str(challenges)], max_grid_size=30)
    log.add([Answer("task0", 0, "task0", Prediction("task0", B, 0.5))])
    submission = read_results(log.path, tasks).submission()
    submission["task1"][0] = {"attempt_2": [[8]], "attempt_1": [[7]]}  # in whatever order
    sub.write_json(tmp_path / "submission.json", submission)
    found = read_results(log.path, tasks)
    assert found.submission() == submission
    assert [each.votes for each in found] == [1, 0, 0]
    assert found.attempts()["task1"] == [[[[7]], [[8]]]]
    one = TaskSet.of("one", [tasks["task1"]])
    assert read_some(log.path, one).attempts() == {"task1": [[[[7]], [[8]]]]}
    # One of other tasks, or beside a log that was moved aside, is not taken for it.
    moved = log.path.rename(tmp_path / "predictions.0123.jsonl")
    assert read_results(moved, tasks).submission()["task1"] != submission["task1"]
    moved.rename(log.path)
    del submission["task2"]
    sub.write_json(tmp_path / "submission.json", submission)
    assert read_results(log.path, tasks).submission()["task1"] != submission["task1"]


def test_a_failed_attempt_stays_in_its_place(tmp_path: Path) -> None:
    tasks = load_tasks(write_challenges(tmp_path))
    one_failed = InputPrediction(
        "task0", 0, (), (None, as_grid(tasks.known_solutions()["task0"][0]))
    )
    found = PredictionSet.of(tasks, [one_failed])
    assert found.score().pass_at[1].per_output.solved == 0
    answers = found.submission()["task0"][0]
    assert answers["attempt_2"] == tasks.known_solutions()["task0"][0] != answers["attempt_1"]


@pytest.mark.parametrize("halt", ["NaN", "Infinity", "1e308", "-0.1", "null"])
def test_halting_scores_are_0_to_1(tmp_path: Path, halt: str) -> None:
    said = '"task":"t","test":0,"puzzle":"t","order":0,"grid":[[1]]'
    log = log_with(tmp_path, f'{{{said},"halt":{halt}}}')
    with pytest.raises(UserError, match=r"line 2 is not a prediction: .*; remove that line and"):
        list(log.read())


# Published results


def test_references_have_a_source_and_a_denominator() -> None:
    results = tomllib.loads((manifests_folder() / "references.toml").read_text())["results"]
    named = [(each["system"], dataset) for each in results for dataset in each["scores"]]
    assert len(set(named)) == len(named) >= 12
    for each in results:
        assert each["source"] and each["denominator"]
        for dataset, percent in each["scores"].items():
            assert find_manifest(dataset)
            assert 1 <= len(percent) <= 2 and percent == sorted(percent)
            assert all(0 <= number <= 100 for number in percent)


@pytest.mark.parametrize(
    ("dataset", "trm", "grok"),
    [
        ("arc-agi-1/evaluation", "44.6 %", "66.7–79.6 %"),
        ("arc-agi-2/evaluation", "7.8 %", "16.0–29.4 %"),
    ],
)
def test_references_are_for_exactly_the_public_set(dataset: str, trm: str, grok: str) -> None:
    tasks = load_tasks(dataset)
    found = published_beside(tasks.tasks)
    assert {each.dataset for each in found} == {dataset}
    assert {each.tasks for each in found} == {len(tasks)}
    assert found[0].shown == trm and found[-1].shown == grok
    assert published_beside(list(tasks.tasks)[1:]) == []
    assert published_beside([*tasks.tasks, "another"]) == []


@pytest.mark.slow
def test_score_shows_references(tmp_path: Path) -> None:
    tasks = load_tasks("arc-agi-2/evaluation")
    submission = PredictionSet.of(tasks, ()).submission()
    sub.write_json(tmp_path / "s.json", submission)
    arguments = ["score", str(tmp_path / "s.json"), "--data", "arc-agi-2/evaluation"]
    result = CliRunner().invoke(main, [*arguments, "--references"])
    assert result.exit_code == 0, result.output
    assert "Published for arc-agi-2/evaluation (120 tasks) in 2 attempts:" in result.output
    assert "7.8 %  (denominator per task; arXiv 2510.04871)" in result.output
    told = json.loads(CliRunner().invoke(main, [*arguments, "--references", "--json"]).output)
    assert {each["system"] for each in told["references"]} >= {"HRM (27M parameters)"}
    assert "Published" not in CliRunner().invoke(main, arguments).output
    challenges = write_challenges(tmp_path)
    tiny = PredictionSet.of(load_tasks(challenges), ()).submission()
    sub.write_json(tmp_path / "tiny.json", tiny)
    other = ["score", str(tmp_path / "tiny.json"), "--data", str(challenges), "--references"]
    assert "No results are published for exactly" in CliRunner().invoke(main, other).output


# Python and notebooks


def made_up(count: int = 1) -> TaskSet:
    pair = Pair(as_grid([[1, 2]]), as_grid([[3]]))
    return TaskSet.of("<made up>", [Task(f"<b>{n}", (pair,), (pair, pair)) for n in range(count)])


def predictions_of(tasks: TaskSet) -> PredictionSet:
    return PredictionSet.of(
        tasks,
        (
            InputPrediction(task.id, 0, (), (as_grid([[3]]), None), (Step(A, 0.5), Step(None, 1)))
            for task in tasks
        ),
    )


def test_notebooks_show_tasks_and_predictions() -> None:
    tasks = made_up(20)
    pages = {
        "task": tasks["<b>0"]._repr_html_(),
        "tasks": tasks._repr_html_(),
        "predictions": predictions_of(tasks)._repr_html_(),
    }
    for name, page in pages.items():
        div, _, more = page.partition("</div>")
        ElementTree.fromstring(div + "</div>")  # well-formed, with ids escaped
        assert "<b>" not in page and "script" not in page and 'role="img"' in page
        assert (more == "<p>The first 12 of 20.</p>") == (name != "task")
    assert ">right<" in pages["predictions"] and ">no grid<" in pages["predictions"]
    assert 'aria-label="&lt;made up&gt;: 20 tasks, 40 test outputs"' in pages["tasks"]
    assert "attempts at 20 of 20 tasks" in pages["predictions"]


def test_an_empty_set_is_shown_too() -> None:
    bare = Task("bare", (), (Pair(as_grid([[1]])),))  # as a solver of one test input may get it
    assert ">Task bare<" in bare._repr_html_() and ">bare<" in TaskSet.of("x", [bare])._repr_html_()
    empty = TaskSet.of("none", [])
    assert "0 tasks, 0 test outputs" in empty._repr_html_()
    assert "attempts at 0 of 0 tasks" in PredictionSet.of(empty, ())._repr_html_()


def test_results_are_plain_dicts_and_arrays() -> None:
    tasks = made_up()
    predictions = predictions_of(tasks)
    (plain,) = json.loads(json.dumps(predictions.to_dicts()))
    assert plain == {
        "task": "<b>0",
        "test": 0,
        "attempts": [[[3]], None],
        "candidates": [],
        "steps": [{"grid": [[1]], "halt": 0.5}, {"grid": None, "halt": 1}],
    }
    assert predictions["<b>0", 0].attempts[0] is not None
    assert predictions["<b>0", 0].attempts[0].dtype == np.uint8
    assert predictions.attempts() == {"<b>0": [[[[3]], []], []]}
    assert predictions.score().pass_at[2].per_output == sub.Rate(1, 2)
    assert sub.submission_problems(predictions.submission(), tasks.to_json()) == []
    assert sub.challenges_problems(tasks.to_json()) == []
    assert sub.solutions_problems(tasks.known_solutions(), tasks.to_json()) == []


def test_official_outputs_replace_the_known_ones() -> None:
    tasks = made_up(2)
    given = tasks.with_outputs({"<b>1": [[[7]], [[8]]]})
    assert given.known_solutions() == {"<b>1": [[[7]], [[8]]]}
    with pytest.raises(UserError, match="has 2 test inputs, but the solutions hold 1"):
        tasks.with_outputs({"<b>1": [[[7]]]})
