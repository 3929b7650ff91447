"""`arc-trm predict` with several answers, from the options to the score, and its mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from click.testing import Result
from commands import run_cli
from puzzles import grid_config, write_puzzles
from tiny import contents, write_challenges, write_weights

from arc_trm.checkpoint.weights_dir import INFERENCE_FILE, INFERENCE_FORMAT
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.runs import predictions_of
from arc_trm.training import train_run

NOISY = ("--samples", 4, "--noise", 0.3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run `sudoku` and a run `maze`, on 4×4 cells."""
    folder = tmp_path_factory.mktemp("grids")
    for kind in ("sudoku", "maze"):
        train_run(grid_config(folder, kind), torch.device("cpu"), folder / kind)
    yield folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `trained`, which is the current folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(*arguments: object) -> Result:
    result = run_cli("predict", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def lines_of(folder: Path) -> list[str]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()[1:]
    return sorted(line for line in lines if line.startswith('{"task"'))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        NOISY,
        ("--views", 3, "--select", "votes"),
        (*NOISY, "--views", 2, "--select", "particles"),
        (*NOISY, "--select", "first_halt", "--seed", 5),
        ("--samples", 3, "--starts", "random", "--select", "confidence"),
        (*NOISY, "--early-exit", "--supervision-steps", 5, "--select", "best_halt"),
    ],
    ids=str,
)
def test_every_way_of_asking_is_scored_and_resumes(folder: Path, options: tuple[object]) -> None:
    result = predict("sudoku", "--out", "out", *options, "--json")
    record = json.loads(result.stdout)
    about = record["about"]
    select = options[options.index("--select") + 1] if "--select" in options else "rule"
    assert f", selected by {select}" in result.stderr
    assert record["predicted_queries"] == record["queries"] >= record["test_inputs"] == 8
    assert about["guesses"] == 0
    lines = lines_of(folder / "out")
    assert len(lines) == record["queries"]
    scored = run_cli("score", "out")
    assert scored.exit_code == 0, scored.stderr
    assert f"exact  by {select}" in scored.stdout
    for name in ("selected ", "plain ", "pass@"):
        assert f"\n{name}" in scored.stdout
    asked = json.loads(run_cli("score", "out", "--json").stdout)
    assert asked["selected_by"] == select and asked["puzzles"] == 8
    again = predict("sudoku", "--out", "out", *options)
    assert f"{len(lines)} of {len(lines)} predictions exist already" in again.stderr
    assert lines_of(folder / "out") == lines


@pytest.mark.slow
def test_asking_once_is_what_it_was(folder: Path) -> None:
    """Words that change nothing change no answer, and no score."""
    predict("sudoku", "--out", "one")
    predict("sudoku", "--out", "two", "--samples", 1, "--noise", 0, "--views", 1)
    assert lines_of(folder / "one") == lines_of(folder / "two")
    text = run_cli("score", "one").stdout
    assert "pass@" not in text and " by " not in text
    assert PredictionLog(folder / "one" / "predictions.jsonl").answers == 1


