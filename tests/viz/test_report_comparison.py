"""The report on two sets of predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import Result
from report_browser import check_fits, find_barriers, open_all, open_page, shown_tasks
from report_pages import HOSTILE, RIGHT, data_of, make_comparison, make_task, text_of, write_two

from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.io import write_json
from arc_trm.runs import PREDICTIONS
from arc_trm.tasks import TaskSet
from arc_trm.viz.report import comparison_path
from arc_trm.viz.report.about import about, differing
from arc_trm.viz.report.entry import Entry
from submission import SubmissionError
from submission.comparison import compare

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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
    assert (
        f"−12.5 points −100 0 +100 95 % bootstrap interval {low} to {high}. It includes 0" in text
    )
    assert "1 task gained, 1 lost by pass@2 per task; sign test p = 1" in text


def test_equal_predictions_are_not_told_apart_by_an_interval(two: tuple[Path, Path]) -> None:
    text = text_of(make_comparison(two[0], two[0]))
    assert "0.0 points −10 0 +10 95 % bootstrap interval 0.0 to 0.0. No task changed" in text
    assert "includes 0" not in text


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
    (page,) = Path("after").glob("*.html")
    name = r"comparison-tiny-i-model-i-and-tiny-i-model-i-[0-9a-f]{8}\.html"
    assert re.fullmatch(name, page.name)
    files = " and ".join(str(Path(name, PREDICTIONS)) for name in ("before", "after"))
    facts = "Predicted grids for 4 and 4 of 5 test inputs of 4 tasks: some_challenges.json"
    assert done.stdout == f"Wrote {page} about {files}: {facts}\n"
    assert "1 task gained" in page.read_text("utf-8")


def test_each_comparison_has_a_page_of_its_own_by_default(two: tuple[Path, Path]) -> None:
    """Also those of one with several files in a folder, and of models that share a name."""
    before, after = two
    submission = PredictionSource.open(before).predictions.submission()
    files = [Path("after", name) for name in ("mine.json", "theirs.json")]
    for file in files:
        write_json(file, submission)
    first, log, *others = (PredictionSource.open(path) for path in (before, after, *files))
    pairs = [(first, log), (others[0], log), *((first, other) for other in others)]
    paths = [comparison_path(*pair) for pair in pairs]
    assert paths == [comparison_path(*pair) for pair in pairs]
    names = [path.name.rpartition("-")[0] for path in paths]
    assert names == [
        "comparison-tiny-i-model-i-and-tiny-i-model-i",
        "comparison-mine-json-and-tiny-i-model-i",
        "comparison-tiny-i-model-i-and-mine-json",
        "comparison-tiny-i-model-i-and-theirs-json",
    ]
    assert {path.parent.resolve() for path in paths} == {after.parent.resolve()}
    assert comparison_path(log, log) != paths[0]  # although the names are the same


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
    verdicts = [group.locator("> .row .verdict").all_text_contents() for group in groups]
    assert verdicts == [["✓ right", "✗ wrong"], ["✗ wrong", "✗ wrong"]]
    assert comparison.locator(".results details").get_attribute("open") is None
    comparison.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert comparison.locator(".results details").get_attribute("open") is not None
    comparison.get_by_role("button", name="all tasks 4").click()
    comparison.keyboard.press("c")
    assert comparison.evaluate("document.activeElement.textContent") == "Task twofold3"


@pytest.mark.browser
def test_browser_draws_both_beside_what_is_correct(comparison: Page) -> None:
    """The correct output belongs to neither; on a phone the difference comes first."""
    test = comparison.locator("#task-first001 .test")
    texts = test.locator("> div:first-child, .answers").all_inner_texts()
    model = "tiny <i>model</i>"
    assert [text.split("\n")[0] for text in texts] == ["Test", f"A {model}", f"B {model}"]
    assert ["Correct output" in text for text in texts] == [True, False, False]
    top = "all => all.map(each => each.getBoundingClientRect().top)"
    tops = test.locator(".row").evaluate_all(top)
    assert len(tops) == 3 and max(tops) - min(tops) < 1
    comparison.set_viewport_size({"width": 360, "height": 640})
    first, second, difference = comparison.locator(".three > div").evaluate_all(top)
    assert difference < first < second


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_finds_no_barrier_in_a_comparison(comparison: Page, scheme: Any) -> None:
    comparison.emulate_media(color_scheme=scheme)
    open_all(comparison)
    find_barriers(comparison)
    check_fits(comparison)
