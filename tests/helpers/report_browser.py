"""Reports in a browser: how they are opened, and what is checked of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from report_pages import make_page

from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction
from arc_trm.io import write_json
from arc_trm.runs import PREDICTIONS
from arc_trm.tasks import Grid, Task, TaskSet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (320, 360, 768, 1280)


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


def open_all(page: Page) -> None:
    """Open all that is folded."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def shown_tasks(page: Page) -> list[str]:
    names: list[str] = page.locator("article:visible h3").all_text_contents()
    return [name.removeprefix("Task ") for name in names]


def find_barriers(page: Page) -> None:
    """Check the rules of axe-core, which include contrast, names and landmarks."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


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
