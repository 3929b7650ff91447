"""`arc-trm runs`: a table of runs, and what made one."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from made_up_runs import write_metrics
from paths import ROOT
from tiny import write_predictions

from arc_trm.checkpoint import KeptCheckpoints, WeightsDir
from arc_trm.data.loader import load_tasks
from arc_trm.runs.history import remember


def keep(run: Path, **scores: float) -> None:
    """Keep weights with evaluations, such as s4=0.5 of step 4."""
    weights = WeightsDir(run, "last")
    kept = KeptCheckpoints(run)
    kept.clear()
    for name, exact in scores.items():
        metrics = {"eval/exact": exact, "eval/pass_at_2": exact / 2}
        network, embedding, *_ = weights.parts
        step = int(name[1:])
        kept.keep(step, network, weights.config, metrics, "eval/exact", 3, embedding)


@pytest.fixture
def here(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that has `runs/tiny`, with evaluations."""
    keep(tiny_run, s4=0.5, s8=0.25)
    with (tiny_run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "train/exact_of_halted": 0.742}\n')
    folder = tiny_run.parents[1]
    monkeypatch.chdir(folder)
    return folder


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [[cell for cell in line.split("  ") if cell] for line in result.stdout.splitlines()]


def test_the_table_has_a_line_for_each_run(
    cli: Callable[..., Result], here: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "other"
    shutil.copytree("runs/tiny", elsewhere)
    KeptCheckpoints(elsewhere).clear()
    remember("run", elsewhere)
    remember("run", Path("runs/tiny"))  # resumed later than the other was made
    header, first, second = rows(cli("runs", "list"))
    assert [cell.strip() for cell in header] == [
        "RUN",
        "STARTED",
        "STATE",
        "STEPS",
        "BEST",
        "EXACT OF HALTED",
        "PRESET",
        "DATA",
    ]
    cells = [cell.strip() for cell in first]
    assert cells[0] == "runs/tiny"
    assert cells[2:] == [
        "complete",
        "12 of 12",
        "exact 50 % at 4",
        "74.2 %",
        "tiny",
        "tiny_challenges.json",
    ]
    assert second[0].strip() == "elsewhere/other"
    record = json.loads(cli("runs", "list", "--json").stdout)
    assert record["total"] == 2
    best = {key: record["runs"][0][key] for key in ("best_metric", "best_value", "best_step")}
    assert best == {"best_metric": "exact", "best_value": 0.5, "best_step": 4}
    assert record["runs"][1]["best_step"] is None


@pytest.mark.parametrize(("end", "shown"), [(1.0, "83.33 %"), (float("nan"), "")])
def test_the_share_of_halted_examples_is_that_of_the_curves(
    cli: Callable[..., Result], here: Path, end: float, shown: str
) -> None:
    keys = {"train/exact_of_halted": 0.5, "train/halted": 4.0}
    records = [{"step": step, **keys} for step in range(1, 100)]
    records[-1] |= {"train/exact_of_halted": end, "train/halted": 16.0}
    write_metrics(here / "runs/tiny", records)
    result = cli("runs", "list")
    assert result.exit_code == 0 and (shown in result.stdout)
    assert ("%" in result.stdout.replace("50 % at 4", "")) == bool(shown)
    assert "NaN" not in cli("runs", "list", "--json").stdout


def test_few_of_many_runs_are_listed(cli: Callable[..., Result], here: Path) -> None:
    for number in range(25):
        (here / f"runs/r{number}").mkdir()
        shutil.copy("runs/tiny/run.json", f"runs/r{number}/run.json")
        remember("run", here / f"runs/r{number}")
    lines = cli("runs", "list").stdout.splitlines()
    assert len(lines) == 22 and lines[1].startswith("runs/r24 ")
    assert lines[-1] == "and 6 earlier ones: --all lists them"
    assert len(cli("runs", "list", "--all").stdout.splitlines()) == 27
    assert "interrupted" in lines[1] and "0 of 12" in lines[1]


def test_lines_fit_the_width_of_a_terminal(here: Path) -> None:
    main, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "arc_trm", "runs", "list"]
    done = subprocess.run(command, stdout=terminal, env=environment, check=True)
    os.close(terminal)
    lines = os.read(main, 100_000).decode().splitlines()
    os.close(main)
    assert done.returncode == 0 and [len(line) for line in lines] == [60, 60]
    assert lines[1].startswith("runs/tiny") and lines[1].endswith("…")


