"""Series of a run: their time, their mean over several runs, and hostile records."""

from __future__ import annotations

import math

import pytest

from arc_trm.viz.series import TIME, Axes, Series, mean_series, read_series, with_seconds


def series(*points: tuple[float, float]) -> Series:
    return read_series([{"step": x, "eval/exact": y} for x, y in points], "eval/exact")


def test_records_of_training_and_of_evaluations_are_apart() -> None:
    records = [
        {"step": 1, "train/loss": 3.0},
        {"step": 2, "train/loss": 2.0, "train/muon_lr": 0.1},
        {"step": 2, "eval/exact": 0.5},
    ]
    found = {
        key: read_series(records, key) for key in ("train/muon_lr", "eval/exact", "eval/valid")
    }
    assert found["train/muon_lr"].left_out == "1 record without train/muon_lr is left out"
    assert found["eval/exact"].left_out == ""
    assert found["eval/valid"].nothing == "no eval/valid yet"
    assert {each.span for each in found.values()} == {(1, 2)}


@pytest.mark.parametrize(
    ("record", "left_out"),
    [
        ({"step": 3, "train/loss": 1e200}, "1 value too large is left out"),
        ({"step": 10**12, "train/loss": 1.0}, "1 value too large is left out"),
        ({"step": 3, "train/loss": -math.inf}, "1 value not finite is left out"),
        ({"train/loss": 1.0}, "1 value not finite is left out"),
    ],
)
def test_values_that_have_no_place_are_left_out(record: dict[str, float], left_out: str) -> None:
    found = read_series([{"step": 1, "train/loss": 3.0}, record], "train/loss")
    assert (found.points, found.left_out) == (((1, 3.0),), left_out)


def test_the_first_of_equal_values_is_the_best() -> None:
    found = series((1, 0.25), (2, 0.5), (3, 0.5), (4, 0.125))
    assert (found.best(), found.best(lowest=True)) == ((2, 0.5), (4, 0.125))
    assert series().best() is None


def test_of_equal_values_the_one_with_the_higher_second_value_is_the_best() -> None:
    found = series((1, 0.5), (2, 0.5), (3, 0.5), (4, 0.0))
    cells = series((1, 0.25), (3, 0.75), (4, 1))  # unknown at step 2
    assert found.best(tie_breaker=cells) == (3, 0.5)
    assert found.best(lowest=True, tie_breaker=cells) == (4, 0.0)


def test_evaluations_take_their_time_from_training() -> None:
    records = [
        {"step": 10, "train/seconds": 30.0},
        {"step": 20, "train/seconds": 50.0},
        {"step": 5, "eval/exact": 0.1},
        {"step": 15, "eval/exact": 0.2},
        {"step": 20, "eval/exact": 0.3},
        {"step": 10, "train/seconds": math.nan},
    ]
    timed = with_seconds(records)
    assert timed is not None
    assert [each[TIME] for each in timed] == [30, 50, 15, 40, 50, 30]
    assert with_seconds([{"step": 1, "train/loss": 1.0}]) is None


def test_the_mean_of_series_is_where_all_have_values() -> None:
    mean = mean_series([series((0, 0.0), (10, 1.0)), series((5, 0.25), (20, 0.25))])
    assert mean.points == ((5, 0.375), (10, 0.625))
    assert mean.span == (0, 20)
    apart = mean_series([series((0, 0.0), (1, 1.0)), series((5, 0.25))])
    assert apart.points == ()
    assert mean_series([series(), series((3, 0.5))]).points == ((3, 0.5),)


def test_axes_hold_all_series_and_zero() -> None:
    axes = Axes.around([series((5, 0.5)), series((7, -0.25), (9, 0.75))])
    assert axes.x == (5, 9) and axes.y[0] <= -0.25 and axes.y[-1] >= 0.75
    assert axes.place((7, axes.y[-1]), 100, 50) == (50, 50)
