"""`arc-trm show`: in pipes, on terminals, as pictures, and what it says of mistakes."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from arc_trm.config import DataConfig, RunConfig
from arc_trm.data import splits as selection
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import Answer, PredictionLog
from arc_trm.evaluation.voting import Prediction, Step
from arc_trm.runs import PREDICTIONS, RUNS, create_run
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz import PALETTE

# Not `import arc_trm.cli.show`: the command of that name hides the module in its package.
module = importlib.import_module("arc_trm.cli.show")
show: click.Command = module.show

TERMINAL = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
DOTS = range(0x2801, 0x2900)


def made_up(task_id: str, test_output: Grid | None) -> Task:
    shown = Pair(as_grid([[1, 2], [3, 4]]), as_grid([[5]]))
    return Task(task_id, (shown,), (Pair(as_grid([[6, 7, 8]]), test_output),))


SETS = {
    "arc-agi-1": [made_up("aaaa1111", as_grid([[9, 0]])), made_up("aaaa2222", None)],
    "arc-agi-2": [made_up("bbbb1111", as_grid([[0]]))],
    "mine": [made_up("cccc1111", as_grid([[2, 2]])), made_up("aaaa1111", as_grid([[3, 3]]))],
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, made-up data sets, a pipe 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    for place in (module, selection):
        monkeypatch.setattr(place, "load_tasks", lambda name, _=False: TaskSet.of(name, SETS[name]))
    for name in (*TERMINAL, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path


Predicted = list[Answer]


def run(*arguments: str, **env: str) -> Result:
    result = CliRunner().invoke(show, arguments, env=env)
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exception is None, result.exception
    return result


def make_run(predictions: Sequence[Predicted] = (), steps: int = 20) -> Path:
    data = DataConfig(train=("mine",), test=("mine",))
    folder = create_run(RunConfig("a-run", 3, data=data), RUNS / "first")
    records = [
        {"step": n, "lm_loss": 4 / n, "exact_accuracy": n / 40, "examples_per_second": 12.0}
        for n in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    if predictions:
        save_predictions(folder / PREDICTIONS, predictions)
    return folder


def save_predictions(path: Path, predictions: Sequence[Predicted]) -> None:
    log = PredictionLog(path)
    log.begin({}, {})
    log.add(answer for prediction in predictions for answer in prediction)


def predicted(task: str, first: Grid, second: Grid, test: int = 0) -> Predicted:
    """Answers of two puzzles, of which the first is the surer."""
    return [
        Answer(task, test, name, Prediction(name, grid, halt))
        for name, grid, halt in (("a", first, 0.9), ("b", second, 0.1))
    ]


RIGHT_THEN_WRONG = predicted("cccc1111", as_grid([[2, 2]]), as_grid([[2, 1]]))


def test_a_task_in_a_pipe_is_digits() -> None:
    output = run("aaaa1111").output
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


def test_an_unknown_output_is_a_question_mark() -> None:
    assert re.search(r"6 7 8 +→ +\?\n", run("aaaa2222").output)


def test_a_task_on_a_terminal_is_coloured_cells() -> None:
    output = run("aaaa1111", **TERMINAL).output
    for colour, cells in ((1, 1), (2, 1), (5, 1), (9, 1), (0, 1)):
        red, green, blue = bytes.fromhex(PALETTE[colour][1:])
        assert output.count(f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m") == cells
    assert not re.search(r"\b6 7 8\b", output)


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLORTERM": "", "TERM": "x"}]
)
def test_digits_where_colours_are_not_wanted_or_not_enough(env: dict[str, str]) -> None:
    output = run("aaaa1111", **{**TERMINAL, **env}).output
    assert "6 7 8" in output and "48;" not in output


def test_wide_grids_get_half_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = as_grid(np.arange(3 * 30).reshape(3, 30) % 10)
    task = Task("wide", (Pair(grid, grid),), (Pair(grid, grid),))
    monkeypatch.setitem(SETS, "arc-agi-1", [task])
    output = run("wide", **TERMINAL).output
    assert output.count("▀") == 4 * 2 * 30
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines()]
    assert max(map(len, plain)) <= 80
    assert "0123456789" * 3 in run("wide").output
    assert "0 1 2 3 4 5 6 7 8 9" in run("wide", COLUMNS="200").output


def test_what_does_not_fit_beside_goes_below(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = tuple(Pair(as_grid([[n] * 10]), as_grid([[n] * 10])) for n in range(6))
    monkeypatch.setitem(SETS, "arc-agi-1", [Task("many", pairs, pairs[:1])])
    for columns, expected in ((60, 6), (100, 3), (400, 1)):
        output = run("many", COLUMNS=str(columns)).output
        assert max(map(len, output.splitlines())) <= columns
        lines = [line for line in output.splitlines() if line.startswith("Input")]
        assert len(lines) == expected


def test_attempts_of_a_file_are_judged() -> None:
    save_predictions(Path("p.jsonl"), [predicted("aaaa1111", as_grid([[1]]), as_grid([[9, 0]]))])
    output = run("aaaa1111", "--predictions", "p.jsonl").output
    assert "Attempt 1 ✗ wrong   Attempt 2 ✓ right   Correct output" in output
    assert re.search(r"6 7 8 +→ +1 +9 0 +9 0\n", output)


DRAFTS = tuple(
    Step(None if grid is None else as_grid(grid), halt)
    for grid, halt in ((None, 0.1), ([[9, 1]], 0.2), ([[9, 1]], 0.4), ([[9, 0]], 0.8))
)


def save_steps() -> None:
    first, *rest = predicted("aaaa1111", as_grid([[9, 0]]), as_grid([[1]]))
    save_predictions(Path("p.jsonl"), [[replace(first, steps=DRAFTS), *rest]])


def test_steps_of_a_task() -> None:
    save_steps()
    output = run("aaaa1111", "--predictions", "p.jsonl", "--steps", COLUMNS="120").output
    lines = [re.split(r"\s{3,}", line.rstrip()) for line in output.splitlines()]
    assert lines[2] == [
        *("Test input 1", "Step 1", "Steps 2–3 ✗ wrong", "Step 4 ✓ right", "Correct output")
    ]
    assert lines[3] == ["6 7 8", "no grid", "9 1", "9 0", "9 0"]
    assert "halt 10 %" in output and "halt 40 %" in output and "halt 80 %" in output


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_picture_of_the_steps(ending: str) -> None:
    save_steps()
    run("aaaa1111", "--predictions", "p.jsonl", "--steps", "--out", f"steps.{ending}")
    if ending == "png":
        with Image.open("steps.png") as image:
            image.load()
        return
    text = Path("steps.svg").read_text()
    for number, halt in enumerate((10, 20, 40, 80), 1):
        assert f">Step {number}, halt {halt} %</text>" in text
    assert text.count(">right</text>") == 1 and text.count(">wrong</text>") == 2
    assert ">no grid</text>" in text


def test_a_task_is_looked_for_where_its_predictions_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETS, "elsewhere", [made_up("dddd1111", as_grid([[1]]))])
    log = PredictionLog(Path("p.jsonl"))
    log.begin({}, {"data": ["gone", "elsewhere"]})
    log.add(predicted("dddd1111", as_grid([[1]]), as_grid([[2]])))
    monkeypatch.setitem(SETS, "gone", [])
    assert "Attempt 1 ✓ right" in run("dddd1111", "--predictions", "p.jsonl").output


def test_attempts_in_a_submission_and_in_a_benchmarking_folder() -> None:
    attempt = {"attempt_1": {"answer": []}, "attempt_2": {"answer": [[9, 0]]}}
    Path("theirs").mkdir()
    Path("theirs/aaaa1111.json").write_text(json.dumps([attempt]))
    output = run("aaaa1111", "--predictions", "theirs").output
    assert re.search(r"Attempt 1 +Attempt 2 ✓ right", output) and "no grid" in output
    run("aaaa1111", "--predictions", "theirs", "--out", "theirs.svg")
    two = {"attempt_1": [[1]], "attempt_2": [[9, 0]]}
    Path("s.json").write_text(json.dumps({"aaaa1111": [two]}))
    assert "Attempt 1 ✗ wrong" in run("aaaa1111", "--predictions", "s.json").output


def test_attempts_at_an_unknown_output_are_not_judged() -> None:
    save_predictions(Path("p.jsonl"), [predicted("aaaa2222", as_grid([[1]]), as_grid([[2]]))])
    output = run("aaaa2222", "--predictions", "p.jsonl").output
    assert "Attempt 1   Attempt 2\n" in output and "✓" not in output and "✗" not in output


def test_the_latest_run_gives_data_and_predictions() -> None:
    assert "3 3" not in run("aaaa1111").output
    make_run([RIGHT_THEN_WRONG])
    assert "3 3" in run("aaaa1111").output  # the run's data comes first
    assert "Attempt" not in run("bbbb1111").output
    assert "Attempt 1 ✓ right   Attempt 2 ✗ wrong" in run("cccc1111").output
    assert "3 3" not in run("aaaa1111", "--data", "arc-agi-1").output


@pytest.mark.parametrize("arguments", [[], ["runs/first"]])
def test_a_run_shows_its_curve_and_what_it_predicted(arguments: list[str]) -> None:
    make_run([RIGHT_THEN_WRONG, predicted("aaaa1111", as_grid([[1]]), as_grid([[2]]))])
    lines = run(*arguments).output.splitlines()
    text = "\n".join(lines)
    assert "a-run, seed 3" in lines[0]
    assert "Step 20, loss 0.2, exact accuracy 50.0%, 12 examples a second" in text
    assert "Right in two attempts: 1 of the 2 " in text
    assert text.index("cccc1111") < text.index("aaaa1111")
    assert "shown" not in text  # there are no more
    assert max(map(len, lines)) <= 80


def test_the_chart_falls_and_rises_with_what_it_shows() -> None:
    make_run()
    lines = run().output.splitlines()
    charts: list[list[str]] = [[]]
    for line in lines:
        if "┤" in line or "│" in line:
            charts[-1].append(line)
        elif charts[-1]:
            charts.append([])
    loss, accuracy, _ = charts
    assert [line.split()[0] for line in loss if "┤" in line] == ["4", "3", "2", "1", "0"]
    assert accuracy[0].startswith("60 % ┤") and accuracy[-1].startswith(" 0 % ┤")

    def middle(row: str) -> float:
        """Where the dots of a row are, -1 where there are none."""
        columns = [n for n, c in enumerate(row) if ord(c) in DOTS]
        return sum(columns) / len(columns) if columns else -1

    falling = [middle(row) for row in loss if middle(row) >= 0]
    rising = [middle(row) for row in accuracy if middle(row) >= 0]
    assert len(falling) >= 5 and falling == sorted(falling)
    assert len(rising) >= 5 and rising == sorted(rising, reverse=True)
    assert len([line for line in lines if re.fullmatch(r" +1 +step 20", line)]) == 2


def test_a_run_without_metrics_or_predictions() -> None:
    make_run(steps=0)
    output = run().output
    assert "No metrics yet." in output
    assert not any(ord(c) in DOTS for c in output)


def test_a_chart_of_values_that_are_not_finite() -> None:
    folder = make_run()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "lm_loss": NaN, "exact_accuracy": 0.5}\n')
    output = run().output
    assert "Loss per sequence (1 not finite, left out)" in output
    assert "Step 21, loss nan" in output


def test_only_a_few_of_many_predictions_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [made_up(f"task{n}", as_grid([[n]])) for n in range(9)]
    monkeypatch.setitem(SETS, "mine", tasks)
    make_run([predicted(f"task{n}", as_grid([[n]]), as_grid([[0, 0]])) for n in range(9)])
    output = run().output
    assert "Right in two attempts: 9 of the 9 " in output
    assert "6 of 9 shown" in output
    assert "task5" in output and "task6" not in output
    wide = run(COLUMNS="300").output
    assert max(wide.splitlines(), key=len).count("Test input 1") >= 3


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_pictures_of_a_task_and_of_a_curve(ending: str) -> None:
    make_run([RIGHT_THEN_WRONG])
    for what in (["cccc1111"], ["runs/first"], []):
        path = Path(f"out{len(what)}.{ending}")
        assert run(*what, "--out", str(path)).output == f"Wrote {path}\n"
        if ending == "png":
            with Image.open(path) as image:
                assert image.size > (400, 300)
                image.load()
        elif what == ["cccc1111"]:
            assert ">wrong</text>" in path.read_text() and ">Task cccc1111<" in path.read_text()
        else:
            assert ">a-run, seed 3</text>" in path.read_text()
        path.unlink()


def test_hostile_ids_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b]0;owned\x07[red]x\nTask y"
    monkeypatch.setitem(SETS, "mine", [made_up(hostile, as_grid([[1]]))])
    make_run([predicted(hostile, as_grid([[1]]), as_grid([[2]]))])
    for output in (run(hostile).output, run().output):
        assert "\x1b" not in output and "\x07" not in output
        assert "]0;owned" in output and "[red]x" in output
        assert not re.search(r"^Task y", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aaaa1112"], r"no task 'aaaa1112' in arc-agi-1, arc-agi-2; did you mean 'aaaa1111'"),
        (["zzzzzzzz"], r"no task 'zzzzzzzz' in arc-agi-1, arc-agi-2$"),
        (["bbbb1111", "--data", "arc-agi-1"], r"no task 'bbbb1111' in arc-agi-1"),
        (["aaaa1111", "--predictions", "gone.jsonl"], r"gone\.jsonl"),
        (["aaaa1111", "--predictions", "bad.jsonl"], r"bad\.jsonl, line 1"),
        (["aaaa2222", "--predictions", "good.jsonl"], r"good\.jsonl .* no .* 'aaaa2222'"),
        (["bbbb1111", "--predictions", "good.jsonl"], r"good\.jsonl .* no .* 'bbbb1111'"),
        (["aaaa1111", "--out", "x.gif"], r"x\.gif: .*\.svg or \.png"),
        (["aaaa1111", "--predictions", "good.jsonl", "--steps"], r"no steps of task 'aaaa1111'"),
        (["--steps"], r"name one"),
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
    with pytest.raises(UserError, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    assert sorted(Path().iterdir()) == before


def test_help_has_an_example() -> None:
    output = run("--help").output
    assert "arc-trm show 007bbfb7 --out task.svg" in output
    assert "--predictions FILE" in output
