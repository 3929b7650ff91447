"""The progress bar in a terminal and the plain lines elsewhere: means, units, one line each."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import pytest
from rich.console import Console

from arc_trm.time_limit import format_duration
from arc_trm.viz import progress
from arc_trm.viz.progress import MEAN_STEPS, ConsoleCallback, show_progress

CODES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Screen:
    """What is printed, in a terminal of some width or in a pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, width: int | None) -> None:
        self.file = io.StringIO()
        terminal = {"force_terminal": width is not None, "width": width, "color_system": None}
        monkeypatch.setattr(
            progress, "Console", lambda **_: Console(file=self.file, _environ={}, **terminal)
        )

    @property
    def frames(self) -> list[str]:
        """All lines that were shown one after the other."""
        parts = re.split(r"[\r\n]+", CODES.sub("", self.file.getvalue()))
        return [part for part in parts if part.strip()]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(step: int, loss: float, exact: float | None = None, count: int = 8) -> dict[str, float]:
    values = {"step": step, "train/lm_loss": loss, "train/halted": 0.0}
    return (
        values
        if exact is None
        else {**values, "train/halted": count, "train/exact_of_halted": exact}
    )


def train(callback: ConsoleCallback, total: int, records: Iterable[dict[str, float]]) -> None:
    known = {each["step"]: each for each in records}
    for step in range(total + 1):
        callback.progress(step, total, known.get(step))


@pytest.mark.parametrize("total", [600, 155_000])
@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_a_bar_is_one_line_of_any_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, total: int
) -> None:
    screen = Screen(monkeypatch, width)
    clock = Clock()
    with show_progress("training", "steps", clock) as callback:
        for step in (0, 1, 2, 598, 599):
            clock.now = step / 20.14
            callback.progress(step, total, record(step, 1.0, 0.25) if step else None)
            assert callback._stage is not None and callback._stage._bar is not None
            callback._stage._bar.refresh()
    assert len(screen.frames) > 5
    assert all(len(frame) <= width for frame in screen.frames)
    last = screen.frames[-1]
    assert "training" in last and f"599/{total}" in last and "no rate" not in screen.file.getvalue()
    if width >= 80:
        assert re.search(r"loss 1.000, (exact 25.0 % of (\d+ )?halted|halted exact 25 %)", last)
    if width == 200:
        assert last.rstrip().endswith("mean of 597 steps: loss 1.000, exact 25.0 % of 16 halted")


def test_the_last_line_shows_means_of_the_recent_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, None)
    records = [record(step, 5.0 if step <= 200 else step % 2, 0.5) for step in range(1, 301)]
    with show_progress("training", "steps") as callback:
        train(callback, 300, records)
    (line,) = screen.frames
    assert re.match(r"training 300/300, [\d.]+ steps/s, in .* s, mean of 100 steps: ", line)
    assert line.endswith(": loss 0.500, exact 50.0 % of 800 halted")  # not 0 of the last step


def test_the_means_weigh_steps_and_halted_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, None)
    records = [record(30, 1.0, 0.0, 30), record(40, 5.0, 1.0, 10)]
    with show_progress("training", "steps") as callback:
        train(callback, 40, records)
    assert screen.frames[-1].endswith("mean of 40 steps: loss 2.000, exact 25.0 % of 40 halted")


def test_the_exact_share_does_not_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, 120)
    with show_progress("training", "steps") as callback:
        for step in range(1, 3 * MEAN_STEPS):
            callback.progress(step, 10**6, record(step, 1.0, 0.5 if step == 20 else None))
            assert callback._stage is not None and callback._stage._bar is not None
            callback._stage._bar.refresh()
            assert ("exact 50.0 %" in screen.frames[-1]) == (step >= 20)


def test_a_resumed_run_counts_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, None)
    with show_progress("training", "steps") as callback:
        callback.progress(5000, 5010)
        callback.progress(5010, 5010, record(5010, 1.0))
    assert screen.frames[-1].endswith("mean of 10 steps: loss 1.000")


