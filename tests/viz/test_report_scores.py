"""The scores on the page of the report, and what they are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import RIGHT, THIRD, data_of, make_page, text_of, write_predictions

from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import write_json
from submission.scoring import format_rate


def test_the_scores_on_the_page_are_those_of_the_predictions(predictions: Path) -> None:
    text = text_of(make_page(predictions))
    score = PredictionSource.open(predictions).score()
    assert len(score.rates) == 6
    for name in ("per task", "per output", "strict"):
        rates = [score.rates[f"pass@{k}", name] for k in (1, 2)]
        numbers = " ".join(f"{100 * rate.value:.1f} % {format_rate(rate)}" for rate in rates)
        assert f"{name} {score.labels['pass@1', name]} {numbers}" in text


def test_the_headline_is_pass_2_per_task_with_its_interval(predictions: Path) -> None:
    text = text_of(make_page(predictions))
    assert "pass@2 per task 62.5 % " in text
    assert "95 % Wilson interval 21.9 to 90.8 %, 2.5 of 4 tasks" in text
    assert "1 of 5 test inputs is a guess: no grid" in text


def test_guesses_alone_are_no_result(tmp_path: Path) -> None:
    text = text_of(make_page(write_predictions(tmp_path, votes={("first001", 9): [RIGHT]})))
    assert "pass@2 per task 0.0 %" in text and "All 5 test inputs are guesses" in text


@pytest.mark.slow
def test_published_results_are_beside_the_score_of_their_tasks(tmp_path: Path) -> None:
    tasks = load_tasks("arc-agi-1/evaluation")
    write_json(tmp_path / "s.json", PredictionSet(tasks, ()).submission())
    text = text_of(make_page(tmp_path / "s.json", data="arc-agi-1/evaluation"))
    assert "Published for arc-agi-1/evaluation (400 tasks, 2 attempts each)" in text
    assert "these predictions per task, this page; 95 % interval 0.0 to 1.0 % 0.0 %" in text
    assert "TRM (7M parameters) per task, arXiv 2510.04871 44.6 % −44.6" in text
    assert "66.7–79.6 % −66.7 to −79.6" in text


def test_without_known_outputs_there_is_no_score(predictions: Path) -> None:
    Path("some_solutions.json").unlink()
    page = make_page(predictions)
    assert "No score No test output of these tasks is known" in text_of(
        page
    ) and "pass@" not in text_of(page)
    assert {task["outcome"] for task in data_of(page)["tasks"]} == {"unknown", "guess"}


def test_solutions_say_what_is_right(predictions: Path) -> None:
    Path("some_solutions.json").rename("elsewhere.json")
    page = make_page(predictions, solutions="elsewhere.json")
    assert data_of(page)["tasks"][0]["outcome"] == "right"
    write_json("few.json", {"first001": [THIRD.tolist()]})
    tasks = data_of(make_page(predictions, solutions="few.json"))["tasks"]
    assert [task["outcome"] for task in tasks] == ["wrong", "unknown", "unknown", "guess"]
