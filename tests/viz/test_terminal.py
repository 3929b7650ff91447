"""What is printed of tasks and runs: digits in pipes, colours on terminals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charts import DOTS, check_charts

from arc_trm.config import RunConfig, TrainConfig
from arc_trm.evaluation.predictions import Candidate, InputPrediction, PredictionSet, TraceStep
from arc_trm.puzzles.theme import ARC_PALETTE
from arc_trm.runs import METRICS, Run, create_run, write_run_config
from arc_trm.tasks import Grid, Pair, Task, TaskSet, as_grid
from arc_trm.viz.terminal import Terminal, show_run, show_task

COLOURS = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
Shown = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe 80 columns wide."""
    for name in (*COLOURS, "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Call a function with a terminal and return the lines that it prints, without right ends."""

    def show(function: Callable[..., None], *arguments: object, **environment: str) -> list[str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        function(Terminal(), *arguments)
        return [line.rstrip() for line in capsys.readouterr().out.split("\n")[:-1]]

    return show


def make_task(output: Grid | None = None, task_id: str = "aaaa1111") -> Task:
    demonstration = Pair(as_grid([[1, 2], [3, 4]]), as_grid([[5]]))
    return Task(task_id, (demonstration,), (Pair(as_grid([[6, 7, 8]]), output),))


def predicted(task: Task, *attempts: Grid | None) -> InputPrediction:
    candidates = tuple(Candidate(grid, 1, 0.5, ("p",)) for grid in attempts if grid is not None)
    return InputPrediction(task, 0, candidates, attempts)


TASK = make_task(as_grid([[9, 0]]))


def test_a_task_in_a_pipe_is_digits(shown: Shown) -> None:
    assert shown(show_task, TASK) == [
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


def test_an_unknown_output_is_a_question_mark(shown: Shown) -> None:
    assert re.search(r"6 7 8 +→ +\?\n", "\n".join(shown(show_task, make_task())))


def test_a_task_on_a_terminal_is_coloured_cells(shown: Shown) -> None:
    output = "\n".join(shown(show_task, TASK, **COLOURS))
    for value in (1, 2, 5, 9, 0):
        red, green, blue = bytes.fromhex(ARC_PALETTE[value][1:])
        assert output.count(f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m") == 1
    assert not re.search(r"\b6 7 8\b", output)


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLORTERM": "", "TERM": "x"}]
)
def test_digits_if_colours_are_not_wanted_or_too_few(
    shown: Shown, environment: dict[str, str]
) -> None:
    output = "\n".join(shown(show_task, TASK, **{**COLOURS, **environment}))
    assert "6 7 8" in output and "48;" not in output


def test_wide_grids_get_half_blocks(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = as_grid(np.arange(3 * 30).reshape(3, 30) % 10)
    task = Task("wide", (Pair(grid, grid),), (Pair(grid, grid),))
    assert "0123456789" * 3 in "\n".join(shown(show_task, task))
    assert "0 1 2 3 4 5 6 7 8 9" in "\n".join(shown(show_task, task, COLUMNS="200"))
    lines = shown(show_task, task, **COLOURS, COLUMNS="80")
    assert "".join(lines).count("▀") == 4 * 2 * 30
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= 80


def test_figures_that_do_not_fit_beside_others_go_below(shown: Shown) -> None:
    pairs = tuple(Pair(as_grid([[n] * 10]), as_grid([[n] * 10])) for n in range(6))
    task = Task("many", pairs, pairs[:1])
    for columns, expected in ((60, 6), (100, 3), (400, 1)):
        lines = shown(show_task, task, COLUMNS=str(columns))
        assert max(map(len, lines)) <= columns
        assert sum(line.startswith("Input") for line in lines) == expected


def test_attempts_have_verdicts(shown: Shown) -> None:
    lines = shown(show_task, TASK, [predicted(TASK, as_grid([[1]]), as_grid([[9, 0]]), None)])
    assert "   ".join(["Attempt 1 ✗ wrong", "Attempt 2 ✓ right", "Attempt 3"]) in "\n".join(lines)
    assert "no grid" in "\n".join(lines)
    unknown = make_task()
    output = "\n".join(shown(show_task, unknown, [predicted(unknown, as_grid([[1]]))]))
    assert "Attempt 1" in output and "✓" not in output and "✗" not in output


def test_a_trace(shown: Shown) -> None:
    grids = [None, as_grid([[9, 1]]), as_grid([[9, 1]]), as_grid([[9, 0]])]
    probs = (0.1, 0.2, 0.4, 0.8)
    trace = tuple(map(TraceStep, grids, probs))
    found = [InputPrediction(TASK, 0, (), (), trace)]
    lines = shown(show_task, TASK, found, True, COLUMNS="120")
    names = ["Test input 1", "Step 1", "Steps 2–3 ✗ wrong", "Step 4 ✓ right", "Correct output"]
    assert re.split(r"\s{3,}", lines[2]) == names
    assert re.split(r"\s{3,}", lines[3]) == ["6 7 8", "no grid", "9[1]", "9 0", "9 0"]
    for percent in (10, 40, 80):
        assert f"halt {percent} %" in "\n".join(lines)


WRONG_ATTEMPT = as_grid([[1, 2, 3], [7, 7, 6], [7, 8, 7]])
RIGHT_OUTPUT = as_grid([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def test_wrong_cells_are_in_brackets_among_digits(shown: Shown) -> None:
    task = make_task(RIGHT_OUTPUT)
    lines = shown(show_task, task, [predicted(task, WRONG_ATTEMPT)])
    (top,) = [n for n, line in enumerate(lines) if "Attempt 1 ✗ wrong" in line]
    start = lines[top].index("Attempt 1")
    rows = [line[start : start + 7] for line in lines[top + 1 : top + 4]]
    assert rows == [" 1 2 3 ", "[7 7]6 ", " 7 8[7]"]
    assert [line for line in lines if line][-1] == "[ ] marks wrong cells"
    right = "\n".join(shown(show_task, task, [predicted(task, RIGHT_OUTPUT)]))
    assert "[" not in right


def test_wrong_cells_are_crossed_in_colours(shown: Shown) -> None:
    task = make_task(RIGHT_OUTPUT)
    lines = shown(show_task, task, [predicted(task, WRONG_ATTEMPT)], **COLOURS)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert "".join(plain).count("×") == 3 + 1 + 5  # cells, legend, sizes of the grids
    assert plain[-1] == "× marks wrong cells"
    # On a bright colour, such as that of 7, the mark is black.
    assert "\x1b[1;38;2;0;0;0;48;2;255;133;27m ×" in "".join(lines)


def test_wide_grids_with_wrong_cells_have_room_for_marks(shown: Shown) -> None:
    grid = as_grid(np.arange(3 * 30).reshape(3, 30) % 10)
    wrong = grid.copy()
    wrong[1, 28:] = 0
    task = Task("wide", (), (Pair(grid, grid),))
    lines = shown(show_task, task, [predicted(task, wrong)])
    assert " 6 7[0 0]" in "\n".join(f"{line} " for line in lines)
    assert max(map(len, lines)) <= 80
    coloured = shown(show_task, task, [predicted(task, wrong)], **COLOURS)
    assert "▀" not in "".join(coloured)


def test_wrong_cells_of_a_maze_and_of_a_trace_are_marked(shown: Shown) -> None:
    question, path = as_grid([[2, 1], [1, 3]]), as_grid([[2, 4], [1, 3]])
    maze = Task("7", (), (Pair(question, path),), "maze")
    trace = (TraceStep(question, 0.1), TraceStep(path, 0.9))
    found = [InputPrediction(maze, 0, (), (question,), trace)]
    for options in ([False], [True]):
        lines = shown(show_task, maze, found, *options)
        assert "S[ ]" in "\n".join(lines)
        assert [line for line in lines if line][-1] == "[ ] marks wrong cells"


def test_wrong_cells_of_a_sudoku_stay_within_their_boxes(shown: Shown) -> None:
    question = as_grid([[1, 0, 3, 0], [0, 4, 1, 0], [2, 0, 0, 3], [0, 3, 0, 1]])
    answer = as_grid([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])
    wrong = answer.copy()
    wrong[2, 1:3] = 4, 1
    task = Task("3", (), (Pair(question, answer),), "sudoku")
    for environment in ({}, COLOURS):
        lines = shown(show_task, task, [predicted(task, wrong)], **environment)
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
        assert " 2[4]│[1]3 " in "\n".join(plain) and "[ ] marks wrong cells" in plain


def test_a_sudoku_has_boxes_and_names_its_set(shown: Shown) -> None:
    question = as_grid([[1, 0, 3, 0], [0, 4, 1, 0], [2, 0, 0, 3], [0, 3, 0, 1]])
    answer = as_grid([[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])
    task = Task("3", (), (Pair(question),), "sudoku")
    lines = shown(show_task, task, [predicted(task, answer)], False, "a-set")
    assert lines == [
        "Sudoku 3 of a-set",
        "",
        "Question          Answer ✓ valid",
        " 1 . │ 3 .         1 2 │ 3 4",
        " . 4 │ 1 .         3 4 │ 1 2",
        "─────┼─────   →   ─────┼─────",
        " 2 . │ . 3         2 1 │ 4 3",
        " . 3 │ . 1         4 3 │ 2 1",
        "4 × 4             4 × 4",
        "",
    ]


def test_control_characters_do_not_reach_the_terminal(shown: Shown) -> None:
    task = make_task(as_grid([[1]]), "\x1b]0;owned\x07[red]x\nTask y")
    found = PredictionSet(TaskSet.from_tasks("x", [task]), [predicted(task, as_grid([[1]]))])
    run = Run(create_run(RunConfig("\x1b[31m", 3), Path("run")))
    for lines in (shown(show_task, task), shown(show_run, run, found)):
        output = "\n".join(lines)
        assert "\x1b" not in output and "\x07" not in output
        assert "]0;owned" in output and "[red]x" in output
        assert not re.search(r"^Task y", output, re.MULTILINE)


# Runs


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(steps: int = 20) -> Run:
    run = create_run(RunConfig("a-run", 3), Path("run"))
    records = [
        {
            "step": n,
            "train/lm_loss": 4 / n,
            "train/exact_of_halted": n / 40,
            "train/examples_per_second": 12.0,
        }
        for n in range(1, steps + 1)
    ]
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return Run(run)


def test_a_run_shows_its_curves_score_and_predictions(shown: Shown) -> None:
    tasks = [make_task(as_grid([[9, n]]), f"task{n}") for n in range(9)]
    right = [predicted(task, as_grid([[9, 0]])) for task in tasks[:8]]
    guess = InputPrediction(tasks[8], 0, (), (as_grid([[1]]),))
    found = PredictionSet(TaskSet.from_tasks("made up", tasks), [*right, guess])
    score = found.score()
    run = make_run()
    lines = shown(show_run, run, found, score)
    output = "\n".join(lines)
    assert lines[0] == "run: a-run, seed 3"
    assert "Step 20, loss 0.2, exact of halted 50 %, 12 examples a second" in lines
    assert all(line in lines for line in score.lines())
    assert re.findall(r"Task \w+", output) == ["Task task0", "Task task1"]
    assert "Right (1 of 1 vote, halt 50 %)" in output and output.count("✓ right") == 1
    assert "Wrong (1 of 1 vote, halt 50 %)" in output and "9[0]" in output
    assert "[ ] marks wrong cells" in lines
    end = "2 of 8 predicted test inputs shown; `arc-trm show TASK` shows any."
    assert lines[-1] == end  # the guess is not counted
    wide = shown(show_run, run, found, COLUMNS="300")
    assert max(wide, key=len).count("Test input 1") == 2


def test_a_run_without_metrics_or_predictions(shown: Shown) -> None:
    output = "\n".join(shown(show_run, make_run(steps=0)))
    assert output.splitlines()[2:] == [
        "No metrics yet: the run has not written a record of its training."
    ]
    assert not any(ord(c) in DOTS for c in output)


def test_the_charts_fall_and_rise_with_the_metrics(shown: Shown) -> None:
    lines = shown(show_run, make_run())
    check_charts(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("record", "texts"),
    [
        (
            '{"step": 21, "train/lm_loss": NaN, "train/exact_of_halted": 0.5}',
            [
                "━ training examples   (1 value not finite is left out)\n",
                "━ of halted training examples\n",
                "Step 21, loss nan",
            ],
        ),
        (
            '{"step": 21, "train/lm_loss": 0.2, "train/halted": 0}',
            [
                "━ of halted training examples\n(1 record in which no example halted is left out)",
                "━ training examples\n",
            ],
        ),
    ],
    ids=["not finite", "without a halted example"],
)
def test_records_that_are_left_out_are_counted(shown: Shown, record: str, texts: list[str]) -> None:
    run = make_run()
    with (run.path / METRICS).open("a") as file:
        file.write(f"{record}\n")
    output = "\n".join(shown(show_run, run))
    assert all(text in output for text in texts)


def write_records(run: Run, records: list[dict[str, float]]) -> Run:
    (run.path / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return Run(run.path)


def test_a_short_run_says_that_no_sequence_halted_yet(shown: Shown) -> None:
    records = [{"step": n, "train/lm_loss": 2.0, "train/halted": 0} for n in range(1, 8)]
    output = "\n".join(shown(show_run, write_records(make_run(), records)))
    assert "every cell right (no example halted yet)\n" in output
    assert output.count("┤") == len(re.findall("┤", output.partition("Exact accuracy")[0]))
    assert "finite" not in output and "exact of halted" not in output


def test_losses_that_are_not_finite_read_as_what_they_are(shown: Shown) -> None:
    records = [
        {"step": n, "train/lm_loss": float("nan"), "train/exact_of_halted": 0.5}
        for n in range(1, 8)
    ]
    output = "\n".join(shown(show_run, write_records(make_run(), records)))
    assert "per example (no value can be drawn)\n(7 values not finite are left out)\n" in output
    assert "Step 7, loss nan, exact of halted 50 %" in output


def test_many_records_are_drawn_as_their_running_mean(shown: Shown) -> None:
    """The mean of a loss that jumps between 1 and 3 is a flat line; at the end it is over 21."""
    records = [
        {"step": n, "train/lm_loss": 1.0 + 2 * (n % 2), "train/exact_of_halted": 0.0}
        for n in range(1, 801)
    ]
    run = write_records(make_run(), records)
    lines = shown(show_run, run)
    assert "━ training examples, running mean of 41 records" in lines
    assert lines[-1] == "Step 800, loss 1.952, exact of halted 0 % (running means)"
    chart = [line for line in lines[4:] if "┤" in line or "│" in line][:10]
    dotted = [row for row, line in enumerate(chart) if any(ord(c) in DOTS for c in line)]
    assert len(dotted) <= 2
    coloured = shown(show_run, run, **COLOURS)[4 : 4 + len(chart)]
    raw = [row for row, line in enumerate(coloured) if any(ord(c) in DOTS for c in line)]
    assert len(raw) >= 5  # the records themselves are behind the mean


def with_evaluations(run: Run) -> Run:
    """Add three evaluations, the second the best, to the run of `make_run`."""
    with (run.path / METRICS).open("a") as file:
        for step, exact in ((5, 0.0), (10, 0.45), (20, 0.25)):
            evaluation = {"step": step, "eval/exact": exact, "eval/puzzles": 200}
            file.write(json.dumps(evaluation) + "\n")
    return Run(run.path)


def test_evaluations_are_marked_beside_the_curve_of_training(shown: Shown) -> None:
    lines = shown(show_run, with_evaluations(make_run()))
    assert "━ of halted training examples   ● of 200 validation puzzles, averaged weights" in lines
    assert "◆ best: 45 % at step 10" in lines
    assert lines[-1] == "Validation exact at best 45 % at step 10, last 25 %"
    rows = [line for line in lines if "┤" in line or "│" in line]
    found = [(y, x) for y, line in enumerate(rows) for x, sign in enumerate(line) if sign in "●◆"]
    (top, best), (_, last), (bottom, first) = found
    assert rows[top][best] == "◆" and rows[bottom].startswith(" 0 % ┤")
    assert last == max(map(len, rows)) - 1
    assert (best - first) / (last - first) == pytest.approx(5 / 15, abs=0.03)
    assert max(map(len, lines)) <= 80


def test_evaluations_are_joined_in_colours_only(shown: Shown) -> None:
    run = write_records(make_run(), [{"step": 1, "train/lm_loss": 1.0, "train/halted": 0}])
    run = with_evaluations(run)
    plain, coloured = (
        "".join(shown(show_run, run, **environment)).partition("Exact: ")[2]
        for environment in ({}, COLOURS)
    )
    dots = [sum(ord(c) in DOTS for c in text) for text in (plain, coloured)]
    assert dots[0] == 0 and dots[1] > 40
    assert plain.count("●") == coloured.count("●") == 3  # two, and the legend


def test_a_planned_run_says_how_far_it_is(shown: Shown) -> None:
    run = make_run()
    write_run_config(run.path, replace(run.config, train=TrainConfig(total_steps=1000)))
    assert any(line.startswith("Step 20 of 1,000, loss") for line in shown(show_run, Run(run.path)))


def test_examples_are_chosen_among_a_part_of_many_predictions(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arc_trm.viz.terminal.MAX_JUDGED", 3)
    tasks = [make_task(as_grid([[9, n > 3]]), f"task{n}") for n in range(5)]
    found = [predicted(task, as_grid([[9, 0]])) for task in tasks]
    predictions = PredictionSet(TaskSet.from_tasks("made up", tasks), found)
    lines = shown(show_run, make_run(), predictions)
    assert lines[-1].startswith("1 of 5 predicted test inputs shown, chosen among the first 3; ")
