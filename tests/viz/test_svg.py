"""Pictures: what they hold, that nothing overlaps, and that both formats show the same."""

from __future__ import annotations

import io
import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from arc_trm.errors import UserError
from arc_trm.tasks import Grid, Pair, Task, as_grid
from arc_trm.viz import PALETTE, Scene, curve_picture, save, task_picture
from arc_trm.viz.curve import series, ticks
from arc_trm.viz.figure import GRID_LINE
from arc_trm.viz.svg import EDGE, SCALE, Line, Rectangle, Text, fitted, text_width

SVG = "{http://www.w3.org/2000/svg}"


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


def small_task() -> Task:
    """Nine colours in the demonstration, one test of which the output is known."""
    shown = Pair(as_grid([[1, 2, 3], [4, 5, 6]]), as_grid([[7], [8], [9]]))
    return Task("made-up", (shown,), (Pair(as_grid([[0]]), as_grid([[1, 2]])),))


def rectangles(svg: str) -> Counter[str]:
    """How many rectangles of each colour."""
    root = ElementTree.fromstring(svg)
    return Counter(element.attrib["fill"] for element in root.iter(f"{SVG}rect"))


def words(svg: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def assert_inside(scene: Scene) -> None:
    for element in scene.elements:
        left, top, right, bottom = element.box
        assert left >= 0 and top >= 0, element
        assert right <= scene.width and bottom <= scene.height, element


def test_a_picture_holds_every_cell_once_in_its_colour() -> None:
    found = rectangles(task_picture(small_task()).svg())
    expected = Counter({PALETTE[0]: 1, PALETTE[1]: 2, PALETTE[2]: 2})
    expected += Counter({PALETTE[colour]: 1 for colour in range(3, 10)})
    assert {colour: count for colour, count in found.items() if colour in PALETTE} == expected


def test_attempts_are_told_right_from_wrong_by_word_and_shape() -> None:
    attempts = {0: (as_grid([[1, 2]]), as_grid([[1], [2]]))}
    scene = task_picture(small_task(), attempts)
    texts = words(scene.svg())
    assert texts.count("right") == texts.count("wrong") == 1
    assert texts.index("Attempt 1") < texts.index("right") < texts.index("Attempt 2")
    assert texts.index("Attempt 2") < texts.index("wrong") < texts.index("Correct output")
    ticks_and_crosses = [e for e in scene.elements if isinstance(e, Line) and e.width == 2.5]
    assert sorted(len(line.points) for line in ticks_and_crosses) == [2, 2, 3]


def test_without_a_known_output_nothing_is_called_right_or_wrong() -> None:
    task = small_task().without_solutions()
    texts = words(task_picture(task, {0: (as_grid([[1, 2]]), as_grid([[3]]))}).svg())
    assert "Attempt 2" in texts and not {"right", "wrong", "Correct output"} & set(texts)
    assert "?" in words(task_picture(task).svg())


def test_sizes_are_rows_by_columns() -> None:
    texts = words(task_picture(small_task()).svg())
    assert texts.count("2 x 3") == 1 and texts.count("3 x 1") == 1
    assert texts.count("1 x 1") == 1 and texts.count("1 x 2") == 1


@pytest.mark.parametrize(
    "hostile",
    ["<script/>", 'a"b&c]]>', "a\nb\x00\x1b[31m", "\ud800", "\u202e\ufffe", ""],
)
def test_hostile_ids_are_escaped(hostile: str) -> None:
    task = small_task()
    picture = task_picture(Task(hostile, task.train, task.test))
    svg = picture.svg()
    root = ElementTree.fromstring(svg.encode())
    assert {element.tag for element in root.iter()} == {
        f"{SVG}{name}" for name in ("svg", "rect", "polyline", "text")
    }
    printable = "".join(c if c.isprintable() else "\ufffd" for c in hostile)
    assert f"Task {printable}" in words(svg)
    assert picture.png().startswith(b"\x89PNG")


def test_a_long_id_is_cut_to_the_width() -> None:
    task = small_task()
    scene = task_picture(Task("x" * 5000, task.train, task.test))
    assert_inside(scene)
    assert fitted("short", 22, 300) == "short"
    cut = fitted("x" * 5000, 22, 300)
    assert cut.endswith("…") and 280 < text_width(cut, 22) <= 300


def test_png_shows_what_the_scene_holds() -> None:
    scene = task_picture(small_task())
    image = Image.open(io.BytesIO(scene.png()))
    assert image.size == (scene.width * SCALE, scene.height * SCALE)
    cells = [e for e in scene.elements if isinstance(e, Rectangle) and e.fill in PALETTE]
    assert len(cells) == 12
    for cell in cells:
        left, top, right, bottom = (round(SCALE * side) for side in cell.box)
        assert image.crop((left, top, right, bottom)).getcolors() == [
            ((right - left) * (bottom - top), tuple(bytes.fromhex(cell.fill[1:])))
        ]
        assert image.getpixel((right, bottom)) == tuple(bytes.fromhex(GRID_LINE[1:]))
    assert image.getpixel((0, 0)) == tuple(bytes.fromhex("F3F1EC"))


def test_png_has_text_where_the_scene_has_it() -> None:
    scene = task_picture(small_task())
    image = Image.open(io.BytesIO(scene.png())).convert("L")
    for text in (e for e in scene.elements if isinstance(e, Text)):
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
    scene = task_picture(task, attempts)
    assert_inside(scene)

    cells = [e for e in scene.elements if isinstance(e, Rectangle) and e.fill in PALETTE]
    shown = [grid for pair in (*task.train, *task.test) for grid in pair.grids]
    shown += [grid for pair in attempts.values() for grid in pair]
    counts = np.bincount(np.concatenate([grid.reshape(-1) for grid in shown]), minlength=10)
    found = Counter(cell.fill for cell in cells)
    assert [found[colour] for colour in PALETTE] == counts.tolist()

    covered = np.zeros((round(scene.height), round(scene.width)), dtype=int)
    for cell in cells:
        assert cell.width >= 7  # a cell can be seen
        left, top, right, bottom = map(int, cell.box)
        assert (left, top, right, bottom) == cell.box  # sharp edges
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    texts = [e for e in scene.elements if isinstance(e, Text)]
    for text in texts:
        left, top, right, bottom = text.box
        rows = slice(math.floor(top), math.ceil(bottom))
        assert not covered[rows, math.floor(left) : math.ceil(right)].any(), text
    cards = [e for e in scene.elements if isinstance(e, Rectangle) and e.fill == EDGE]
    assert len(cards) == len(task.train) + len(task.test)
    for one, other in itertools.combinations(texts, 2):
        assert not overlap(one.box, other.box), (one, other)
    for one, other in itertools.combinations(cards, 2):
        assert not overlap(one.box, other.box), (one, other)


@settings(max_examples=5, deadline=None)
@given(tasks)
def test_every_svg_parses(task: Task) -> None:
    found = rectangles(task_picture(task).svg())
    cells = sum(grid.size for pair in (*task.train, *task.test) for grid in pair.grids)
    assert sum(found[colour] for colour in PALETTE) == cells


def record(step: float, loss: float, accuracy: float) -> dict[str, float]:
    return {"step": step, "lm_loss": loss, "exact_accuracy": accuracy}


def curves(scene: Scene) -> list[Line]:
    return [e for e in scene.elements if isinstance(e, Line) and e.width == 1.5]


def test_a_curve_goes_through_its_points() -> None:
    scene = curve_picture([record(0, 4, 0), record(50, 1, 0.25), record(100, 2, 1)], "a run")
    loss, accuracy = curves(scene)
    for line, heights in ((loss, [1, 0.25, 0.5]), (accuracy, [0, 0.25, 1])):
        xs, ys = zip(*line.points, strict=True)
        assert xs == pytest.approx([xs[0], xs[0] + 380, xs[0] + 760])
        zero = ys[0] + 220 * heights[0]
        assert ys == pytest.approx([zero - 220 * height for height in heights])
    texts = words(scene.svg())
    assert "a run" in texts and texts.count("Step") == 2
    assert {"0", "4", "100 %", "20", "80"} <= set(texts)


def test_steps_are_put_in_order() -> None:
    assert series([record(2, 5, 0), record(1, 7, 0)], "lm_loss").pieces == (((1, 7), (2, 5)),)


def test_no_records_and_one() -> None:
    assert words(curve_picture([]).svg()).count("Nothing to draw yet") == 2
    scene = curve_picture([record(7, 1.5, 0.5)])
    assert curves(scene) == []
    assert sum(isinstance(e, Rectangle) and e.width == e.height == 4 for e in scene.elements) == 2
    assert "7" in words(scene.svg())


def test_values_that_are_not_finite_cut_the_line_and_are_counted() -> None:
    losses = [5, 4, math.nan, 3, 2, -math.inf, math.inf, 1]
    records = [record(step, loss, 0.5) for step, loss in enumerate(losses)]
    del records[7]["exact_accuracy"]
    scene = curve_picture(records)
    lengths = sorted(len(line.points) for line in curves(scene))
    assert lengths == [2, 2, 7]  # the last loss is a dot
    texts = words(scene.svg())
    assert "3 not finite, left out" in texts and "1 not finite, left out" in texts
    assert_inside(scene)


def test_many_points_keep_their_extremes_and_few_pixels() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.4, 20_000)
    values[[1234, 17_000]] = 1.0, 0.0
    records = [record(step, value, value) for step, value in enumerate(values.tolist())]
    for line in curves(curve_picture(records)):
        assert len(line.points) <= 4 * 761
        ys = [y for _, y in line.points]
        assert max(ys) - min(ys) == pytest.approx(220)
        assert len({math.floor(x) for x, _ in line.points}) == 761


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(record, st.integers(0, 10**9), st.floats(), st.floats(0, 1) | st.just(math.nan)),
        max_size=20,
    )
)
def test_a_curve_never_leaves_its_picture(records: list[dict[str, float]]) -> None:
    scene = curve_picture(records)
    assert_inside(scene)
    texts = [e for e in scene.elements if isinstance(e, Text)]
    for one, other in itertools.combinations(texts, 2):
        assert not overlap(one.box, other.box), (one, other)
    ElementTree.fromstring(scene.svg())


@given(st.floats(-1e99, 1e99), st.floats(0, 1e99), st.integers(1, 8))
def test_ticks_enclose_what_is_drawn(low: float, span: float, count: int) -> None:
    found = ticks(low, low + span, count)
    slack = 1e-6 * (found[-1] - found[0])
    assert found[0] <= low + slack and found[-1] >= low + span - slack
    assert 2 <= len(found) <= count + 2


@pytest.mark.parametrize("ending", ["svg", "PNG"])
def test_files_are_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"task.{ending}"
    path.write_text("an earlier one")
    scene = task_picture(small_task())
    save(scene, path)
    if ending == "svg":
        assert path.read_text("utf-8") == scene.svg()
    else:
        with Image.open(path) as image:
            assert image.size == (SCALE * scene.width, SCALE * scene.height)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.svgz: .*\.svg or \.png; did you mean '\.svg'\?"):
        save(task_picture(small_task()), tmp_path / "task.svgz")
    with pytest.raises(UserError, match=r"\.svg or \.png$"):
        save(task_picture(small_task()), tmp_path / "task")
    assert list(tmp_path.iterdir()) == []
