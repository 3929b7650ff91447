"""The report: what the page says, and what it does in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsers import chromium
from click.testing import Result
from made_up import write_run
from paths import ROOT

from arc_trm.config import DataConfig, RunConfig
from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, PredictionSet, TraceStep
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.io import write_json
from arc_trm.runs import METRICS, PREDICTIONS, PREDICTIONS_FOLDER, create_run
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz.curve import EXACT_SHORT
from arc_trm.viz.figure import CLOSE_WORDS
from arc_trm.viz.report import build_comparison, build_report, report_page
from arc_trm.viz.report.about import about, differing
from arc_trm.viz.report.chart import training_section
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.gallery import gallery
from submission import SubmissionError
from submission.comparison import compare
from submission.scoring import format_rate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPORT = ROOT / "arc_trm" / "viz" / "report"
HOSTILE = "</script><script>document.title='owned'</script><b>&x"
RIGHT, OTHER, THIRD = as_grid([[1, 2], [3, 4]]), as_grid([[1, 2], [3, 5]]), as_grid([[7]])


def make_task(name: str, outputs: int = 1) -> Task:
    shown = Pair(as_grid([[1, 2, 3]]), as_grid([[3], [2]]))
    return Task(name, (shown, shown), tuple(Pair(as_grid([[9, 0]]), RIGHT) for _ in range(outputs)))


TASKS = [make_task("first001"), make_task("second02"), make_task("twofold3", 2), make_task(HOSTILE)]
# Per task and test the grids that were voted for, each by one puzzle.
VOTES: dict[tuple[str, int], list[Grid]] = {
    ("first001", 0): [RIGHT, RIGHT, RIGHT, OTHER],
    ("second02", 0): [OTHER, OTHER, RIGHT],
    ("twofold3", 0): [RIGHT],
    ("twofold3", 1): [THIRD, THIRD, OTHER, OTHER, RIGHT],
}
TRACE = (
    TraceStep(None, 0.1),
    TraceStep(OTHER, 0.25),
    TraceStep(OTHER, 0.5),
    TraceStep(RIGHT, 0.75),
)


def write_predictions(
    folder: Path,
    trace: tuple[TraceStep, ...] = TRACE,
    votes: dict[tuple[str, int], list[Grid]] = VOTES,
) -> Path:
    """Write challenges, their solutions beside them, and a predictions.jsonl that names them."""
    tasks = TaskSet.from_tasks("made-up", TASKS)
    challenges = folder / "some_challenges.json"
    write_json(challenges, tasks.to_json(solutions=False))
    write_json(folder / "some_solutions.json", tasks.known_solutions())
    log = PredictionLog(folder / PREDICTIONS)
    metadata = {"model": "tiny <i>model</i>", "data": [str(challenges)], "max_grid_size": 30}
    log.begin({"tasks": tasks.fingerprint(False)}, metadata)
    for (task_id, test), grids in votes.items():
        log.append(
            Prediction(
                task_id,
                test,
                f"p{order}",
                order,
                grid,
                0.5,
                trace=trace if task_id == "first001" and order == 0 else (),
            )
            for order, grid in enumerate(grids)
        )
    return log.path


@pytest.fixture
def predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_predictions(tmp_path)


def make_page(path: Path, data: str | None = None, solutions: str | None = None) -> str:
    return report_page(build_report(PredictionSource.open(path, data, solutions)), "1.2.3")


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


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


def test_what_is_said_about_the_predictions(predictions: Path) -> None:
    report = build_report(PredictionSource.open(predictions))
    assert report.title == "tiny <i>model</i>"
    assert report.facts == [
        "Predicted grids for 4 of 5 test inputs of 4 tasks: some_challenges.json"
    ]
    assert "Made by arc-trm 1.2.3." in make_page(predictions)


def text_of(page: str) -> str:
    """Return what is written on the page before scripts draw on it."""
    body = page[page.index("<body>") : page.index("<script")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


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
    assert "1 of 5 test inputs are guesses" in text


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


def test_a_run_has_its_curve_and_says_its_tasks(predictions: Path) -> None:
    data = DataConfig(test=(str(Path("some_challenges.json").absolute()),))
    run = create_run(RunConfig("tiny", 0, data=data), Path("run"))
    records = [{"step": n, "lm_loss": 1 / n, "exact_accuracy": 0.5} for n in range(1, 9)]
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    folder = run / PREDICTIONS_FOLDER / "12345678"
    folder.mkdir(parents=True)
    shutil.copy(predictions, folder)
    page = make_page(run)
    assert f"Training 8 steps; loss per example 0.125; {EXACT_SHORT} 50.0 %" in text_of(page)
    assert page.count('class="smooth"') == 2
    assert data_of(page)["tasks"][0]["outcome"] == "right"


def test_a_curve_is_smoothed_with_the_raw_line_behind() -> None:
    rng = np.random.default_rng(0)
    values = (1 + rng.normal(0, 0.1, 500)).tolist()
    page = training_section([{"step": n, "lm_loss": value} for n, value in enumerate(values)])
    raw, smooth = (re.findall(rf'class="{name}" d="M([^"]+)"', page) for name in ("raw", "smooth"))

    def spread(path: str) -> float:
        return float(np.std([float(y) for y in re.findall(r"[\d.]+", path)[1::2]]))

    assert len(raw) == len(smooth) == 1 and page.index("raw") < page.index('"smooth"')
    assert spread(smooth[0]) < 0.5 * spread(raw[0])
    assert "No sequence halted yet" in page  # so there is no exact accuracy


def test_a_curve_does_not_end_before_a_loss_that_is_not_finite() -> None:
    records = [{"step": n, "lm_loss": 1.5} for n in range(1, 9)]
    page = training_section([*records, {"step": 9, "lm_loss": float("nan")}])
    assert "9 steps; loss per example nan" in page
    assert "at the end loss per example nan" in page
    assert "at the end no sequence halted yet" in page


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


def test_the_gallery_has_no_more_than_a_few_candidates() -> None:
    tasks = TaskSet.from_tasks("x", [make_task("many")])
    counter = VoteCounter(tasks)
    counter.add(Prediction("many", 0, f"p{n}", n, as_grid([[n]]), 0.5) for n in range(9))
    entry = Entry("x", PredictionSummary("x"), PredictionSet(tasks, counter), None)
    (task,) = gallery([entry])["tasks"]
    (answers,) = task["tests"][0]["answers"]
    assert len(answers["candidates"]) == 5 and answers["distinct"] == answers["votes"] == 9
    assert answers["rank"] is None


# In a browser


@contextmanager
def open_report(browser: Browser, predictions: Path) -> Iterator[Page]:
    """Open the report on these predictions from the disk."""
    path = predictions.parent / "report.html"
    with open_page(browser, make_page(predictions), path) as page:
        yield page


@contextmanager
def open_page(browser: Browser, html: str, path: Path) -> Iterator[Page]:
    """Open a page from the disk."""
    path.write_text(html, "utf-8")
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on(
        "request",
        lambda request: None if request.url.startswith("file:") else problems.append(request.url),
    )
    opened.goto(path.as_uri())
    opened.wait_for_selector("body[data-complete]")
    yield opened
    assert problems == []
    opened.close()


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_report(browser, write_predictions(tmp_path_factory.mktemp("report"))) as opened:
        yield opened


@pytest.fixture(autouse=True)
def as_opened(request: pytest.FixtureRequest) -> None:
    if "page" in request.fixturenames:
        shown: Page = request.getfixturevalue("page")
        shown.set_viewport_size({"width": 1200, "height": 900})
        shown.evaluate("history.replaceState(null, '', location.pathname)")
        shown.reload()
        shown.wait_for_selector("body[data-complete]")


def shown_tasks(page: Page) -> list[str]:
    names: list[str] = page.locator("article:visible h3").all_text_contents()
    return [name.removeprefix("Task ") for name in names]


@pytest.mark.browser
def test_browser_shows_every_task_and_says_its_outcome(page: Page) -> None:
    assert page.title() == "tiny <i>model</i>"
    assert shown_tasks(page) == [task.id for task in TASKS]
    verdicts = page.locator("article > header .outcome").all_text_contents()
    assert verdicts == [
        "✓ right",
        "2 right at the second attempt",
        "≈ nearly right",
        "○ guess",
    ]
    first = page.locator("#task-first001")
    names = [svg.get_attribute("aria-label") for svg in first.locator(".row svg").all()]
    assert names[4:] == [
        "Test input 1, 1 rows of 2",
        "Attempt 1, 2 rows of 2, right",
        "Attempt 2, 2 rows of 2, wrong",
        "Correct output, 2 rows of 2",
    ]
    # Wrong by a shape, too: a cross in the one wrong cell.
    crosses = first.locator(".row .wrong-cells").all()
    assert [cross.get_attribute("d") for cross in crosses] == ["M1.2 1.2l.6 .6m0 -.6l-.6 .6"]
    assert "2 × 2, 1 cell wrong" in (first.text_content() or "")
    assert "1 × 1, correct is 2 × 2" in (page.locator("#task-twofold3").text_content() or "")
    assert "both attempts are guesses" in (page.locator("article").nth(3).text_content() or "")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("all tasks 4", ["first001", "second02", "twofold3", HOSTILE]),
        ("right 1", ["first001"]),
        ("right at the second attempt 1", ["second02"]),
        ("nearly right 1", ["twofold3"]),
        ("guess 1", [HOSTILE]),
        ("not right, but the correct answer got votes 1", ["twofold3"]),
    ],
)
@pytest.mark.browser
def test_browser_filters_by_outcome(page: Page, outcome: str, expected: list[str]) -> None:
    chip = page.get_by_role("button", name=outcome, exact=True)
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    assert shown_tasks(page) == expected
    assert page.inner_text("#count") == f"{len(expected)} of 4 tasks"
    assert page.locator("#strip a:visible").count() == len(expected)


@pytest.mark.browser
def test_browser_jumps_from_the_overview(page: Page) -> None:
    """The strip is one stop of the Tab key, within which arrow keys move."""
    names = [mark.get_attribute("aria-label") for mark in page.locator("#strip a").all()]
    assert names[:2] == ["Task first001: right", "Task second02: right at the second attempt"]
    assert page.locator("#strip a[tabindex='0']").count() == 1
    page.locator("#strip a").first.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("location.hash") == "#task-twofold3"
    assert page.evaluate("document.activeElement.textContent") == "Task twofold3"


@pytest.mark.browser
def test_browser_goes_to_wrong_tasks_and_close_calls_by_keys(page: Page) -> None:
    def gone_to(key: str) -> str:
        page.keyboard.press(key)
        return str(page.evaluate("document.activeElement.textContent"))

    assert [gone_to(key) for key in "jjkc"] == [
        "Task first001",
        "Task second02",
        "Task first001",
        "Task second02",
    ]
    assert [gone_to("w"), gone_to("w")] == ["Task twofold3", f"Task {HOSTILE}"]
    assert gone_to("Shift+C") == "Task twofold3"
    assert gone_to("Shift+W") == "Task twofold3"  # no wrong task precedes it, so the page stays
    assert page.inner_text("#count") == "no earlier one of 4 tasks shown"
    page.uncheck("#keys")
    page.locator("#task-second02 h3 a").focus()
    assert gone_to("j") == "Task second02"
    page.check("#keys")
    page.focus("#search")
    page.keyboard.press("w")  # is typed
    assert page.input_value("#search") == "w"


@pytest.mark.browser
def test_browser_enlarges_a_grid(page: Page) -> None:
    grid = page.get_by_role("button", name="Attempt 2, 2 rows of 2, wrong").first
    small = grid.locator("svg").bounding_box()
    grid.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Attempt 2 ✗ wrong 2 × 2, 1 cell wrong")
    large = dialog.locator("svg").bounding_box()
    assert small and large and large["width"] > 1.5 * small["width"]
    assert dialog.locator(".wrong-cells").count() == 1
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert grid.evaluate("node => node === document.activeElement")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.browser
def test_browser_draws_the_pairs_of_a_task_at_one_scale(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    """Also those of very different sizes; a larger wrong answer is drawn smaller and says so."""
    large, small = as_grid(np.ones((29, 29), int)), as_grid([[1, 2]])
    wrong = large.copy()
    wrong[3, 4] = 2
    pairs = (Pair(large, small), Pair(small, large))
    task = Task("sizes", pairs, (Pair(small, large),))
    tiny = Task("tiny", (Pair(small, small),), (Pair(small, small),))
    with open_tasks(
        browser, tmp_path, [task, tiny], {("sizes", 0): [as_grid(wrong)], ("tiny", 0): [large]}
    ) as page:
        page.set_viewport_size({"width": width, "height": 800})
        cells = page.locator("#task-sizes .row svg").evaluate_all(
            "all => all.map(svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
        )
        assert len(cells) >= 6 and max(cells) - min(cells) < 0.01
        # In such small cells a cross could not be read.
        path = page.locator("#task-sizes .row .wrong-cells").first.get_attribute("d")
        assert path and path.startswith("M4.3 3.3h.4v.4")
        assert "29 × 29, correct is 1 × 2, drawn smaller" in (page.text_content("#task-tiny") or "")


@pytest.mark.browser
def test_browser_filters_by_id_and_sorts(page: Page) -> None:
    page.fill("#search", "FIRST")
    assert shown_tasks(page) == ["first001"]
    page.fill("#search", "")
    page.select_option("#order", "unsure")
    assert shown_tasks(page) == [HOSTILE, "second02", "twofold3", "first001"]
    page.select_option("#order", "sure")
    assert shown_tasks(page) == ["first001", "twofold3", "second02", HOSTILE]


@pytest.mark.browser
def test_browser_slides_through_the_steps_by_keyboard(page: Page) -> None:
    first = page.locator("#task-first001")
    first.get_by_text("3 predictions in 4 supervision steps").click()
    slider = page.get_by_label("Step for test input 1")
    status, slot = first.locator("output"), first.locator(".steps + div")
    assert status.text_content() == "4 of 4, halting probability 75 %, right"
    slider.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == status.inner_text()
        seen.append((status.inner_text(), slot.locator("svg").count()))
    assert seen == [
        ("3 of 4, halting probability 50 %, wrong", 1),
        ("2 of 4, halting probability 25 %, wrong", 1),
        ("1 of 4, halting probability 10 %, no grid", 0),
    ]
    assert "no grid" in slot.inner_text()


@pytest.mark.browser
def test_browser_goes_to_the_task_of_a_link(page: Page) -> None:
    """Although the tasks above it grow while they are filled."""
    assert page.context.browser
    other = page.context.browser.new_page(viewport={"width": 400, "height": 300})
    other.goto(page.url.partition("#")[0] + "#task-twofold3")
    other.wait_for_selector("body[data-complete]")
    top = other.locator("#task-twofold3").evaluate("node => node.getBoundingClientRect().top")
    assert -5 <= top <= 100
    other.close()


@pytest.mark.browser
def test_browser_says_when_nothing_is_left(page: Page) -> None:
    page.fill("#search", "zzz")
    assert page.locator("#nothing").is_visible()
    page.fill("#search", "first")
    assert not page.locator("#nothing").is_visible()


@pytest.mark.browser
def test_browser_shows_votes(page: Page) -> None:
    page.locator("#task-twofold3").scroll_into_view_if_needed()
    text = page.locator("#task-twofold3").inner_text()
    assert "3 candidates" in text
    halting = r"\s+halting probability 50 %"
    assert re.search(rf"Attempt 1 ✗ wrong\s+2 of 5 votes \(40 %\){halting}", text)
    assert re.search(rf"Candidate 3 ✓ right\s+1 of 5 votes \(20 %\){halting}", text)
    assert page.locator("#task-twofold3 .votes svg").count() == 4  # a thumbnail for each
    width = page.locator("#task-first001 .votes .bar i").first.bounding_box()
    whole = page.locator("#task-first001 .votes .bar").first.bounding_box()
    assert width and whole and abs(width["width"] / whole["width"] - 0.75) < 0.02


@pytest.mark.browser
def test_browser_spells_digits_on_demand(page: Page) -> None:
    answer = page.locator("#task-first001 .row svg").nth(5)
    assert answer.locator("text").count() == 0
    page.focus("#digits")
    page.keyboard.press("Space")
    page.wait_for_selector("body[data-complete]")
    assert sorted("".join(answer.locator("text").all_text_contents())) == ["1", "2", "3", "4"]
    assert answer.get_attribute("aria-label") == "Attempt 1, 2 rows of 2, right: 1 2; 3 4"


@pytest.mark.browser
def test_browser_keeps_digits_for_what_is_drawn_later(page: Page) -> None:
    page.check("#digits")
    page.wait_for_selector("body[data-complete]")
    page.get_by_text("3 predictions in 4 supervision steps").click()
    page.locator("#step-0-0-0").fill("2")
    label = page.locator("#task-first001 .steps + div svg").get_attribute("aria-label")
    assert label == "Steps 2–3, 2 rows of 2, wrong: 1 2; 3 5"


@contextmanager
def open_tasks(
    browser: Browser, folder: Path, tasks: list[Task], votes: dict[tuple[str, int], list[Grid]]
) -> Iterator[Page]:
    """Open the report on votes on these tasks."""
    write_json(folder / "t.json", TaskSet.from_tasks("t", tasks).to_json())
    log = PredictionLog(folder / PREDICTIONS)
    log.begin({}, {"data": [str(folder / "t.json")], "max_grid_size": 30})
    for (task_id, test), grids in votes.items():
        log.append(Prediction(task_id, test, f"p{n}", n, grid, 0.5) for n, grid in enumerate(grids))
    with open_report(browser, log.path) as page:
        yield page


def find_barriers(page: Page) -> None:
    """Check the rules of axe-core, which include contrast, names and landmarks."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def open_all(page: Page) -> None:
    """Open all that is folded."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_finds_no_barrier(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    for wanted in (False, True):
        page.set_checked("#digits", wanted)
        page.wait_for_selector("body[data-complete]")
        open_all(page)
        find_barriers(page)
    page.locator("article .enlarge").first.click()
    find_barriers(page)
    page.emulate_media(color_scheme="light")


WIDTHS = (320, 360, 768, 1280)


def check_fits(page: Page) -> None:
    """Check that nothing is wider than the page, and no text is cut."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            """() => [...document.querySelectorAll("main *")]
            .filter((node) => node instanceof HTMLElement && node.checkVisibility())
            .filter((node) => {
              const box = node.parentNode.closest(".card, article, main").getBoundingClientRect();
              return node.getBoundingClientRect().right > box.right + 1
                || (getComputedStyle(node).overflowX !== "visible"
                  && node.scrollWidth > node.clientWidth);
            })
            .map((node) => `${node.className || node.tagName}: ${node.textContent.slice(0, 60)}`)"""
        )
        assert cut == [], width


@pytest.mark.browser
def test_browser_fits_every_width(page: Page) -> None:
    open_all(page)
    check_fits(page)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_shows_a_run_with_its_curve_and_published_results(
    browser: Browser, tmp_path: Path, scheme: Any
) -> None:
    """The charts take the colours of the page, fit a phone, and the first task is near the top."""
    run = write_run(tmp_path / "run", "arc-agi-1/evaluation", 0, 0.4)
    with open_report(browser, run) as page:
        page.emulate_media(color_scheme=scheme)
        top = page.locator("article").first.evaluate("node => node.getBoundingClientRect().top")
        assert top < 1200
        open_all(page)
        background, line = page.evaluate(
            """() => [".plot", ".plot .smooth"].map((selector) => {
              let node = document.querySelector(selector);
              if (selector !== ".plot") return getComputedStyle(node).stroke;
              const colour = () => getComputedStyle(node).backgroundColor;
              while (colour() === "rgba(0, 0, 0, 0)") node = node.parentNode;
              return colour();
            })"""
        )
        assert (brightness(background) > brightness(line)) == (scheme == "light")
        check_fits(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 640})
            sizes = page.locator(".plot > span:visible").evaluate_all(
                "all => all.map(each => parseFloat(getComputedStyle(each).fontSize))"
            )
            assert min(sizes) >= 12  # readable


def brightness(colour: str) -> float:
    """Return the mean of red, green and blue in `rgb(1, 2, 3)`."""
    return float(np.mean([float(each) for each in re.findall(r"[\d.]+", colour)[:3]]))


def test_colours_are_named_in_one_place() -> None:
    """So that dark mode changes all of them."""
    files = {path.name: path.read_text("utf-8") for path in REPORT.glob("*.*")}
    assert {"page.css", "grids.js", "tasks.js", "overview.js", "chart.py"} <= set(files)
    for name, text in files.items():
        if name.endswith(".css"):
            text = re.sub(r":root \{[^}]*\}", "", text)
        found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[\s;\"',)])|\brgba?\(|\bhsla?\(", text)
        assert found == [], name


def test_dark_mode_changes_every_colour_that_a_page_has() -> None:
    css = (REPORT / "page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{([^}]*--ink[^}]*)\}", css)
    named, changed = (set(re.findall(r"(--[\w-]+): #", part)) for part in (light, dark))
    assert changed <= named
    # Marks and digits stand on the colours of cells, which are the same in both.
    assert named - changed == {"--dark", "--light", "--shadow"}


# Two sets of predictions

BETTER: dict[tuple[str, int], list[Grid]] = {
    ("first001", 0): [THIRD, OTHER],
    ("second02", 0): [RIGHT],
    ("twofold3", 0): [RIGHT],
    ("twofold3", 1): [RIGHT],
}
"""Votes that lose first001 and gain the rest of twofold3."""


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The predictions of two runs, in folders before and after."""
    monkeypatch.chdir(tmp_path)
    return write_two(tmp_path)


