"""`python -m submission`, as a person runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import submission as sub
from arc_trm.cli import main as arc_trm_main
from submission._version import __version__
from submission.commands import main

TWO: Any = {"attempt_1": [[1]], "attempt_2": [[2]]}
FILES: dict[str, Any] = {
    "task": {"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[0]]}]},
    "challenges": {
        "a": {"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[0]]}] * 2},
        "b": {"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[0]]}]},
    },
    "solutions": {"a": [[[2]], [[3]]], "b": [[[1]]]},
    "submission": {"a": [TWO, TWO], "b": [TWO]},
    "other": {"a": [TWO, {"attempt_1": [[3]], "attempt_2": [[4]]}], "b": [TWO]},
    "partial": {"a": [TWO, TWO], "new": [TWO]},
    "broken": {"a": [{"attempt_1": [[1, 10]]}], "b": [TWO]},
    "ragged": {"a": [{"attempt_1": [[1]] * 31, "attempt_2": [[]] * 30} for _ in range(50)]},
    "short": {"a": [TWO]},
    "new": {"new": [TWO]},
    "nothing": [],
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, data in FILES.items():
        sub.write_json(tmp_path / f"{name}.json", data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> Result:
    return CliRunner().invoke(main, command.split())


def test_validate_recognises_every_kind(files: Path) -> None:
    for name, what in {
        "task": "is a task (train and test pairs): valid, 1 train pair and 1 test pair",
        "challenges": "is a challenges file (tasks with train and test pairs): valid, 2 tasks "
        "with 3 test outputs",
        "solutions": "is a solutions file (tasks map to lists of grids, one right output per test "
        "input), which is no submission: valid, 2 tasks with 3 test outputs; if these grids are "
        "answers, `python -m submission convert-submission solutions.json --challenges CHALLENGES "
        "--out submission.json` makes a submission",
        "submission": "is a submission (two attempts per test output): valid, 2 tasks with 3 test "
        "outputs",
    }.items():
        for options in ("", f" --kind {name}"):
            result = run(f"validate {name}.json{options}")
            assert (result.exit_code, result.output) == (0, f"{name}.json: {what}\n")
    for name in ("solutions", "submission"):
        assert run(f"validate {name}.json --challenges challenges.json").exit_code == 0


def test_validate_lists_every_problem(files: Path) -> None:
    result = run("validate broken.json --challenges challenges.json")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "task a, test output 1, attempt_1, row 1: cell 2 is 10, expected an integer 0 to 9",
        'task a, test output 1: has no "attempt_2", expected a grid',
        "task a: has 1 test output, expected 2 as in the challenges",
    ]
    assert result.stderr == ("Error: broken.json: is not a valid submission file (3 problems)\n")
    result = run("validate solutions.json --kind submission")
    assert result.stdout.startswith(
        "solutions.json: looks like a solutions file, expected a submission file\n"
    )


def test_validate_prints_json(files: Path) -> None:
    good = run("validate submission.json --challenges challenges.json --json")
    assert good.exit_code == 0
    told = {
        "file": "submission.json",
        "kind": "submission",
        "form": "a submission (two attempts per test output)",
        "convertible": False,
        "problems": [],
    }
    assert json.loads(good.stdout) == told
    bad = run("validate broken.json --json")
    assert bad.exit_code == 2
    problems = [sub.Problem(**problem) for problem in json.loads(bad.stdout)["problems"]]
    assert problems == sub.submission_problems(FILES["broken"])


def test_validate_stops_listing_somewhere(files: Path) -> None:
    lines = run("validate ragged.json").stdout.splitlines()
    assert len(lines) == 1001
    assert lines[-1] == "... and 550 more"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("validate none.json", "none.json: does not exist, expected a file"),
        ("validate .. --kind task", "..: is a folder, expected a task file"),
        ("score submission.json --solutions .", ".: is a folder, expected a file"),
        ("validate nothing.json", "nothing.json: looks like none of task, challenges, solutions,"),
        ("validate task.json --challenges challenges.json", "task.json: is a task file, but only"),
        ("validate submission.json --challenges task.json", "task.json: looks like a task file"),
        ("score broken.json --solutions solutions.json", "(and 1 more problem; `python -m"),
        ("score short.json --solutions solutions.json", "short.json: task a: has 1 test output,"),
        ("score partial.json --solutions none.json", "none.json: does not exist"),
        (
            "score partial.json --solutions solutions.json --challenges challenges.json",
            "partial.json: task new: is unknown, expected only tasks of the challenges (and 1 more"
            " problem; `python -m submission validate --kind submission --challenges CHALLENGES",
        ),
        ("merge submission.json broken.json --out out.json", "broken.json: task a, test output 1"),
        (
            "merge short.json partial.json --out out.json",
            "partial.json: has 1 task that short.json lacks (new), but merging takes the tasks of "
            "the first: put one that has all tasks first (and 1 more problem)",
        ),
        ("merge submission.json --out none/out.json", "the folder"),
        (
            "merge none.json none.json --out out.json --vote-weights 2",  # before reading
            "the number of vote weights is 1, expected 2,",
        ),
        ("merge submission.json --out out.json --vote-weights 0", "a vote weight is 0.0, expected"),
        ("merge submission.json --out out.json --vote-weights a", '"a" is not a list of numbers'),
        ("merge --out out.json", "Missing argument"),
        ("merge other.json short.json --out short.json", "it is one of the files to merge"),
        ("score new.json --solutions solutions.json", "new.json: answers none of the 2 tasks with"),
        ("score submission.json", "Missing option"),
    ],
)
def test_mistakes_end_in_one_sentence_and_status_2(
    files: Path, command: str, sentence: str
) -> None:
    result = run(command)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (error,) = result.stderr.splitlines()
    assert error.startswith("Error: ") and sentence in error
    assert not (files / "out.json").exists()


def test_score_table(files: Path) -> None:
    result = run("score submission.json --solutions solutions.json --challenges challenges.json")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:6]] == [
        ["pass@1", "per", "task", "1/2", "50.0", "%"],
        ["pass@1", "per", "output", "1/3", "33.3", "%"],
        ["pass@1", "strict", "1/2", "50.0", "%"],
        ["pass@2", "per", "task", "1.5/2", "75.0", "%"],
        ["pass@2", "per", "output", "2/3", "66.7", "%"],
        ["pass@2", "strict", "1/2", "50.0", "%"],
    ]
    assert [line.split("  ")[0] for line in lines[7:]] == list(sub.DENOMINATORS)


def test_score_names_what_it_could_not_compare(files: Path) -> None:
    lines = run("score partial.json --solutions solutions.json").stdout.splitlines()
    assert lines[-2:] == [
        "1 task not in the submission, counted as unsolved: b",
        "1 task without a solution, not counted: new",
    ]


def test_score_json(files: Path) -> None:
    result = run("score partial.json --solutions solutions.json --json")
    expected = sub.score(FILES["partial"], FILES["solutions"]).to_dict()
    assert json.loads(result.stdout) == expected


def test_score_of_three_files(files: Path) -> None:
    names = ["submission.json", "other.json", "submission.json"]
    command = f"score {' '.join(names)} --solutions solutions.json"
    result = run(command)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[:3] == [[f"#{n}", name] for n, name in enumerate(names, 1)]
    assert [row[0] for row in rows[6:12]] == ["#1", "#2", "#3", "mean", "deviation", "total"]
    record = json.loads(run(f"{command} --json").stdout)
    assert [each["file"] for each in record["scores"]] == names
    assert record["differences"][1]["pass@2"]["strict"] == {"value": 0, "low": 0, "high": 0}


def test_merge(files: Path) -> None:
    result = run("merge submission.json other.json --out out.json --vote-weights 1,3")
    assert result.exit_code == 0
    assert result.stdout == "Wrote out.json: 2 tasks with 3 test outputs\n"
    merged = sub.read_submission("out.json", FILES["challenges"])
    assert merged == sub.merge([FILES["submission"], FILES["other"]], [1, 3]) == FILES["other"]


@pytest.mark.parametrize("command", ["validate", "score", "merge"])
def test_help_has_an_example(command: str) -> None:
    text = run(f"{command} --help").stdout
    assert re.search("Examples?:", text) and f"\n    python -m submission {command} " in text
    assert command in run("--help").stdout


def test_the_version_and_short_options() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"submission, version {__version__}\n")
    for command in ("", "validate ", "score ", "merge "):
        short, long = run(f"{command}-h"), run(f"{command}--help")
        assert short.exit_code == 0 and short.output == long.output


def test_a_message_names_the_program_that_lists_all_problems(files: Path) -> None:
    for program, expected in ((main, "python -m submission"), (arc_trm_main, "arc-trm")):
        arguments = ["score", "broken.json", "--solutions", "solutions.json"]
        result = CliRunner().invoke(program, arguments)
        assert result.exit_code == 2
        assert f"`{expected} validate --kind submission broken.json` lists them" in result.stderr


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """The real command, from the folder that holds the package under test."""
    source = Path(sub.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "submission", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(source), **environment},
    )


def test_a_closed_pipe_gives_no_traceback(files: Path) -> None:
    process = start("validate", "ragged.json")
    assert process.stdout and process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert b"Traceback" not in errors and b"BrokenPipe" not in errors


def test_an_encoding_that_lacks_letters_of_a_task_id(files: Path) -> None:
    sub.write_json("greek.json", {"\N{GREEK SMALL LETTER ALPHA}": [[[10]]]})
    output, errors = start("validate", "greek.json", PYTHONIOENCODING="latin-1").communicate()
    assert output.startswith(b"task \\u03b1, test output 1, row 1: ")
    assert b"Traceback" not in errors


def test_the_package_needs_neither_torch_nor_numpy_nor_arc_trm() -> None:
    code = "import sys, submission.commands; print(*{m.split('.')[0] for m in sys.modules})"
    source = Path(sub.__file__).parents[1]
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "arc_trm"} & set(loaded)


def test_modules_and_names_are_found_without_a_second_import() -> None:
    """They are loaded when they are needed, so that signals are handled before."""
    code = (
        "import submission; submission.files.read_json; submission.score; "
        "from submission import *; read_task; "
        "assert not hasattr(submission, 'nothing') and not hasattr(submission, 'a.b'); "
        "import arc_trm; assert not hasattr(arc_trm, 'nothing'); "
        "assert not hasattr(arc_trm, 'cli.train')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