@pytest.mark.slow
def test_another_number_of_samples_in_a_run_copies_what_it_can(folder: Path) -> None:
    first = json.loads(predict("sudoku", *NOISY, "--json").stdout)
    more = predict("sudoku", "--samples", 8, "--noise", 0.3)
    assert f"{first['queries']} of " in more.stderr
    assert len(predictions_of(folder / "sudoku")) == 2
    predict("sudoku", "--samples", 8, "--noise", 0.3, "--out", "fresh")
    (found,) = [
        each
        for each in predictions_of(folder / "sudoku")
        if PredictionLog(each / "predictions.jsonl").answers == 8
    ]
    assert lines_of(found) == lines_of(folder / "fresh")
    predict("sudoku", "--samples", 8, "--noise", 0.3, "--fresh")
    assert lines_of(found) == lines_of(folder / "fresh")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("sudoku", (*NOISY, "--views", 2, "--select", "votes")),
        ("sudoku", (*NOISY, "--select", "particles")),
        ("maze", (*NOISY, "--views", 8)),
    ],
)
def test_two_processes_answer_as_one(
    folder: Path,
    torchrun: Callable[..., CompletedProcess[str]],
    run: str,
    options: tuple[object],
) -> None:
    predict(run, "--out", "one", "--device", "cpu", *options)
    arguments = ("predict", folder / run, "--out", folder / "two", "--device", "cpu", *options)
    result = torchrun("-m", "arc_trm", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    one, two = (
        {
            each.key: (None if each.grid is None else each.grid.tolist(), each.steps)
            for each in PredictionLog(folder / name / "predictions.jsonl").read()
        }
        for name in ("one", "two")
    )
    assert one == two
    assert (
        run_cli("score", "two").stdout.split("exact")[1:]
        == (run_cli("score", "one").stdout.split("exact")[1:])
    )


def test_no_time_at_all_leaves_a_log_that_is_scored_and_resumed(folder: Path) -> None:
    result = run_cli("predict", "sudoku", "--out", "out", *NOISY, "--time-limit", "0.01s")
    assert result.exit_code == 3  # there is no answer at all
    assert "after 0 of 8 queries; the same command resumes it" in result.stderr
    text = run_cli("score", "out").stdout
    assert "0 of 8 puzzles have an answer" in text and "pass@" not in text
    predict("sudoku", "--out", "out", *NOISY)
    predict("sudoku", "--out", "fresh", *NOISY)
    assert lines_of(folder / "out") == lines_of(folder / "fresh")


@pytest.mark.slow
def test_other_commands_read_several_answers(folder: Path) -> None:
    options = (*NOISY, "--views", 2, "--select", "votes", "--supervision-steps", 2)
    predict("sudoku", "--out", "out", *options)
    assert run_cli("report", "out", "--out", "report.html").exit_code == 0
    page = (folder / "report.html").read_text()
    assert "pass@" in page and "votes" in page
    trace = ("show", "1", "--predictions", "out", "--trace")
    assert "Step 1" in run_cli(*trace).stdout
    assert run_cli(*trace, "--out", "trace.gif").exit_code == 0
    assert (folder / "trace.gif").read_bytes().startswith(b"GIF89a")
    for command in (
        ("export", "out", "--format", "submission", "--out", "submission.json"),
        ("merge", "out", "out", "--out", "submission.json"),
    ):
        check_mistake(run_cli(*command), "needs an ARC submission")


@pytest.mark.slow
def test_several_answers_to_arc_tasks_become_a_submission(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, select in (("one", "votes"), ("two", "particles")):
        result = predict(tiny_run, "--out", name, *NOISY, "--select", select)
        assert "12.0 answers and 36.0 supervision steps per test input" in result.stderr
        assert run_cli("validate", name).exit_code == 0
    assert run_cli("merge", "one", "two", "--out", "merged.json").exit_code == 0
    export = ("export", "one/predictions.jsonl", "--format", "submission", "--out", "copy.json")
    assert run_cli(*export).exit_code == 0
    written = json.loads((tmp_path / "one" / "submission.json").read_text())
    assert json.loads((tmp_path / "copy.json").read_text()) == written
    text = run_cli("score", "two/predictions.jsonl").stdout
    assert "by particles" in text and "\nany of 12 " in text


# Mistakes


def check_mistake(result: Result, message: str) -> None:
    """Check that a command ended with one sentence and status 2."""
    assert result.exit_code == 2, result.output
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert message in sentence
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", 2, "--noise", -1), "noise must be 0 to 100, got -1"),
        (("--samples", 2, "--noise", "nan"), "noise"),
        (("--samples", 2, "--noise", "inf"), "noise"),
        (("--samples", 2, "--noise", "abc"), "--noise"),
        (("--samples", 0, "--noise", 1), "--samples"),
        (("--samples", 1025, "--noise", 1), "--samples"),
        (("--samples", 512, "--noise", 1, "--views", 3), "samples × views must be at most 1024"),
        (("--views", 1025), "--views"),
        (("--samples", 4), "without noise or random starts are all the same"),
        (("--samples", 4, "--starts", "fixed"), "without noise or random starts are all the same"),
        (("--noise", 0.3), "noise has no effect on the first sample"),
        (("--starts", "random"), "starts has no effect on the first sample"),
        (("--starts", "somewhere"), "--starts"),
        (("--select", "vote"), 'did you mean "votes"?'),
        (("--select", "auto ", *NOISY), "unknown selection rule"),
        (("--supervision-steps", 0), "--supervision-steps"),
        (("--seed", -1), "--seed"),
        (("--puzzle-embedding", "shuffled"), "share one puzzle embedding"),
    ],
    ids=str,
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    folder: Path, options: tuple[object], message: str
) -> None:
    before = contents(folder)
    check_mistake(run_cli("predict", "sudoku", "--out", "out", *options), message)
    check_mistake(run_cli("predict", "sudoku", *options), message)
    assert contents(folder) == before and not (folder / "out").exists()


