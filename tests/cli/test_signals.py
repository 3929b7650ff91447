"""How programs end: by signals, without a reader, on a full disk, and when a process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from commands import TOO_LONG, run_cli
from processes import finds_processes, worker

import arc_trm
from arc_trm import Callback
from arc_trm.cli import main as arc_trm_main
from arc_trm.runs import Run
from arc_trm.tracking import TRACKERS
from submission.commands import main as submission_main
from submission.process import stop_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SMALL = ("--device", "cpu", "--set", "data.augmentations=2", "--set", "train.global_batch_size=4")
SHAPE = ("hidden_size=32", "num_heads=2", "puzzle_emb_len=1", "puzzle_emb_dim=32")
TINY = (*SMALL, *(word for each in SHAPE for word in ("--set", f"model.{each}")))
needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs a device that is always full"
)


def environment(**more: str) -> dict[str, str]:
    source = str(Path(arc_trm.__file__).parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source, **more}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of all commands in a program."""
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


PROGRAMS: Mapping[str, click.Group] = {"arc_trm": arc_trm_main, "submission": submission_main}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signal_ends_every_command_alike(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = [signal.getsignal(number) for number in NUMBERS]

    def run(*words: str) -> Result:
        return CliRunner().invoke(PROGRAMS[program], words, catch_exceptions=False)

    commands = list(leaves(PROGRAMS[program]))
    assert len(commands) >= 4
    for words in commands:
        command: click.Command = PROGRAMS[program]
        for word in words:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None
            command = found
        for number in NUMBERS:

            def work(number: int = number, **_: object) -> None:
                os.kill(os.getpid(), number)
                time.sleep(TOO_LONG)

            monkeypatch.setattr(command, "callback", work)
            monkeypatch.setattr(command, "params", [])
            result = run(*words)
            assert (result.exit_code, result.output) == (128 + number, "stopped\n"), words
    assert [signal.getsignal(number) for number in NUMBERS] == handlers


@pytest.mark.parametrize("module", ["arc_trm", "submission"])
def test_a_signal_ends_a_program_that_still_loads(module: str, tmp_path: Path) -> None:
    """In the first module that a program loads, which is click."""
    for number in NUMBERS:
        (tmp_path / "click.py").write_text(f"import os; os.kill(os.getpid(), {number:d})")
        path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            env=environment(PYTHONPATH=path),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "stopped\n")


class _Signals(Callback):
    """Sends this process signals after step 2."""

    numbers: tuple[int, ...] = ()

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == 2:
            for number in self.numbers:
                os.kill(os.getpid(), number)


def train_and_send(
    challenges: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *numbers: int
) -> Result:
    monkeypatch.setitem(TRACKERS, "tensorboard", _Signals)
    monkeypatch.setattr(_Signals, "numbers", numbers)
    options = (*TINY, "--track", "tensorboard", "--max-steps", 9, "--out", out)
    return run_cli("train", "--data", challenges, *options)


def test_a_signal_saves_a_run_and_says_so(
    challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in NUMBERS:
        out = tmp_path / str(number)
        result = train_and_send(challenges, out, monkeypatch, number)
        assert result.exit_code == 128 + number
        last = result.stderr.splitlines()[-1]
        assert last.startswith("stopped at step 2 and saved; resume with `arc-trm train --resume")
        assert Run(out).step == 2


def test_a_second_ctrl_c_ends_training_at_once(
    challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = (signal.SIGINT, signal.SIGINT)
    result = train_and_send(challenges, tmp_path / "run", monkeypatch, *twice)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "stopped"


ENDED = """
import os, signal, sys
from submission.process import end_at_once
end_at_once()
class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), number=int(sys.argv[1])):
        kill(process, number)
late = Late()
"""


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_at_the_end_of_the_interpreter_is_too_late(number: int) -> None:
    done = subprocess.run([sys.executable, "-c", ENDED, str(int(number))], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("ignored", NUMBERS)
def test_signals_that_are_ignored_stay_so(ignored: signal.Signals) -> None:
    """A shell lets a job in the background of a script ignore Ctrl-C."""
    handler = signal.signal(ignored, signal.SIG_IGN)
    try:
        assert stop_signals() == [number for number in NUMBERS if number != ignored]
    finally:
        signal.signal(ignored, handler)


def test_sighup_that_nohup_ignores_stays_ignored() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stop_signals() == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, handler)
    assert stop_signals() == list(NUMBERS)


@needs_full
@pytest.mark.parametrize(
    "words",
    [
        ("arc_trm", "--help"),
        ("arc_trm", "data", "list"),
        ("submission", "validate", "--help"),
        ("submission", "validate", "TASKS"),
    ],
    ids=" ".join,
)
def test_a_full_disk_behind_the_standard_output_is_one_sentence(
    words: tuple[str, ...], challenges: Path
) -> None:
    line = [sys.executable, "-m", *(str(challenges) if word == "TASKS" else word for word in words)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            line, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "Error: standard output: No space left on device\n"


def test_closed_streams_are_no_fault() -> None:
    for words in ("arc_trm data list", "submission --help"):
        line = f"exec {sys.executable} -m {words} <&- >&- 2>&-"
        assert subprocess.run(["sh", "-c", line], env=environment()).returncode == 0


@pytest.mark.slow
def test_training_goes_on_without_its_standard_error_stream(
    challenges: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = [sys.executable, "-m", "arc_trm", "train", "--data", str(challenges), *TINY]
    process = subprocess.Popen(
        [*line, "--max-steps", "4", "--out", str(run)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None and process.stdout is not None
    process.stderr.close()
    assert process.stdout.read() == f"{run}\n"
    process.stdout.close()
    assert process.wait() == 0 and Run(run).step == 4


@pytest.mark.slow
@finds_processes
@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_process_that_dies_is_one_sentence(
    command: str, challenges: Path, tmp_path: Path, tiny_run: Path
) -> None:
    run = tmp_path / "job"
    if command == "train":
        options = [*TINY, "--max-steps", "100000", "--set", "train.save_interval_s=0.05"]
        options, begun = ["--data", str(challenges), *options], run / "training_state.safetensors"
    else:
        slowly = ["--batch-size", "1", "--supervision-steps", "500", "--augmentations", "2"]
        options, begun = [str(tiny_run), *slowly], run / "submission.json"
    line = [sys.executable, "-m", "arc_trm", "--nproc-per-node", "2", command, *options]
    process = subprocess.Popen(
        [*line, "--out", str(run)], env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while not begun.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    victim = worker(1, command, run)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGKILL
    (sentence,) = [each for each in errors.splitlines() if each.startswith(("Error", "stopped"))]
    assert sentence.startswith("Error: process 2 of 2 was ended by SIGKILL")
    assert "Traceback" not in errors and "torch" not in errors
    if command == "train":  # a killed prediction resumes as one of a single process does
        steps = Run(run).step
        config = run / "run.json"
        config.write_text(config.read_text().replace("100000", str(steps + 3)))
        assert run_cli("train", "--resume", run).exit_code == 0
        assert Run(run).step == steps + 3
