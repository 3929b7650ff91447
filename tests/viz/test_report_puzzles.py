"""The report on Sudokus and mazes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_browser import check_fits, find_barriers, open_report
from report_pages import (
    PUZZLES,
    data_of,
    make_page,
    text_of,
    write_large_prediction,
    write_puzzle_predictions,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


def test_digits_above_9_are_one_character_of_a_grid(tmp_path: Path) -> None:
    data = data_of(make_page(write_large_prediction(tmp_path)))
    (test,) = data["tasks"][0]["tests"]
    assert test["input"]["grid"].startswith("023456789abcdefg/50789abcdefg1234/")
    assert data["theme"]["characters"] == ".123456789ABCDEFG"
    assert data["theme"]["boxes"]["16"] == [4, 4]


@pytest.mark.browser
def test_browser_writes_digits_above_9_as_letters(browser: Browser, tmp_path: Path) -> None:
    with open_report(browser, write_large_prediction(tmp_path)) as page:
        question, answer = page.locator("#task-1 .row svg").all()[:2]
        assert ", 16 rows of 16: . 2 3 4 5 6 7 8 9 A B C D E F G; 5 . 7" in str(
            question.get_attribute("aria-label")
        )
        written = question.locator("text").all_text_contents()
        assert "".join(written).startswith("23456789ABCDEFG5789ABCDEFG1234")
        fills = {each.get_attribute("fill") for each in answer.locator("path[fill]").all()}
        assert fills == {"#FFFFFF", "#E4E0D6"}  # filled in, and given


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