def write_two(folder: Path) -> tuple[Path, Path]:
    paths = []
    for name, votes in (("before", VOTES), ("after", BETTER)):
        (folder / name).mkdir()
        paths.append(write_predictions(folder / name, votes=votes))
    return paths[0], paths[1]


def make_comparison(before: Path, after: Path) -> str:
    sources = [PredictionSource.open(path) for path in (before, after)]
    return report_page(build_comparison(*sources), "1.2.3")


def test_a_page_says_what_nearly_right_means_if_it_has_that_mark(
    two: tuple[Path, Path], predictions: Path
) -> None:
    means = f"Nearly right means {CLOSE_WORDS}."
    assert means in text_of(make_page(predictions))
    assert "early right" not in text_of(make_comparison(*two))


def test_a_comparison_shows_what_was_gained_and_lost(two: tuple[Path, Path]) -> None:
    page = make_comparison(*two)
    data, text = data_of(page), text_of(page)
    outcomes = {task["id"]: task["outcome"] for task in data["tasks"]}
    assert outcomes == {
        "first001": "lost",
        "second02": "both",
        "twofold3": "gained",
        HOSTILE: "neither",
    }
    attempts = [
        [figure["grid"] for figure in answers["attempts"]]
        for answers in data["tasks"][2]["tests"][1]["answers"]
    ]
    assert attempts[0] == ["7", "12/35"] and attempts[1][0] == "12/34"
    sources = [PredictionSource.open(path) for path in two]
    scores = [source.score() for source in sources]
    found = compare(scores[0], scores[1], np.random.default_rng(0))
    change = found.differences["pass@2", "per task"]
    low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in (change.low, change.high))
    assert "A tiny <i>model</i> pass@2 per task 62.5 %" in text
    assert "B tiny <i>model</i> pass@2 per task 50.0 %" in text
    assert f"−12.5 points 95 % bootstrap interval {low} to {high}. The interval holds 0" in text
    assert "1 task gained, 1 lost by pass@2 per output; sign test p = 1" in text


