"""How the page of the report looks: sizes, colours, no barrier, empty states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_up import write_run
from paths import ROOT
from report_browser import (
    WIDTHS,
    check_fits,
    find_barriers,
    open_all,
    open_page,
    open_report,
    open_tasks,
)
from report_pages import make_page, write_predictions

from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import write_json
from arc_trm.tasks import Pair, Task, as_grid

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.mark.browser
def test_browser_fits_every_width(page: Page) -> None:
    open_all(page)
    check_fits(page)


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


@pytest.fixture(scope="module")
def run_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The report on a run with a curve, 400 tasks and published results."""
    run = write_run(tmp_path_factory.mktemp("made-up") / "run", "arc-agi-1/evaluation", 0, 0.4)
    with open_report(browser, run) as page:
        yield page


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.browser
def test_browser_draws_curves_in_the_colours_of_the_page(run_page: Page, scheme: Any) -> None:
    run_page.emulate_media(color_scheme=scheme)
    background, line = run_page.evaluate(
        """() => [".card", ".plot .smooth"].map((selector) => {
          const style = getComputedStyle(document.querySelector(selector));
          return selector === ".card" ? style.backgroundColor : style.stroke;
        })"""
    )
    assert (brightness(background) > brightness(line)) == (scheme == "light")


@pytest.mark.slow
@pytest.mark.browser
def test_browser_fits_a_run_with_its_curve_and_published_results(run_page: Page) -> None:
    """The charts can be read on a phone, and the first task is near the top."""
    run_page.set_viewport_size({"width": 1200, "height": 900})
    top = run_page.locator("article").first.evaluate("node => node.getBoundingClientRect().top")
    assert top < 1200
    # A few tasks are enough, the overview is that of all.
    run_page.evaluate("for (const each of articles.slice(20)) each.remove()")
    open_all(run_page)
    check_fits(run_page)
    for width in WIDTHS:
        run_page.set_viewport_size({"width": width, "height": 640})
        sizes = run_page.locator(".plot > span:visible").evaluate_all(
            "all => all.map(each => parseFloat(getComputedStyle(each).fontSize))"
        )
        assert min(sizes) >= 12


def brightness(colour: str) -> float:
    """Return the mean of red, green and blue in `rgb(1, 2, 3)`."""
    return float(np.mean([float(each) for each in re.findall(r"[\d.]+", colour)[:3]]))


REPORT = ROOT / "arc_trm" / "viz" / "report"


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
