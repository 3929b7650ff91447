"""`arc-trm report`: what the page says, and what it does in a browser."""

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
from click.testing import CliRunner, Result
from tiny import run_config

from arc_trm.cli import main
from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import Answer, PredictionLog, VoteCounter
from arc_trm.evaluation.source import read_results
from arc_trm.evaluation.voting import Prediction, PredictionSet, Step
from arc_trm.runs import create_run
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz.report.gallery import gallery
from submission import write_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>document.title='owned'</script><b>&x"
RIGHT, OTHER, THIRD = as_grid([[1, 2], [3, 4]]), as_grid([[1, 2], [3, 5]]), as_grid([[7]])


def a_task(name: str, outputs: int = 1) -> Task:
    shown = Pair(as_grid([[1, 2, 3]]), as_grid([[3], [2]]))
    return Task(name, (shown, shown), tuple(Pair(as_grid([[9, 0]]), RIGHT) for _ in range(outputs)))


TASKS = [a_task("first001"), a_task("second02"), a_task("twofold3", 2), a_task(HOSTILE)]
# Per task and test the grids that were voted for, each by one puzzle.
VOTES: dict[tuple[str, int], list[Grid]] = {
    ("first001", 0): [RIGHT, RIGHT, RIGHT, OTHER],
    ("second02", 0): [OTHER, OTHER, RIGHT],
    ("twofold3", 0): [RIGHT],
    ("twofold3", 1): [THIRD, THIRD, OTHER, OTHER, RIGHT],
}
STEPS = (Step(None, 0.1), Step(OTHER, 0.25), Step(OTHER, 0.5), Step(RIGHT, 0.75))