def test_what_made_the_predictions_different_is_said(two: tuple[Path, Path]) -> None:
    entry = Entry.of(PredictionSource.open(two[0]))
    first, second = (
        replace(entry, summary=PredictionSummary("x", model=name, seed=3)) for name in "ab"
    )
    assert differing([first, second]) == "they differ in weights"
    assert differing([first, first]) == "nothing known differs"
    unknown = replace(entry, summary=PredictionSummary("x"))
    assert differing([first, unknown]) == "nothing known differs"
    assert "not known" in about([first, unknown]) and "differs" not in about([first, unknown])
    table = about([first, second])
    assert table.count('class="differs"') == 1
    assert '<td class="">seed 3</td>' in table


def test_a_file_that_names_no_tasks_is_compared_on_those_of_the_other(
    two: tuple[Path, Path],
) -> None:
    before, after = two
    write_json("theirs.json", PredictionSource.open(before).predictions.submission())
    for order in ((Path("theirs.json"), after), (after, Path("theirs.json"))):
        assert "1 task gained, 1 lost" in text_of(make_comparison(*order))


def test_predictions_for_other_tasks_are_not_compared(two: tuple[Path, Path]) -> None:
    tasks = TaskSet.from_tasks("other", [make_task("other")])
    write_json("o.json", tasks.to_json())
    log = PredictionLog(Path("others.jsonl"))
    log.begin({}, {"data": ["o.json"], "max_grid_size": 30})
    log.append([Prediction("other", 0, "other", 0, RIGHT, 0.5)])
    both = f"^{two[0]} and {log.path}: only scores against the same solutions"
    with pytest.raises(SubmissionError, match=both):
        make_comparison(two[0], log.path)


