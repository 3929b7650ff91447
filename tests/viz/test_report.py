"""The report: what the page says, and what it does in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from arc_trm.config import DataConfig, RunConfig
from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, PredictionSet, TraceStep
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.io import write_json
from arc_trm.runs import METRICS, PREDICTIONS, create_run
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz.report import build_report, report_page
from arc_trm.viz.report.gallery import gallery
from submission import DENOMINATORS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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


def write_predictions(folder: Path) -> Path:
    """Write challenges, their solutions beside them, and a predictions.jsonl that names them."""
    tasks = TaskSet.from_tasks("made-up", TASKS)
    challenges = folder / "some_challenges.json"
    write_json(challenges, tasks.to_json(solutions=False))
    write_json(folder / "some_solutions.json", tasks.known_solutions())
    log = PredictionLog(folder / PREDICTIONS)
    metadata = {"model": "tiny <i>model</i>", "data": [str(challenges)], "max_grid_size": 30}
    log.begin({}, metadata)
    for (task_id, test), grids in VOTES.items():
        log.append(
            Prediction(
                task_id,
                test,
                f"p{order}",
                order,
                grid,
                0.5,
                trace=TRACE if task_id == "first001" and order == 0 else (),
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
    tasks = data_of(make_page(predictions))["tasks"]
    outcomes = {
        task["id"]: (task["outcome"], task["needs_several_attempts"], task["correct_got_votes"])
        for task in tasks
    }
    assert outcomes == {
        "first001": ("solved", False, False),
        "second02": ("solved", True, False),
        "twofold3": ("partly", False, True),
        HOSTILE: ("unsolved", False, False),
    }
    first, _, twofold, hostile = tasks
    assert first["title"] == "Task first001"
    pair = {
        "input": {"label": "Input 1", "grid": "123"},
        "attempts": [],
        "output": {"label": "Output", "grid": "3/2"},
    }
    assert first["demonstrations"][0] == pair and len(first["demonstrations"]) == 2
    (test,) = first["tests"]
    wrong = {"grid": "12/35", "verdict": "wrong", "wrong_cells": "10"}
    right = {"grid": "12/34", "verdict": "right"}
    assert test["input"] == {"label": "Test input 1", "grid": "90"}
    assert test["output"] == {"label": "Correct output", "grid": "12/34"}
    assert test["attempts"] == [{"label": "Attempt 1", **right}, {"label": "Attempt 2", **wrong}]
    assert test["trace"] == [
        {"halt_prob": 0.1, "figure": {"label": "Step 1", "grid": None}},
        {"halt_prob": 0.25, "figure": {"label": "Steps 2–3", **wrong}},
        {"halt_prob": 0.5},
        {"halt_prob": 0.75, "figure": {"label": "Step 4", **right}},
    ]
    assert [each["votes"] for each in test["candidates"]] == [3, 1]
    assert [each["is_attempt"] for each in test["candidates"]] == [True, True]
    assert (test["votes"], first["confidence"]) == (4, 0.75)
    late = twofold["tests"][1]
    assert (late["rank"], late["rank_votes"], late["distinct"]) == (3, 1, 3)
    assert late["candidates"][2]["figure"] == {"label": "Candidate 3", **right}
    assert not late["candidates"][2]["is_attempt"]
    assert len(hostile["tests"][0]["attempts"]) == 2 and hostile["confidence"] is None


def test_what_is_said_about_the_predictions(predictions: Path) -> None:
    report = build_report(PredictionSource.open(predictions))
    assert report.title == "tiny <i>model</i>"
    assert report.facts == [
        "Predicted grids for 4 of 5 test inputs of 4 tasks: some_challenges.json"
    ]
    assert "Made by arc-trm 1.2.3." in make_page(predictions)


def test_the_scores_on_the_page_are_those_of_the_predictions(predictions: Path) -> None:
    page = make_page(predictions)
    score = PredictionSource.open(predictions).score()
    assert len(score.rates) == 6
    for (k, name), rate in score.rates.items():
        solved, percent = f"{round(rate.solved, 2):g}/{rate.total}", f"{100 * rate.value:.1f}"
        assert (
            f"{k}, {name}</th><td class='number'>{solved}</td><td class='number'>{percent} %"
            in page
        )
    assert f"per output: {DENOMINATORS['per output']}; per task: " in page


@pytest.mark.slow
def test_published_results_are_beside_the_score_of_their_tasks(tmp_path: Path) -> None:
    tasks = load_tasks("arc-agi-1/evaluation")
    write_json(tmp_path / "s.json", PredictionSet(tasks, ()).submission())
    page = make_page(tmp_path / "s.json", data="arc-agi-1/evaluation")
    assert "Published for arc-agi-1/evaluation (400 tasks, 2 attempts each)" in page
    own, published = re.findall(
        r"<th scope='row'>([^<]+)</th>", page[page.index("Published for") :]
    )[:2]
    assert own == "these predictions" and published != own
    assert "<td>per task</td>" in page


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
    assert "there is no score" in page and "pass@" not in page.split("<script")[0]
    assert {task["outcome"] for task in data_of(page)["tasks"]} == {"unknown"}


def test_solutions_say_what_is_right(predictions: Path) -> None:
    Path("some_solutions.json").rename("elsewhere.json")
    page = make_page(predictions, solutions="elsewhere.json")
    assert data_of(page)["tasks"][0]["outcome"] == "solved"
    write_json("few.json", {"first001": [THIRD.tolist()]})
    tasks = data_of(make_page(predictions, solutions="few.json"))["tasks"]
    assert [task["outcome"] for task in tasks] == ["unsolved", *["unknown"] * 3]


def test_a_run_has_its_curve_and_says_its_tasks(predictions: Path) -> None:
    data = DataConfig(test=(str(Path("some_challenges.json").absolute()),))
    run = create_run(RunConfig("tiny", 0, data=data), Path("run"))
    records = [{"step": n, "lm_loss": 1 / n, "exact_accuracy": 0.5} for n in range(1, 9)]
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    folder = run / "predictions" / "some"
    folder.mkdir(parents=True)
    shutil.copy(predictions, folder)
    page = make_page(run)
    assert "<polyline" in page and "over 8 steps; at the end 0.125 and 50.0 %" in page
    assert data_of(page)["tasks"][0]["outcome"] == "solved"


def test_predictions_of_other_solvers(predictions: Path) -> None:
    """A submission and a benchmarking folder have attempts, and no votes."""
    submission = PredictionSource.open(predictions).predictions.submission()
    del submission["first001"]
    write_json("theirs.json", submission)
    found = data_of(make_page(Path("theirs.json"), "some_challenges.json"))["tasks"]
    assert found.pop(0)["tests"][0]["attempts"] == []
    assert [task["outcome"] for task in found] == ["solved", "partly", "unsolved"]
    assert all(test["candidates"] == [] for task in found for test in task["tests"])
    assert found[0]["confidence"] is None


def test_the_gallery_has_no_more_than_a_few_candidates() -> None:
    tasks = TaskSet.from_tasks("x", [make_task("many")])
    counter = VoteCounter(tasks)
    counter.add(Prediction("many", 0, f"p{n}", n, as_grid([[n]]), 0.5) for n in range(9))
    (task,) = gallery(PredictionSet(tasks, counter))["tasks"]
    (test,) = task["tests"]
    assert len(test["candidates"]) == 5 and test["distinct"] == test["votes"] == 9
    assert test["rank"] is None


# In a browser


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
    )
    if not found:
        assert "CI" not in os.environ, "no Chromium: .ci/run installs it"
        pytest.skip("needs Chromium: `apt-get install chromium`, or its path in CHROMIUM")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def open_report(browser: Browser, predictions: Path) -> Iterator[Page]:
    """Open the report on these predictions from the disk."""
    path = predictions.with_name("report.html")
    path.write_text(make_page(predictions), "utf-8")
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
        shown.reload()
        shown.wait_for_selector("body[data-complete]")


def shown_tasks(page: Page) -> list[str]:
    names: list[str] = page.locator("article:visible h3").all_text_contents()
    return [name.removeprefix("Task ") for name in names]


@pytest.mark.browser
def test_browser_shows_every_task_and_says_its_outcome(page: Page) -> None:
    assert page.title() == "tiny <i>model</i>"
    assert shown_tasks(page) == [task.id for task in TASKS]
    verdicts = page.locator("article > header .verdict").all_text_contents()
    assert verdicts == ["✓ solved", "✓ solved", "◐ partly solved", "✗ not solved"]
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
    assert "1 × 1, correct is 2 × 2" in (page.locator("#task-twofold3").text_content() or "")
    assert "both attempts are guesses" in (page.locator("article").nth(3).text_content() or "")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("all", ["first001", "second02", "twofold3", HOSTILE]),
        ("solved", ["first001", "second02"]),
        ("several", ["second02"]),
        ("unsolved", ["twofold3", HOSTILE]),
        ("partly", ["twofold3"]),
        ("candidate", ["twofold3"]),
        ("unknown", []),
    ],
)
@pytest.mark.browser
def test_browser_filters_by_outcome(page: Page, outcome: str, expected: list[str]) -> None:
    page.select_option("#outcome", outcome)
    assert shown_tasks(page) == expected
    assert page.inner_text("#count") == f"{len(expected)} of 4 tasks"


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
    slider = page.get_by_label("How the prediction for test input 1 changed").first
    status, slot = (
        page.locator("#task-first001 output"),
        page.locator("#task-first001 .steps + div"),
    )
    assert status.text_content() == "step 4 of 4, halting probability 75 %, right"
    slider.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == status.inner_text()
        seen.append((status.inner_text(), slot.locator("svg").count()))
    assert seen == [
        ("step 3 of 4, halting probability 50 %, wrong", 1),
        ("step 2 of 4, halting probability 25 %, wrong", 1),
        ("step 1 of 4, halting probability 10 %, no grid", 0),
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
    text = page.locator("#task-twofold3").inner_text()
    assert "3 candidates" in text
    assert re.search(r"Attempt 1\s+2 of 5 \(40 %\)\s+50 %\s+✗ wrong", text)
    assert re.search(r"Candidate 3\s+1 of 5 \(20 %\)\s+50 %\s+✓ right", text)
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
    slider = page.locator("#step-0-0")
    slider.fill("2")
    label = page.locator("#task-first001 .steps + div svg").get_attribute("aria-label")
    assert label == "Steps 2–3, 2 rows of 2, wrong: 1 2; 3 5"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_finds_no_barrier(page: Page, scheme: Any) -> None:
    """The rules of axe-core, which include contrast, names and landmarks."""
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    for wanted in (False, True):
        page.set_checked("#digits", wanted)
        page.wait_for_selector("body[data-complete]")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.emulate_media(color_scheme="light")


@pytest.mark.browser
def test_browser_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("#task-first001 svg").first.is_visible()


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
    count = len(PUZZLES[kind])
    assert f"Predicted grids for {count} of {count} puzzles: puzzles.csv" in page
    assert f"exact</th><td class='number'>1/{count}</td>" in page
    assert f"valid</th><td class='number'>{count - 1}/{count}</td>" in page
    assert "exact: every cell as in the known answer" in page
    assert ">Puzzles</h2>" in page and "<label hidden>" in page and "<label>Number " in page
    data = data_of(page)
    assert data["noun"] == "puzzle" and data["theme"]["symbols"]
    assert [task["title"] for task in data["tasks"]] == [f"{kind} {n + 1}" for n in range(count)]
    outcomes = ["solved", "unsolved", "valid"][:count]
    assert [task["outcome"] for task in data["tasks"]] == outcomes
    assert data["tasks"][0]["confidence"] == 0.75
    if kind == "Maze":
        (test,) = data["tasks"][2]["tests"]
        assert test["attempts"] == [{"label": "Answer", "grid": "21/43", "verdict": "valid"}]


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("Sudoku", ["✓ solved", "✗ not solved"]),
        ("Maze", ["✓ solved", "✗ not solved", "✓ valid"]),
    ],
)
@pytest.mark.browser
def test_browser_shows_puzzles(
    browser: Browser, tmp_path: Path, kind: str, verdicts: list[str]
) -> None:
    with open_report(browser, write_puzzle_predictions(tmp_path, kind)) as page:
        assert page.locator("article > header .verdict").all_text_contents() == verdicts
        names = page.locator("article h3").all_text_contents()
        assert names == [f"{kind} {number + 1}" for number in range(len(verdicts))]
        assert page.locator("#tasks-heading").text_content() == "Puzzles"
        assert not page.locator("#digits").is_visible()  # signs are always written
        assert (
            page.locator("#count").text_content() == f"{len(verdicts)} of {len(verdicts)} puzzles"
        )
        options = page.locator("#outcome option").all_text_contents()
        assert "partly solved" not in options and "valid, but not as the known answer" in options
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
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def measure(dataset: str) -> None:
    """Print how long the report on random predictions for a dataset takes to make and to open.

    30 puzzles vote, and every test input has a trace of 16 different predictions.
    """
    from playwright.sync_api import sync_playwright

    rng = np.random.default_rng(0)

    def noisy(grid: Grid, noise: float) -> Grid:
        changed = rng.random(grid.shape) < noise
        return as_grid(np.where(changed, rng.integers(0, 10, grid.shape), grid))

    tasks = load_tasks(dataset)
    with tempfile.TemporaryDirectory() as name:
        log = PredictionLog(Path(name) / PREDICTIONS)
        log.begin({}, {"data": [dataset], "max_grid_size": 30})
        for task in tasks:
            for test, pair in enumerate(task.test):
                assert pair.output is not None
                pool = [pair.output, *(noisy(pair.output, 0.1) for _ in range(6))]
                trace = tuple(TraceStep(noisy(pair.output, 1 - n / 15), n / 15) for n in range(16))
                log.append(
                    Prediction(
                        task.id,
                        test,
                        f"p{n}",
                        n,
                        pool[rng.integers(7)],
                        0.5,
                        trace=trace if n == 0 else (),
                    )
                    for n in range(30)
                )
        started = time.monotonic()
        page = log.path.with_name("report.html")
        page.write_text(make_page(log.path), "utf-8")
        size = page.stat().st_size / 1e6
        print(f"{len(tasks)} tasks: made in {time.monotonic() - started:.2f} s, {size:.1f} MB")
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