def test_a_maze_has_eight_views(folder: Path) -> None:
    before = contents(folder)
    check_mistake(
        run_cli("predict", "maze", "--views", 9), "Maze puzzles have 8 views at most, got 9"
    )
    assert contents(folder) == before


def test_what_arc_tasks_and_other_weights_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    challenges = write_challenges(tmp_path)
    names = [f"task{n}" for n in range(3)]
    write_weights(tmp_path / "weights", names)
    one_pass = {"outer_cycles": 1, "inner_cycles": 1, "supervision_steps": 1}
    write_weights(tmp_path / "direct", names, architecture="transformer", **one_pass)
    before = contents(tmp_path)
    for weights, options, message in (
        ("weights", ("--select", "rule"), "needs puzzles with a rule"),
        ("weights", ("--views", 2), "whose views are the augmentations that were trained"),
        ("weights", ("--early-exit",), "early_exit needs a trained halting head"),
        ("weights", ("--select", "best_halt"), '"best_halt" needs a trained halting head'),
        ("weights", ("--select", "first_halt", *NOISY), "needs a trained halting head"),
        ("weights", ("--select", "particles", *NOISY), "needs a trained halting head"),
        ("direct", NOISY, "carries no state, so all its samples are the same"),
    ):
        result = run_cli("predict", weights, "--data", challenges, "--out", "out", *options)
        check_mistake(result, message)
    assert contents(tmp_path) == before


def test_a_log_with_other_settings_is_refused_and_stays(folder: Path) -> None:
    predict("sudoku", "--out", "out", *NOISY)
    before = contents(folder)
    for options, message in (
        (("--samples", 8, "--noise", 0.3), "samples 4, not 8"),
        (("--samples", 4, "--noise", 0.2), "noise 0.3, not 0.2"),
        ((*NOISY, "--seed", 1), "seed 0, not 1"),
        ((*NOISY, "--select", "votes"), 'select "rule", not "votes"'),
        ((), "samples 4, not 1"),
    ):
        result = run_cli("predict", "sudoku", "--out", "out", *options)
        check_mistake(result, "has predictions of another job (")
        assert message in result.stderr
    assert contents(folder) == before


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"format": "arc-trm inference 9"}),
        json.dumps({"format": INFERENCE_FORMAT, "inference": {"samples": "many"}}),
        json.dumps({"format": INFERENCE_FORMAT, "inference": {"noise": -1, "samples": 2}}),
        json.dumps({"format": INFERENCE_FORMAT, "inference": {"nonsense": 1}}),
        json.dumps({"format": INFERENCE_FORMAT, "inference": [1]}),
        "\x00",
    ],
)
def test_a_damaged_inference_file_is_one_sentence(folder: Path, text: str) -> None:
    (weights,) = (path.parent for path in (folder / "sudoku").rglob("config.json"))
    (weights / INFERENCE_FILE).write_text(text)
    before = contents(folder)
    data = write_puzzles(folder, "sudoku", 8, 1)
    result = run_cli("predict", weights, "--data", data, "--out", "out")
    check_mistake(result, INFERENCE_FILE)
    assert contents(folder) == before
