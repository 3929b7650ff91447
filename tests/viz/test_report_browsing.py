"""What one does on the page of the report in a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from report_browser import open_tasks, shown_tasks
from report_pages import HOSTILE, RIGHT, TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.mark.browser
def test_browser_shows_every_task_and_says_its_outcome(page: Page) -> None:
    assert page.title() == "tiny <i>model</i>: Predictions for ARC tasks"
    assert shown_tasks(page) == [task.id for task in TASKS]
    verdicts = page.locator("article > header .outcome").all_text_contents()
    assert verdicts == [
        "✓ right",
        "2 right at the second attempt",
        "≈ nearly right",
        "○ guess",
    ]
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
    assert "2 × 2, 1 cell wrong" in (first.text_content() or "")
    assert "1 × 1, correct is 2 × 2" in (page.locator("#task-twofold3").text_content() or "")
    assert "both attempts are guesses" in (page.locator("article").nth(3).text_content() or "")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("all tasks 4", ["first001", "second02", "twofold3", HOSTILE]),
        ("right 1", ["first001"]),
        ("right at the second attempt 1", ["second02"]),
        ("nearly right 1", ["twofold3"]),
        ("guess 1", [HOSTILE]),
        ("not right, but the correct answer got votes 1", ["twofold3"]),
    ],
)
@pytest.mark.browser
def test_browser_filters_by_outcome(page: Page, outcome: str, expected: list[str]) -> None:
    chip = page.get_by_role("button", name=outcome, exact=True)
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    assert shown_tasks(page) == expected
    assert page.inner_text("#count") == f"{len(expected)} of 4 tasks"
    assert page.locator("#strip a:visible").count() == len(expected)


@pytest.mark.browser
def test_browser_jumps_from_the_overview(page: Page) -> None:
    """The strip is one stop of the Tab key, within which arrow keys move."""
    names = [mark.get_attribute("aria-label") for mark in page.locator("#strip a").all()]
    assert names[:2] == ["Task first001: right", "Task second02: right at the second attempt"]
    assert page.locator("#strip a[tabindex='0']").count() == 1
    page.locator("#strip a").first.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("location.hash") == "#task-twofold3"
    assert page.evaluate("document.activeElement.textContent") == "Task twofold3"


@pytest.mark.browser
def test_browser_goes_back_to_the_overview(page: Page) -> None:
    page.set_viewport_size({"width": 1200, "height": 400})
    mark = page.locator("#strip a").nth(2)

    def wait_for_mark() -> None:
        page.wait_for_function(
            """() => {
              const box = strip.children[2].getBoundingClientRect();
              return box.top >= 0 && box.bottom <= innerHeight;
            }"""
        )

    mark.click()
    assert page.url.endswith("#task-twofold3")
    assert page.locator("#strip [aria-current]").get_attribute("href") == "#task-twofold3"
    page.wait_for_function("strip.getBoundingClientRect().bottom < 0")
    page.go_back()
    assert "#" not in page.url
    wait_for_mark()
    mark.click()
    page.wait_for_function("strip.getBoundingClientRect().bottom < 0")
    page.get_by_role("link", name="Overview").click()
    wait_for_mark()


@pytest.mark.browser
def test_browser_has_no_filters_for_a_single_task(browser: Browser, tmp_path: Path) -> None:
    with open_tasks(browser, tmp_path, TASKS[:1], {("first001", 0): [RIGHT]}) as page:
        assert shown_tasks(page) == ["first001"]
        for name in ("#search", "#order", "#strip", "#outcomes", ".keys", "#count", ".back"):
            assert not page.locator(name).is_visible()
        assert page.locator("#demonstrations").is_visible()


@pytest.mark.browser
def test_browser_goes_to_wrong_tasks_and_close_calls_by_keys(page: Page) -> None:
    def gone_to(key: str) -> str:
        page.keyboard.press(key)
        return str(page.evaluate("document.activeElement.textContent"))

    assert [gone_to(key) for key in "jjkc"] == [
        "Task first001",
        "Task second02",
        "Task first001",
        "Task second02",
    ]
    assert [gone_to("w"), gone_to("w")] == ["Task twofold3", f"Task {HOSTILE}"]
    assert gone_to("Shift+C") == "Task twofold3"
    assert gone_to("Shift+W") == "Task twofold3"  # no wrong task precedes it, so the page stays
    assert page.inner_text("#count") == "no earlier one of 4 tasks shown"
    page.uncheck("#keys")
    page.locator("#task-second02 h3 a").focus()
    assert gone_to("j") == "Task second02"
    page.check("#keys")
    page.focus("#search")
    page.keyboard.press("w")  # is typed
    assert page.input_value("#search") == "w"


@pytest.mark.browser
def test_browser_enlarges_a_grid(page: Page) -> None:
    grid = page.get_by_role("button", name="Attempt 2, 2 rows of 2, wrong").first
    small = grid.locator("svg").bounding_box()
    grid.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Attempt 2 ✗ wrong 2 × 2, 1 cell wrong")
    large = dialog.locator("svg").bounding_box()
    assert small and large and large["width"] > 1.5 * small["width"]
    assert dialog.locator(".wrong-cells").count() == 1
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert grid.evaluate("node => node === document.activeElement")


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
    first = page.locator("#task-first001")
    first.get_by_text("3 predictions in 4 supervision steps").click()
    slider = page.get_by_label("Step for test input 1")
    status, slot = first.locator("output"), first.locator(".steps + div")
    assert status.text_content() == "4 of 4, halting probability 75 %, right"
    slider.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == status.inner_text()
        seen.append((status.inner_text(), slot.locator("svg").count()))
    assert seen == [
        ("3 of 4, halting probability 50 %, wrong", 1),
        ("2 of 4, halting probability 25 %, wrong", 1),
        ("1 of 4, halting probability 10 %, no grid", 0),
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
    page.locator("#task-twofold3").scroll_into_view_if_needed()
    text = page.locator("#task-twofold3").inner_text()
    assert "3 candidates" in text
    halting = r"\s+halting probability 50 %"
    assert re.search(rf"Attempt 1 ✗ wrong\s+2 of 5 votes \(40 %\){halting}", text)
    assert re.search(rf"Candidate 3 ✓ right\s+1 of 5 votes \(20 %\){halting}", text)
    assert page.locator("#task-twofold3 .votes svg").count() == 4  # a thumbnail for each
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
    page.get_by_text("3 predictions in 4 supervision steps").click()
    page.locator("#step-0-0-0").fill("2")
    label = page.locator("#task-first001 .steps + div svg").get_attribute("aria-label")
    assert label == "Steps 2–3, 2 rows of 2, wrong: 1 2; 3 5"
