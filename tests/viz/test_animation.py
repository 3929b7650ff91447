"""Animations of traces: what each frame shows, as GIF and as SVG."""

from __future__ import annotations

import io
import itertools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawings import SVG, assert_inside, overlap, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from arc_trm.errors import UserError
from arc_trm.evaluation.predictions import InputPrediction, TraceStep
from arc_trm.puzzles.theme import ARC_PALETTE
from arc_trm.tasks import Grid, Pair, Task, as_grid
from arc_trm.viz import Animation, Drawing, animate_trace, draw_trace, save
from arc_trm.viz.animation import (
    GIF_COLOURS,
    LAST_FRAME_MS,
    MAX_FRAMES,
    MAX_SAMPLES,
    animate_samples,
)
from arc_trm.viz.figure import TraceFigures, theme_of, trace_figures
from arc_trm.viz.svg import Element, Line, Rectangle, Text
from arc_trm.viz.theme import CHANGED

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Step = tuple[Sequence[Sequence[int]] | None, float]

DEMONSTRATION, OUTPUT = Pair(as_grid([[1]]), as_grid([[2]])), as_grid([[9, 5]])
STEPS: list[Step] = [(None, 0.1), ([[9, 1]], 0.2), ([[9, 1]], 0.4), ([[9, 5]], 0.8)]
"""No grid, twice the same wrong one, and the output of `a_task`."""


def a_task(task_id: str = "0a", output: Grid | None = OUTPUT, tests: int = 1) -> Task:
    return Task(task_id, (DEMONSTRATION,), (Pair(as_grid([[6, 7, 8]]), output),) * tests)


def predicted(task: Task, steps: Sequence[Step] = STEPS, test: int = 0) -> InputPrediction:
    trace = (TraceStep(None if grid is None else as_grid(grid), prob) for grid, prob in steps)
    return InputPrediction(task, test, trace=tuple(trace))


def animate(steps: Sequence[Step], task: Task | None = None) -> Animation:
    return animate_trace([predicted(task or a_task(), steps)])


def sample(title: str, steps: Sequence[Step], task: Task | None = None) -> TraceFigures:
    return replace(trace_figures(predicted(task or a_task(), steps)), title=title)


def animate_row(*samples: TraceFigures) -> Animation:
    return animate_samples("A title", [samples], theme_of(a_task()))


def frames_of(gif: bytes) -> list[tuple[Image.Image, int]]:
    """Return the frames of a GIF as RGB, and how long each is seen in milliseconds."""
    frames = []
    with Image.open(io.BytesIO(gif)) as image:
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            frames.append((image.convert("RGB"), image.info["duration"]))
    return frames


def pixels(image: Image.Image, colour: str) -> int:
    """Count the pixels of a colour."""
    return int((np.asarray(image) == tuple(bytes.fromhex(colour[1:]))).all(-1).sum())


def texts(frame: Drawing) -> list[str]:
    return [element.text for element in frame.elements if isinstance(element, Text)]


def changed_cells(frame: Drawing) -> list[Line]:
    """Return the white frames of changed cells, which have six points."""
    lines = [element for element in frame.elements if isinstance(element, Line)]
    return [line for line in lines if line.colour == "#FFFFFF" and len(line.points) == 6]


def shown_at(svg: str, time: float | None) -> list[ElementTree.Element]:
    """Return what an SVG shows after some milliseconds, in order; None is without animation."""
    root = ElementTree.fromstring(svg)
    css = "".join(style.text or "" for style in root.iter(f"{SVG}style"))
    shown: list[ElementTree.Element] = []
    for element in root:
        if element.tag == f"{SVG}style":
            continue
        if element.tag != f"{SVG}g":
            shown.append(element)
            continue
        visible = element.get("visibility") != "hidden"
        if time is not None:
            name = element.attrib["class"]
            (total,) = re.findall(rf"\.{name}\{{animation:{name} (\d+)ms step-end infinite\}}", css)
            (rule,) = re.findall(rf"@keyframes {name}\{{(.*?\}})\}}", css)
            states = re.findall(r"([\d.]+)%\{visibility:(\w+)\}", rule)
            assert (states[0][0], states[-1][0]) == ("0", "100")
            current = [state for start, state in states if float(start) <= 100 * time / int(total)]
            visible = current[-1] == "visible"
        shown += element if visible else ()
    return shown