def write_answers(folder: Path) -> Path:
    """challenges.json, its solutions beside it, and a predictions.jsonl that names them."""
    tasks = TaskSet.of("made-up", TASKS)
    write_json(folder / "some_challenges.json", tasks.to_json(solutions=False))
    write_json(folder / "some_solutions.json", tasks.known_solutions())
    log = PredictionLog(folder / "predictions.jsonl")
    about = {"data": [str(folder / "some_challenges.json")], "max_grid_size": 30}
    log.begin({}, {"model": "tiny <i>model</i>", **about})
    for (task, test), grids in VOTES.items():
        log.add(
            Answer(
                *(task, test, f"p{order}"),
                Prediction(f"p{order}", grid, 0.5, None, order),
                STEPS if task == "first001" and order == 0 else (),
            )
            for order, grid in enumerate(grids)
        )
    return folder / "predictions.jsonl"


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_answers(tmp_path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", *arguments])


def make_page(answers: Path, *arguments: str) -> str:
    own = [] if answers.suffix == ".jsonl" else ["--data", "some_challenges.json"]
    result = invoke(str(answers), *own, *arguments)
    assert result.exit_code == 0, result.output
    name = "report.html" if answers.name == "predictions.jsonl" else f"{answers.stem}.html"
    return Path(name).read_text("utf-8")


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_the_data_of_the_page(answers: Path) -> None:
    tasks = data_of(make_page(answers))["tasks"]
    outcomes = {task["id"]: (task["outcome"], task["second"], task["voted"]) for task in tasks}
    assert outcomes == {
        "first001": ("solved", False, False),
        "second02": ("solved", True, False),
        "twofold3": ("partly", False, True),
        HOSTILE: ("unsolved", False, False),
    }
    first, _, twofold, hostile = tasks
    assert first["train"] == [["123", "3/2"]] * 2
    (test,) = first["tests"]
    assert (test["input"], test["truth"], test["attempts"]) == ("90", "12/34", ["12/34", "12/35"])
    assert test["steps"] == [[0.1, None], [0.25, "12/35"], [0.5], [0.75, "12/34"]]
    assert [each["votes"] for each in test["candidates"]] == [3, 1]
    assert (test["votes"], first["confidence"]) == (4, 0.75)
    late = twofold["tests"][1]
    assert (late["rank"], late["rank_votes"], late["distinct"]) == (3, 1, 3)
    assert len(hostile["tests"][0]["attempts"]) == 2 and hostile["confidence"] is None


def test_the_scores_on_the_page_are_those_of_score(answers: Path) -> None:
    page = make_page(answers)
    scored = CliRunner().invoke(main, ["score", str(answers), "--solutions", "some_solutions.json"])
    assert scored.exit_code == 0, scored.output
    lines = re.findall(r"(pass@\d)  (per output|per task|strict) +(\S+) +(\S+) %", scored.output)
    assert len(lines) == 6
    for k, name, solved, percent in lines:
        assert re.search(
            rf"{k}, {name}</th><td class='number'>{solved}</td><td class='number'>{percent} %", page
        )


def test_nothing_hostile_becomes_markup(answers: Path) -> None:
    page = make_page(answers)
    assert "document.title='owned'</script>" not in page
    assert "<i>model</i>" not in page and "tiny &lt;i&gt;model" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_nothing_is_loaded_from_elsewhere(answers: Path) -> None:
    page = make_page(answers)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    links = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert links <= {"http://www.w3.org/2000/svg"}


def test_without_known_outputs_there_is_no_score(answers: Path) -> None:
    Path("some_solutions.json").unlink()
    page = make_page(answers)
    assert "there is no score" in page and "pass@" not in page.split("<script")[0]
    assert {task["outcome"] for task in data_of(page)["tasks"]} == {"unknown"}


def test_solutions_say_what_is_right(answers: Path) -> None:
    Path("some_solutions.json").rename("elsewhere.json")
    page = make_page(answers, "--solutions", "elsewhere.json")
    assert data_of(page)["tasks"][0]["outcome"] == "solved"
    write_json("few.json", {"first001": [THIRD.tolist()]})
    tasks = data_of(make_page(answers, "--solutions", "few.json"))["tasks"]
    assert [task["outcome"] for task in tasks] == ["unsolved", *["unknown"] * 3]


def test_a_run_has_its_curve_and_says_its_tasks(answers: Path) -> None:
    run = create_run(run_config(Path("some_challenges.json").absolute()), Path("run"))
    records = [{"step": n, "lm_loss": 1 / n, "exact_accuracy": 0.5} for n in range(1, 9)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    shutil.copy(answers, run)
    result = invoke("run")
    assert result.exit_code == 0, result.output
    page = (run / "report.html").read_text("utf-8")
    assert "<polyline" in page and "over 8 steps; at the end 0.125 and 50.0 %" in page
    assert data_of(page)["tasks"][0]["outcome"] == "solved"


def test_answers_of_others(answers: Path) -> None:
    """A submission and a benchmarking folder have attempts, and no votes."""
    tasks = TaskSet.of("made-up", TASKS)
    submission = read_results(answers, tasks).submission()
    del submission["first001"]
    write_json("theirs.json", submission)
    found = data_of(make_page(Path("theirs.json")))["tasks"]
    assert found.pop(0)["tests"][0]["attempts"] == []
    assert [task["outcome"] for task in found] == ["solved", "partly", "unsolved"]
    assert all(test["candidates"] == [] for task in found for test in task["tests"])
    assert found[0]["confidence"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["gone.jsonl"],
            "gone.jsonl does not exist: name a predictions.jsonl, a submission, a",
        ),
        (["gone.json", "--data", "some_challenges.json"], "gone.json does not exist"),
        (
            ["theirs.json", "--data", "arc-agi-1/training"],
            "answers none of the 400 tasks of arc",
        ),
        (["predictions.jsonl", "--data", "arc-agi-1/training"], "answers none of the 400 tasks of"),
        (["predictions.jsonl", "--solutions", "other.json"], "are of none of the 4 tasks of"),
        (["predictions.jsonl", "--data", "nowhere"], "'nowhere' is neither a dataset nor"),
        (["theirs.json"], "theirs.json does not say which tasks it answers: name them with --data"),
        (["predictions.jsonl", "--out", "no/report.html"], "the folder"),
        (["predictions.jsonl", "--solutions", "wrong.json"], "hold 2 test outputs: give those of"),
        (["."], "the tasks in"),
        (["empty"], "empty does not say which tasks it answers"),
    ],
)
def test_mistakes_get_one_sentence(answers: Path, arguments: list[str], sentence: str) -> None:
    write_json("theirs.json", {"first001": [{"attempt_1": [[1]], "attempt_2": [[1]]}]})
    write_json("wrong.json", {"first001": [[[1]], [[1]]]})
    write_json("other.json", {"other": [[[1]]]})
    Path("empty").mkdir()
    if arguments == ["."]:  # other tasks than were answered
        header, _, rest = answers.read_text().partition("\n")
        answers.write_text(json.dumps({**json.loads(header), "tasks": "0" * 64}) + "\n" + rest)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.output.count("\n") == 1 and sentence in result.output
    assert not list(Path().rglob("*.html"))


