"""The library behind `validate`: the result of checking a file or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import submission as sub

GOOD: Any = {"a": [{"attempt_1": [[1]], "attempt_2": [[2]]}]}
FORM = "a submission (two attempts per test output)"
CHALLENGES: Any = {
    "a": {"train": [{"input": [[0]], "output": [[1]]}], "test": [{"input": [[0]]}] * 2}
}


def test_a_valid_file_has_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    sub.write_json(path, GOOD)
    result = sub.check_path(path)
    assert (result.kind, list(result.problems)) == ("submission", [])
    assert result.summary == f"{path}: is {FORM}: valid, 1 task with 1 test output"
    assert result.lines() == [result.summary]
    assert result.to_dict() == {
        "file": str(path),
        "kind": "submission",
        "form": FORM,
        "convertible": False,
        "problems": [],
    }


def test_an_invalid_file_has_problems(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    sub.write_json(path, GOOD)
    result = sub.check_path(path, challenges=CHALLENGES)
    assert result.lines() == ["task a: has 1 test output, expected 2 as in the challenges"]
    assert result.summary == f"{path}: is not a valid submission file (1 problem)"
    assert result.to_dict()["problems"] == [
        {"place": "task a", "message": "has 1 test output, expected 2 as in the challenges"}
    ]
    result = sub.check_path(path, kind="solutions")
    assert result.lines()[0] == f"{path}: looks like a submission file, expected a solutions file"


def test_a_folder_stands_for_its_submission(tmp_path: Path) -> None:
    sub.write_json(tmp_path / "submission.json", GOOD)
    assert sub.check_path(tmp_path) == sub.check_path(tmp_path / "submission.json")


def test_a_benchmarking_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1")
    result = sub.check_path(tmp_path)
    assert result.kind == "benchmarking"
    assert result.lines() == ["a.json: is not JSON at line 1, column 3: Expecting ',' delimiter"]
    assert result.summary == f"{tmp_path}: is not a valid ARC Prize benchmarking folder (1 problem)"


def test_options_that_cannot_apply(tmp_path: Path) -> None:
    with pytest.raises(sub.SubmissionError, match="is a folder, expected a task file"):
        sub.check_path(tmp_path, kind="task")
    path = tmp_path / "challenges.json"
    sub.write_json(path, CHALLENGES)
    with pytest.raises(sub.SubmissionError, match="only solutions and submissions can be checked"):
        sub.check_path(path, challenges=CHALLENGES)
    sub.write_json(path, [])
    with pytest.raises(sub.FormatError, match="looks like none of task, challenges,"):
        sub.check_path(path)


def test_a_name_that_is_too_long_cannot_be_read() -> None:
    with pytest.raises(sub.FormatError, match=r"^a+\.\.\.a+: cannot be read: File name too long"):
        sub.check_path("a" * 300)


def test_what_is_wrong_with_a_whole_folder_names_it(tmp_path: Path) -> None:
    (line,) = sub.check_path(tmp_path).lines()
    assert line.startswith(f"{tmp_path}: has no files, expected one TASK.json per task")
