"""What `arc-trm train` and `arc-trm adapt` say at their end, and their exit status."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tiny import MODEL, TRAIN

from arc_trm.checkpoint import load_weights

SMALL = [f"--set=model.{key}={value}" for key, value in MODEL.items()]
SHORT = [f"--set=train.{key}={TRAIN[key]}" for key in ("global_batch_size", "warmup_steps")]
OPTIONS = ["--device=cpu", "--set=dtype=float32", "--set=data.augmentations=2", *SHORT]

Cli = Callable[..., Result]


def test_the_next_command_is_said_beside_the_bare_path(
    tmp_path: Path, challenges: Path, weights_dir: Path, cli: Cli
) -> None:
    run = tmp_path / "my run"
    data = ["--data", challenges, *OPTIONS, "--max-steps", 3]
    for command in (
        ["train", "--preset", "quickstart", *SMALL, *data, "--out", run],
        ["train", "--resume", run, "--device=cpu"],
        ["adapt", weights_dir, *data, "--out", tmp_path / "adapted"],
        ["adapt", "--resume", tmp_path / "adapted", "--device=cpu"],
    ):
        result = cli(*command)
        assert result.exit_code == 0, result.stderr
        path = Path(result.stdout.removesuffix("\n"))
        assert path in (run, tmp_path / "adapted")
        said = result.stderr.splitlines()[-1]
        assert said == f"next: `arc-trm predict {shlex.quote(str(path))}`"
        assert "no rate yet" not in result.stderr
    # What was said works as it is.
    result = cli(*shlex.split(said.strip("`").partition("arc-trm ")[2]), "--device=cpu")
    assert result.exit_code == 0, result.stderr


def test_the_next_command_names_data_if_the_run_has_none(
    tmp_path: Path, challenges: Path, cli: Cli
) -> None:
    sets = f"--set=data.train=['{challenges}']"
    options = [*SMALL, *OPTIONS, sets, "--set=data.test=[]", "--max-steps", 1]
    result = cli("train", *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith(f"next: `arc-trm predict {tmp_path / 'run'} --data DATA`\n")


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_a_time_limit_without_a_step_is_no_success(
    tmp_path: Path, challenges: Path, weights_dir: Path, cli: Cli, command: str
) -> None:
    run = tmp_path / "run"
    start = [weights_dir] if command == "adapt" else ["--preset", "quickstart", *SMALL]
    limits = ["--data", challenges, *OPTIONS, "--time-limit", "0.001s", "--out", run]
    result = cli(command, *start, *limits)
    assert result.exit_code == 3
    assert result.stdout == f"{run}\n"
    last = result.stderr.splitlines()[-1]
    assert "leaves no time for a step" in last and "longer --time-limit" in last
    load_weights(run)  # the initial ones
    again = cli(command, "--resume", run, "--device=cpu", "--json")
    assert again.exit_code == 3
    expected = {"run": str(run), "step": 0, "total_steps": 0, "best": None}
    assert json.loads(again.stdout) == expected


def test_no_steps_are_a_success_if_none_were_wanted(
    tmp_path: Path, challenges: Path, weights_dir: Path, cli: Cli
) -> None:
    options = ["--data", challenges, *OPTIONS, "--max-steps", 0, "--time-limit", "1h"]
    result = cli("adapt", weights_dir, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[-1].startswith("next: ")


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_restart_needs_the_run_to_resume(cli: Cli, command: str) -> None:
    result = cli(command, "--restart")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == (
        "Error: --restart trains a run again from step 0: name the run with --resume RUN\n"
    )
