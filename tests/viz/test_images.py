"""Drawings of tasks and predictions: what they hold, and that nothing overlaps."""

from __future__ import annotations

import io
import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import pytest
from drawings import SVG, assert_inside, overlap, rectangles, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from arc_trm.evaluation.predictions import InputPrediction, TraceStep
from arc_trm.puzzles.theme import ARC_PALETTE
from arc_trm.tasks import Grid, Pair, Task, as_grid
from arc_trm.viz import draw_prediction, draw_task, draw_tasks, draw_trace
from arc_trm.viz.svg import SCALE, Line, Rectangle, Text
from arc_trm.viz.theme import EDGE, GRID_LINE, WRONG


def random_grid(height: int, width: int, seed: int) -> Grid:
    return as_grid(np.random.default_rng(seed).integers(0, 10, (height, width)))


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    side = st.integers(1, 30)
    return random_grid(draw(side), draw(side), draw(st.integers(0, 99)))


pairs = st.builds(Pair, grids(), grids())
maybe_unknown = st.builds(Pair, grids(), st.none() | grids())
tasks = st.builds(
    Task,
    st.text(max_size=40),
    st.lists(pairs, min_size=1, max_size=10).map(tuple),
    st.lists(maybe_unknown, min_size=1, max_size=3).map(tuple),
)


def predicted(task: Task, *attempts: Grid | None, test: int = 0) -> InputPrediction:
    return InputPrediction(task, test, (), attempts)


def small_task() -> Task:
    """Nine colours in the demonstration, one test of which the output is known."""
    shown = Pair(as_grid([[1, 2, 3], [4, 5, 6]]), as_grid([[7], [8], [9]]))
    return Task("made-up", (shown,), (Pair(as_grid([[0]]), as_grid([[1, 2]])),))


def test_a_picture_holds_every_cell_once_in_its_colour() -> None:
    found = rectangles(draw_task(small_task()).svg())
    expected = Counter({ARC_PALETTE[0]: 1, ARC_PALETTE[1]: 2, ARC_PALETTE[2]: 2})
    expected += Counter({ARC_PALETTE[colour]: 1 for colour in range(3, 10)})
    assert {colour: count for colour, count in found.items() if colour in ARC_PALETTE} == expected


def test_right_and_wrong_attempts_differ_by_word_and_shape() -> None:
    task = small_task()
    drawing = draw_task(task, [predicted(task, as_grid([[1, 2]]), as_grid([[1], [2]]))])
    texts = texts_of(drawing.svg())
    assert texts.count("right") == texts.count("wrong") == 1
    assert texts.index("Attempt 1") < texts.index("right") < texts.index("Attempt 2")
    assert texts.index("Attempt 2") < texts.index("wrong") < texts.index("Correct output")
    ticks_and_crosses = [e for e in drawing.elements if isinstance(e, Line) and e.width == 2.5]
    assert sorted(len(line.points) for line in ticks_and_crosses) == [2, 2, 3]


def test_without_a_known_output_nothing_is_called_right_or_wrong() -> None:
    task = small_task().without_solutions()
    found = predicted(task, as_grid([[1, 2]]), as_grid([[3]]))
    texts = texts_of(draw_task(task, [found]).svg())
    assert "Attempt 2" in texts and not {"right", "wrong", "Correct output"} & set(texts)
    assert "?" in texts_of(draw_task(task).svg())


def test_sizes_are_rows_by_columns() -> None:
    texts = texts_of(draw_task(small_task()).svg())
    assert texts.count("2 x 3") == 1 and texts.count("3 x 1") == 1
    assert texts.count("1 x 1") == 1 and texts.count("1 x 2") == 1


@pytest.mark.parametrize(
    "hostile",
    ["<script/>", 'a"b&c]]>', "a\nb\x00\x1b[31m", "\ud800", "\u202e\ufffe", ""],
)
def test_hostile_ids_are_escaped(hostile: str) -> None:
    task = small_task()
    picture = draw_task(Task(hostile, task.train, task.test))
    svg = picture.svg()
    root = ElementTree.fromstring(svg.encode())
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{name}" for name in ("svg", "rect", "polyline", "text")
    }
    printable = "".join(c if c.isprintable() else "\ufffd" for c in hostile)
    assert f"Task {printable}" in texts_of(svg)
    assert picture.png().startswith(b"\x89PNG")


