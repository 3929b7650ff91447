"""Which run and which predictions are the latest, wherever they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tiny import run_config, write_challenges, write_predictions

from arc_trm import load_tasks
from arc_trm.errors import UserError
from arc_trm.runs import create_run, history, latest_predictions, latest_run, predictions_of

Cli = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder for a test, with a challenges file."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_challenges(folder)
    return folder


def remember(kind: history.Kind, folder: Path, at: float) -> None:
    """Add a folder to the index, as if it had been made at a time."""
    record = {"kind": kind, "path": os.path.abspath(folder), "time": at}
    with history.index_path().open("a") as index:
        index.write(json.dumps(record) + "\n")


def make_run(folder: Path | str, at: float, remembered: bool = True) -> Path:
    """A run that was made at a time."""
    run = create_run(run_config(Path("tiny_challenges.json")), Path(folder))
    os.utime(run / "run.json", (at, at))
    lines = history.index_path().read_text().splitlines()
    kept = [line for line in lines if json.dumps(os.path.abspath(folder)) not in line]
    history.index_path().write_text("\n".join([*kept, ""]))
    if remembered:
        remember("run", run, at)
    return run


def make_predictions(folder: Path | str, at: float) -> Path:
    tasks = load_tasks("tiny_challenges.json")
    made = write_predictions(Path(folder), tasks, {}, data=["tiny_challenges.json"])
    os.utime(made / "predictions.jsonl", (at, at))
    return made


def test_the_latest_run_is_found_in_runs_and_elsewhere(here: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run in .*, and none is known elsewhere: train one"):
        latest_run()
    make_run("runs/a", 10)
    assert latest_run() == Path("runs/a")
    make_run(tmp_path / "far" / "b", 20)
    assert latest_run() == tmp_path / "far" / "b"
    make_run("inside", 30)
    assert latest_run() == Path("inside")  # short where it is below the current folder
    make_run("runs/copied", 40, remembered=False)
    assert latest_run() == Path("runs/copied")
    history.remember("run", Path("runs/a"))  # resumed
    assert latest_run() == Path("runs/a")


def test_what_is_gone_or_damaged_is_passed_over(here: Path, tmp_path: Path) -> None:
    make_run("runs/a", 10)
    (make_run(tmp_path / "gone", 20) / "run.json").unlink()
    with history.index_path().open("a") as index:
        index.write('[]\n{"kind":"run"}\n{"kind":"run","path":7,"time":9}\n\0\n{"kind": "run", "pa')
    history.remember("run", Path("a\0b"))
    assert latest_run() == Path("runs/a")
    history.index_path().unlink()
    history.index_path().mkdir()
    history.remember("run", Path("runs/a"))  # where no index can be written, nothing happens
    assert latest_run() == Path("runs/a")


def test_a_clock_that_was_ahead_does_not_make_a_run_the_latest_for_good(here: Path) -> None:
    make_run("runs/a", 10)
    make_run("runs/ahead", 10**10)
    assert latest_run() == Path("runs/ahead")
    make_run("runs/b", 20)
    assert latest_run() == Path("runs/b")
    assert list(history.recall("run")) == [here / "runs" / name for name in ("a", "ahead", "b")]
    with history.index_path().open("a") as index:
        index.write('{"kind":"run","path":"/x","time":NaN}\n')
    assert latest_run() == Path("runs/b")


def test_an_index_of_many_lines_is_read_from_its_end(here: Path) -> None:
    make_run("runs/a", 10)
    line = json.dumps({"kind": "run", "path": "/gone", "time": 1})
    history.index_path().write_text(f"{line}\n" * 20_000)
    history.remember("run", Path("runs/a"))
    assert list(history.recall("run"))[-1] == here / "runs" / "a"
    assert history.index_path().stat().st_size > history.MAX_BYTES


def test_the_latest_predictions_are_those_made_last(here: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no predictions yet: make some with `arc-trm train` and"):
        latest_predictions()
    make_run("runs/a", 10)
    with pytest.raises(UserError, match="no predictions yet: make some with `arc-trm predict`"):
        latest_predictions()
    first = make_predictions("runs/a/predictions/x", 20)
    make_predictions("predictions/y", 15)
    assert latest_predictions() == first
    make_predictions(tmp_path / "unknown", 99)
    assert latest_predictions() == first
    elsewhere = make_predictions(tmp_path / "known", 30)
    remember("predictions", elsewhere, 30)
    assert latest_predictions() == elsewhere
    make_predictions(".", 25)
    assert latest_predictions() == elsewhere
    newest = make_predictions("runs/a/predictions/z", 40)
    assert latest_predictions() == newest
    assert predictions_of(Path("runs/a")) == [newest, first]
    assert predictions_of(Path("runs/a/predictions")) == [newest, first]
    assert predictions_of(Path("gone")) == []
    remember("predictions", first, 50)  # the same command again, which had nothing left to do
    for run in (Path("runs/a"), Path("runs/a").resolve()):
        assert [each.name for each in predictions_of(run)] == ["x", "z"]


def test_predictions_are_not_taken_for_those_of_a_later_run(here: Path, cli: Cli) -> None:
    make_run("runs/a", 10)
    make_predictions("runs/a/predictions/x", 20)
    make_run("runs/b", 30)
    result = cli("score")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: runs/b, the latest run, has no predictions yet: make them with `arc-trm predict "
        "runs/b`, or name the last ones that there are, runs/a/predictions/x\n"
    )
    make_predictions("runs/b/predictions/x", 5)
    assert latest_predictions() == Path("runs/a/predictions/x")


def test_commands_without_arguments_find_what_was_just_made(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("predict", "--out", "o").exit_code == 0  # runs/tiny
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    about = json.loads(cli("score", "--json").stdout)["about"]
    assert about["file"] == str(tmp_path / "o" / "submission.json")
    assert cli("predict", tiny_run).exit_code == 0
    about = json.loads(cli("score", "--json").stdout)["about"]
    assert about["file"].startswith(str(tiny_run / "predictions"))