@pytest.mark.parametrize("width", [None, 80])
def test_nothing_is_shown_where_nothing_is_to_do(
    monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    screen = Screen(monkeypatch, width)
    with show_progress("predicting", "queries") as callback:
        callback.stage("downloading", 0, 0)
        callback.progress(0, 0)
        callback.progress(600, 600)
    assert screen.frames == []


def test_no_rate_is_shown_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, 80)
    with show_progress("training", "steps") as callback:
        callback.progress(0, 600)
    assert {frame.strip(" ━╸╺") for frame in screen.frames} == {
        "training" + " " * (80 - 8 - 5) + "0/600"
    }


@pytest.mark.parametrize(
    ("unit", "rate", "text"),
    [
        ("steps", 20.14, "20.1 steps/s"),
        ("queries", 933.3, "933 queries/s"),
        ("steps", 0.4, "2.5 s each"),
        ("steps", 1 / 200, "3m20s each"),
        ("MB", 1.25e6, "1.2 MB/s"),
        ("", 3.0, "3.0/s"),
    ],
)
def test_rates_have_units(unit: str, rate: float, text: str) -> None:
    assert progress._format_rate(rate, unit) == text


def test_plain_lines_come_at_intervals_and_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    screen = Screen(monkeypatch, None)
    with show_progress("downloading", clock=clock) as callback:
        for done in range(0, 101):
            clock.now += 1
            callback.stage("weights", done * 10**6, 100 * 10**6)
    text = screen.file.getvalue()
    assert text.endswith("\n") and "\r" not in text and not CODES.search(text)
    assert 3 <= len(screen.frames) <= 12
    assert re.match(r"weights [\d.]+/100\.0 MB, [\d.]+ MB/s, .* left$", screen.frames[0])
    assert screen.frames[-1].startswith("weights 100.0/100.0 MB, ")


def at_rates(
    callback: ConsoleCallback, clock: Clock, total: int, rates: Iterable[tuple[int, float]]
) -> int:
    """Report steps: so many at so many a second, again and again."""
    done = 0
    callback.progress(done, total)
    for steps, rate in rates:
        for _ in range(steps):
            clock.now, done = clock.now + 1 / rate, done + 1
            callback.progress(done, total)
    return done


def frame(screen: Screen, callback: ConsoleCallback) -> list[str]:
    """The rows that the bars show now."""
    assert callback._stage is not None and callback._stage._bar is not None
    before = len(screen.frames)
    callback._stage._bar.refresh()
    return screen.frames[before:]


