"""Curves go to TensorBoard and W&B, survive kills, and no tracker ends a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import Result
from commands import TOO_LONG, one_thread
from notes import Notes
from paths import ROOT
from puzzles import grid_config
from tiny import TRAIN, run_config

from arc_trm import runs, tracking
from arc_trm.callbacks import Callback, CallbackList, EndStatus, TrainingStart
from arc_trm.checkpoint import read_tensors
from arc_trm.cli.run_command import run_command
from arc_trm.runs import Run
from arc_trm.tracking import (
    TENSORBOARD_FOLDER,
    WANDB_ID,
    TensorBoardCallback,
    read_wandb_file,
    remove_tracked,
)
from arc_trm.training import train_run

CPU = torch.device("cpu")
OFTEN = {**TRAIN, "save_interval_s": 1e-6}
STEPS = [*range(1, TRAIN["total_steps"] + 1)]


def scalars(run: Path) -> dict[str, list[Any]]:
    """What TensorBoard shows of a run: points with step, value and time by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / TENSORBOARD_FOLDER), size_guidance={"scalars": 0}).Reload()
    return {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}


def check_curves(run: Path) -> None:
    """Check that TensorBoard shows every value of metrics.jsonl once, and nothing else."""
    expected: dict[str, list[tuple[int, float]]] = {}
    for record in Run(run).metrics:
        for name, value in record.items():
            if name != "step":
                expected.setdefault(name, []).append((int(record["step"]), value))
    found = {
        tag: [(point.step, point.value) for point in each] for tag, each in scalars(run).items()
    }
    known = {"lm_loss", "halted_share", "exact_of_halted", "grad_norm", "lr", "puzzle_emb_lr"}
    assert {f"train/{name}" for name in known} <= found.keys()
    assert found.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points]
        assert [value for _, value in found[name]] == pytest.approx(
            [v for _, v in points], rel=1e-6
        )


def kill_at(step: int, config: Any, run: Path, *callbacks: Callback) -> None:
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[*callbacks, Notes(stop=step)])


def test_tensorboard_shows_what_metrics_have(tmp_path: Path, challenges: Path) -> None:
    run, notes, before = tmp_path / "runs" / "a", Notes(), time.time()
    train_run(run_config(challenges), CPU, run, callbacks=[TensorBoardCallback(), notes])
    check_curves(run)
    points = scalars(run)["train/loss"]
    assert [point.step for point in points] == STEPS
    times = [before, *(point.wall_time for point in points), time.time()]
    assert times == sorted(times)
    assert any(f"`tensorboard --logdir {tmp_path / 'runs'}`" in note for note in notes.notes)

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / TENSORBOARD_FOLDER)).Reload()
    (text,) = events.Tensors("config/text_summary")
    shown = text.tensor_proto.string_val[0].decode()
    assert json.loads(shown) == {
        k: v for k, v in json.loads((run / "run.json").read_text()).items() if k != "format"
    }
    assert all(line.startswith("    ") for line in shown.splitlines())  # a block of code


def test_evaluations_are_curves_and_a_stage(tmp_path: Path) -> None:
    class Stages(Callback):
        heard: ClassVar[list[object]] = []

        def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
            self.heard.append((name, done, total, in_bytes))

    config = grid_config(tmp_path, train_puzzles=5, validation_puzzles=7)
    config = replace(config, train=replace(config.train, total_steps=12, eval_interval=6))
    stages = Stages()
    train_run(config, CPU, tmp_path / "run", callbacks=[TensorBoardCallback(), stages])
    check_curves(tmp_path / "run")
    exact = scalars(tmp_path / "run")["eval/exact"]
    assert [point.step for point in exact] == [6, 12]
    assert stages.heard == [("evaluating", 0, 7, False)] * 2