def test_the_gallery_shows_no_more_than_a_few_candidates() -> None:
    tasks = TaskSet.of("x", [a_task("many")])
    answers = [
        Answer("many", 0, f"p{n}", Prediction(f"p{n}", as_grid([[n]]), 0.5, None, n))
        for n in range(9)
    ]
    votes = VoteCounter(tasks)
    votes.add(answers)
    (task,) = gallery(PredictionSet.of(tasks, votes))["tasks"]
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
def report_in(browser: Browser, answers: Path) -> Iterator[Page]:
    """The report on these answers, opened from the disk."""
    result = invoke(str(answers))
    assert result.exit_code == 0, result.output
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith("file:") else troubles.append(asked.url),
    )
    opened.goto(answers.with_name("report.html").as_uri())
    opened.wait_for_selector("body[data-complete]")
    yield opened
    assert troubles == []
    opened.close()


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with report_in(browser, write_answers(tmp_path_factory.mktemp("report"))) as opened:
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
        ("second", ["second02"]),
        ("unsolved", ["twofold3", HOSTILE]),
        ("partly", ["twofold3"]),
        ("voted", ["twofold3"]),
        ("unknown", []),
    ],
)
def test_browser_filters_by_outcome(page: Page, outcome: str, expected: list[str]) -> None:
    page.select_option("#outcome", outcome)
    assert shown_tasks(page) == expected
    assert page.inner_text("#count") == f"{len(expected)} of 4 tasks"


def test_browser_filters_by_id_and_sorts(page: Page) -> None:
    page.fill("#search", "FIRST")
    assert shown_tasks(page) == ["first001"]
    page.fill("#search", "")
    page.select_option("#order", "unsure")
    assert shown_tasks(page) == [HOSTILE, "second02", "twofold3", "first001"]
    page.select_option("#order", "sure")
    assert shown_tasks(page) == ["first001", "twofold3", "second02", HOSTILE]


def test_browser_slides_through_the_steps_by_keyboard(page: Page) -> None:
    slider = page.get_by_label("How the answer to test input 1 changed").first
    told, draft = page.locator("#task-first001 output"), page.locator("#task-first001 .steps + div")
    assert told.text_content() == "step 4 of 4, halting score 75 %, right"
    slider.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == told.inner_text()
        seen.append((told.inner_text(), draft.locator("svg").count()))
    assert seen == [
        ("step 3 of 4, halting score 50 %, wrong", 1),
        ("step 2 of 4, halting score 25 %, wrong", 1),
        ("step 1 of 4, halting score 10 %, wrong", 0),
    ]
    assert "no grid" in draft.inner_text()


def test_browser_goes_to_the_task_of_a_link(page: Page) -> None:
    """Although the tasks above it grow while they are filled."""
    assert page.context.browser
    other = page.context.browser.new_page(viewport={"width": 400, "height": 300})
    other.goto(page.url.partition("#")[0] + "#task-twofold3")
    other.wait_for_selector("body[data-complete]")
    top = other.locator("#task-twofold3").evaluate("node => node.getBoundingClientRect().top")
    assert -5 <= top <= 100
    other.close()


def test_browser_says_when_nothing_is_left(page: Page) -> None:
    page.fill("#search", "zzz")
    assert page.locator("#nothing").is_visible()
    page.fill("#search", "first")
    assert not page.locator("#nothing").is_visible()


def test_browser_shows_votes(page: Page) -> None:
    text = page.locator("#task-twofold3").inner_text()
    assert "3 different answers" in text
    assert re.search(r"Attempt 1\s+2 of 5 \(40 %\)\s+50 %\s+✗ wrong", text)
    assert re.search(r"Candidate 3\s+1 of 5 \(20 %\)\s+50 %\s+✓ right", text)
    width = page.locator("#task-first001 .votes .bar i").first.bounding_box()
    whole = page.locator("#task-first001 .votes .bar").first.bounding_box()
    assert width and whole and abs(width["width"] / whole["width"] - 0.75) < 0.02


def test_browser_spells_digits_on_demand(page: Page) -> None:
    answer = page.locator("#task-first001 .row svg").nth(5)
    assert answer.locator("text").count() == 0
    page.focus("#digits")
    page.keyboard.press("Space")
    page.wait_for_selector("body[data-complete]")
    assert sorted("".join(answer.locator("text").all_text_contents())) == ["1", "2", "3", "4"]
    assert answer.get_attribute("aria-label") == "Attempt 1, 2 rows of 2, right: 1 2; 3 4"