@pytest.mark.parametrize("width", [None, 120])
def test_rate_and_time_left_are_those_of_the_last_minute(
    monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    screen, clock = Screen(monkeypatch, width), Clock()
    with show_progress("training", "steps", clock) as callback:
        at_rates(callback, clock, 7000, [(6000, 50.0), (200, 2.0)])
        shown = screen.frames[-1] if width is None else frame(screen, callback)[-1]
    found = re.search(r"(\d+)/7000,? 2\.0 steps/s,? (\S+) left", shown)
    assert found and int(found[1]) > 6120  # a minute of the slow steps
    assert found[2] == format_duration((7000 - int(found[1])) / 2)


def test_a_slow_first_step_is_not_in_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = Screen(monkeypatch, None), Clock()
    with show_progress("training", "steps", clock) as callback:
        callback.progress(0, 1000)
        at_rates(callback, clock, 1000, [(1, 1 / 30), (101, 5.0)])
    assert screen.frames[-1].startswith("training 101/1000, 5.0 steps/s, ")


def test_a_rate_of_steps_that_take_minutes_is_that_of_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen, clock = Screen(monkeypatch, None), Clock()
    with show_progress("training", "steps", clock) as callback:
        at_rates(callback, clock, 10, [(2, 1 / 300), (1, 1 / 120)])
    assert screen.frames[-1] == "training 3/10, 2m00s each, 14m00s left"


@pytest.mark.parametrize("width", [None, 120])
def test_compiling_is_shown_as_such_and_left_out_of_the_rate(
    monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    screen, clock = Screen(monkeypatch, width), Clock()
    with show_progress("training", "steps", clock) as callback:
        callback.progress(0, 1000)
        callback.stage("compiling", 0, None)
        clock.now += 34
        if width is not None:
            job, compiling = frame(screen, callback)
            assert "0/1000" in job and "steps/s" not in job
            assert compiling.startswith("compiling ") and compiling.rstrip().endswith(" 34.0 s")
        for step in range(1, 13):
            callback.progress(step, 1000)
            clock.now += 2
        callback.progress(13, 1000)
        last = screen.frames[-1] if width is None else frame(screen, callback)[-1]
        assert last.startswith("training ") and "2.0 s each" in last
        assert "13/1000" in last or width is None
    if width is None:
        assert screen.frames[:2] == ["compiling", "compiling took 34.0 s"]


@pytest.mark.parametrize("width", [None, 120])
def test_planning_ends_when_the_job_starts(
    monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    screen, clock = Screen(monkeypatch, width), Clock()
    with show_progress("training", "steps", clock) as callback:
        callback.stage("planning", 0, None)
        clock.now += 5
        at_rates(callback, clock, 100, [(100, 10.0)])
        callback.note("done")
    if width is None:
        assert screen.frames[:2] == ["planning", "planning took 5.0 s"]
        assert screen.frames[2] == "training 100/100, 10.0 steps/s, in 10.0 s"
    else:
        assert any(each.startswith("planning ") and " 5.0 s" in each for each in screen.frames)
        assert "in 10.0 s" in screen.frames[-1] and "planning" not in screen.frames[-1]


def evaluation(step: int, **values: float) -> dict[str, float]:
    return {"step": step, "eval/puzzles": 50, "eval/exact": 0.125, "eval/seconds": 30.0, **values}


@pytest.mark.parametrize("width", [None, 120])
def test_an_evaluation_is_a_stage_and_its_result_stays(
    monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    screen, clock = Screen(monkeypatch, width), Clock()
    with show_progress("training", "steps", clock) as callback:
        at_rates(callback, clock, 1000, [(50, 10.0)])
        callback.stage("evaluating", 0, 50, in_bytes=False)
        clock.now += 2
        if width is not None:
            assert frame(screen, callback)[1].rstrip().endswith(" 0/50 2.0 s")
        for done in range(51):
            callback.stage("evaluating", done, 50, in_bytes=False)
            clock.now += 0.5
        if width is not None:
            job, evaluating = frame(screen, callback)
            assert "50/1000" in job
            assert evaluating.startswith("evaluating ") and "50/50" in evaluating
        callback.progress(50, 1000, evaluation(50))
        for step in range(51, 251):
            clock.now += 0.1
            callback.progress(step, 1000, record(step, 0.5))
        (last,) = screen.frames[-1:] if width is None else frame(screen, callback)
    assert "10.0 steps/s" in last
    assert last.rstrip().endswith("loss 0.500, validation exact 12.5 % at step 50")
    if width is None:
        names = [each.partition(" ")[0] for each in screen.frames]
        assert names == ["evaluating", "training", "training"]


def test_of_two_attempts_both_count(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, None)
    values = {"eval/pass_at_1": 0.1, "eval/pass_at_2": 0.2}
    with show_progress("training", "steps") as callback:
        callback.progress(0, 10)
        callback.progress(9, 10, evaluation(9, **values))
        callback.progress(10, 10, record(10, 1.0))
        callback.progress(10, 10, evaluation(10, **values))  # the note of it says enough
    (line,) = screen.frames
    assert line.endswith("loss 1.000, validation pass@2 20.0 % at step 9")


def test_a_stage_without_anything_to_do_leaves_the_job_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen, clock = Screen(monkeypatch, 80), Clock()
    with show_progress("training", "steps", clock) as callback:
        at_rates(callback, clock, 100, [(20, 1.0)])
        callback.stage("evaluating", 0, 0, in_bytes=False)
        (row,) = frame(screen, callback)
        assert "20/100" in row and "1.0 steps/s" in row
