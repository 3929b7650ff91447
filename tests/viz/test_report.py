"""What the page of the report holds."""

from __future__ import annotations

import json
import os
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from report_pages import (
    HOSTILE,
    RIGHT,
    TRACE,
    data_of,
    make_comparison,
    make_page,
    make_task,
    text_of,
    write_predictions,
)

from arc_trm.config import DataConfig, RunConfig
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.io import write_json
from arc_trm.runs import PREDICTIONS, create_run
from arc_trm.tasks import TaskSet, as_grid
from arc_trm.viz.figure import CLOSE_WORDS
from arc_trm.viz.report import build_report, report_page
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.gallery import gallery


def test_the_data_of_the_page(predictions: Path) -> None:
    data = data_of(make_page(predictions))
    outcomes = {task["id"]: (task["outcome"], task["correct_got_votes"]) for task in data["tasks"]}
    assert outcomes == {
        "first001": ("right", False),
        "second02": ("second", False),
        "twofold3": ("close", True),
        HOSTILE: ("guess", False),
    }
    assert [mark["key"] for mark in data["outcomes"]] == ["right", "second", "close", "guess"]
    first, _, twofold, hostile = data["tasks"]
    assert first["title"] == "Task first001"
    pair = [{"label": "Input 1", "grid": "123"}, {"label": "Output", "grid": "3/2"}]
    assert first["demonstrations"][0] == pair and len(first["demonstrations"]) == 2
    (test,) = first["tests"]
    (answers,) = test["answers"]
    wrong = {"grid": "12/35", "verdict": "wrong", "wrong_cells": "10"}
    right = {"grid": "12/34", "verdict": "right"}
    assert test["input"] == {"label": "Test input 1", "grid": "90"}
    assert test["output"] == {"label": "Correct output", "grid": "12/34"}
    assert answers["attempts"] == [{"label": "Attempt 1", **right}, {"label": "Attempt 2", **wrong}]
    assert answers["trace"] == [
        {"halt_prob": 0.1, "figure": {"label": "Step 1", "grid": None}},
        {"halt_prob": 0.25, "figure": {"label": "Steps 2–3", **wrong}},
        {"halt_prob": 0.5},
        {"halt_prob": 0.75, "figure": {"label": "Step 4", **right}},
    ]
    assert [each["votes"] for each in answers["candidates"]] == [3, 1]
    assert (answers["votes"], first["confidence"]) == (4, 0.75)
    (late,) = twofold["tests"][1]["answers"]
    assert (late["rank"], late["rank_votes"], late["distinct"]) == (3, 1, 3)
    assert late["candidates"][2]["figure"] == {"label": "Candidate 3", **right}
    (guess,) = hostile["tests"][0]["answers"]
    assert len(guess["attempts"]) == 2 and guess["is_guess"] and hostile["confidence"] is None


def test_a_trace_of_two_predictions_is_not_shown(tmp_path: Path) -> None:
    """A slider between the same two pictures shows nothing that the attempts do not."""
    path = write_predictions(tmp_path, TRACE[1:])
    (answers,) = data_of(make_page(path))["tasks"][0]["tests"][0]["answers"]
    assert answers["trace"] == []


def test_the_gallery_has_no_more_than_a_few_candidates() -> None:
    tasks = TaskSet.from_tasks("x", [make_task("many")])
    counter = VoteCounter(tasks)
    counter.add(Prediction("many", 0, f"p{n}", n, as_grid([[n]]), 0.5) for n in range(9))
    entry = Entry("x", PredictionSummary("x"), PredictionSet(tasks, counter), None)
    (task,) = gallery([entry])["tasks"]
    (answers,) = task["tests"][0]["answers"]
    assert len(answers["candidates"]) == 5 and answers["distinct"] == answers["votes"] == 9
    assert answers["rank"] is None


def test_what_is_said_about_the_predictions(predictions: Path) -> None:
    report = build_report(PredictionSource.open(predictions))
    assert report.title == "tiny <i>model</i>"
    assert report.facts == [
        "Predicted grids for 4 of 5 test inputs of 4 tasks: some_challenges.json"
    ]
    assert "Made by arc-trm 1.2.3." in make_page(predictions)


def test_a_page_says_what_nearly_right_means_if_it_has_that_mark(
    two: tuple[Path, Path], predictions: Path
) -> None:
    means = f"Nearly right means {CLOSE_WORDS}."
    assert means in text_of(make_page(predictions))
    assert "early right" not in text_of(make_comparison(*two))