def test_a_long_id_is_cut_to_the_width_of_its_task() -> None:
    task = small_task()
    drawing = draw_task(Task("x" * 5000, task.train, task.test))
    assert_inside(drawing)


def test_png_shows_what_the_drawing_holds() -> None:
    drawing = draw_task(small_task())
    image = Image.open(io.BytesIO(drawing.png()))
    assert image.size == (drawing.width * SCALE, drawing.height * SCALE)
    cells = [e for e in drawing.elements if isinstance(e, Rectangle) and e.fill in ARC_PALETTE]
    assert len(cells) == 12
    for cell in cells:
        left, top, right, bottom = (round(SCALE * side) for side in cell.box)
        assert image.crop((left, top, right, bottom)).getcolors() == [
            ((right - left) * (bottom - top), tuple(bytes.fromhex(cell.fill[1:])))
        ]
        assert image.getpixel((right, bottom)) == tuple(bytes.fromhex(GRID_LINE[1:]))
    assert image.getpixel((0, 0)) == tuple(bytes.fromhex("F3F1EC"))


def test_png_has_text_where_the_drawing_has_it() -> None:
    drawing = draw_task(small_task())
    image = Image.open(io.BytesIO(drawing.png())).convert("L")
    for text in (e for e in drawing.elements if isinstance(e, Text)):
        crop = image.crop(tuple(round(SCALE * side) for side in text.box))
        darkest, brightest = crop.getextrema()
        assert darkest < 160 and brightest > 230, text


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_nothing_overlaps_or_leaves_the_picture(data: st.DataObject) -> None:
    task = data.draw(tasks)
    indices = st.integers(0, len(task.test) - 1)
    attempts = data.draw(st.dictionaries(indices, st.tuples(grids(), grids())))
    drawing = draw_task(task, [predicted(task, *grids, test=n) for n, grids in attempts.items()])
    assert_inside(drawing)

    cells = [e for e in drawing.elements if isinstance(e, Rectangle) and e.fill in ARC_PALETTE]
    shown = [grid for pair in (*task.train, *task.test) for grid in pair.grids]
    shown += [grid for pair in attempts.values() for grid in pair]
    counts = np.bincount(np.concatenate([grid.reshape(-1) for grid in shown]), minlength=10)
    found = Counter(cell.fill for cell in cells)
    assert [found[colour] for colour in ARC_PALETTE] == counts.tolist()

    covered = np.zeros((round(drawing.height), round(drawing.width)), dtype=int)
    for cell in cells:
        assert cell.width >= 7  # a cell can be seen
        left, top, right, bottom = map(int, cell.box)
        assert (left, top, right, bottom) == cell.box  # sharp edges
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    texts = [e for e in drawing.elements if isinstance(e, Text)]
    for text in texts:
        left, top, right, bottom = text.box
        rows = slice(math.floor(top), math.ceil(bottom))
        assert not covered[rows, math.floor(left) : math.ceil(right)].any(), text
    cards = [e for e in drawing.elements if isinstance(e, Rectangle) and e.fill == EDGE]
    assert len(cards) == len(task.train) + len(task.test)
    for one, other in itertools.combinations(texts, 2):
        assert not overlap(one.box, other.box), (one, other)
    for one, other in itertools.combinations(cards, 2):
        assert not overlap(one.box, other.box), (one, other)


@settings(max_examples=5, deadline=None)
@given(tasks)
def test_every_svg_parses(task: Task) -> None:
    found = rectangles(draw_task(task).svg())
    cells = sum(grid.size for pair in (*task.train, *task.test) for grid in pair.grids)
    assert sum(found[colour] for colour in ARC_PALETTE) == cells