def test_a_killed_run_continues_its_curves(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    kill_at(6, run_config(challenges, train=OFTEN), run, TensorBoardCallback())
    state = (run / runs.TRAINING_STATE).read_bytes()
    with pytest.raises(InterruptedError):
        train_run(
            Run(run).config,
            CPU,
            run,
            resume=True,
            callbacks=[TensorBoardCallback(), Notes(stop=10)],
        )
    (run / runs.TRAINING_STATE).write_bytes(state)  # steps 6 to 10 come again
    assert [point.step for point in scalars(run)["train/loss"]] == [*range(1, 11)]
    train_run(Run(run).config, CPU, run, resume=True, callbacks=[TensorBoardCallback()])
    assert len([*(run / TENSORBOARD_FOLDER).iterdir()]) == 3
    assert [record["step"] for record in Run(run).metrics] == STEPS
    # Examples per second of the steps that came again are new ones.
    check_curves(run)


def test_curves_of_a_run_that_is_resumed_at_step_0(tmp_path: Path, challenges: Path) -> None:
    limited = {**TRAIN, "total_steps": None, "time_limit": 1000.0, "max_steps": 8}
    run = tmp_path / "run"  # planned and saved before the first step
    kill_at(3, run_config(challenges, train=limited), run, TensorBoardCallback())
    train_run(Run(run).config, CPU, run, resume=True, callbacks=[TensorBoardCallback()])
    check_curves(run)


def test_curves_are_those_of_metrics_whatever_was_tracked(tmp_path: Path, challenges: Path) -> None:
    run, config = tmp_path / "run", run_config(challenges, train=OFTEN)
    kill_at(7, config, run, TensorBoardCallback())
    state = (run / runs.TRAINING_STATE).read_bytes()
    for stop, tracker in ((9, [TensorBoardCallback()]), (10, [])):
        with pytest.raises(InterruptedError):
            callbacks = [*tracker, Notes(stop=stop)]
            train_run(config, CPU, run, resume=True, callbacks=callbacks)
        if tracker:  # 7 to 9 come again, without the tracker
            (run / runs.TRAINING_STATE).write_bytes(state)
    train_run(config, CPU, run, resume=True, callbacks=[TensorBoardCallback()])
    assert [record["step"] for record in Run(run).metrics] == STEPS
    check_curves(run)
    times = [point.wall_time for point in scalars(run)["train/loss"]]
    assert times == sorted(times)


def test_a_kill_while_old_points_are_written_loses_none(tmp_path: Path, challenges: Path) -> None:
    class Killed(TensorBoardCallback):
        def _add(self, record: Mapping[str, float], at: float | None = None) -> None:
            if record["step"] == 4:
                raise KeyboardInterrupt
            super()._add(record, at)

    run, config = tmp_path / "run", run_config(challenges, train=OFTEN)
    kill_at(7, config, run)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, CPU, run, resume=True, callbacks=[Killed()])
    assert [point.step for point in scalars(run)["train/loss"]] == [1, 2, 3]
    train_run(config, CPU, run, resume=True, callbacks=[TensorBoardCallback()])
    check_curves(run)


def test_an_evaluation_that_a_signal_stopped_is_a_point(tmp_path: Path) -> None:
    class Interrupt(Callback):
        def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    config = grid_config(tmp_path, train_puzzles=5, validation_puzzles=7)
    config = replace(config, train=replace(config.train, total_steps=12, eval_interval=6))
    run = tmp_path / "run"
    found = train_run(config, CPU, run, callbacks=[TensorBoardCallback(), Interrupt()])
    assert found.interrupted and found.step == 6
    for callback in (Notes(stop=8), TensorBoardCallback()):
        with suppress(InterruptedError):
            train_run(Run(run).config, CPU, run, resume=True, callbacks=[callback])
    assert [point.step for point in scalars(run)["eval/exact"]] == [6, 12]
    check_curves(run)


def test_a_pipe_among_the_curves_is_not_waited_for(tmp_path: Path, challenges: Path) -> None:
    run, config = tmp_path / "run", run_config(challenges, train=OFTEN)
    kill_at(3, config, run, TensorBoardCallback())
    os.mkfifo(run / TENSORBOARD_FOLDER / "events.out.tfevents.0")
    assert train_run(config, CPU, run, resume=True, callbacks=[TensorBoardCallback()]).step == 12