def test_without_runs_the_table_says_how_to_make_one(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("runs", "list")
    assert result.stdout == "there are no runs yet: `arc-trm train` makes one\n"
    assert json.loads(cli("runs", "list", "--json").stdout) == {"runs": [], "total": 0}


@pytest.mark.parametrize("broken", ["{", '{"format": "arc-trm run 99"}', '{"format": 5}'])
def test_a_damaged_run_is_a_line_and_a_sentence(
    cli: Callable[..., Result], here: Path, broken: str
) -> None:
    (here / "runs" / "bad\nname").mkdir()
    (here / "runs" / "bad\nname" / "run.json").write_text(broken)
    result = cli("runs", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 3 and any("damaged" in line and "bad" in line for line in lines)
    assert len(result.stderr.splitlines()) == 1 and "run.json" in result.stderr


def test_show_says_why_a_run_is_damaged(cli: Callable[..., Result], here: Path) -> None:
    (run,) = (here / "runs").iterdir()
    (run / "metrics.jsonl").write_bytes(b"\xff")
    result = cli("runs", "show", run)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == (
        f"{run}: damaged: {run}/metrics.jsonl is not UTF-8 text"
    )
    assert "preset:" not in result.stdout


def test_show_says_what_made_a_run_and_what_it_holds(
    cli: Callable[..., Result], here: Path
) -> None:
    tasks = load_tasks("tiny_challenges.json")
    facts = {"checkpoint": "best", "step": 4, "data": ["/somewhere/tiny_challenges.json"]}
    write_predictions(here / "runs/tiny/predictions/tiny-1", tasks, {}, **facts)
    result = cli("runs", "show", "runs/tiny")
    assert result.exit_code == 0, result.stderr
    text = result.stdout
    assert text.startswith("runs/tiny: complete, 12 of 12 steps\n")
    for line in (
        "command   from Python",
        "CHECKPOINT        exact  pass@2",
        "4           best  50 %   25 %",
        "8                 25 %   12.5 %",
        "runs/tiny/predictions/tiny-1  best, step 4  tiny_challenges.json",
        "checkpoints/4.safetensors",
    ):
        assert line in text, text
    assert "/somewhere" not in text
    record = json.loads(cli("runs", "show", "--json").stdout)  # the latest one
    assert record["run"] == "runs/tiny"
    assert record["made_by"][0]["step"] == 0
    assert [each["step"] for each in record["checkpoints"] if each["best"]] == [4]
    assert record["files"]["run.json"] == Path("runs/tiny/run.json").stat().st_size


def test_show_names_damaged_checkpoints(cli: Callable[..., Result], here: Path) -> None:
    (here / "runs/tiny/checkpoints/6.safetensors").write_bytes(b"garbage")
    assert "damaged checkpoints: 6" in cli("runs", "show", "runs/tiny").stdout
    record = json.loads(cli("runs", "show", "runs/tiny", "--json").stdout)
    assert record["damaged_checkpoints"] == [6]


def test_a_run_was_started_when_its_provenance_says_so(
    cli: Callable[..., Result], here: Path
) -> None:
    path = here / "runs/tiny/provenance.json"
    values = json.loads(path.read_text())
    values["entries"][-1]["started_at"] = "2026-01-02T03:04:05+00:00"
    said = json.dumps(values)
    for text in (said, '{"entries": [{"started_at": [1]}]}', "{}"):
        path.write_text(text)
        (run,) = json.loads(cli("runs", "list", "--json").stdout)["runs"]
        assert (run["started_at"] == "2026-01-02T03:04:05+00:00") is (text == said)


def test_strange_provenance_is_shown_in_one_line_each(
    cli: Callable[..., Result], here: Path
) -> None:
    entry = {"command": "a\nb\x1b[31m", "step": [1], "plugins": 5, "commit": "c" * 999, "cpu": "\n"}
    (here / "runs/tiny/provenance.json").write_text(json.dumps({"entries": [entry]}))
    result = cli("runs", "show", "runs/tiny")
    assert result.exit_code == 0 and "\x1b" not in result.stdout
    assert "command   a" in result.stdout


def test_what_is_no_run_is_one_sentence(cli: Callable[..., Result], here: Path) -> None:
    for name in ("nowhere", "tiny_challenges.json"):
        result = cli("runs", "show", name)
        assert result.exit_code == 2
        assert result.stderr == (
            f"Error: {name} is not a run: `arc-trm runs list` lists those that there are\n"
        )