def test_the_command_compares_two(two: tuple[Path, Path], cli: Callable[..., Result]) -> None:
    done = cli("report", "before", "after")
    assert done.exit_code == 0, done.stderr
    page = Path("after", "comparison-with-tiny-i-model-i.html")
    files = " and ".join(str(Path(name, PREDICTIONS)) for name in ("before", "after"))
    facts = "Predicted grids for 4 and 4 of 5 test inputs of 4 tasks: some_challenges.json"
    assert done.stdout == f"Wrote {page} about {files}: {facts}\n"
    assert "1 task gained" in page.read_text("utf-8")


def test_the_command_replaces_earlier_reports_only(
    two: tuple[Path, Path], cli: Callable[..., Result]
) -> None:
    for _ in range(2):
        assert cli("report", "before", "--out", "page.html").exit_code == 0
    thesis = Path("thesis.html")
    for content in ("<html>mine</html>", ""):
        thesis.write_text(content)
        for other in ((), ("after",)):
            done = cli("report", "before", *other, "--out", thesis)
            assert done.exit_code == 2 and "thesis.html is not an earlier report" in done.stderr
            assert thesis.read_text() == content


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


@pytest.fixture
def comparison(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    before, after = write_two(tmp_path)
    with open_page(browser, make_comparison(before, after), tmp_path / "c.html") as page:
        yield page


@pytest.mark.browser
def test_browser_shows_both_sides_of_a_comparison(comparison: Page) -> None:
    chips = comparison.locator("#outcomes button").all_text_contents()
    assert [" ".join(chip.split()) for chip in chips] == [
        "all tasks 4",
        "+ gained 1",
        "− lost 1",
        "✓ both right 1",
        "✗ neither right 1",
    ]
    comparison.get_by_role("button", name="lost 1").click()
    assert shown_tasks(comparison) == ["first001"]
    groups = comparison.locator("#task-first001 .answers").all()
    verdicts = [group.locator(".verdict").all_text_contents() for group in groups]
    assert verdicts == [["✓ right", "✗ wrong"], ["✗ wrong", "✗ wrong"]]
    assert comparison.locator(".results details").get_attribute("open") is None
    comparison.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert comparison.locator(".results details").get_attribute("open") is not None
    comparison.get_by_role("button", name="all tasks 4").click()
    comparison.keyboard.press("c")
    assert comparison.evaluate("document.activeElement.textContent") == "Task twofold3"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_finds_no_barrier_in_a_comparison(comparison: Page, scheme: Any) -> None:
    comparison.emulate_media(color_scheme=scheme)
    open_all(comparison)
    find_barriers(comparison)
    check_fits(comparison)


# Pages with little on them


@pytest.mark.browser
def test_browser_shows_empty_states(browser: Browser, tmp_path: Path) -> None:
    """No known output, no vote, only guesses: each is said, and nothing is broken."""
    path = write_predictions(tmp_path)
    submission = PredictionSource.open(path).predictions.submission()
    write_json(tmp_path / "theirs.json", submission)
    theirs = make_page(tmp_path / "theirs.json", str(tmp_path / "some_challenges.json"))
    (tmp_path / "some_solutions.json").rename(tmp_path / "away.json")
    unknown = make_page(path)
    (tmp_path / "guesses").mkdir()
    guesses = make_page(write_predictions(tmp_path / "guesses", votes={}))
    expected = {
        theirs: ("pass@2 per task", "all tasks 4"),
        unknown: ("No score", "correct output not known 3"),
        guesses: ("All 5 test inputs are guesses", "guess 4"),
    }
    for html, (headline, chip) in expected.items():
        with open_page(browser, html, tmp_path / "empty.html") as page:
            assert headline in page.inner_text(".results")
            assert page.get_by_role("button", name=chip).is_visible()
            assert page.locator(".votes").count() == (2 + 2 if html == unknown else 0)
            assert page.locator(".sections").count() == 0  # neither a curve nor results
            find_barriers(page)
            check_fits(page)


def test_without_scripts_the_outcomes_can_be_read(predictions: Path) -> None:
    page = make_page(predictions)
    (still,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.S)
    assert "≈ nearly right (1): twofold3" in still and "JavaScript" in still
    assert "<b>&x" not in still and escape("</script>") in still


# Sudokus and mazes

PUZZLES = {
    "Sudoku": ["1.3..41.2..3.3.1,1234341221434321"] * 2,
    "Maze": ["S  G,So G"] * 3,
}


def write_puzzle_predictions(folder: Path, kind: str) -> Path:
    """Write answers to three puzzles: right, wrong and, of a maze, another shortest path."""
    path = folder / "puzzles.csv"
    path.write_text("\n".join(["question,answer", *PUZZLES[kind]]) + "\n")
    tasks = load_tasks(str(path))
    question, output = tasks["1"].test[0].grids
    answers = {"1": output, "2": question}
    if kind == "Maze":
        answers["3"] = as_grid([[2, 1], [4, 3]])
    log = PredictionLog(folder / PREDICTIONS)
    log.begin({}, {"kind": tasks.kind, "data": [str(path)], "max_grid_size": 30})
    for task_id, grid in answers.items():
        trace = (TraceStep(question, 0.25), TraceStep(grid, 0.75))
        log.append([Prediction(task_id, 0, task_id, 0, grid, 0.75, trace=trace)])
    return log.path


@pytest.mark.parametrize("kind", ["Sudoku", "Maze"])
def test_a_report_on_puzzles(tmp_path: Path, kind: str) -> None:
    page = make_page(write_puzzle_predictions(tmp_path, kind))
    count, text = len(PUZZLES[kind]), text_of(page)
    share = f"{100 / count:.1f} %"
    assert f"Predicted grids for {count} of {count} puzzles: puzzles.csv" in text
    assert f"exact {share} 0 50 100 %" in text and f"1 of {count} puzzles" in text
    assert f"exact every cell as in the known answer, as published {share} 1/{count}" in text
    assert f"{100 * (count - 1) / count:.1f} % {count - 1}/{count}" in text
    assert ">Puzzles</h2>" in page and "<label hidden>" in page and "<label>Number " in page
    data = data_of(page)
    assert data["noun"] == "puzzle" and data["theme"]["symbols"]
    assert [task["title"] for task in data["tasks"]] == [f"{kind} {n + 1}" for n in range(count)]
    outcomes = ["right", "close" if kind == "Maze" else "wrong", "valid"][:count]
    assert [task["outcome"] for task in data["tasks"]] == outcomes
    assert data["tasks"][0]["confidence"] == 0.75
    if kind == "Maze":
        (test,) = data["tasks"][2]["tests"]
        assert test["answers"][0]["attempts"] == [
            {"label": "Answer", "grid": "21/43", "verdict": "valid"}
        ]


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("Sudoku", ["✓ right", "✗ wrong"]),
        ("Maze", ["✓ right", "≈ nearly right", "≡ valid, not as the known answer"]),
    ],
)
@pytest.mark.browser
def test_browser_shows_puzzles(
    browser: Browser, tmp_path: Path, kind: str, verdicts: list[str]
) -> None:
    with open_report(browser, write_puzzle_predictions(tmp_path, kind)) as page:
        assert page.locator("article > header .outcome").all_text_contents() == verdicts
        names = page.locator("article h3").all_text_contents()
        assert names == [f"{kind} {number + 1}" for number in range(len(verdicts))]
        assert page.locator("#tasks-heading").text_content() == "Puzzles"
        assert not page.locator("#digits").is_visible()  # signs are always written
        assert (
            page.locator("#count").text_content() == f"{len(verdicts)} of {len(verdicts)} puzzles"
        )
        assert not page.locator("#demonstrations").is_visible()  # there are none
        first = page.locator("#task-1")
        labels = [svg.get_attribute("aria-label") for svg in first.locator(".row svg").all()]
        assert [str(label).split(",")[0] for label in labels] == [
            "Question",
            "Answer",
            "Known answer",
        ]
        written = first.locator(".row svg").first.locator("text").all_text_contents()
        assert "".join(written) == ("13412331" if kind == "Sudoku" else "SG")
        assert "halting probability 75 %" in str(first.locator("header").text_content())
        assert page.locator("#task-2 .wrong-cells").count() > 0
        assert page.locator("#task-1 .row .wrong-cells").count() == 0
        if kind == "Maze":
            assert "✓ valid" in str(page.locator("#task-3 .row").text_content())
            assert page.locator("#task-3 .row .wrong-cells").count() == 0
        find_barriers(page)
        check_fits(page)


def measure(dataset: str) -> None:
    """Print how long the report on made-up predictions for a dataset takes to make and to open."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        run = write_run(Path(name) / "run", dataset, 0, 0.4)
        started = time.monotonic()
        page = run / "report.html"
        page.write_text(make_page(run), "utf-8")
        size = page.stat().st_size / 1e6
        print(f"made in {time.monotonic() - started:.2f} s, {size:.1f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            opened = browser.new_page()
            started = time.monotonic()
            opened.goto(page.as_uri())
            for what, selector in {
                "ready to use": "body[data-ready]",
                "first grids drawn": "article[data-filled]",
                "all grids drawn": "body[data-complete]",
            }.items():
                opened.wait_for_selector(selector)
                print(f"{what} after {time.monotonic() - started:.2f} s")
            browser.close()


if __name__ == "__main__":
    measure(sys.argv[1])
