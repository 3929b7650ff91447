"""`arc-trm show`: in pipes, on terminals, as pictures, and its messages for mistakes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charts import DOTS, check_charts
from click.testing import Result
from commands import run_cli
from PIL import Image

from arc_trm.config import DataConfig, RunConfig
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.puzzles.theme import ARC_PALETTE
from arc_trm.runs import PREDICTIONS, PREDICTIONS_FOLDER, RUNS, create_run
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid

TERMINAL = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}


def made_up(task_id: str, test_output: Grid | None) -> Task:
    shown = Pair(as_grid([[1, 2], [3, 4]]), as_grid([[5]]))
    return Task(task_id, (shown,), (Pair(as_grid([[6, 7, 8]]), test_output),))


SETS = {
    "arc-agi-1": [made_up("aaaa1111", as_grid([[9, 0]])), made_up("aaaa2222", None)],
    "arc-agi-2": [made_up("bbbb1111", as_grid([[0]]))],
    "mine": [made_up("cccc1111", as_grid([[2, 2]])), made_up("aaaa1111", as_grid([[3, 3]]))],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, made-up datasets, a pipe 80 columns wide."""

    def load(name: str, skip_invalid: bool = False) -> TaskSet:
        return TaskSet.from_tasks(name, SETS[name])

    monkeypatch.chdir(tmp_path)
    for module in ("arc_trm.viz.show", "arc_trm.data.splits"):
        monkeypatch.setattr(f"{module}.load_tasks", load)
    for name in (*TERMINAL, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


Run = Callable[..., Result]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `arc-trm show` with changes of the environment, and checks that it succeeds."""

    def run(*arguments: str, **environment: str) -> Result:
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            result = run_cli("show", *arguments)
        assert result.exit_code == 0, result.stderr
        return result

    return run


def make_run(predictions: Sequence[list[Prediction]] = (), steps: int = 20) -> Path:
    data = DataConfig(train=("mine",), test=("mine",))
    folder = create_run(RunConfig("a-run", 3, data=data), RUNS / "first")
    records = [
        {
            "step": n,
            "train/lm_loss": 4 / n,
            "train/exact_of_halted": n / 40,
            "train/examples_per_second": 12.0,
        }
        for n in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    if predictions:
        save_predictions(folder / PREDICTIONS_FOLDER / "job" / PREDICTIONS, predictions)
    return folder


def save_predictions(path: Path, predictions: Sequence[list[Prediction]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log = PredictionLog(path)
    log.begin({}, {})
    log.append(each for prediction in predictions for each in prediction)


def predicted(task: str, first: Grid, second: Grid, test: int = 0) -> list[Prediction]:
    """Predictions of two puzzles, of which the first is more certain."""
    return [
        Prediction(task, test, name, order, grid, halt_prob)
        for order, (name, grid, halt_prob) in enumerate((("a", first, 0.9), ("b", second, 0.1)))
    ]


RIGHT_THEN_WRONG = predicted("cccc1111", as_grid([[2, 2]]), as_grid([[2, 1]]))


def test_a_task_in_a_pipe_is_digits(show: Run) -> None:
    output = show("aaaa1111").output
    assert "\x1b" not in output
    assert [line.rstrip() for line in output.splitlines()] == [
        "Task aaaa1111",
        "",
        "Input 1       Output",
        "1 2       →   5",
        "3 4           1 × 1",
        "2 × 2",
        "",
        "Test input 1       Output",
        "6 7 8          →   9 0",
        "1 × 3              1 × 2",
        "",
    ]


def test_an_unknown_output_is_a_question_mark(show: Run) -> None:
    assert re.search(r"6 7 8 +→ +\?\n", show("aaaa2222").output)


def test_a_task_on_a_terminal_is_coloured_cells(show: Run) -> None:
    output = show("aaaa1111", **TERMINAL).output
    for colour, cells in ((1, 1), (2, 1), (5, 1), (9, 1), (0, 1)):
        red, green, blue = bytes.fromhex(ARC_PALETTE[colour][1:])
        assert output.count(f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m") == cells
    assert not re.search(r"\b6 7 8\b", output)


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLORTERM": "", "TERM": "x"}]
)
def test_digits_if_colours_are_not_wanted_or_too_few(show: Run, env: dict[str, str]) -> None:
    output = show("aaaa1111", **{**TERMINAL, **env}).output
    assert "6 7 8" in output and "48;" not in output


def test_wide_grids_get_half_blocks(show: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = as_grid(np.arange(3 * 30).reshape(3, 30) % 10)
    task = Task("wide", (Pair(grid, grid),), (Pair(grid, grid),))
    monkeypatch.setitem(SETS, "arc-agi-1", [task])
    output = show("wide", **TERMINAL).output
    assert output.count("▀") == 4 * 2 * 30
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines()]
    assert max(map(len, plain)) <= 80
    assert "0123456789" * 3 in show("wide").output
    assert "0 1 2 3 4 5 6 7 8 9" in show("wide", COLUMNS="200").output


def test_figures_that_do_not_fit_beside_others_go_below(
    show: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = tuple(Pair(as_grid([[n] * 10]), as_grid([[n] * 10])) for n in range(6))
    monkeypatch.setitem(SETS, "arc-agi-1", [Task("many", pairs, pairs[:1])])
    for columns, expected in ((60, 6), (100, 3), (400, 1)):
        output = show("many", COLUMNS=str(columns)).output
        assert max(map(len, output.splitlines())) <= columns
        lines = [line for line in output.splitlines() if line.startswith("Input")]
        assert len(lines) == expected


def test_attempts_of_a_file_have_verdicts(show: Run) -> None:
    save_predictions(Path("p.jsonl"), [predicted("aaaa1111", as_grid([[1]]), as_grid([[9, 0]]))])
    output = show("aaaa1111", "--predictions", "p.jsonl").output
    assert "Attempt 1 ✗ wrong   Attempt 2 ✓ right   Correct output" in output
    assert re.search(r"6 7 8 +→ +1 +9 0 +9 0\n", output)


TRACE = tuple(
    TraceStep(None if grid is None else as_grid(grid), halt_prob)
    for grid, halt_prob in ((None, 0.1), ([[9, 1]], 0.2), ([[9, 1]], 0.4), ([[9, 0]], 0.8))
)


def save_trace() -> None:
    first, *rest = predicted("aaaa1111", as_grid([[9, 0]]), as_grid([[1]]))
    save_predictions(Path("p.jsonl"), [[replace(first, trace=TRACE), *rest]])


def test_trace_of_a_task(show: Run) -> None:
    save_trace()
    output = show("aaaa1111", "--predictions", "p.jsonl", "--trace", COLUMNS="120").output
    lines = [re.split(r"\s{3,}", line.rstrip()) for line in output.splitlines()]
    assert lines[1] == ["Predictions: p.jsonl"]
    assert lines[3] == [
        *("Test input 1", "Step 1", "Steps 2–3 ✗ wrong", "Step 4 ✓ right", "Correct output")
    ]
    assert lines[4] == ["6 7 8", "no grid", "9[1]", "9 0", "9 0"]
    assert "halt 10 %" in output and "halt 40 %" in output and "halt 80 %" in output


@pytest.mark.parametrize("ending", ["svg", "png", "gif", "GIF"])
def test_a_picture_of_the_trace(show: Run, ending: str) -> None:
    save_trace()
    path = f"trace.{ending}"
    output = show("aaaa1111", "--predictions", "p.jsonl", "--trace", "--out", path).output
    assert output == f"Wrote {path}\n"
    if ending == "svg":
        text = Path(path).read_text()
        for number, halt in enumerate((10, 20, 40, 80), 1):
            assert f">Step {number} of 4</text>" in text and f">halt {halt} %</text>" in text
        assert ">right</text>" in text and ">wrong</text>" in text and ">no grid</text>" in text
        assert "@keyframes" in text and "<script" not in text
        return
    with Image.open(path) as image:
        image.load()
        frames = getattr(image, "n_frames", 1)
        assert (image.format, frames) == (("PNG", 1) if ending == "png" else ("GIF", 4))


def test_a_task_is_found_in_the_data_of_its_predictions(
    show: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETS, "elsewhere", [made_up("dddd1111", as_grid([[1]]))])
    log = PredictionLog(Path("p.jsonl"))
    log.begin({}, {"data": ["gone", "elsewhere"], "max_grid_size": 30})
    log.append(predicted("dddd1111", as_grid([[1]]), as_grid([[2]])))
    monkeypatch.setitem(SETS, "gone", [])
    assert "Attempt 1 ✓ right" in show("dddd1111", "--predictions", "p.jsonl").output


def test_attempts_in_a_submission_and_in_a_benchmarking_folder(show: Run) -> None:
    attempt = {"attempt_1": {"answer": []}, "attempt_2": {"answer": [[9, 0]]}}
    Path("theirs").mkdir()
    Path("theirs/aaaa1111.json").write_text(json.dumps([attempt]))
    output = show("aaaa1111", "--predictions", "theirs").output
    assert re.search(r"Attempt 1 +Attempt 2 ✓ right", output) and "no grid" in output
    show("aaaa1111", "--predictions", "theirs", "--out", "theirs.svg")
    two = {"attempt_1": [[1]], "attempt_2": [[9, 0]]}
    Path("s.json").write_text(json.dumps({"aaaa1111": [two]}))
    assert "Attempt 1 ✗ wrong" in show("aaaa1111", "--predictions", "s.json").output


def test_attempts_at_an_unknown_output_have_no_verdict(show: Run) -> None:
    save_predictions(Path("p.jsonl"), [predicted("aaaa2222", as_grid([[1]]), as_grid([[2]]))])
    output = show("aaaa2222", "--predictions", "p.jsonl").output
    assert "Attempt 1   Attempt 2\n" in output and "✓" not in output and "✗" not in output


def test_the_latest_run_gives_data_and_predictions(show: Run) -> None:
    assert "3 3" not in show("aaaa1111").output
    make_run([RIGHT_THEN_WRONG])
    assert "3 3" in show("aaaa1111").output  # the run's data comes first
    assert "Attempt" not in show("bbbb1111").output
    assert "Attempt 1 ✓ right   Attempt 2 ✗ wrong" in show("cccc1111").output
    assert "3 3" not in show("aaaa1111", "--data", "arc-agi-1").output


@pytest.mark.parametrize("arguments", [[], ["runs/first"]])
def test_a_run_shows_its_curve_and_its_predictions(show: Run, arguments: list[str]) -> None:
    make_run([RIGHT_THEN_WRONG, predicted("aaaa1111", as_grid([[1]]), as_grid([[2]]))])
    lines = show(*arguments).output.splitlines()
    text = "\n".join(lines)
    assert "a-run, seed 3" in lines[0]
    assert "Step 20, loss 0.2, exact of halted 50 %, 12 examples a second" in text
    assert re.search(r"(?m)^pass@2 +per output +1/2 +50\.0 %", text)
    assert text.index("Right (1 of 2 votes") < text.index("cccc1111")
    assert text.index("cccc1111") < text.index("Wrong (1 of 2 votes") < text.index("aaaa1111")
    assert "Predictions: runs/first/predictions/job/predictions.jsonl" in lines
    assert "shown" not in text  # there are no more
    assert max(len(line) for line in lines if not line.startswith("pass@")) <= 80


def test_the_last_of_several_predictions_of_a_run_is_shown_and_named(show: Run) -> None:
    folder = make_run([RIGHT_THEN_WRONG])
    later = folder / PREDICTIONS_FOLDER / "later" / PREDICTIONS
    save_predictions(later, [predicted("cccc1111", as_grid([[2, 1]]), as_grid([[1, 1]]))])
    os.utime(later, (2e9, 2e9))
    output = show("runs/first").output
    assert f"Predictions: {later}, the last of 2 in the run\n" in output
    assert "\nWrong" in output and "Right" not in output


def test_the_charts_fall_and_rise_with_the_metrics(show: Run) -> None:
    make_run()
    lines = show().output.splitlines()
    check_charts(lines)


def test_a_run_without_metrics_or_predictions(show: Run) -> None:
    make_run(steps=0)
    output = show().output
    assert "No metrics yet: " in output
    assert not any(ord(c) in DOTS for c in output)


def test_a_chart_of_values_that_are_not_finite(show: Run) -> None:
    folder = make_run()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "train/lm_loss": NaN, "train/exact_of_halted": 0.5}\n')
    output = show().output
    assert "━ training examples   (1 value not finite is left out)" in output
    assert "Step 21, loss nan" in output


def test_only_a_few_of_many_predictions_are_drawn(
    show: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [made_up(f"task{n}", as_grid([[n]])) for n in range(9)]
    monkeypatch.setitem(SETS, "mine", tasks)
    make_run([predicted(f"task{n}", as_grid([[n]]), as_grid([[0, 0]])) for n in range(9)])
    output = show().output
    assert re.search(r"(?m)^pass@2 +per output +9/9 +100\.0 %", output)
    assert "1 of 9 predicted test inputs shown" in output
    assert "Right (1 of 2 votes, halt 90 %)" in output and "Task task0" in output
    assert "task1" not in output


@pytest.mark.parametrize("ending", ["svg", "png"])
@pytest.mark.slow
def test_pictures_of_a_task_and_of_a_curve(show: Run, ending: str) -> None:
    make_run([RIGHT_THEN_WRONG])
    for what in (["cccc1111"], ["runs/first"], []):
        path = Path(f"out{len(what)}.{ending}")
        assert show(*what, "--out", str(path)).output == f"Wrote {path}\n"
        if ending == "png":
            with Image.open(path) as image:
                assert image.size > (400, 300)
                image.load()
        elif what == ["cccc1111"]:
            assert ">wrong</text>" in path.read_text() and ">Task cccc1111<" in path.read_text()
        else:
            assert ">a-run, seed 3</text>" in path.read_text()
        path.unlink()


def test_hostile_ids_do_not_reach_the_terminal(show: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b]0;owned\x07[red]x\nTask y"
    monkeypatch.setitem(SETS, "mine", [made_up(hostile, as_grid([[1]]))])
    make_run([predicted(hostile, as_grid([[1]]), as_grid([[2]]))])
    for output in (show(hostile).output, show().output):
        assert "\x1b" not in output and "\x07" not in output
        assert "]0;owned" in output and "[red]x" in output
        assert not re.search(r"^Task y", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aaaa1112"], r'no task "aaaa1112" in arc-agi-1, arc-agi-2; did you mean "aaaa1111"'),
        (["zzzzzzzz"], r'no task "zzzzzzzz" in arc-agi-1, arc-agi-2$'),
        (["bbbb1111", "--data", "arc-agi-1"], r'no task "bbbb1111" in arc-agi-1'),
        (["aaaa1111", "--predictions", "gone.jsonl"], r"gone\.jsonl"),
        (["aaaa1111", "--predictions", "bad.jsonl"], r"bad\.jsonl, line 1"),
        (["aaaa2222", "--predictions", "good.jsonl"], r'good\.jsonl .* no .* "aaaa2222"'),
        (["bbbb1111", "--predictions", "good.jsonl"], r'good\.jsonl .* no .* "bbbb1111"'),
        (["aaaa1111", "--out", "x.gif"], r"x\.gif: .*\.svg or \.png; \.gif is for an animation"),
        (["--out", "x.gif"], r"x\.gif: .*\.svg or \.png; \.gif is for an animation"),
        ([".", "--out", "x.gif"], r"x\.gif: .*\.svg or \.png; \.gif is for an animation"),
        (["aaaa1111", "--trace", "--out", "x.webp"], r"x\.webp: .*\.svg, \.png or \.gif"),
        (
            ["aaaa1111", "--predictions", "good.jsonl", "--trace", "--out", "x.gif"],
            r'no trace of task "aaaa1111"',
        ),
        (["aaaa1111", "--predictions", "good.jsonl", "--trace"], r'no trace of task "aaaa1111"'),
        (["--trace"], r"name one"),
        ([], r"no run"),
        (["."], r"not a run"),
        (["--data", "mine"], r"name one"),
        ([".", "--predictions", "good.jsonl"], r"name one"),
    ],
)
def test_mistakes_get_one_sentence(arguments: list[str], message: str) -> None:
    Path("bad.jsonl").write_text("{}\n")
    good = [
        predicted("aaaa1111", as_grid([[1]]), as_grid([[2]])),
        predicted("bbbb1111", as_grid([[1]]), as_grid([[2]]), test=1),
    ]
    save_predictions(Path("good.jsonl"), good)
    before = sorted(Path().iterdir())
    result = run_cli("show", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(message, line)
    assert sorted(Path().iterdir()) == before


def test_help_has_an_example(show: Run) -> None:
    output = show("--help").output
    assert "arc-trm show 007bbfb7 --out task.svg" in output
    assert "arc-trm show 007bbfb7 --trace --out trace.gif" in output
    assert "--predictions FILE" in output