def test_predictions_of_other_solvers(predictions: Path) -> None:
    """A submission and a benchmarking folder have attempts, and no votes."""
    submission = PredictionSource.open(predictions).predictions.submission()
    del submission["first001"]
    write_json("theirs.json", submission)
    found = data_of(make_page(Path("theirs.json"), "some_challenges.json"))["tasks"]
    assert [task["outcome"] for task in found] == ["wrong", "second", "close", "wrong"]
    answers = [test["answers"][0] for task in found for test in task["tests"]]
    assert answers[0]["attempts"] == [] and all(each["candidates"] == [] for each in answers)
    assert not any(each["is_guess"] for each in answers)
    assert found[0]["confidence"] is None


def test_nothing_hostile_becomes_markup(predictions: Path) -> None:
    page = make_page(predictions)
    assert "document.title='owned'</script>" not in page
    assert "<i>model</i>" not in page and "tiny &lt;i&gt;model" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_nothing_is_loaded_from_elsewhere(predictions: Path) -> None:
    page = make_page(predictions)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    links = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert links <= {"http://www.w3.org/2000/svg"}


def test_no_folder_of_this_machine_is_on_the_page(two: tuple[Path, Path]) -> None:
    run = create_run(
        RunConfig(
            "tiny", 0, data=DataConfig(test=(str(Path("before/some_challenges.json").absolute()),))
        )
    )
    theirs = run / "theirs.json"  # says nothing itself: its tasks are those of the run
    write_json(theirs, PredictionSource.open(two[0]).predictions.submission())
    Path("theirs.json").write_bytes(theirs.read_bytes())
    given = PredictionSource.open(two[0].absolute()).tasks  # whose name is a path
    loaded = PredictionSource.open("theirs.json", tasks=given)
    pages = {
        "log": make_page(two[0].absolute()),
        "comparison": make_comparison(*two),
        "file in a run": make_page(theirs),
        "comparison with a file in a run": make_comparison(two[0], theirs),
        "loaded tasks": report_page(build_report(loaded), "1.2.3"),
    }
    for what, page in pages.items():
        assert str(Path.cwd()) not in page and os.uname().nodename not in text_of(page), what


@pytest.mark.parametrize("number", [pytest.param(10**400, id="huge"), -1, 1 << 63, True, 0.5, "9"])
def test_numbers_that_count_nothing_are_not_known(predictions: Path, number: Any) -> None:
    """A header comes with a file from elsewhere."""
    header, *lines = predictions.read_text("utf-8").splitlines()
    record = json.loads(header)
    names = ("step", "total_steps", "seed", "parameters", "tasks", "test_inputs")
    record["metadata"] |= dict.fromkeys(names, number)
    predictions.write_text("\n".join([json.dumps(record), *lines, ""]), "utf-8")
    summary = PredictionSource.open(predictions).summary
    assert [getattr(summary, name) for name in names] == [None] * len(names)
    assert "Parameters" not in text_of(make_page(predictions))


def test_without_scripts_the_outcomes_can_be_read(predictions: Path) -> None:
    page = make_page(predictions)
    (still,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.S)
    assert "≈ nearly right (1): twofold3" in still and "JavaScript" in still
    assert "<b>&x" not in still and escape("</script>") in still


def terms_of(page: str) -> list[str]:
    """Return the words that the page explains."""
    (guide,) = re.findall(r'<details class="guide">(.*?)</details>', page, re.S)
    return re.findall("<dt>(.*?)</dt>", guide)


def test_a_page_explains_the_words_that_it_has(two: tuple[Path, Path]) -> None:
    """And no others: a submission has no votes, tasks of unknown outputs have no score."""
    task, score = ["Task"], ["pass@1, pass@2", "95 % interval"]
    model = ["Vote, candidate", "Supervision step", "Halting probability", "Guess"]
    assert terms_of(make_page(two[0])) == [*task, *score, "Close call", *model]
    assert terms_of(make_comparison(*two)) == [*task, *score, "Gained, lost", "Sign test", *model]
    write_json("theirs.json", PredictionSource.open(two[0]).predictions.submission())
    theirs = make_page(Path("theirs.json"), "before/some_challenges.json")
    assert terms_of(theirs) == [*task, *score, "Close call"]
    assert "Model and settings are not known" in text_of(theirs)
    Path("before/some_solutions.json").unlink()
    assert terms_of(make_page(two[0])) == [*task, *model]


def test_one_thing_is_said_in_the_singular(tmp_path: Path) -> None:
    write_json(tmp_path / "t.json", TaskSet.from_tasks("t", [make_task("one")]).to_json())
    log = PredictionLog(tmp_path / PREDICTIONS)
    log.begin({}, {"data": [str(tmp_path / "t.json")], "max_grid_size": 30})
    log.append([Prediction("one", 0, "one", 0, RIGHT, 0.5)])
    page = make_page(log.path)
    assert "Predicted grids for 1 of 1 test input of 1 task: t.json" in text_of(page)
    assert ">Task</h2>" in page
