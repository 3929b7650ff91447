"""Take the pictures of the report in docs/images: `make screenshots`.

They show made-up predictions for ARC-AGI-1's evaluation set, in which every outcome occurs.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from browsers import chromium
from made_up import write_run
from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from arc_trm._version import __version__
from arc_trm.evaluation.source import PredictionSource
from arc_trm.viz.report import build_comparison, build_report, report_page

DATASET = "arc-agi-1/evaluation"
HEIGHTS = {1280: 900, 768: 1000, 360: 780}
COLOURS = 128  # of a picture, which halves its file

GO_TO = """const found = data.tasks.filter((task) => task.outcome === "{}");
goTo(found.sort((a, b) => taskSide(a) - taskSide(b))[0].number)"""  # the smallest
UNFOLD = """for (const each of document.querySelectorAll('.sections details')) each.open = true;
document.querySelector('.sections').scrollIntoView()"""
GUIDE = """document.querySelector(".guide").open = true"""
ENLARGE = """const figure = document.querySelector(".test .verdict.bad").closest("figure");
figure.querySelector(".enlarge").click()"""

SETTLE = """() => new Promise((done) => {
  const wait = (frames) => frames ? requestAnimationFrame(() => wait(frames - 1)) : done();
  wait(30);  // a jump takes 10 frames, however long they are
})"""


@dataclass(frozen=True)
class Shot:
    """A picture of a page; the script runs before."""

    name: str
    page: Literal["report", "comparison"]
    width: int
    scheme: Literal["light", "dark"]
    script: str = ""
    height: int | None = None  # None is that of HEIGHTS


SHOTS = (
    *(Shot("report", "report", width, "light") for width in HEIGHTS),
    *(Shot("report", "report", width, "dark") for width in HEIGHTS),
    Shot("task", "report", 1280, "light", GO_TO.format("second")),
    Shot("task", "report", 360, "dark", GO_TO.format("second"), 1200),
    Shot("guide", "report", 768, "light", GUIDE),
    Shot("enlarged", "report", 768, "light", ENLARGE),
    Shot("unfolded", "report", 1280, "dark", UNFOLD),
    Shot("unfolded", "report", 360, "light", UNFOLD, 1400),
    Shot("comparison", "comparison", 1280, "light"),
    Shot("comparison", "comparison", 360, "dark"),
    Shot("comparison-task", "comparison", 1280, "dark", GO_TO.format("gained")),
    Shot("comparison-task", "comparison", 768, "light", GO_TO.format("lost"), 1300),
)


def main(images: Path) -> None:
    """Make two made-up runs, the pages on them, and all pictures."""
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        runs = (("made-up-a", 0, 0.3), ("made-up-b", 1, 0.38))
        found = [write_run(folder / run, DATASET, seed, skill) for run, seed, skill in runs]
        first, second = map(PredictionSource.open, found)
        pages = {
            "report": report_page(build_report(first), __version__),
            "comparison": report_page(build_comparison(first, second), __version__),
        }
        for page, html in pages.items():
            (folder / f"{page}.html").write_text(html, "utf-8")
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for shot in SHOTS:
            take(browser, shot, folder / f"{shot.page}.html", images)
        browser.close()


def take(browser: Browser, shot: Shot, path: Path, images: Path) -> None:
    """Take one picture, with few colours."""
    size = ViewportSize(width=shot.width, height=shot.height or HEIGHTS[shot.width])
    page = browser.new_page(viewport=size, color_scheme=shot.scheme)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-complete]", timeout=120_000)
    if shot.script:
        page.evaluate(shot.script)
        page.evaluate(SETTLE)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file = images / f"{shot.name}-{shot.width}-{shot.scheme}.png"
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