def as_strings(elements: Sequence[ElementTree.Element]) -> list[str]:
    return [ElementTree.tostring(element).decode().strip() for element in elements]


def assert_svg_shows_every_frame(animation: Animation) -> None:
    svg, start = animation.svg(), 0
    for frame, duration in zip(animation.frames, animation.durations, strict=True):
        expected = as_strings(ElementTree.fromstring(frame.svg()))
        assert as_strings(shown_at(svg, start + duration / 2)) == expected
        start += duration
    assert as_strings(shown_at(svg, None)) == expected  # the last frame where nothing moves


# Frames


def test_a_frame_for_every_step() -> None:
    animation = animate(STEPS)
    shown = [texts(frame) for frame in animation.frames]
    for number, (step, percent) in enumerate(zip(shown, (10, 20, 40, 80), strict=True), 1):
        assert {f"Step {number} of 4", f"halt {percent} %", "Test input 1"} <= set(step)
        assert {"Task 0a: the answer step by step", "Correct output"} <= set(step)
    assert [("wrong" in step, "right" in step) for step in shown] == [
        *((False, False), (True, False), (True, False), (False, True))
    ]
    assert ["no grid" in step for step in shown] == [True, False, False, False]
    assert all("cross: wrong" in "".join(step) for step in shown)


def test_the_gif_repeats_and_its_last_frame_stays_longest() -> None:
    gif = animate(STEPS).gif()
    with Image.open(io.BytesIO(gif)) as image:
        assert (image.format, image.info["loop"]) == ("GIF", 0)
    durations = [duration for _, duration in frames_of(gif)]
    assert durations == [500, 500, 500, LAST_FRAME_MS] and LAST_FRAME_MS > 1000


def test_each_frame_of_the_gif_shows_its_answer() -> None:
    blue, grey = ARC_PALETTE[1], ARC_PALETTE[5]
    frames = [frame for frame, _ in frames_of(animate(STEPS).gif())]
    assert [pixels(frame, blue) > 0 for frame in frames] == [False, True, True, False]
    of_output = pixels(frames[0], grey)
    # The last answer is the output; its cell is framed because it changed, in the output it is not.
    assert of_output < pixels(frames[3], grey) < 2 * of_output
    bars = [pixels(frame, CHANGED) for frame in frames]
    assert 0 < bars[0] < bars[1] < bars[2] < bars[3]


def test_the_gif_has_the_size_of_its_frames_and_few_colours() -> None:
    animation = animate(STEPS)
    frames = [frame for frame, _ in frames_of(animation.gif())]
    size = animation.frames[0].width, animation.frames[0].height
    assert {frame.size for frame in frames} == {size}
    colours = {
        tuple(c) for frame in frames for c in np.unique(np.asarray(frame).reshape(-1, 3), axis=0)
    }
    assert 10 < len(colours) <= GIF_COLOURS


def test_rare_colours_of_cells_are_kept() -> None:
    words = [Text(2, 20 * n + 20, "many shades", 18, c) for n, c in enumerate(ARC_PALETTE)]
    cell = Rectangle(0, 0, 1, 1, "#12FE34")
    drawing = Drawing(160, 240, (*words, cell))
    assert len(drawing.image(1).getcolors(1 << 20) or ()) > 4 * GIF_COLOURS
    ((frame, _),) = frames_of(Animation((drawing,), (10,)).gif())
    assert frame.getpixel((0, 0)) == (0x12, 0xFE, 0x34)


def test_the_same_trace_gives_the_same_bytes() -> None:
    one, other = animate(STEPS), animate(STEPS)
    assert one.gif() == other.gif() and one.svg() == other.svg()


def test_steps_that_change_nothing_share_a_frame() -> None:
    steps: list[Step] = [([[1, 1]], 0.1), ([[9, 1]], 0.2), ([[9, 1]], 0.2), ([[9, 1]], 0.2004)]
    animation = animate([*steps, ([[9, 5]], 0.2)])
    labels = [next(text for text in texts(frame) if "of 5" in text) for frame in animation.frames]
    assert labels == ["Step 1 of 5", "Steps 2 to 4 of 5", "Step 5 of 5"]


