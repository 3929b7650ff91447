"""Measure how long the report takes to make and to open: `report_speed.py DATASET`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from browsers import chromium
from made_up import write_run
from report_pages import make_page


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
