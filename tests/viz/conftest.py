"""The browser that tests of pages share, and the reports that several of them need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsers import chromium
from report_browser import open_report
from report_pages import write_predictions, write_two

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Predictions for four tasks in the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_predictions(tmp_path)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The predictions of two runs, in folders before and after."""
    monkeypatch.chdir(tmp_path)
    return write_two(tmp_path)


@pytest.fixture(scope="module")
def opened_report(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_report(browser, write_predictions(tmp_path_factory.mktemp("report"))) as opened:
        yield opened


@pytest.fixture
def page(opened_report: Page) -> Page:
    """The report on four tasks as it is when it has been opened."""
    opened_report.set_viewport_size({"width": 1200, "height": 900})
    opened_report.evaluate("history.replaceState(null, '', location.pathname)")
    opened_report.reload()
    opened_report.wait_for_selector("body[data-complete]")
    return opened_report