def test_a_restart_begins_new_curves(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    kill_at(6, run_config(challenges, train=OFTEN), run, TensorBoardCallback())
    (run / WANDB_ID).parent.mkdir()
    (run / WANDB_ID).write_text("abcdefgh")
    kill_again = [TensorBoardCallback(), Notes(stop=3)]
    with pytest.raises(InterruptedError):
        train_run(Run(run).config, CPU, run, resume=True, restart=True, callbacks=kill_again)
    assert [point.step for point in scalars(run)["train/loss"]] == [1, 2, 3]
    assert not (run / WANDB_ID).exists()


def test_tracking_changes_no_bit(tmp_path: Path, challenges: Path) -> None:
    config = run_config(challenges)
    train_run(config, CPU, tmp_path / "plain")
    train_run(config, CPU, tmp_path / "tracked", callbacks=[TensorBoardCallback()])
    plain, tracked = (
        read_tensors(tmp_path / name / runs.TRAINING_STATE)[0] for name in ("plain", "tracked")
    )
    del plain["metrics.sums"], tracked["metrics.sums"]
    assert plain.keys() == tracked.keys()
    assert all(torch.equal(tensor, tracked[name]) for name, tensor in plain.items())


class Broken(TensorBoardCallback):
    """A tracker whose disk is full from step 3 on."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[int] = []

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        self.heard.append(done)
        if done == 3:
            raise OSError(28, "No space left on device")


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path: Path, challenges: Path) -> None:
    notes, broken = Notes(), Broken()
    run = train_run(run_config(challenges), CPU, tmp_path / "run", callbacks=[broken, notes])
    assert run.step == STEPS[-1] and broken.heard == [0, 1, 2, 3]
    assert notes.notes[-1] == (
        "Broken failed, the job continues without: OSError: [Errno 28] No space left on device"
    )


def test_another_callback_that_fails_ends_the_job() -> None:
    class Wrong(Callback):
        def progress(self, *_: object) -> None:
            raise ValueError("a mistake of mine")

    with pytest.raises(ValueError, match="a mistake of mine"):
        CallbackList([Wrong()]).progress(0, 1)


class Life(Callback):
    """Keeps when training started and how it ended, and sends this process a signal at a step."""

    def __init__(self, signal_at: int | None = None) -> None:
        self.signal_at = signal_at
        self.starts: list[TrainingStart] = []
        self.ends: list[EndStatus] = []

    def start(self, training: TrainingStart) -> None:
        training.note("I am here")
        self.starts.append(training)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        assert len(self.starts) == 1 and not self.ends
        if done == self.signal_at:
            os.kill(os.getpid(), 15)

    def end(self, status: EndStatus) -> None:
        self.ends.append(status)


def test_callbacks_hear_the_start_and_the_end(tmp_path: Path, challenges: Path) -> None:
    run, life, notes = tmp_path / "run", Life(signal_at=4), Notes()
    train_run(run_config(challenges), CPU, run, callbacks=[life, notes])
    (start,) = life.starts
    assert (start.folder, start.step, start.total_steps) == (run, 0, STEPS[-1])
    written = json.loads((run / runs.RUN_CONFIG).read_text())
    assert {"format": written["format"], **start.config} == written
    assert notes.notes[-1] == "I am here" and life.ends == ["interrupted"]
    life, broken = Life(), Life()
    with pytest.raises(InterruptedError):
        train_run(Run(run).config, CPU, run, resume=True, callbacks=[broken, Notes(stop=6)])
    assert (broken.starts[0].step, broken.ends) == (4, ["failed"])
    train_run(Run(run).config, CPU, run, resume=True, callbacks=[life])
    assert life.ends == ["finished"]


def test_compiling_is_a_stage_of_the_first_step_of_each_kind(
    tmp_path: Path, challenges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arc_trm.models import base

    # Compiling would take a minute.
    monkeypatch.setattr(base, "compiled_run_blocks", lambda length: base.run_blocks)
    monkeypatch.setattr("arc_trm.training.setup.require_compiler", lambda device: None)

    class Stages(Callback):
        def __init__(self) -> None:
            self.heard: list[object] = []

        def progress(self, done: int, total: int, record: object = None) -> None:
            self.heard.append(done)

        def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
            assert (done, total) == (0, None)
            self.heard.append(name)

    stages = Stages()
    config = run_config(challenges, train={**TRAIN, "embedding_only_fraction": 0.5})
    train_run(config, CPU, tmp_path / "a", compiled=True, callbacks=[stages])
    half = STEPS[-1] // 2
    assert stages.heard == [0, "compiling", *STEPS[:half], "compiling", *STEPS[half:]]
    stages = Stages()
    train_run(config, CPU, tmp_path / "b", compiled=False, callbacks=[stages])
    assert "compiling" not in stages.heard
    stages = Stages()
    limited = run_config(
        challenges, train={**TRAIN, "total_steps": None, "max_steps": 2, "time_limit": 1000.0}
    )
    train_run(limited, CPU, tmp_path / "c", compiled=True, callbacks=[stages])
    assert stages.heard == ["planning", 0, 1, 2]  # measuring has compiled the steps


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["model.hidden_size=32", "model.num_heads=2", "model.puzzle_emb_dim=32"]
    tiny += ["data.max_grid_size=3", "data.augmentations=1", "train.warmup_steps=2"]
    page = (ROOT / "docs" / "training.md").read_text()
    blocks = [x for x in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "callbacks=" in x]
    trackers, own = blocks
    assert ', WandbCallback(tags=["first"])' in trackers  # has tests of its own
    trackers = trackers.replace(', WandbCallback(tags=["first"])', "")
    for block in (trackers, own):
        names: dict[str, Any] = {}
        assert "max_steps=500" in block
        exec(block.replace("max_steps=500", f"max_steps=3, overrides={tiny}"), names)
        run = names["run"]
        if block is own:
            lines = (run.path / "loss.csv").read_text().splitlines()
            assert [int(line.split(",")[0]) for line in lines] == [1, 2, 3]
        else:
            check_curves(run.path)


# Options and missing packages


def missing(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...] | None) -> None:
    monkeypatch.setattr(tracking, "_version", lambda package: version)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("tensorboard", None, "`pip install 'arc-trm[track]'`"),
        ("wandb", None, "which is not installed: `pip install 'wandb>=0.31'`"),
        ("wandb", (0, 9), "which is too old: `pip install 'wandb>=0.31'`"),
    ],
)
def test_a_missing_package_is_one_sentence(
    cli: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: tuple[int, ...] | None,
    message: str,
) -> None:
    missing(monkeypatch, version)
    monkeypatch.chdir(tmp_path)
    result = cli("train", "--track", name)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert [*tmp_path.iterdir()] == []


def test_versions_are_read() -> None:
    assert tracking._version("no-such-package-as-this") is None
    assert tracking._version("torch") == tuple(map(int, torch.__version__.split(".")[:2]))


def test_an_unknown_tracker_names_the_known_ones(cli: Callable[..., Result]) -> None:
    result = cli("adapt", "--track", "mlflow")
    assert result.exit_code == 2 and "tensorboard" in result.stderr and "wandb" in result.stderr


def test_the_option_tracks_and_resuming_repeats_it(
    cli: Callable[..., Result],
    tiny_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tiny_run.parent)
    result = cli("train", "--resume", tiny_run, "--restart", "--track", "tensorboard")
    assert result.exit_code == 0, result.output
    assert f"curves are in {tiny_run / TENSORBOARD_FOLDER}" in result.stderr
    check_curves(tiny_run)

    def train(callbacks: list[Callback], **_: object) -> Run:
        assert [type(each) for each in callbacks] == [TensorBoardCallback]  # named twice, used once
        return Run(tiny_run, stopped_by=signal.SIGINT, step=3, total_steps=9)

    settings = {"resume": None, "track": ("tensorboard", "tensorboard")}
    with pytest.raises(SystemExit):
        run_command(train, settings, as_json=False)
    command = f"`arc-trm train --resume {tiny_run} --track tensorboard`"
    assert f"stopped at step 3 and saved; resume with {command}" in capsys.readouterr().err


@pytest.mark.slow
def test_one_of_several_processes_tracks(
    torchrun: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, tiny_run: Path
) -> None:
    arguments = ["train", "--resume", tiny_run, "--restart", "--track", "tensorboard"]
    done = torchrun("-m", "arc_trm", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([*(tiny_run / TENSORBOARD_FOLDER).iterdir()]) == 1
    check_curves(tiny_run)


# W&B: its client keeps what it has read from the environment, so each test has processes


TRACK_WANDB = """
import os, signal, shutil, sys
import torch
from pathlib import Path
from notes import Notes
from tiny import TRAIN, run_config
from arc_trm import tracking
from arc_trm.runs import Run, is_run
from arc_trm.training import train_run

class Signal(Notes):
    def progress(self, done, total, record=None):
        if done == 5:
            shutil.copy(run / "training_state.safetensors", "state-of-step-4")
        if done == self.stop:
            os.kill(os.getpid(), int(sys.argv[2]))

tracking.WANDB_TIMEOUT_S = 2.0
run = Path("runs/a")
train = {**TRAIN, "save_interval_s": 1e-6}
config = Run(run).config if is_run(run) else run_config(Path("tiny_challenges.json"), train=train)
notes = Signal(stop=int(sys.argv[1]))
callbacks = [tracking.WandbCallback(tags=["tried"]), notes]
train_run(config, torch.device("cpu"), run, resume=is_run(run), callbacks=callbacks)
print("\\n".join(notes.notes))
"""


def track_wandb(
    folder: Path, stop: int = -1, number: int = signal.SIGKILL, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Train with W&B in a process that gets a signal at step `stop`."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    inherited = {k: v for k, v in one_thread().items() if not k.startswith(("WANDB_", "NETRC"))}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    return subprocess.run(
        [sys.executable, "-c", TRACK_WANDB, str(stop), str(int(number))],
        env={**inherited, "HOME": str(home), "PYTHONPATH": paths, **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TOO_LONG,
    )


def fragments(run: Path) -> list[Path]:
    """The files that W&B's client wrote offline, one a session, in order."""
    return sorted(run.glob("wandb/offline-run-*/*.wandb"))


def history(path: Path) -> list[dict[str, Any]]:
    """The rows that a session logged."""
    found = (each.history for each in read_wandb_file(path) if each.HasField("history"))
    return [
        {"/".join(x.nested_key) or x.key: json.loads(x.value_json) for x in each.item}
        for each in found
    ]


def logged_config(path: Path) -> dict[str, Any]:
    records = [*read_wandb_file(path)]
    changes = [each.run.config for each in records if each.HasField("run")]
    changes += [each.config for each in records if each.HasField("config")]
    return {x.key: json.loads(x.value_json) for each in changes for x in each.update}


@pytest.mark.slow
def test_wandb_offline_has_every_record_once_after_kills(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "runs" / "a"
    assert track_wandb(tmp_path, 6, signal.SIGTERM).returncode == 0
    shutil.copy(tmp_path / "state-of-step-4", run / runs.TRAINING_STATE)  # 5 and 6 come again
    assert track_wandb(tmp_path, 9).returncode == -signal.SIGKILL  # 7 and 8 are lost, not trained
    done = track_wandb(tmp_path)
    assert done.returncode == 0, done.stderr
    found = fragments(run)
    assert len(found) == 3 and {path.name for path in found} == {found[0].name}  # one id
    assert [row["_step"] for row in history(found[0])] == [*range(1, 7)]
    rows = [row for path in found for row in history(path)]
    assert [row["_step"] for row in rows] == STEPS
    for row, record in zip(rows, Run(run).metrics, strict=True):
        logged = {name: value for name, value in row.items() if not name.startswith("_")}
        del record["step"]
        for each in (logged, record):  # its steps may have been trained twice
            del each["train/examples_per_second"], each["train/seconds"]
        assert logged == record
    config = logged_config(found[-1])
    assert config["train"]["total_steps"] == STEPS[-1] and config["name"] == "tiny"
    assert "there is no login for W&B (`wandb login` makes one): W&B's data stay in" in done.stdout
    folder = found[-1].parent.relative_to(tmp_path)
    assert f"`wandb sync {folder}` sends them" in done.stdout


@contextmanager
def hanging_server() -> Iterator[str]:
    """Yield the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    kept.append(server.accept())

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection, _ in kept:
        connection.close()


@pytest.mark.slow
def test_a_server_that_hangs_leaves_wandb_offline(tmp_path: Path, challenges: Path) -> None:
    with hanging_server() as address:
        online = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": address}
        # W&B's client would wait for the server once more at its exit, to report the error.
        done = track_wandb(tmp_path, **online, WANDB_ERROR_REPORTING="false")
    assert done.returncode == 0, done.stderr
    assert "W&B cannot be used online (" in done.stdout
    run = tmp_path / "runs" / "a"
    (path,) = fragments(run)
    assert [row["_step"] for row in history(path)] == STEPS
    assert Run(run).step == STEPS[-1]


@pytest.mark.parametrize("content", [b"", b"\xff", b"../../etc", b"a*", b"a" * 65])
def test_a_damaged_id_of_wandb_starts_a_new_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "id").write_bytes(content)
    assert tracking._read_wandb_id(tmp_path / "id") is None
    assert tracking._read_wandb_id(tmp_path / "none") is None


def test_a_late_start_gets_the_curves_so_far(tmp_path: Path, challenges: Path) -> None:
    run = tmp_path / "run"
    kill_at(6, run_config(challenges, train=OFTEN), run)
    train_run(Run(run).config, CPU, run, resume=True, callbacks=[TensorBoardCallback()])
    check_curves(run)


def test_a_restart_removes_a_link_to_curves_and_not_what_it_leads_to(tmp_path: Path) -> None:
    run, shared = tmp_path / "run", tmp_path / "shared"
    for folder in (run, shared):
        folder.mkdir()
    (shared / "events").write_text("")
    (run / "tensorboard").symlink_to(shared)
    remove_tracked(run)
    assert not os.path.lexists(run / "tensorboard") and (shared / "events").exists()