def test_a_long_trace_has_frames_for_changed_grids_only() -> None:
    steps: list[Step] = [([[n // 300, 1]], n % 7 / 10) for n in range(1000)]
    animation = animate(steps)
    labels = [
        next(text for text in texts(frame) if "of 1000" in text) for frame in animation.frames
    ]
    assert labels == [
        *("Steps 1 to 300 of 1000", "Steps 301 to 600 of 1000"),
        *("Steps 601 to 900 of 1000", "Steps 901 to 1000 of 1000"),
    ]
    assert f"halt {999 % 7 * 10} %" in texts(animation.frames[-1])


def test_of_very_many_changes_some_are_shown() -> None:
    steps: list[Step] = [([[n % 9, n % 8]], 0.5) for n in range(1000)]
    animation = animate(steps)
    assert len(animation.frames) == MAX_FRAMES
    first, last = texts(animation.frames[0]), texts(animation.frames[-1])
    assert "Step 1 of 1000" in first and "Step 1000 of 1000" in last
    assert f"{MAX_FRAMES} of 1000 different steps are shown." in first
    numbers = [
        int(match[1])
        for frame in animation.frames
        for text in texts(frame)
        if (match := re.fullmatch(r"Step (\d+) of 1000", text))
    ]
    gaps = np.diff(numbers)
    assert len(numbers) == MAX_FRAMES and gaps.min() >= gaps.max() - 1
    assert sum(animation.durations) < 20_000


def test_changed_cells_are_framed() -> None:
    grids = [[[1, 2], [3, 4]], [[1, 2], [3, 5]], [[1, 2, 7], [3, 5, 7]], None, [[1]]]
    animation = animate([(grid, 0.1 * n) for n, grid in enumerate(grids)])
    assert [len(changed_cells(frame)) for frame in animation.frames] == [0, 1, 2, 0, 0]
    (ring,) = changed_cells(animation.frames[1])
    cells = [
        element
        for element in animation.frames[1].elements
        if isinstance(element, Rectangle) and element.fill == ARC_PALETTE[5]
    ]
    assert any(overlap(ring.box, cell.box) for cell in cells)  # the 4 that became a 5


def test_changed_cells_of_a_sudoku_are_framed_in_blue_within_the_red_of_wrong_ones() -> None:
    question = as_grid([[1, 0, 3, 0], [0, 4, 1, 0], [2, 0, 0, 3], [0, 3, 0, 1]])
    output = as_grid([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])
    wrong = output.copy()
    wrong[0, 1] = 4
    task = Task("7", (), (Pair(question, output),), "sudoku")
    steps = [(question.tolist(), 0.1), (wrong.tolist(), 0.2), (output.tolist(), 0.9)]
    frames = animate(steps, task).frames
    blue = [
        sum(isinstance(e, Line) and e.colour == CHANGED for e in frame.elements) for frame in frames
    ]
    assert blue == [0, (output != question).sum(), 1]
    assert "Blue frame: changed; red frame: wrong." in texts(frames[0])


def test_an_unknown_output_is_not_judged() -> None:
    for frame in animate(STEPS, a_task(output=None)).frames:
        shown = texts(frame)
        assert not {"right", "wrong", "Correct output"} & set(shown)
        assert "wrong" not in "".join(shown)


def test_several_test_inputs_are_below_one_another() -> None:
    task = a_task(tests=3)
    found = [predicted(task, STEPS), predicted(task, (), 1), predicted(task, STEPS[1:], 2)]
    animation = animate_trace(found)
    assert len(animation.frames) == 4
    heights = {e.text: e.y for e in animation.frames[0].elements if isinstance(e, Text)}
    assert heights["Test input 1"] < heights["Test input 3"] and "Test input 2" not in heights


# Several samples


def test_samples_are_side_by_side_and_the_shorter_ones_wait() -> None:
    animation = animate_row(sample("plain", STEPS), sample("sample 1", STEPS[1:3]))
    assert len(animation.frames) == 4
    for frame in animation.frames:
        shown = texts(frame)
        assert shown.count("Test input 1") == shown.count("Correct output") == 1
        places = {e.text: e for e in frame.elements if isinstance(e, Text)}
        assert places["plain"].y == places["sample 1"].y
        assert places["Test input 1"].x < places["plain"].x < places["sample 1"].x
        assert places["sample 1"].x < places["Correct output"].x
    steps = [[text for text in texts(f) if text.startswith("Step ")] for f in animation.frames]
    assert steps == [
        *(["Step 1 of 4", "Step 1 of 2"], ["Step 2 of 4", "Step 2 of 2"]),
        *(["Step 3 of 4", "Step 2 of 2"], ["Step 4 of 4", "Step 2 of 2"]),
    ]


def test_of_many_samples_the_first_are_drawn_in_rows() -> None:
    animation = animate_row(*(sample(f"sample {n}", STEPS) for n in range(20)))
    for frame in animation.frames:
        titles = [
            e for e in frame.elements if isinstance(e, Text) and re.match(r"sample \d", e.text)
        ]
        assert [title.text for title in titles] == [f"sample {n}" for n in range(MAX_SAMPLES)]
        assert len({title.y for title in titles}) == 2
        assert f"The first {MAX_SAMPLES} of 20 samples are shown." in texts(frame)


def test_a_sample_without_steps_is_left_out() -> None:
    shown = texts(animate_row(sample("plain", STEPS), sample("sample 1", ())).frames[0])
    assert "plain" in shown and "sample 1" not in shown


# SVG


def test_the_svg_shows_the_frames_and_without_animation_the_last_one() -> None:
    animation = animate(STEPS)
    assert_svg_shows_every_frame(animation)
    still = [element.text for element in shown_at(animation.svg(), None)]
    assert "Step 4 of 4" in still and "right" in still and "Step 3 of 4" not in still


def test_what_stays_is_written_once() -> None:
    svg = animate(STEPS).svg()
    assert texts_of(svg).count("Test input 1") == 1 == texts_of(svg).count("Step 2 of 4")
    assert len(svg) < 0.6 * sum(len(frame.svg()) for frame in animate(STEPS).frames)


def test_the_svg_moves_by_css_alone_and_only_if_motion_is_wanted() -> None:
    svg = animate(STEPS).svg("max-width: 100%")
    root = ElementTree.fromstring(svg)
    assert root.attrib["style"] == "max-width: 100%"
    names = {element.tag for element in root.iter()}
    assert names == {f"{SVG}{name}" for name in ("svg", "style", "g", "rect", "polyline", "text")}
    (style,) = root.iter(f"{SVG}style")
    text = "".join((style.text or "").split())
    assert re.fullmatch(r"@media\(prefers-reduced-motion:no-preference\)\{.*\}", text)


def test_a_single_step_does_not_move() -> None:
    animation = animate(STEPS[3:])
    assert len(frames_of(animation.gif())) == 1
    root = ElementTree.fromstring(animation.svg())
    assert not list(root.iter(f"{SVG}style")) and not list(root.iter(f"{SVG}g"))


@pytest.mark.parametrize("hostile", ["</style><script/>", 'a"b&c]]>', "a\nb\x00\x1b[31m", "\ud800"])
def test_hostile_ids_and_titles_are_escaped(hostile: str) -> None:
    task = a_task(hostile)
    animation = animate_samples(hostile, [[sample(hostile, STEPS, task)]], theme_of(task))
    printable = "".join(c if c.isprintable() else "\ufffd" for c in hostile)
    for shown, count in ((animation, 2), (animate(STEPS, task), 0)):
        svg = shown.svg()
        root = ElementTree.fromstring(svg.encode())
        assert f"{SVG}script" not in {element.tag for element in root.iter()}
        assert texts_of(svg).count(printable) == count
        assert len(frames_of(shown.gif())) == 4
    assert f"Task {printable}: the answer step by step" in texts_of(animate(STEPS, task).svg())


def test_a_browser_shows_the_frames_in_turn_and_the_last_one_if_motion_is_unwanted(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "trace.svg"
    save(animate(STEPS), path)
    visible = """time => {
        for (const animation of document.getAnimations()) {
            animation.pause();
            animation.currentTime = time;
        }
        const texts = [...document.querySelectorAll("text")];
        return texts.filter(each => getComputedStyle(each).visibility === "visible")
            .map(each => each.textContent).filter(text => text.startsWith("Step "));
    }"""
    for motion, expected in (("no-preference", [1, 2, 3, 4, 4]), ("reduce", [4, 4, 4, 4, 4])):
        page = browser.new_page(reduced_motion=motion)  # type: ignore[arg-type]
        page.goto(path.as_uri())
        shown = [page.evaluate(visible, time) for time in (250, 750, 1250, 1750, 4400)]
        assert shown == [[f"Step {number} of 4"] for number in expected]
        page.close()


# Files


def test_an_animation_and_a_drawing_are_written_to_their_own_kinds_of_files(tmp_path: Path) -> None:
    animation, drawing = animate(STEPS), draw_trace([predicted(a_task())])
    with pytest.raises(UserError, match=r"a\.png: the name of a picture ends in \.svg or \.gif"):
        save(animation, tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.gif: .* in \.svg or \.png; \.gif is for an animation"):
        save(drawing, tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
    save(animation, tmp_path / "a.GIF")
    save(animation, tmp_path / "a.svg")
    assert (tmp_path / "a.GIF").read_bytes() == animation.gif()
    assert (tmp_path / "a.svg").read_text("utf-8") == animation.svg()


def test_frames_of_different_sizes_and_missing_durations_are_refused() -> None:
    small, large = Drawing(1, 1), Drawing(2, 1)
    for frames, durations in (
        ((small, large), (10, 10)),
        ((), ()),
        ((small, small), (10,)),
        ((small,), (0,)),
    ):
        with pytest.raises(ValueError, match="an animation"):
            Animation(frames, durations)


# Properties

grids = st.none() | st.builds(
    lambda height, width, seed: (
        np.random.default_rng(seed).integers(0, 10, (height, width)).tolist()
    ),
    *(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2)),
)
traces = st.lists(st.tuples(grids, st.floats(0, 1)), min_size=1, max_size=6)


@settings(max_examples=12)
@given(st.lists(traces, min_size=1, max_size=9), st.none() | grids)
def test_every_frame_holds_all_answers_at_one_place(
    samples: list[list[Step]], output: Sequence[Sequence[int]] | None
) -> None:
    task = a_task(output=None if output is None else as_grid(output))
    shown = [sample(f"sample {number}", steps, task) for number, steps in enumerate(samples)]
    animation = animate_row(*shown)
    assert len(animation.frames) <= max(map(len, samples))
    for frame in animation.frames:
        assert_inside(frame)
        labels = [e for e in frame.elements if isinstance(e, Text)]
        for one, other in itertools.combinations(labels, 2):
            assert not overlap(one.box, other.box), (one, other)
    # After the last step all cells of the last answers are drawn, and those of input and output.
    last = [steps[-1][0] for steps in samples[:MAX_SAMPLES]]
    cells = 3 + sum(np.size(grid) for grid in [*last, output] if grid is not None)
    fills = [e.fill for e in animation.frames[-1].elements if isinstance(e, Rectangle)]
    assert sum(fill in ARC_PALETTE for fill in fills) == cells


elements = st.lists(
    st.builds(
        Rectangle,
        *(st.integers(0, 2), st.just(0), st.just(1), st.just(1)),
        st.sampled_from(["#FFFFFF", "#000000", "#C62828"]),
    ),
    max_size=5,
)


@given(st.lists(elements, min_size=1, max_size=6), st.data())
def test_an_svg_shows_the_elements_of_any_frames_in_their_order(
    drawn: list[list[Element]], data: st.DataObject
) -> None:
    durations = [data.draw(st.integers(1, 300).map(lambda n: 10 * n)) for _ in drawn]
    frames = tuple(Drawing(3, 1, tuple(each)) for each in drawn)
    assert_svg_shows_every_frame(Animation(frames, tuple(durations)))
