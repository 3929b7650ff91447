"""Several answers are measured as `arc-trm predict` asks for them; a day has 240 tasks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from puzzles import grid_config

import arc_trm
from arc_trm.config import load_config
from arc_trm.data.loader import load_tasks
from arc_trm.device import pick_device
from arc_trm.training import train_run


def test_all_ways_to_ask_are_measured_as_the_command_asks(
    inference: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = grid_config(tmp_path)
    run = train_run(config, pick_device("cpu"), tmp_path / "run").path
    log = tmp_path / "log.jsonl"
    command = ["inference.py", str(run), "--samples", "4", "--log", str(log)]
    monkeypatch.setattr(sys, "argv", command)
    inference.main()
    (line,) = map(json.loads, log.read_text().splitlines())
    rows, steps = line["rows"], config.model.supervision_steps
    assert line["puzzles"] == 8 and rows["plain"]["steps"] == steps
    assert rows["noise, votes, all asked"]["steps"] == 4 * steps
    for name, row in rows.items():
        assert row["exact"] <= row["pass@K"] <= 1, name
        assert row["steps"] <= rows.get(f"{name}, all asked", row)["steps"], name
    predicted = arc_trm.predict(run, samples=4, noise=0.3, select="best_halt")
    exact = predicted.score().rates["exact",].value
    assert rows["noise, best_halt"]["exact"] == pytest.approx(exact)
    printed = capsys.readouterr().out
    assert "seed 0" in printed and "views, rule, all asked" in printed


def test_a_day_has_240_tasks_with_solutions_and_two_orders(
    day: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    challenges = tmp_path / "day_challenges.json"
    day.write_tasks(challenges)
    assert "240 tasks, 300 test outputs" in capsys.readouterr().out
    tasks = load_tasks(str(challenges))
    assert len({(pair.input.tobytes(), task.id) for task in tasks for pair in task.test}) == 300
    assert all(task.solutions is not None for task in tasks)
    settings = [f"data.test=['{challenges}']", "data.augmentations=1", "train.total_steps=1"]
    config = load_config("quickstart", overrides=settings)
    run = train_run(config, pick_device("cpu"), tmp_path / "run").path
    (header, row) = day.measure([str(run)], [0.5])
    assert "few steps first" in header and str(run) in row
