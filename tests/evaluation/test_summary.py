"""What predictions say about themselves, from files that anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_challenges, write_predictions

from arc_trm import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog, submission_digest
from arc_trm.evaluation.predictions import Prediction, build_submission
from arc_trm.evaluation.scoring import describe_sources, open_sources
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.tasks import TaskSet, as_grid
from submission import read_submission


@pytest.fixture
def tasks(tmp_path: Path) -> TaskSet:
    return load_tasks(write_challenges(tmp_path))


def predictions(folder: Path, tasks: TaskSet, **facts: object) -> Path:
    """A folder with the guesses for tasks, and a log with these facts."""
    submission = build_submission((), tasks)
    facts = {"data": [tasks.name], "max_grid_size": 30, **facts}
    return write_predictions(folder / "made", tasks, submission, **facts)


def described(folder: Path) -> tuple[dict[str, object], list[str]]:
    """What `score` says that the predictions in a folder are."""
    sources = open_sources([folder], None, None)
    about, lines = describe_sources(sources)
    json.dumps(about, allow_nan=False)
    return about, lines


def add_status(folder: Path, fields: str) -> None:
    digest = submission_digest(read_submission(folder / "submission.json"))
    with (folder / "predictions.jsonl").open("a") as log:
        log.write(f'{{"status":{{"submission":"{digest}",{fields}}}}}\n')


@pytest.mark.parametrize(
    "fields",
    [
        '"voters":[1,1,1],"guessed":[["task1",-9]]',
        '"voters":[NaN,1,1],"guessed":[]',
        '"voters":[1e999,1,1],"guessed":[]',
        '"voters":[1,1e999,1],"guessed":[]',
        '"voters":[1,1],"guessed":[]',
        '"voters":[1,1,1],"guessed":[["task1"]]',
        '"voters":[1,1,1],"guessed":[["task1",0],["task1",0]]',
        '"voters":[-1,-1,-1],"guessed":[]',
        '"voters":[9,1,2],"guessed":[]',
        '"voters":[1,2,1],"guessed":[]',
        '"voters":[1,1,1]',
    ],
)
def test_a_status_that_cannot_be_is_no_status(tmp_path: Path, tasks: TaskSet, fields: str) -> None:
    folder = predictions(tmp_path, tasks)
    add_status(folder, '"voters":[3,3,3],"guessed":[]')
    assert described(folder)[0]["voters"] == {"mean": 3.0, "min": 3, "max": 3}
    add_status(folder, fields)
    assert described(folder)[0]["voters"] is None


def test_a_submission_that_a_killed_job_left_behind_its_log_says_so(
    tmp_path: Path, tasks: TaskSet
) -> None:
    folder = predictions(tmp_path, tasks)
    assert described(folder)[0]["unfinished"] is False
    log = PredictionLog(folder / "predictions.jsonl")
    log.append([Prediction("task0", 0, "task0", 0, as_grid([[1]]), 0.5)])
    about, lines = described(folder)
    assert about["unfinished"] is True
    assert any(line.startswith("partial   the job predicted more after") for line in lines)
    add_status(folder, '"voters":[0.3,0,1],"guessed":[]')
    assert described(folder)[0]["unfinished"] is False


@pytest.mark.parametrize(
    ("facts", "trained"),
    [
        ({"preset": "quickstart", "step": 0, "total_steps": 9000}, "quickstart, step 0 of 9000"),
        ({"preset": "quickstart", "step": 0, "total_steps": 0}, "quickstart, step 0 of 0"),
        ({"preset": "quickstart"}, "quickstart"),
    ],
)
def test_weights_without_a_step_of_training_are_said_to_be_so(
    facts: dict[str, Any], trained: str
) -> None:
    assert PredictionSummary("f", **facts).trained == f"preset {trained}"


def test_guesses_that_are_not_scored_are_not_called_wrong(tmp_path: Path, tasks: TaskSet) -> None:
    folder = predictions(tmp_path, tasks)
    add_status(folder, '"voters":[0,0,0],"guessed":[["task0",0],["task1",0]]')
    solved = tasks.known_solutions()
    for known, said in (
        (["task0", "task1"], "2 of them"),
        (["task0"], "1 of the 1 that are scored"),
    ):
        solutions = tmp_path / f"{len(known)}.json"
        solutions.write_text(json.dumps({name: solved[name] for name in known}))
        about, lines = describe_sources(open_sources([folder], None, solutions))
        # The guesses mirror the input, which is right here.
        assert (about["solved_guesses"], about["scored_guesses"]) == (len(known), len(known))
        assert any(line.startswith("guesses   2") and f"; {said} right" in line for line in lines)


def test_texts_of_a_header_are_printed_in_one_plain_line_each(
    tmp_path: Path, tasks: TaskSet
) -> None:
    hostile = "\x1b[2J\nscore: 100 %"
    facts = dict.fromkeys(("model", "weights", "preset", "train_data"), hostile)
    lines = described(predictions(tmp_path, tasks, **facts))[1]
    assert len(lines) > 3 and all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("arc", ("2 tasks, 3 test inputs", "1 of 3 test inputs, first t, test input 1")),
        ("sudoku", ("2 puzzles", "1 of 3 puzzles, first t")),
        ("no such kind", ("2 tasks, 3 test inputs", "1 of 3 test inputs, first t, test input 1")),
    ],
)
def test_puzzles_are_called_puzzles(kind: str, rows: tuple[str, str]) -> None:
    found = PredictionSummary(
        "f", kind=kind, tasks=2, test_inputs=3, guessed=(("t", 0),), voters=(1.5, 1, 2)
    ).rows()
    assert (found["data"], found["guesses"]) == rows
    noun = "puzzle" if kind == "sudoku" else "test input"
    assert found["voters"] == f"1.5 per {noun} (1 to 2)"