def test_browser_keeps_digits_for_what_is_drawn_later(page: Page) -> None:
    page.check("#digits")
    page.wait_for_selector("body[data-complete]")
    slider = page.locator("#step-0-0")
    slider.fill("2")
    label = page.locator("#task-first001 .steps + div svg").get_attribute("aria-label")
    assert label == "Draft after step 2, 2 rows of 2, wrong: 1 2; 3 5"


@pytest.mark.parametrize("scheme", ["light", "dark"])
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


def test_browser_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("#task-first001 svg").first.is_visible()


# Sudokus and mazes

PUZZLES = {
    "Sudoku": ["1.3..41.2..3.3.1,1234341221434321"] * 2,
    "Maze": ["S  G,So G"] * 3,
}


def write_board_answers(folder: Path, kind: str) -> Path:
    """Answers to three puzzles: right, wrong and, of a maze, another shortest path."""
    path = folder / "puzzles.csv"
    path.write_text("\n".join(["question,answer", *PUZZLES[kind]]) + "\n")
    tasks = load_tasks(str(path))
    output = tasks["1"].test[0].output
    assert output is not None
    wrong = tasks["1"].test[0].input  # unanswered
    given = {"1": output, "2": wrong}
    if kind == "Maze":
        given["3"] = as_grid([[2, 1], [4, 3]])
    log = PredictionLog(folder / "predictions.jsonl")
    log.begin({}, {"kind": tasks.domain, "data": [str(path)], "max_grid_size": 30})
    for name, grid in given.items():
        drafts = (Step(wrong, 0.25), Step(grid, 0.75))
        log.add([Answer(name, 0, name, Prediction(name, grid, 0.75), drafts)])
    return log.path


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        ("Sudoku", ["✓ solved", "✗ not solved"]),
        ("Maze", ["✓ solved", "✗ not solved", "✓ valid"]),
    ],
)
def test_browser_shows_puzzles(
    browser: Browser, tmp_path: Path, kind: str, verdicts: list[str]
) -> None:
    with report_in(browser, write_board_answers(tmp_path, kind)) as page:
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
        assert "halting score 75 %" in str(first.locator("header").text_content())
        assert page.locator("#task-2 .wrong-cells").count() > 0
        assert page.locator("#task-1 .row .wrong-cells").count() == 0
        if kind == "Maze":
            assert "✓ valid" in str(page.locator("#task-3 .row").text_content())
            assert page.locator("#task-3 .row .wrong-cells").count() == 0
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def measure(dataset: str) -> None:
    """Print how long a report on made-up answers to a whole dataset takes to make and to open.

    30 puzzles vote, and every test input has 16 drafts, each another one.
    """
    from playwright.sync_api import sync_playwright

    rng = np.random.default_rng(0)

    def spoilt(grid: Grid, share: float) -> Grid:
        changed = rng.random(grid.shape) < share
        return as_grid(np.where(changed, rng.integers(0, 10, grid.shape), grid))

    tasks = load_tasks(dataset)
    with tempfile.TemporaryDirectory() as name:
        log = PredictionLog(Path(name) / "predictions.jsonl")
        log.begin({}, {"data": [dataset], "max_grid_size": 30})
        for task in tasks:
            for test, pair in enumerate(task.test):
                assert pair.output is not None
                pool = [pair.output, *(spoilt(pair.output, 0.1) for _ in range(6))]
                drafts = tuple(Step(spoilt(pair.output, 1 - n / 15), n / 15) for n in range(16))
                log.add(
                    Answer(
                        *(task.id, test, f"p{n}"),
                        Prediction(f"p{n}", pool[rng.integers(7)], 0.5, None, n),
                        drafts if n == 0 else (),
                    )
                    for n in range(30)
                )
        began = time.monotonic()
        assert invoke(str(log.path)).exit_code == 0
        page = log.path.with_name("report.html")
        size = page.stat().st_size / 1e6
        print(f"{len(tasks)} tasks: made in {time.monotonic() - began:.2f} s, {size:.1f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            opened = browser.new_page()
            began = time.monotonic()
            opened.goto(page.as_uri())
            for what, selector in {
                "ready to use": "body[data-ready]",
                "first grids drawn": "article[data-filled]",
                "all grids drawn": "body[data-complete]",
            }.items():
                opened.wait_for_selector(selector)
                print(f"{what} after {time.monotonic() - began:.2f} s")
            browser.close()


if __name__ == "__main__":
    measure(sys.argv[1])