def count_marks(svg: str) -> int:
    """Count the frames of wrong cells, which have six points."""
    root = ElementTree.fromstring(svg)
    return sum(
        line.attrib["stroke"] == WRONG and line.attrib["points"].count(",") == 6
        for line in root.iter(f"{SVG}polyline")
    )


def test_wrong_cells_are_crossed_or_framed() -> None:
    task = small_task()
    svg = draw_task(task, [predicted(task, as_grid([[1, 5]]))]).svg()
    assert svg.count('stroke="#FFFFFF"') == 2  # the white strokes of a cross
    maze = Task("1", (), (Pair(as_grid([[2, 1], [1, 3]]), as_grid([[2, 4], [1, 3]])),), "maze")
    wrong, valid = as_grid([[2, 1], [1, 3]]), as_grid([[2, 1], [4, 3]])
    svg = draw_task(maze, [predicted(maze, wrong)]).svg()
    assert count_marks(svg) == 1 and {"wrong", "S", "G"} <= set(texts_of(svg))
    svg = draw_task(maze, [predicted(maze, valid)]).svg()
    assert count_marks(svg) == 0 and "valid" in texts_of(svg)


def test_wrong_cells_that_are_too_small_for_a_cross_carry_a_square() -> None:
    output = np.zeros((29, 29), np.uint8)
    wrong = output.copy()
    wrong[3, 4] = 1
    task = Task("large", (), (Pair(as_grid(output), as_grid(output)),))
    drawing = draw_task(task, [predicted(task, as_grid(wrong))])
    (square,) = (e for e in drawing.elements if isinstance(e, Line) and e.colour == "#FFFFFF")
    ((left, y), (right, _)) = square.points
    assert right - left == pytest.approx(square.width) and square.width >= 3
    cells = [e for e in drawing.elements if isinstance(e, Rectangle) and e.fill in ARC_PALETTE]
    assert len(cells) == 3 * output.size  # the mark is no cell
    image = Image.open(io.BytesIO(drawing.png()))
    middle = (round(SCALE * (left + right) / 2), round(SCALE * y))
    assert image.getpixel(middle) == (255, 255, 255)
    assert image.getpixel((middle[0], round(SCALE * (y - 1.4 * square.width / 2)))) == (0, 0, 0)


def test_a_trace_is_drawn_step_by_step() -> None:
    task = small_task()
    grids = [None, as_grid([[1, 1]]), as_grid([[1, 1]]), as_grid([[1, 2]])]
    trace = tuple(TraceStep(grid, 0.2 * n) for n, grid in enumerate(grids))
    found = [InputPrediction(task, 0, (), (), trace)]
    texts = texts_of(draw_trace(found).svg())
    for number, percent in enumerate((0, 20, 40, 60), 1):
        assert f"Step {number}, halt {percent} %" in texts
    assert texts.count("wrong") == 2 and texts.count("right") == texts.count("no grid") == 1
    assert "Task made-up: the answer step by step" in texts and "Correct output" in texts


def test_a_prediction_is_drawn_with_the_known_output() -> None:
    texts = texts_of(draw_prediction(predicted(small_task(), as_grid([[1, 2]]), None)).svg())
    names = ["Task made-up", "Test input 1", "Attempt 1", "right", "Attempt 2", "Correct output"]
    assert [text for text in texts if text in names] == names


def test_of_a_set_the_first_tasks_are_drawn() -> None:
    shown = small_task()
    many = [Task(f"task{n}", shown.train, shown.test * 2) for n in range(20)]
    texts = texts_of(draw_tasks("A set", many).svg())
    assert texts[0] == "A set" and {"task0", "task11"} <= set(texts) and "task12" not in texts
    found = [predicted(many[0], as_grid([[1, 2]]), test=test) for test in (1, 0)]
    drawing = draw_tasks("A set", many[:2], found)
    texts = texts_of(drawing.svg())
    assert texts.index("task0, test 1") < texts.index("task0, test 2") < texts.index("task1")
    assert texts.count("right") == 2
    assert_inside(drawing)
    assert texts_of(draw_tasks("Nothing", []).svg()) == ["Nothing"]
