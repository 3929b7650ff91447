"""The training curve: its points, axes, and values that cannot be drawn."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from drawings import assert_inside, overlap, texts_of
from hypothesis import given, settings
from hypothesis import strategies as st

from arc_trm.config import RunConfig
from arc_trm.io import write_json
from arc_trm.runs import METRICS, Run, create_run
from arc_trm.viz import Drawing, draw_curve, draw_run
from arc_trm.viz.curve import (
    MAX_MARKS,
    OTHER_VALIDATION,
    TRAINING,
    VALIDATION,
    Curve,
    Panel,
    draw_panel,
    faint,
    run_panels,
)
from arc_trm.viz.series import read_series, ticks
from arc_trm.viz.svg import Line, Rectangle, Text


def record(step: float, loss: float, accuracy: float) -> dict[str, float]:
    return {"step": step, "train/lm_loss": loss, "train/exact_of_halted": accuracy}


def curves(drawing: Drawing) -> list[Line]:
    """Return the lines of training records as they are, with or without running means."""
    raw = (TRAINING, faint(TRAINING))
    lines = [e for e in drawing.elements if isinstance(e, Line) and e.colour in raw]
    return [line for line in lines if line.width < 2]


def evaluation(step: float, exact: float, puzzles: float = 200) -> dict[str, float]:
    return {"step": step, "eval/exact": exact, "eval/puzzles": puzzles, "eval/seconds": 0.5}


def lines_of(drawing: Drawing, colour: str) -> list[Line]:
    """Return the lines of a colour but those of the legend."""
    lines = [e for e in drawing.elements if isinstance(e, Line) and e.colour == colour]
    return [line for line in lines if len(line.points) != 2 or line.points[1][0] > 200]


def squares(drawing: Drawing, colour: str, size: float) -> list[Rectangle]:
    found = [e for e in drawing.elements if isinstance(e, Rectangle) and e.fill == colour]
    return [each for each in found if each.width == each.height == size]


def test_a_curve_goes_through_its_points() -> None:
    drawing = draw_curve([record(0, 4, 0), record(50, 1, 0.25), record(100, 2, 1)], "a run")
    loss, accuracy = curves(drawing)
    for line, heights in ((loss, [1, 0.25, 0.5]), (accuracy, [0, 0.25, 1])):
        xs, ys = zip(*line.points, strict=True)
        assert xs == pytest.approx([xs[0], xs[0] + 380, xs[0] + 760])
        zero = ys[0] + 220 * heights[0]
        assert ys == pytest.approx([zero - 220 * height for height in heights])
    texts = texts_of(drawing.svg())
    assert "a run" in texts and texts.count("Step") == 2
    assert {"0", "4", "100 %", "20", "80"} <= set(texts)


def test_steps_are_put_in_order() -> None:
    assert read_series([record(2, 5, 0), record(1, 7, 0)], "train/lm_loss").segments == (
        ((1, 7), (2, 5)),
    )


def test_no_records_and_one() -> None:
    assert texts_of(draw_curve([]).svg()).count("No metrics yet") == 2
    drawing = draw_curve([record(7, 1.5, 0.5)])
    assert curves(drawing) == []
    assert sum(isinstance(e, Rectangle) and e.width == e.height == 4 for e in drawing.elements) == 2
    assert "7" in texts_of(drawing.svg())


def test_values_that_cannot_be_drawn_cut_the_line_and_are_counted() -> None:
    losses = [5, 4, math.nan, 3, 2, -math.inf, math.inf, 1]
    records = [record(step, loss, 0.5) for step, loss in enumerate(losses)]
    del records[7]["train/exact_of_halted"]
    drawing = draw_curve(records)
    lengths = sorted(len(line.points) for line in curves(drawing))
    assert lengths == [2, 2, 7]  # the last loss is a dot
    texts = texts_of(drawing.svg())
    assert "3 values not finite are left out" in texts
    assert "1 record in which no example halted is left out" in texts
    assert_inside(drawing)


def test_a_step_at_which_no_sequence_halted_does_not_cut_the_line() -> None:
    records = [record(1, 4, 0.25), record(2, 3, 0), record(3, 2, 0.75)]
    del records[1]["train/exact_of_halted"]
    series = read_series(records, "train/exact_of_halted")
    assert series.segments == (((1, 0.25), (3, 0.75)),)
    assert (series.left_out, series.nothing) == (
        "1 record in which no example halted is left out",
        "",
    )


@pytest.mark.parametrize(
    ("records", "nothing", "left_out"),
    [
        ([], "no metrics yet", ""),
        ([{"step": 1, "train/halted": 0}] * 3, "no example halted yet", ""),
        (
            [{"step": 1, "train/exact_of_halted": math.nan}, {"step": 2, "train/halted": 0}],
            "no value can be drawn",
            "1 value not finite and 1 record in which no example halted are left out",
        ),
    ],
)
def test_a_series_without_points_says_why(
    records: list[dict[str, float]], nothing: str, left_out: str
) -> None:
    series = read_series(records, "train/exact_of_halted")
    assert (series.segments, series.nothing, series.left_out) == ((), nothing, left_out)
    assert nothing.capitalize() in texts_of(draw_curve(records).svg())


def test_the_running_mean_keeps_steps_and_cuts() -> None:
    values = np.random.default_rng(0).uniform(1, 2, 90)
    records = [record(step, value, 0) for step, value in enumerate(values.tolist())]
    records[60]["train/lm_loss"] = math.nan
    series = read_series(records, "train/lm_loss")
    assert series.window == 5
    first, second = series.smoothed().segments
    assert [step for step, _ in (*first, *second)] == [n for n in range(90) if n != 60]
    assert first[30][1] == pytest.approx(values[28:33].mean())
    assert first[0][1] == pytest.approx(values[:3].mean())
    assert second[0][1] == pytest.approx(values[61:64].mean())
    few = read_series(records[:39], "train/lm_loss")
    assert few.window == 1 and np.allclose(few.smoothed().segments, few.segments)


def test_the_running_mean_of_halted_examples_counts_each_example_once() -> None:
    generator = np.random.default_rng(0)
    counts, shares = generator.integers(1, 100, 90), generator.uniform(0, 1, 90)
    pairs = zip(counts.tolist(), shares.tolist(), strict=True)
    records = [
        record(n, 1, share) | {"train/halted": count} for n, (count, share) in enumerate(pairs)
    ]
    series = read_series(records, "train/exact_of_halted")
    means = [value for _, value in series.smoothed().segments[0]]
    for place in (0, 1, 40, 89):
        part = slice(max(0, place - 2), place + 3)
        assert means[place] == pytest.approx(np.average(shares[part], weights=counts[part]))
    assert series.end == means[-1]
    for odd in (0, -1, math.nan, math.inf):  # a file that something else wrote
        records[40]["train/halted"] = odd
        smoothed = read_series(records, "train/exact_of_halted").smoothed().segments[0]
        assert all(math.isfinite(value) for _, value in smoothed)


def test_both_reasons_are_named() -> None:
    records = [record(1, 4, math.nan), record(2, 3, 0), record(3, 2, 0)]
    del records[1]["train/exact_of_halted"]
    texts = texts_of(draw_curve(records).svg())
    assert "1 value not finite and 1 record in which no example halted are left out" in texts


def test_many_points_keep_their_extremes_and_few_pixels() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.4, 20_000)
    values[[1234, 17_000]] = 1.0, 0.0
    records = [record(step, value, value) for step, value in enumerate(values.tolist())]
    lines = curves(draw_curve(records))
    assert len(lines) == 2
    for line in lines:
        assert len(line.points) <= 4 * 761
        ys = [y for _, y in line.points]
        assert max(ys) - min(ys) == pytest.approx(220)
        assert len({math.floor(x) for x, _ in line.points}) == 761


def test_running_means_are_drawn_before_the_records() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 500).tolist()
    records = [record(step, value, value) for step, value in enumerate(values)]
    drawing = draw_curve(records)
    raw, means = (lines_of(drawing, colour) for colour in (faint(TRAINING), TRAINING))
    assert len(raw) == len(means) == 2  # a panel each
    for behind, mean in zip(raw, means, strict=True):
        assert drawing.elements.index(behind) < drawing.elements.index(mean)
        heights = [np.std([y for _, y in line.points]) for line in (behind, mean)]
        assert heights[1] < 0.5 * heights[0]
    legend = "of halted training examples, running mean of 25 records"
    assert legend in texts_of(drawing.svg())


anything = st.floats() | st.just(math.nan) | st.floats(0, 1)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(record, st.integers(0, 10**12), st.floats(), anything)
        | st.builds(evaluation, st.integers(0, 10**12), anything, anything)
        | st.builds(
            lambda step, one, two: {"step": step, "eval/pass_at_1": one, "eval/pass_at_2": two},
            st.integers(0, 10**12),
            anything,
            anything,
        ),
        max_size=20,
    )
)
def test_a_curve_never_leaves_its_picture(records: list[dict[str, float]]) -> None:
    drawing = draw_curve(records)
    assert_inside(drawing)
    texts = [e for e in drawing.elements if isinstance(e, Text)]
    for one, other in itertools.combinations(texts, 2):
        assert not overlap(one.box, other.box), (one, other)
    ElementTree.fromstring(drawing.svg())


@given(st.floats(-1e99, 1e99), st.floats(0, 1e99), st.integers(1, 8))
def test_ticks_enclose_what_is_drawn(low: float, span: float, count: int) -> None:
    found = ticks(low, low + span, count)
    slack = 1e-6 * (found[-1] - found[0])
    assert found[0] <= low + slack and found[-1] >= low + span - slack
    assert 2 <= len(found) <= count + 2


def test_the_x_axis_says_what_it_measures() -> None:
    series = read_series([{"step": 1, "seconds": 2}, {"step": 2, "seconds": 3}], "seconds")
    curve = Curve(series, "", "#000000", "seconds")
    panel = draw_panel(Panel("Seconds of a step", (curve,), x_label="Size"))
    assert {"Seconds of a step", "Size"} <= set(texts_of(panel.svg()))


def test_the_curve_of_a_run_is_named_after_it(tmp_path: Path) -> None:
    run = Run(create_run(RunConfig("a-run", 3), tmp_path / "run"))
    write_json(run.path / METRICS, record(1, 4, 0.5))
    texts = texts_of(draw_run(run).svg())
    assert "a-run, seed 3" in texts and "No metrics yet" not in texts


# Evaluations


def test_evaluations_are_drawn_beside_training_with_the_best_marked() -> None:
    records = [record(step, 1, 0.9) for step in range(0, 101, 10)]
    records += [evaluation(50, 0.2), evaluation(75, 0.6), evaluation(100, 0.6)]
    drawing = draw_curve(records)
    (line,) = (each for each in lines_of(drawing, VALIDATION) if len(each.points) == 3)
    training = next(each for each in lines_of(drawing, TRAINING) if len(each.points) == 11)
    left, right = training.points[0][0], training.points[-1][0]
    assert [(x - left) / (right - left) for x, _ in line.points] == pytest.approx([0.5, 0.75, 1])
    (best,) = [
        each for each in squares(drawing, VALIDATION, 13) if each.y > line.points[-1][1] - 10
    ]
    assert best.x + 6.5 == pytest.approx(line.points[1][0])  # of equal ones the first
    cells = [each | {"eval/cell_accuracy": each["step"] / 100} for each in records]
    assert "best: 60 % at step 100" in texts_of(draw_curve(cells).svg())  # or that with more cells
    texts = texts_of(drawing.svg())
    assert {
        "of halted training examples",
        "of 200 validation puzzles, averaged weights",
        "best: 60 % at step 75",
    } <= set(texts)


def test_evaluations_neither_cut_training_nor_count_as_left_out() -> None:
    training = [record(step, 1, 0.5) for step in range(1, 6)]
    records = [*training[:2], evaluation(2, 0.1), *training[2:], evaluation(5, 0.3)]
    loss, exact = run_panels(records)
    curves_found = [*loss.curves, *exact.curves]
    assert [len(curve.series.segments) for curve in curves_found] == [1, 1, 1]
    assert [len(curve.series.points) for curve in curves_found] == [5, 5, 2]
    assert [curve.series.left_out for curve in curves_found] == ["", "", ""]


def test_evaluations_that_cannot_be_drawn_are_counted() -> None:
    records = [record(1, 1, 0.5), evaluation(1, math.nan, -1), evaluation(2, 0.5, 1e99)]
    texts = texts_of(draw_curve(records).svg())
    assert "of evaluations, 1 value not finite is left out" in texts
    assert "of validation puzzles, averaged weights" in texts  # of how many puzzles is not known


def test_arc_has_both_numbers_of_attempts_and_the_best_by_two() -> None:
    records = [
        record(n, 1, 0.5)
        | evaluation(n, 0.1, 40)
        | {"eval/pass_at_1": n / 20, "eval/pass_at_2": n / 10}
        for n in range(1, 6)
    ]
    _, exact = run_panels(records)
    assert [curve.key for curve in exact.curves[1:]] == ["eval/pass_at_1", "eval/pass_at_2"]
    assert [curve.colour for curve in exact.curves[1:]] == [OTHER_VALIDATION, VALIDATION]
    assert [curve.best for curve in exact.curves[1:]] == [None, (5, 0.5)]
    texts = texts_of(draw_curve(records).svg())
    assert "pass@2 of 40 validation tasks, averaged weights" in texts


@pytest.mark.parametrize(
    ("metric", "keys", "best"),
    [
        ("auto", ["eval/exact"], (2, 0.5)),
        ("exact", ["eval/exact"], (2, 0.5)),
        ("valid", ["eval/exact", "eval/valid"], (1, 0.9)),
        ("halt_step", ["eval/exact"], None),  # no share
        ("no_such", ["eval/exact"], None),
    ],
)
def test_the_best_is_by_the_metric_of_the_run(
    metric: str, keys: list[str], best: tuple[float, float] | None
) -> None:
    records = [
        evaluation(1, 0.4) | {"eval/valid": 0.9, "eval/halt_step": 3.0},
        evaluation(2, 0.5) | {"eval/valid": 0.8, "eval/halt_step": 2.0},
    ]
    _, exact = run_panels(records, metric)
    assert [curve.key for curve in exact.curves[1:]] == keys
    assert exact.curves[-1].best == best


def test_numbers_of_puzzles_that_differ_are_said() -> None:
    _, exact = run_panels([evaluation(1, 0.4, 100), evaluation(2, 0.4, 1200)])
    assert exact.curves[1].label == "of 100–1,200 validation puzzles, averaged weights"


def test_many_evaluations_are_a_line_without_marks() -> None:
    few, many = (
        draw_curve([evaluation(step, 0.5) for step in range(count)])
        for count in (MAX_MARKS, MAX_MARKS + 1)
    )
    assert len(squares(few, VALIDATION, 6)) == MAX_MARKS + 1  # and that of the legend
    assert len(squares(many, VALIDATION, 6)) == 1
    assert len(squares(many, VALIDATION, 13)) == 2  # the best one, and the legend


def test_training_without_a_halted_sequence_says_so_beside_evaluations() -> None:
    records = [{"step": 1, "train/lm_loss": 2.0, "train/halted": 0}, evaluation(1, 0.5)]
    texts = texts_of(draw_curve(records).svg())
    assert "no example halted yet" in texts and "No example halted yet" not in texts
    assert "of 200 validation puzzles, averaged weights" in texts
