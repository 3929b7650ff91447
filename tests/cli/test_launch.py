"""`arc-trm --nproc-per-node`: several processes print one mistake and end with its status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import TOO_LONG, run_cli, run_torchrun
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

import arc_trm
from arc_trm.cli import PARALLEL_COMMANDS
from arc_trm.cli.launch import _describe
from arc_trm.runs import Run

SMALL = ["--device", "cpu", "--set", "data.augmentations=2", "--set", "train.global_batch_size=4"]
SAVES_OFTEN = ["--set", "train.save_interval_s=0.05"]


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Start `arc-trm` in two processes, which also import modules from `cwd`."""
    source = Path(arc_trm.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "arc_trm", "--nproc-per-node", "2", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{source}{os.pathsep}{cwd}"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def delay_rank(rank: int, folder: Path) -> None:
    """Make the process of a rank sleep at its start, so that the other one fails before it."""
    code = f"import os, time\nos.environ.get('RANK') == '{rank}' and time.sleep({TOO_LONG})\n"
    (folder / "sitecustomize.py").write_text(code)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_two_processes_train_and_are_stopped_by_a_signal(
    tmp_path: Path, challenges: Path, number: int
) -> None:
    run = tmp_path / "run"
    options = [*SMALL, *SAVES_OFTEN, "--max-steps", 100_000, "--out", run]
    process = start("train", "--data", challenges, *options, cwd=tmp_path)
    assert process.stderr is not None
    first = process.stderr.readline()  # said when the run is about to begin
    assert "cpu" in first and "× 2, in " in first
    while not (run / "model.safetensors").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=TOO_LONG)
    assert process.returncode == 128 + number
    assert f"resume with `arc-trm --nproc-per-node 2 train --resume {run}`" in errors
    assert "Traceback" not in errors and "torch" not in errors
    assert Run(run).step < 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
@pytest.mark.slow
def test_processes_end_with_a_launcher_that_is_killed(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    options = [*SMALL, *SAVES_OFTEN, "--max-steps", 100_000, "--out", run]
    process = start("train", "--data", challenges, *options, cwd=tmp_path)
    while not (run / "model.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    started = time.monotonic()
    while Run(run).state == "running":
        assert time.monotonic() - started < TOO_LONG
        time.sleep(0.05)
    assert Run(run).state == "interrupted"
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


@pytest.mark.parametrize("slow_rank", [0, 1])
@pytest.mark.slow
def test_a_mistake_is_printed_once_whichever_process_makes_it(
    tmp_path: Path, slow_rank: int
) -> None:
    delay_rank(slow_rank, tmp_path)
    process = start("train", "--data", "nowhere.json", cwd=tmp_path)
    output, errors = process.communicate(timeout=TOO_LONG)
    assert (process.returncode, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith("Error: nowhere.json is neither a dataset nor")


@pytest.mark.slow
def test_torchrun_shows_a_mistake_of_all_processes_once_before_its_own_report(
    tmp_path: Path,
) -> None:
    done = run_torchrun("-m", "arc_trm", "train", "--data", "nowhere.json", cwd=tmp_path)
    assert done.returncode == 1  # torchrun's own
    lines = done.stderr.splitlines()
    assert sum(line.startswith("Error: nowhere.json") for line in lines) <= 1
    assert any("nowhere.json is neither" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0", "train"], "'0' is no number of processes: write a number from 1 to 64, gpu (one"),
        (["65", "train"], "'65' is no number of processes"),
        (["many", "train"], "'many' is no number of processes"),
        (["2", "score"], "`arc-trm score` runs in one process: leave out --nproc-per-node"),
        (["2"], "Missing command"),
        (["2", "trian"], 'No such command "trian"'),
        (["2", "train", "--lr", "1"], "write `--set train.lr=1`"),
        (["2", "train", "--max-steps", "x"], '"x" is not a whole number from 0 to 2147483647'),
    ],
)
def test_a_mistake_in_the_arguments_starts_no_process(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it started processes")

    monkeypatch.setattr("arc_trm.cli.launch", refuse)
    result = run_cli("--nproc-per-node", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("exit_code", "sentence"),
    [
        (-9, "was ended by SIGKILL, perhaps because the memory ran out: `arc-trm --nproc-per-node"),
        (-11, "Error: process 2 of 3 was ended by SIGSEGV: `arc-trm --nproc-per-node 3 train"),
        (143, "stopped"),
        (1, None),  # it has printed a traceback
    ],
)
def test_why_a_process_ended(tmp_path: Path, exit_code: int, sentence: str | None) -> None:
    failure = ProcessFailure(1, 1234, exit_code, str(tmp_path / "none"))
    described = _describe(failure, 3, "train")
    assert described == sentence or (described and sentence and sentence in described)


def test_a_killed_prediction_is_continued_by_the_same_command(tmp_path: Path) -> None:
    described = _describe(ProcessFailure(0, 1, -9, str(tmp_path / "none")), 2, "predict")
    assert described is not None and "the same command continues" in described


def test_processes_start_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    result = run_cli("--nproc-per-node", 2, "train")
    assert result.exit_code == 2
    assert "torchrun has started this process: leave out --nproc-per-node" in result.stderr


def test_only_the_first_process_of_a_machine_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        for arguments in (["train", "--preset", "x"], ["--colour"], ["train", "--lr", "1"]):
            result = run_cli(*arguments)
            assert result.exit_code == 2
            assert sum(each.startswith("Error: ") for each in result.stderr.splitlines()) == lines


def test_the_help_names_the_option_with_each_command_that_has_it() -> None:
    assert "--nproc-per-node" in run_cli("--help").stdout
    for command in PARALLEL_COMMANDS:
        assert f"arc-trm --nproc-per-node gpu {command} " in run_cli(command, "--help").stdout
