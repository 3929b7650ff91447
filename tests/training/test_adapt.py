"""Adapting pretrained weights: new rows, rows first, the clock, resuming, mistakes."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from click.testing import Result
from commands import run_cli
from tiny import TRAIN, make_batch, make_trainer, run_config

from arc_trm import runs
from arc_trm.checkpoint import (
    EMBEDDING_FILE,
    TrainingFacts,
    WeightsDir,
    convert_to_published,
    load_weights,
    read_tensors,
    save_config,
    write_tensors,
)
from arc_trm.config import AdaptConfig, ModelConfig, RunConfig, TrainConfig, load_config
from arc_trm.errors import UserError
from arc_trm.runs import Run
from arc_trm.time_limit import TimeLimit, parse_duration
from arc_trm.training import Callback, Trainer, train_run
from arc_trm.training.budget import save_interval, scale_schedule
from arc_trm.training.run_dir import RunWriter

CPU = torch.device("cpu")


@pytest.fixture
def config(challenges: Path, weights_dir: Path) -> RunConfig:
    made = run_config(challenges, train={**TRAIN, "save_interval_s": 1e-6})
    return replace(
        made,
        train=replace(made.train, embedding_only_fraction=0.25),
        adapt=AdaptConfig(weights=str(weights_dir)),
    )


def test_every_new_puzzle_begins_at_the_mean_of_the_pretrained_rows(
    tmp_path: Path, config: RunConfig, weights_dir: Path
) -> None:
    train_run(replace(config, train=replace(config.train, total_steps=0)), CPU, tmp_path / "run")
    before, after = load_weights(weights_dir), load_weights(tmp_path / "run")
    assert {name.partition("|||")[0] for name in list(after.puzzle_ids)[1:]} == {
        *("task0", "task1", "task2")
    }
    mean = before.model.puzzle_embedding[1:].double().mean(0).float()
    table = after.model.puzzle_embedding
    torch.testing.assert_close(table[1:], mean.expand(len(table) - 1, -1))
    assert torch.equal(table[0], before.model.puzzle_embedding[0])
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(tensor, after.model.state_dict()[name])


def test_rows_alone_learn_for_their_share_of_the_steps() -> None:
    trainer = make_trainer(embedding_only_fraction=0.25, total_steps=8, warmup_steps=0)
    values = trainer.flat_params.clone()
    for step in range(8):
        table = trainer.model.puzzle_embedding.clone()
        trainer.step(make_batch(step))
        assert not torch.equal(trainer.model.puzzle_embedding, table)
        assert torch.equal(trainer.flat_params, values) == (step < 2)
        assert torch.equal(trainer.ema, values) == (step < 2)
    assert trainer.optimiser.moments.steps == 6


def test_rows_learn_the_same_whether_weights_do_or_not() -> None:
    alone, both = (make_trainer(embedding_only_fraction=s, total_steps=9) for s in (1.0, 0.0))
    for trainer in (alone, both):
        trainer.step(make_batch(0))
    assert torch.equal(alone.model.puzzle_embedding, both.model.puzzle_embedding)


class StopAfter(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == self.step:
            raise InterruptedError


@pytest.mark.parametrize("stop", [0, 1, 2, 5])  # at 0 the rows are new, at 2 they learn alone
@pytest.mark.slow
def test_resuming_continues_to_the_last_bit_without_the_first_weights(
    tmp_path: Path, config: RunConfig, weights_dir: Path, stop: int
) -> None:
    train_run(config, CPU, tmp_path / "straight")
    with pytest.raises(InterruptedError):
        train_run(config, CPU, tmp_path / "killed", callbacks=[StopAfter(stop)])
    load_weights(tmp_path / "killed")  # weights from the start on
    weights_dir.rename(tmp_path / "gone")
    train_run(Run(tmp_path / "killed").config, CPU, tmp_path / "killed", resume=True)
    for file in (runs.TRAINING_STATE, "model.safetensors", "puzzle_embedding.safetensors"):
        one, other = (read_tensors(tmp_path / r / file) for r in ("killed", "straight"))
        assert one[1] == other[1]
        assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


def limited(config: RunConfig, seconds: float) -> RunConfig:
    return replace(
        config,
        train=replace(config.train, total_steps=None, time_limit=seconds, save_interval_s=300.0),
    )


@pytest.mark.slow
def test_a_time_limit_plans_the_steps_and_is_remembered(tmp_path: Path, config: RunConfig) -> None:
    outcome = train_run(limited(config, 3.0), CPU, tmp_path / "run")
    planned = Run(tmp_path / "run").config.train
    assert planned.total_steps == outcome.total_steps > 0
    assert outcome.step > 0 and not outcome.interrupted
    state, _ = read_tensors(tmp_path / "run" / runs.TRAINING_STATE)
    assert float(state["spent"]) > 0


@pytest.mark.parametrize("planned", [1, 10**6])
@pytest.mark.slow
def test_the_clock_ends_a_run_whatever_was_planned(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, planned: int
) -> None:
    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", lambda *_: planned)
    callback = Notes()
    outcome = train_run(limited(config, 2.0), CPU, tmp_path / "run", callbacks=[callback])
    assert outcome.total_steps == planned and not outcome.interrupted
    assert outcome.step > 1 and outcome.step != planned
    assert callback.notes[-1] == (
        f"the time limit of 2.0 s ended the run after {outcome.step:,} steps; "
        f"{planned:,} were planned"
    )
    load_weights(tmp_path / "run")


@pytest.mark.parametrize("planned", [1, 10**6])
def test_max_steps_end_a_run_before_its_time_limit(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, planned: int
) -> None:
    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", lambda *_: planned)
    config = limited(config, 3600.0)
    config = replace(config, train=replace(config.train, max_steps=5))
    callback = Notes()
    outcome = train_run(config, CPU, tmp_path / "run", callbacks=[callback])
    assert outcome.total_steps == min(planned, 5)
    assert (outcome.step, outcome.interrupted) == (5, False)
    assert not any("time limit" in note for note in callback.notes)


def test_a_time_limit_that_is_over_leaves_weights_and_says_so(
    tmp_path: Path, config: RunConfig
) -> None:
    callback = Notes()
    outcome = train_run(limited(config, 1e-6), CPU, tmp_path / "run", callbacks=[callback])
    assert (outcome.step, outcome.interrupted, outcome.out_of_time) == (0, False, True)
    load_weights(tmp_path / "run")
    note = callback.notes[-1]
    assert "leaves no time for a step of 4 examples after the start-up: nothing was trained" in note
    assert "start a new run with a longer --time-limit" in note
    assert "a smaller `--set train.global_batch_size`" in note


@pytest.mark.parametrize("checkpoint", [True, False])
@pytest.mark.slow
def test_a_run_killed_before_its_plan_was_made_plans_for_the_time_left(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, checkpoint: bool
) -> None:
    def killed(*_: object) -> int:
        raise InterruptedError

    run = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr("arc_trm.training.setup.estimate_steps", killed)
        train_run(limited(config, 3600.0), CPU, run, started=time.monotonic() - 3000)
    if not checkpoint:  # a kill came before anything was saved
        for file in run.glob("*.safetensors"):
            file.unlink()
    left: list[float] = []

    def planned(*arguments: object) -> int:
        left.append(arguments[4]())  # type: ignore[operator]
        return 0

    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", planned)
    resumed = Run(run).config
    train_run(resumed, CPU, run, resume=True)
    assert (500 < left[0] < 600) if checkpoint else (3500 < left[0] < 3600)
    monkeypatch.undo()
    short = replace(resumed, train=replace(resumed.train, time_limit=3005.0))
    if checkpoint:
        assert train_run(short, CPU, run, resume=True).step > 0


@pytest.mark.parametrize(
    ("limit", "saving", "seconds"),
    [(None, 1.0, 300.0), (120.0, 0.1, 6.0), (120.0, 1.0, 20.0), (36000.0, 1.0, 300.0)],
)
def test_a_kill_does_not_cost_much_of_a_short_time_limit(
    challenges: Path, limit: float | None, saving: float, seconds: float
) -> None:
    """Nor does saving: five hundredths of the time at most."""
    every = run_config(challenges)  # 300 s
    assert save_interval(every, TimeLimit(limit), saving) == pytest.approx(seconds)


@pytest.mark.slow
def test_no_step_is_begun_that_could_not_end_in_time(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it begun, a limit of seconds would be passed by the minutes of a step."""
    sizes: list[int] = []
    step = Trainer.step

    def slow(self: Trainer, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        sizes.append(len(batch["inputs"]))
        time.sleep(0.5 * len(batch["inputs"]))
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", slow)
    outcome = train_run(limited(config, 2.5), CPU, tmp_path / "run")  # of batches of 4
    assert outcome.step == 0 and sizes == [1, 1]


@pytest.mark.slow
def test_the_time_that_saving_takes_is_kept_back(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_save(self: RunWriter, spent: float | None = None) -> None:
        self.saved_step, self.save_seconds = self.trainer.steps_done, 1000.0

    monkeypatch.setattr(RunWriter, "save", slow_save)
    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", lambda *_: 10**6)
    assert train_run(limited(config, 1500.0), CPU, tmp_path / "run").step == 0
    assert train_run(limited(config, 1503.0), CPU, tmp_path / "other").step > 0


def test_a_table_is_needed(tmp_path: Path, config: RunConfig, weights_dir: Path) -> None:
    (weights_dir / "puzzle_embedding.safetensors").unlink()
    (weights_dir / "puzzle_ids.json").unlink()
    with pytest.raises(UserError, match="has no puzzle embedding"):
        train_run(config, CPU, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("number", [math.nan, -math.inf])
def test_numbers_that_are_not_finite_are_refused(
    row: int, number: float, tmp_path: Path, config: RunConfig, weights_dir: Path
) -> None:
    """In the blank row, too: prediction refuses the weights that come of it."""
    tensors, metadata = read_tensors(weights_dir / EMBEDDING_FILE)
    embedding = tensors["puzzle_embedding"].clone()
    embedding[row, 1] = number
    write_tensors(weights_dir / EMBEDDING_FILE, {"puzzle_embedding": embedding}, metadata)
    with pytest.raises(UserError, match="puzzle embedding holds numbers that are not finite"):
        train_run(config, CPU, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="puzzle embedding holds numbers that are not finite"):
        convert_to_published(weights_dir, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_presets_carry_the_published_recipes() -> None:
    shape = ModelConfig()
    published = load_config("adapt-arc-agi-2", pretrained=shape)
    assert (published.train.global_batch_size, published.train.total_steps) == (384, 12500)
    assert (published.train.lr, published.train.puzzle_emb_lr) == (1e-4, 1e-2)
    assert scale_schedule(published.train, 12500) == published.train
    assert published.train.warmup_steps == 2000
    long = load_config("adapt-long", pretrained=shape)
    assert (long.model.outer_cycles, long.model.supervision_steps, long.epochs) == (4, 10, 4000)
    assert (long.data.augmentations, long.train.global_batch_size) == (128, 128)
    assert (long.train.warmup_steps, long.train.lr) == (200, 1e-4)
    with pytest.raises(
        UserError, match=r"model\.num_layers is 2 in the weights and cannot become 3"
    ):
        load_config("adapt-long", overrides=["model.num_layers=3"], pretrained=shape)


def test_a_short_run_keeps_the_proportions_of_a_long_one() -> None:
    short = scale_schedule(TrainConfig(), 100)
    assert (short.total_steps, short.warmup_steps) == (100, 16)
    assert short.ema_decay == pytest.approx(1 - 1 / 8)
    explicit = TrainConfig(warmup_steps=3, ema_decay=0.5)
    assert scale_schedule(explicit, 100) == replace(explicit, total_steps=100)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h", 10800), ("90m", 5400), ("45s", 45), ("2h30m", 9000), ("1.5h", 5400), ("1h1s", 3601)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "h", "3x", "30m2h", "-1s", "0s", "1h1h", " 1h", "1e3s"])
def test_what_is_no_duration_is_told(text: str) -> None:
    with pytest.raises(UserError, match="time"):
        parse_duration(text)


def test_a_clock_without_a_limit_never_ends() -> None:
    assert TimeLimit().left == math.inf
    assert TimeLimit(5, started=0.0).left < 5


@pytest.mark.slow
def test_tasks_without_a_fitting_demonstration_are_told(tmp_path: Path, config: RunConfig) -> None:
    path = tmp_path / "tiny_challenges.json"
    tasks = json.loads(path.read_text())
    tasks["task1"]["train"] = [{"input": [[1] * 9], "output": [[2]]}]  # on a canvas of 4×4
    path.write_text(json.dumps(tasks))
    callback = Notes()
    train_run(config, CPU, tmp_path / "run", callbacks=[callback])
    assert any("1 of 3 tasks (first task1) is not trained on" in n for n in callback.notes)


def enlarge(path: Path, task_id: str, side: int) -> None:
    """Give a task of a challenges file a test input of this side."""
    tasks = json.loads(path.read_text())
    tasks[task_id]["test"] = [{"input": [[1] * side] * 2}]
    path.write_text(json.dumps(tasks))


@pytest.mark.parametrize("command", ["adapt", "predict"])
def test_weights_with_a_small_canvas_are_refused_before_anything_is_written(
    challenges: Path, weights_dir: Path, tmp_path: Path, command: str
) -> None:
    for index, side in enumerate((5, 30, 9)):
        enlarge(challenges, f"task{index}", side)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    out = tmp_path / "out"
    done = run_cli(command, weights_dir, "--data", challenges, "--out", out)
    assert done.exit_code == 2
    assert done.stderr == (
        f"Error: the model in {weights_dir} was trained for a canvas of 4×4, but the test inputs "
        f"of {challenges} need up to 30×30 (first task task0): use weights with a larger canvas, "
        "which `arc-trm pull --list` shows\n"
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_training_for_a_small_canvas_says_which_one_fits(challenges: Path, tmp_path: Path) -> None:
    small = ("--set", "model.seq_len=4", "--out", tmp_path / "out", "--max-steps", 0)
    done = run_cli("train", "--data", challenges, *small)
    assert done.exit_code == 2
    assert "there is no pair to train on: no pair with a known output fits the 2×2" in done.stderr
    assert "need up to 3×3: train with `--set model.seq_len=9`" in done.stderr
    for index in range(3):
        enlarge(challenges, f"task{index}", 5)
    done = run_cli("train", "--data", challenges, "--set", "model.seq_len=16", *small[2:])
    assert done.exit_code == 2
    assert "the canvas of the model is 4×4, but the test inputs of" in done.stderr
    assert "up to 5×5 (first task task0): add `--set model.seq_len=25`" in done.stderr
    assert not (tmp_path / "out").exists()


def test_tasks_that_do_not_fit_the_canvas_are_counted(
    challenges: Path, weights_dir: Path, tmp_path: Path
) -> None:
    enlarge(challenges, "task1", 7)
    for command in ("adapt", "train"):
        source = (weights_dir,) if command == "adapt" else ()
        size = () if source else ("--set", "model.seq_len=16")
        arguments = (*source, "--data", challenges, *size, "--set", "data.augmentations=1")
        done = run_cli(command, *arguments, "--max-steps", 0, "--out", tmp_path / command)
        assert done.exit_code == 0, done.stderr
        note = (
            "the 4×4 canvas of the model is too small for test inputs of 1 of 3 tasks, which need "
            "up to 7×7 (first task task1): these get guesses"
        )
        assert done.stderr.count(note) == 1


def test_adapted_weights_say_what_they_were_trained_on_and_adapted_to(
    tmp_path: Path, config: RunConfig, weights_dir: Path
) -> None:
    model = WeightsDir(weights_dir).config
    names = WeightsDir(weights_dir).parts.puzzle_names
    save_config(weights_dir, model, names, TrainingFacts(("a/train",), ("earlier.json",)))
    run = train_run(config, CPU, tmp_path / "run")
    expected = TrainingFacts(
        ("a/train",),
        ("earlier.json", "tiny_challenges.json (demonstrations)"),
        seed=config.seed,
        total_steps=config.train.total_steps,
        augmentations=config.data.augmentations,
    )
    about = WeightsDir(run).description
    assert (about.training, about.step, about.tasks) == (expected, config.train.total_steps, 3)
    weights_dir.rename(tmp_path / "gone")
    train_run(run.config, CPU, run.path, resume=True)
    assert WeightsDir(run).training == expected
    # A run that starts again forgets what its weights were adapted to before.
    (tmp_path / "gone").rename(weights_dir)
    other = Path(shutil.copy(run.config.data.test[0], tmp_path / "other.json"))
    changed = replace(run.config, data=replace(run.config.data, test=(str(other),)))
    train_run(changed, CPU, run.path, resume=True, restart=True)
    adapted_to = ("earlier.json", "other.json (demonstrations)")
    assert WeightsDir(run).training == replace(expected, adapted_to=adapted_to)


def arguments(weights: Path, challenges: Path) -> list[str]:
    settings = ("data.augmentations=2", "train.global_batch_size=4", "dtype=float32")
    own = [str(weights), "--data", str(challenges), "--device", "cpu"]
    return own + [f"--set={setting}" for setting in settings]


@pytest.mark.slow
def test_torchrun_adapts_as_one_process_does_by_steps_and_by_the_clock(
    tmp_path: Path,
    weights_dir: Path,
    challenges: Path,
    cli: Callable[..., Result],
    torchrun: Callable[..., CompletedProcess[str]],
) -> None:
    options = arguments(weights_dir, challenges)
    result = cli("adapt", *options, "--max-steps", 8, "--out", tmp_path / "alone")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'alone'}\n"
    for name, *length in (("together", "--max-steps", 8), ("timed", "--time-limit", "8s")):
        done = torchrun("-m", "arc_trm", "adapt", *options, *length, "--out", tmp_path / name)
        no_time = name == "timed" and "leaves no time for a step" in done.stderr  # a busy machine
        assert done.returncode == 0 or no_time, done.stderr
        assert done.stdout == f"{tmp_path / name}\n"
    alone, together = (load_weights(tmp_path / name) for name in ("alone", "together"))
    torch.testing.assert_close(
        together.model.puzzle_embedding, alone.model.puzzle_embedding, rtol=1e-3, atol=1e-5
    )
    assert load_weights(tmp_path / "timed").puzzle_ids == alone.puzzle_ids  # which ended together


@pytest.mark.slow
def test_what_only_the_first_process_finds_wrong_ends_all_with_a_sentence(
    tmp_path: Path,
    weights_dir: Path,
    challenges: Path,
    torchrun: Callable[..., CompletedProcess[str]],
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    adapt = ("-m", "arc_trm", "adapt", *arguments(weights_dir, challenges))
    done = torchrun(*adapt, "--out", tmp_path / "taken")
    assert done.returncode
    assert "taken is not empty: name another folder for the run" in done.stderr
    assert "Connection closed" not in done.stderr
