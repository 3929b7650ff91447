"""What notebooks show of tasks, predictions and runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from arc_trm.config import RunConfig
from arc_trm.display import Displayed
from arc_trm.evaluation.predictions import Candidate, InputPrediction, PredictionSet
from arc_trm.runs import METRICS, Run, create_run
from arc_trm.tasks import Pair, Task, TaskSet, as_grid
from arc_trm.viz import to_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser

A, B = as_grid([[1]]), as_grid([[2, 3]])


def make_tasks(count: int) -> TaskSet:
    return TaskSet.from_tasks(
        "<made up>",
        [Task(f"<b>{n}", (Pair(A, B),), (Pair(A, as_grid([[3]])), Pair(B))) for n in range(count)],
    )


def assert_well_formed(html: str) -> None:
    """Assert that it is one picture with a description, and that ids are escaped."""
    picture, end, _ = html.rpartition("</div>")
    ElementTree.fromstring(picture + end)
    assert "<b>" not in html and "script" not in html and 'role="img"' in html


def test_a_task() -> None:
    html = to_html(make_tasks(1)["<b>0"])
    assert_well_formed(html)
    assert 'aria-label="Task &lt;b&gt;0"' in html and ">Demonstrations<" in html


def test_a_task_without_demonstrations() -> None:
    bare = Task("bare", (), (Pair(A),))
    assert ">Task bare<" in to_html(bare) and ">bare<" in to_html(TaskSet("x", {"bare": bare}))


@pytest.mark.parametrize(("count", "note"), [(12, ""), (20, "<p>The first 12 of 20.</p>")])
def test_a_task_set(count: int, note: str) -> None:
    html = to_html(make_tasks(count))
    assert_well_formed(html)
    assert f'aria-label="&lt;made up&gt;: {count} tasks, {2 * count} test outputs"' in html
    assert html.rpartition("</div>")[2] == note


def test_predictions() -> None:
    tasks = make_tasks(20)
    html = to_html(
        PredictionSet(
            tasks, (InputPrediction(task, 0, (), (as_grid([[3]]), None)) for task in tasks)
        )
    )
    assert_well_formed(html)
    assert "attempts at 20 of 20 tasks" in html and html.endswith("<p>The first 12 of 20.</p>")
    assert ">right<" in html and ">no grid<" in html


def test_guesses_are_not_shown_beside_predictions() -> None:
    tasks = make_tasks(2)
    first, second = tasks
    voted = InputPrediction(first, 0, (Candidate(A, 1, 0.5, ("p",)),), (A,))
    html = to_html(PredictionSet(tasks, [voted, InputPrediction(second, 0, (), (A,))]))
    assert "attempts at 1 of 2 tasks" in html and "&lt;b&gt;1" not in html


def test_pictures_scale_to_the_page_and_cards_wrap() -> None:
    html = to_html(make_tasks(3))
    assert html.count("<svg") == html.count('style="max-width: 100%; height: auto"') == 3
    assert "flex-wrap: wrap" in html


@pytest.mark.parametrize("width", [320, 700, 1000, 1600])
def test_nothing_is_cut_at_any_width(browser: Browser, tmp_path: Path, width: int) -> None:
    """Small tasks stand beside one another where there is room; wide ones are scaled down."""
    big = as_grid(np.zeros((30, 30)))
    wide = Task("wide" * 60, (Pair(big, big),) * 3, (Pair(big, big),))
    attempts = InputPrediction(wide, 0, (), (big, big))
    page = browser.new_page(viewport={"width": width, "height": 800})
    for shown in (make_tasks(12), wide, attempts, PredictionSet(make_tasks(1), ())):
        (tmp_path / "page.html").write_text(f"<meta charset=utf-8>{to_html(shown)}", "utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [each.bounding_box() for each in page.query_selector_all("svg")]
        placed = [box for box in boxes if box is not None]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in placed)
        if isinstance(shown, TaskSet):
            assert len({box["x"] for box in placed}) == {320: 1, 700: 3, 1000: 4, 1600: 7}[width]
            assert len({box["width"] for box in placed}) == 1
    page.close()


def test_empty_sets() -> None:
    empty = TaskSet.from_tasks("none", [])
    assert "0 tasks, 0 test outputs" in to_html(empty)
    assert "attempts at 0 of 0 tasks" in to_html(PredictionSet(empty, ()))


def test_a_prediction_for_one_test_input() -> None:
    task = make_tasks(1)["<b>0"]
    html = to_html(InputPrediction(task, 0, (), (as_grid([[3]]), B)))
    assert_well_formed(html)
    assert 'aria-label="Task &lt;b&gt;0, test input 1"' in html
    for text in ("Test input 1", "Attempt 1", "right", "Attempt 2", "wrong", "Correct output"):
        assert f">{text}<" in html


def test_a_puzzle_whose_answer_is_valid() -> None:
    maze = Task("3", (), (Pair(as_grid([[2, 1], [1, 3]]), as_grid([[2, 4], [1, 3]])),), "maze")
    html = to_html(InputPrediction(maze, 0, (), (as_grid([[2, 1], [4, 3]]),)))
    assert 'aria-label="Maze 3, question"' in html and ">valid<" in html


def test_a_run(tmp_path: Path) -> None:
    run = create_run(RunConfig("a <run>", 3), tmp_path / "run")
    record = {"step": 1, "train/lm_loss": 2.0, "train/exact_of_halted": 0.5}
    (run / METRICS).write_text(json.dumps(record) + "\n")
    html = to_html(Run(run))
    assert_well_formed(html)
    assert 'aria-label="Curves of a &lt;run&gt;, seed 3"' in html
    assert "Loss per example" in html


def test_other_objects_are_text() -> None:
    assert to_html("<b>") == "<pre>&#x27;&lt;b&gt;&#x27;</pre>"


def test_objects_ask_for_their_html() -> None:
    import arc_trm

    assert arc_trm  # sets the renderer
    for shown in (make_tasks(1), make_tasks(1)["<b>0"], PredictionSet(make_tasks(1), ())):
        assert isinstance(shown, Displayed) and shown._repr_html_() == to_html(shown)
