"""A file that is named in the place of another: the message says what it is and what to do."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run_cli

from arc_trm.config import RunConfig
from arc_trm.runs import write_run_config

TASK = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}
ATTEMPTS = {"attempt_1": [[1]], "attempt_2": [[2]]}
JSON = {
    "task.json": TASK,
    "challenges.json": {"a": TASK},
    "solutions.json": {"a": [[[2]]]},
    "submission.json": {"a": [ATTEMPTS]},
    "run.json": {},
    "config.json": {},
    "puzzle_ids.json": [],
    "seal.json": {},
}
FILES = {  # what a message calls each file, what is in it, and what one may do
    "task.json": ("a task file", "tasks", "name tasks with --data"),
    "challenges.json": ("a challenges file", "tasks", "name tasks with --data"),
    "solutions.json": (
        "a solutions file",
        "solutions",
        "`arc-trm score` takes it after --solutions",
    ),
    "submission.json": (
        "a submission file",
        "predictions",
        "`arc-trm score files/submission.json`",
    ),
    "run.json": ("the config of a run", "part", "name its folder, files"),
    "config.json": ("the config of a model", "part", "name its folder, files"),
    "puzzle_ids.json": ("the puzzle ids of a weights folder", "part", "name its folder, files"),
    "seal.json": ("the seal of predictions", "part", "name its folder, files"),
    "metrics.jsonl": ("the metrics of a run", "part", "name its folder, files"),
    "model.safetensors": ("a file of tensors", "part", "name its folder, files"),
    "predictions.jsonl": ("a log of predictions", "predictions", "`arc-trm score"),
    "puzzles.csv": ("a file of puzzles", "tasks", "name tasks with --data"),
}
COMMANDS = {
    "weights": (["predict"], ["adapt", "--data", "files/challenges.json"]),
    "predictions": (
        ["score"],
        ["report"],
        ["merge", "--out", "out"],
        ["export", "--format", "submission", "--out", "out"],
        ["show", "a", "--predictions"],
    ),
    "tasks": (["train", "--data"], ["train", "--out", "out", "--data"], ["data", "show"]),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder `files` in the current folder, with a file of every kind."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in FILES:
        content = json.dumps(JSON[name]).encode() if name in JSON else b"\x00\xff"
        (folder / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    yield folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]  # nothing was written
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("wanted", COMMANDS)
def test_every_kind_of_file_in_the_place_of_another(files: Path, wanted: str) -> None:
    for command in COMMANDS[wanted]:
        for name, (title, holds, advice) in FILES.items():
            if holds == wanted:
                continue
            result = run_cli(*command, f"files/{name}")
            assert result.exit_code == 2, (command, name)
            error = result.stderr.splitlines()[-1]
            assert error.startswith(f"Error: files/{name} is {title}, expected a"), command
            assert advice in error, (command, error)


@pytest.mark.parametrize("name", ["my run", "-dash", "it's", "$HOME"])
def test_the_commands_of_a_message_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path(name)
    run.mkdir()
    write_run_config(run, RunConfig())
    for file in ("predictions.jsonl", "checkpoints/5.safetensors", "model.json"):
        (run / file).parent.mkdir(exist_ok=True)
        (run / file).write_text("{}")
    Path("tasks.json").write_text(json.dumps({"a": TASK}))
    (run / "answers.json").write_text('{"a": [[[2]], [[1]]]}')
    for command, file in {
        ("train", "--data", "tasks.json", "--out"): run,
        ("compare",): run,
        ("score",): run,
        ("predict",): run / "checkpoints/5.safetensors",
        ("data", "show"): run / "predictions.jsonl",
        ("convert-submission", "--out", "out"): run / "predictions.jsonl",
        ("merge", "--out", "out"): run / "answers.json",
    }.items():
        given = [file] if command[-1] == "--out" else ["--", file]
        result = run_cli(*command, *given)
        assert result.exit_code == 2
        commands = re.findall("`arc-trm (.*?)`", result.stderr)
        words = [word for each in commands for word in shlex.split(each)]
        named = [word for word in words if name in word]
        assert named, (command, result.stderr)
        for word in named:
            assert not word.startswith("-")
            assert Path(word) in (run, file), (command, result.stderr)


def test_a_file_in_the_place_of_a_task_is_told_its_option(files: Path) -> None:
    for name, (_, holds, _) in FILES.items():
        result = run_cli("show", f"files/{name}")
        assert result.exit_code == 2
        option = "--data" if holds == "tasks" else "--predictions"
        assert f"name a task, and the file with {option} files/{name}" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{,", "is not JSON at line 1, column 2"),
        ("{}", "has no tasks, expected at least one"),
        ("[1]", "is a list of 1 item, expected an object with task ids as keys"),
        ("[" * 100_000, "is nested too deeply"),
        ("", "is empty, expected JSON"),
    ],
)
def test_what_is_wrong_with_a_file_comes_before_what_else_is_missing(
    files: Path, content: str, message: str
) -> None:
    (files / "submission.json").write_text(content)
    for command in (["score"], ["report"], ["merge", "--out", "out"]):
        result = run_cli(*command, "files/submission.json")
        assert result.exit_code == 2
        assert f"files/submission.json: {message}" in result.stderr


def test_a_folder_that_is_not_overwritten_is_named(tmp_path: Path) -> None:
    source, other = tmp_path / "submission.json", tmp_path / "other"
    source.write_text(json.dumps(JSON["submission.json"]))
    other.mkdir()
    (other / "notes.json").write_text("{}")
    result = run_cli("export", source, "--format", "arcprize", "--out", other, "--overwrite")
    assert result.exit_code == 2
    assert f"Error: {other}: is not a folder of attempts, so it is not" in result.stderr


def test_a_file_that_cannot_be_read_is_no_skipped_task(tmp_path: Path) -> None:
    file = tmp_path / "empty.json"
    file.touch()
    result = run_cli("data", "check", file)
    assert (result.exit_code, result.stderr) == (2, f"Error: {file}: is empty, expected JSON\n")
    result = run_cli("data", "check", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.count("empty.json") == 1


def test_an_empty_file_in_the_place_of_published_weights_is_told_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "step_1"
    file.touch()
    result = run_cli("convert", file, tmp_path / "out")
    assert result.exit_code == 2
    assert f"{file} is empty, expected a published weight file" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_an_empty_folder_holds_no_predictions(tmp_path: Path) -> None:
    result = run_cli("score", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path}: has no files, expected one TASK.json per task" in result.stderr


def test_a_published_weight_file_is_to_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "step_9"
    path.write_bytes(b"\x80")
    result = run_cli("predict", path, "--data", "arc-agi-1")
    assert result.exit_code == 2
    assert "convert a weight file of the published trainer with `arc-trm convert`" in result.stderr


def test_a_pipe_in_the_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    result = run_cli("predict", tmp_path / "pipe", "--data", "arc-agi-1")
    assert result.exit_code == 2
    assert f"{tmp_path / 'pipe'} is a file, expected a run, a weights folder" in result.stderr


def test_only_ids_that_are_really_close_are_suggested(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    ids = ("007bbfb7", "d017b73f", "bbb1b8b6", "ea32f347", "e9614598", "e345f17b")
    file.write_text(json.dumps(dict.fromkeys(ids, TASK)))
    for task, hint in {
        "007bbfb8": '; did you mean "007bbfb7"?',
        "07bbfb7": '; did you mean "007bbfb7"?',
        "12345678": "",
        "zzzz": "",
    }.items():
        result = run_cli("show", task, "--data", file)
        assert result.exit_code == 2
        assert result.stderr.endswith(f'no task "{task}" in {file}{hint}\n')


HOSTILE = ["two\nlines", "\x1b[31mred\x1b[0m", "long" * 1000, "\u2028\u202e", "'\"`$x", " "]


@pytest.mark.parametrize(
    "command",
    [
        ["{}"],
        ["--{}"],
        ["train", "--{}"],
        ["train", "--preset", "{}"],
        ["train", "--config", "{}"],
        ["train", "--data", "{}"],
        ["train", "--set", "{}"],
        ["train", "--set", "{}=1"],
        ["train", "--set", "train.{}=1"],
        ["train", "--set", "train.lr={}"],
        ["train", "--set", "model.mixer={}"],
        ["train", "--set", "data.test=[1, '{}"],
        ["train", "--set", "data.test=['''{}''']"],
        ["train", "--set", "train.optimiser={}"],
        ["train", "--device", "{}"],
        ["train", "--time-limit", "{}"],
        ["train", "--resume", "{}"],
        ["adapt", "{}", "--data", "arc-agi-1"],
        ["predict", "{}"],
        ["score", "{}"],
        ["score", "{}", "--solutions", "{}"],
        ["merge", "{}", "--out", "out"],
        ["validate", "{}"],
        ["validate", "{}", "--kind", "{}"],
        ["show", "{}"],
        ["report", "{}"],
        ["data", "{}"],
        ["data", "show", "{}"],
        ["data", "fetch", "{}"],
        ["data", "generate", "{}", "--out", "x.csv"],
        ["data", "identifiers", "--subset", "{}", "--out", "x"],
        ["presets", "{}"],
        ["convert", "{}", "out"],
        ["push", "{}", "a/b"],
    ],
    ids=" ".join,
)
def test_any_text_in_any_place_is_one_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("arc_trm.viz.show.FALLBACKS", ("concept-arc",))  # not here
    for name in HOSTILE:
        result = run_cli(*(part.replace("{}", name) for part in command))
        assert result.exit_code == 2, (name, result.output)
        *usage, error = result.stderr.removesuffix("\n").split("\n")
        assert error.startswith("Error: ") and error.isprintable(), name
        assert len(error) < 2000, name
        assert not usage or usage[0].startswith("Usage: "), name
        assert not any(tmp_path.iterdir()), name


@pytest.mark.parametrize("name", ["run.json", "config.json", "puzzle_ids.json", "metrics.jsonl"])
def test_a_part_of_a_run_is_no_official_file(files: Path, name: str) -> None:
    result = run_cli("validate", f"files/{name}")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: files/{name} is {FILES[name][0]}, which is no official file: name another\n"
    )
