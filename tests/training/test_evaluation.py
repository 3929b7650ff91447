"""Evaluation while a run trains: when, on what, with which weights, and that it changes nothing."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from click.testing import Result
from notes import Notes
from puzzles import grid_config, write_puzzles
from tiny import MODEL, TRAIN, run_config
from torch import Tensor

from arc_trm.checkpoint import load_weights, read_tensors
from arc_trm.config import AdaptConfig, RunConfig, load_config
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.evaluation.metrics import evaluations
from arc_trm.inference import predict_tasks
from arc_trm.models import PuzzleModel, base
from arc_trm.models.layers import run_blocks
from arc_trm.models.state import LatentState, Sampling
from arc_trm.puzzles import KINDS
from arc_trm.runs import METRICS, RUN_CONFIG, TRAINING_STATE, Run
from arc_trm.runs.checkpoints import best_checkpoint, list_checkpoints
from arc_trm.training import Callback, Trainer, train_run
from arc_trm.training import evaluation as module
from arc_trm.training.batches import to_tensors
from arc_trm.training.evaluation import Evaluator, averaged_weights
from arc_trm.training.loop import _TrainingLoop
from arc_trm.training.setup import initial_model

CPU = torch.device("cpu")


def with_train(config: RunConfig, **train: object) -> RunConfig:
    return replace(config, train=replace(config.train, **train))  # type: ignore[arg-type]


@pytest.fixture
def grid(tmp_path: Path) -> RunConfig:
    """Of a run on 5 Sudokus that predicts 7 others every 6 of 30 steps."""
    config = grid_config(tmp_path, train_puzzles=5, validation_puzzles=7)
    return with_train(config, eval_interval=6)


@pytest.fixture
def arc(challenges: Path) -> RunConfig:
    """Of a run of 12 steps on the demonstrations of 3 tasks that predicts them every 5 steps."""
    data = {
        "test": [str(challenges)],
        "validation": [str(challenges)],
        "validation_puzzles": 3,
        "augmentations": 2,
    }
    return run_config(challenges, data=data, train={**TRAIN, "eval_interval": 5})


def evaluated(run: Path) -> list[Mapping[str, float]]:
    """The records of evaluations, without what depends on the machine's speed."""
    records = evaluations(Run(run).metrics)
    return [{k: v for k, v in each.items() if k != "eval/seconds"} for each in records]


def start(config: RunConfig, seconds_per_step: float = 1.0) -> Evaluator:
    """Return the evaluator of a run whose steps take so long."""
    training_set = build_training_set(config)
    config = with_train(config, best_metric=training_set.kind.best_metrics[0])
    model, _ = initial_model(config, len(training_set.puzzle_names), CPU, False, False)
    evaluator = Evaluator(model, training_set, config)
    evaluator.begin(Trainer(model, config.train), [])
    for _ in range(10):
        evaluator.add_step(seconds_per_step)
    return evaluator


def is_due(evaluator: Evaluator, step: int) -> bool:
    """Whether a run at this step should be evaluated."""
    evaluator._trainer.steps_done = step
    return evaluator.is_due


# What is measured


def test_an_evaluation_is_a_prediction_of_the_saved_weights(
    tmp_path: Path, grid: RunConfig
) -> None:
    run = train_run(grid, CPU, tmp_path / "run")
    assert [each["step"] for each in evaluated(run.path)] == [6, 12, 18, 24, 30]
    last = evaluated(run.path)[-1]
    puzzles = build_training_set(grid).validation
    predictions = predict_tasks(load_weights(run.path, checkpoint="last"), puzzles)
    score = predictions.score()
    assert last["eval/puzzles"] == len(puzzles) == 7
    assert last["eval/exact"] == score.rates["exact",].value
    assert last["eval/valid"] == score.rates["valid",].value
    right = [
        (each.attempts[0] == each.pair.output).mean() if each.attempts else 0.0
        for each in predictions
    ]
    assert last["eval/cell_accuracy"] == pytest.approx(np.mean(right))
    assert 0 < last["eval/cell_accuracy"] < 1
    assert 1 <= last["eval/halt_step"] <= MODEL["supervision_steps"]
    assert 0 <= last["eval/halt_calibration_error"] <= 1
    assert set(last) == {
        "step",
        *("eval/puzzles", "eval/exact", "eval/valid", "eval/cell_accuracy"),
        *("eval/halt_step", "eval/halt_calibration_error"),
    }


@pytest.fixture
def copied_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model predict its input, and halt at the second of three steps.

    On a canvas of 8×8 a large grid is predicted to reach the edge.
    """

    def begin(
        self: PuzzleModel,
        inputs: Tensor,
        puzzle_ids: Tensor,
        sampling: Sequence[Sampling],
        augmentations: Tensor | None = None,
    ) -> LatentState:
        large = (inputs > 1).sum(-1, keepdim=True) > 40
        tokens = torch.where(large & (inputs.shape[1] == 64), 5, inputs)
        logits = torch.nn.functional.one_hot(tokens.long(), 12).float()
        steps = torch.zeros(len(inputs), 1, 1)
        return LatentState(logits, steps, steps, None, (0.0,) * len(inputs))

    def advance(self: PuzzleModel, state: LatentState) -> LatentState:
        return replace(state, y=state.y + 1)

    def read_halt_logits(self: PuzzleModel, state: LatentState) -> Tensor:
        return torch.tensor([0.0, -1.0, 1.0, -2.0])[state.y[:, 0, 0].long()]

    monkeypatch.setattr(PuzzleModel, "begin", begin)
    monkeypatch.setattr(PuzzleModel, "advance", advance)
    monkeypatch.setattr(PuzzleModel, "read_logits", lambda self, state: state.x)
    monkeypatch.setattr(PuzzleModel, "read_halt_logits", read_halt_logits)


@pytest.mark.parametrize("canvas", ["full", "bucketed"])
def test_tasks_are_voted_on_as_in_a_prediction(
    tmp_path: Path, arc: RunConfig, challenges: Path, copied_inputs: None, canvas: str
) -> None:
    """A grid that reaches the edge of a smaller canvas is predicted on the full one once more."""
    tasks = json.loads(challenges.read_text())
    small, large = tasks["task0"]["test"][0]["input"], [[1, 2, 3, 4, 5, 6, 7]] * 7
    part = [[(small[0][0] + 1) % 10, *small[0][1:]], *small[1:]]
    tasks["task1"]["test"] = [{"input": small}, {"input": small}]
    tasks["task2"]["test"] = [{"input": large}]
    challenges.write_text(json.dumps(tasks))
    solutions = {"task0": [small], "task1": [part, small], "task2": [large]}
    (tmp_path / "tiny_solutions.json").write_text(json.dumps(solutions))
    model = replace(arc.model, seq_len=100, canvas=canvas)  # type: ignore[arg-type]
    evaluator = start(replace(arc, model=model))
    sides = {query.side for queries in evaluator._queries.values() for query in queries}
    assert sides == ({10} if canvas == "full" else {8})
    found = evaluator.evaluate()
    assert found is not None
    assert found["eval/puzzles"] == 3
    assert found["eval/exact"] == 3 / 4
    assert found["eval/cell_accuracy"] == pytest.approx((1 + 5 / 6 + 1 + 1) / 4)
    assert found["eval/halt_step"] == 2
    prob = 1 / (1 + math.exp(2))
    assert found["eval/halt_calibration_error"] == pytest.approx(3 / 4 - prob)
    predicted = predict_tasks(evaluator._weights, evaluator.tasks, augmentations=8)
    rates = predicted.score().rates
    assert found["eval/pass_at_1"] == rates["pass@1", "per task"].value == pytest.approx(2.5 / 3)
    assert found["eval/pass_at_2"] == rates["pass@2", "per task"].value


def test_at_most_eight_augmentations_vote(arc: RunConfig) -> None:
    config = replace(arc, data=replace(arc.data, augmentations=20))
    orders = {query.order for queries in start(config)._queries.values() for query in queries}
    assert orders == set(range(9))
    fewer = replace(config, data=replace(config.data, vote_augmentations=1))
    orders = {query.order for queries in start(fewer)._queries.values() for query in queries}
    assert orders == {0, 1}


def test_tasks_that_do_not_fit_the_canvas_are_left_out(
    tmp_path: Path, arc: RunConfig, challenges: Path
) -> None:
    content = json.loads(challenges.read_text())
    content["task1"]["test"][0]["input"] = [[1] * 5] * 5
    challenges.write_text(json.dumps(content))
    evaluator = start(arc)
    assert evaluator.tasks.ids == ["task0", "task2"]
    (note,) = evaluator.notes
    assert note.startswith("1 of 3 tasks of data.validation is left out (first task1: its input")


# Nothing changes


def check_same_training(one: Path, two: Path) -> None:
    first, second = (read_tensors(each / TRAINING_STATE)[0] for each in (one, two))
    assert first.keys() == second.keys()
    assert any(name.startswith("carry.") for name in first) and "generator" in first
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert different == []
    of_speed = ("train/examples_per_second", "train/seconds")
    one_run, two_run = (
        [{k: v for k, v in each.items() if k not in of_speed} for each in Run(run).metrics]
        for run in (one, two)
    )
    assert [each for each in one_run if "eval/puzzles" not in each] == two_run


@pytest.mark.parametrize("case", ["grid", "arc", "embedding_only", "hrm"])
def test_training_has_the_same_bits_with_and_without_evaluation(
    tmp_path: Path, grid: RunConfig, arc: RunConfig, case: str
) -> None:
    config = grid if case == "grid" else arc
    if case == "embedding_only":
        config = with_train(config, embedding_only_fraction=0.5)
    if case == "hrm":
        config = replace(config, model=replace(config.model, architecture="hrm", inner_cycles=2))
    one, two = tmp_path / "with", tmp_path / "without"
    train_run(config, CPU, one)
    train_run(with_train(config, eval_time_share=0.0), CPU, two)
    assert len(evaluated(one)) >= 3 and evaluated(two) == []
    check_same_training(one, two)


def test_averaged_weights_are_swapped_in_and_out_to_the_last_bit(grid: RunConfig) -> None:
    model, _ = initial_model(grid, 1, CPU, False, False)
    trainer = Trainer(model, grid.train)
    trainer.ema.normal_(generator=torch.Generator().manual_seed(0))
    trainer.flat_params[0] = float("nan")
    before = trainer.flat_params.clone()
    with suppress(InterruptedError), averaged_weights(trainer):
        assert torch.equal(trainer.flat_params, trainer.ema)
        assert torch.equal(torch.cat([p.flatten() for p in model.parameters()]), trainer.ema)
        assert not any(each.training for each in model.modules())
        raise InterruptedError
    assert torch.equal(trainer.flat_params.view(torch.int32), before.view(torch.int32))
    assert all(each.training for each in model.modules())


# When


def test_the_share_of_the_time_decides_how_many_and_how_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_train(grid_config(tmp_path, train_puzzles=2), total_steps=200)
    monkeypatch.setattr(module, "MIN_PUZZLES", 4)
    # Time stands still but for a second for every batch of 4.
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    original = Evaluator._predict

    def predict(self: Evaluator, block: Sequence[str]) -> object:
        now[0] += 1.0
        return original(self, block)

    monkeypatch.setattr(Evaluator, "_predict", predict)
    evaluator = start(config, seconds_per_step=4.0)
    assert evaluator.interval == 10 and evaluator.puzzles is None
    # 10 steps of 4 s allow 40 · 0.05 / 0.95 = 2.1 s: two batches of 4.
    assert evaluator.expected_seconds == pytest.approx(3 * 4.0)  # an upper bound: one batch
    assert not is_due(evaluator, 10)
    for _ in range(60):
        evaluator.add_step(4.0)
    assert not is_due(evaluator, 69) and is_due(evaluator, 70)
    record = evaluator.evaluate()
    assert record is not None
    assert (record["eval/puzzles"], record["eval/seconds"]) == (8, 2.0)
    assert evaluator.records == [record] and record["step"] == 70
    assert evaluator.puzzles == 8
    # The next one is due when 2 s are 5 % of the time again.
    assert not is_due(evaluator, 70)
    for _ in range(9):
        evaluator.add_step(4.0)
    assert not is_due(evaluator, 80)
    evaluator.add_step(4.0)
    assert is_due(evaluator, 80) and not is_due(evaluator, 81)


def test_set_numbers_are_kept(grid: RunConfig) -> None:
    evaluator = start(grid, seconds_per_step=0.0)
    assert (evaluator.interval, evaluator.puzzles) == (6, 7)
    assert [step for step in range(20) if is_due(evaluator, step)] == [6, 12, 18]
    assert evaluator.describe().startswith("for validation the run predicts 7 puzzles of ")
    assert evaluator.describe().endswith(".csv, every 6 steps")


def test_there_is_no_evaluation_without_time(grid: RunConfig) -> None:
    evaluator = start(grid)
    assert evaluator.evaluate(seconds_left=1.0) is None
    assert evaluator.evaluate(seconds_left=1e3) is not None


def test_the_number_is_that_of_the_last_record(tmp_path: Path, grid: RunConfig) -> None:
    evaluator = start(replace(grid, data=replace(grid.data, validation_puzzles=None)))
    assert evaluator.puzzles is None
    record = {"step": 6, "eval/puzzles": 3.0, "eval/exact": 0.5, "eval/seconds": 1.0}
    evaluator.begin(evaluator._trainer, [record])
    found = evaluator.evaluate()
    assert found is not None and found["eval/puzzles"] == 3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes in training steps (0.1 s each) and in evaluations (0.05 s a block)."""
    now = [0.0]

    def takes(seconds: float, method: Callable[..., object]) -> Callable[..., object]:
        def timed(*arguments: object) -> object:
            now[0] += seconds
            return method(*arguments)

        return timed

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(Trainer, "step", takes(0.1, Trainer.step))
    monkeypatch.setattr(Evaluator, "_predict", takes(0.05, Evaluator._predict))
    return now


def test_a_run_with_a_time_limit_is_evaluated_at_its_end(
    tmp_path: Path, grid: RunConfig, clock: list[float]
) -> None:
    config = with_train(grid, total_steps=None, time_limit=3.0, eval_interval=None)
    heard = Notes()
    run = train_run(config, CPU, tmp_path / "run", callbacks=[heard])
    assert 10 < run.step < 30 and clock[0] <= 3.0
    assert evaluated(run.path)[-1]["step"] == run.step
    assert any("the time limit of 3.0 s ended the run" in note for note in heard.notes)


def test_the_plan_of_a_time_limit_leaves_time_for_evaluations(
    tmp_path: Path, grid: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []

    def estimate(*arguments: object) -> int:
        left, seconds = arguments[4], arguments[5]
        asked.append((left(), seconds))  # type: ignore
        return 12

    monkeypatch.setattr("arc_trm.training.setup.estimate_steps", estimate)
    monkeypatch.setattr(Evaluator, "measure", lambda self: 30.0)
    for name, interval, share in (("a", None, 0.5), ("b", 6, 0.5), ("c", None, 0.0)):
        config = with_train(
            grid,
            total_steps=None,
            time_limit=1000.0,
            max_steps=2,
            eval_interval=interval,
            eval_time_share=share,
        )
        train_run(config, CPU, tmp_path / name)
    assert [seconds for _, seconds in asked] == [0.0, 5.0, 0.0]
    half, whole, off = (left for left, _ in asked)
    assert half == pytest.approx(500, abs=20)
    assert whole == pytest.approx(1000, abs=40) and off == pytest.approx(1000, abs=40)


def test_a_signal_saves_without_an_evaluation(tmp_path: Path, grid: RunConfig) -> None:
    class Interrupt(Callback):
        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            if done == 12:
                os.kill(os.getpid(), signal.SIGTERM)

    run = train_run(grid, CPU, tmp_path / "run", callbacks=[Interrupt()])
    assert run.interrupted and run.step == 12
    assert [each["step"] for each in evaluated(run.path)] == [6]


def test_a_signal_stops_an_evaluation(tmp_path: Path, grid: RunConfig) -> None:
    class Interrupt(Callback):
        def stage(self, name: str, done: int, total: int | None, in_bytes: bool = True) -> None:
            self.heard += 1
            if self.heard == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        heard = 0

    train_run(grid, CPU, tmp_path / "straight")
    run = train_run(grid, CPU, tmp_path / "run", callbacks=[Interrupt()])
    assert run.interrupted and run.step == 12
    assert [each["step"] for each in evaluated(run.path)] == [6]
    assert int(read_tensors(run.path / TRAINING_STATE)[0]["steps_done"]) == 12
    train_run(Run(run.path).config, CPU, run.path, resume=True)
    assert evaluated(run.path) == evaluated(tmp_path / "straight")


def test_no_step_is_taken_for_whose_evaluation_there_is_no_time(
    tmp_path: Path, grid: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_over(self: _TrainingLoop) -> bool:  # evaluating step 12 has taken the rest of the time
        assert self.evaluator is not None
        return any(record["step"] == 12 for record in self.evaluator.records)

    monkeypatch.setattr(_TrainingLoop, "_is_over", is_over)
    run = train_run(grid, CPU, tmp_path / "run")
    assert run.step == 12 and not run.interrupted
    assert [each["step"] for each in evaluated(run.path)] == [6, 12]


# Resuming


def test_the_time_since_the_last_evaluation_survives_a_resume(grid: RunConfig) -> None:
    records: list[dict[str, float]] = [
        {"step": 10, "train/seconds": 10.0},
        {"step": 10, "eval/puzzles": 7.0, "eval/exact": 0.5, "eval/seconds": 1.0},
        {"step": 20, "train/seconds": 40.0},
    ]
    for seconds, due in ((40.0, True), (20.0, False)):  # 5 % of 30 s, of 10 s
        records[-1]["train/seconds"] = seconds
        evaluator = start(with_train(grid, eval_interval=None, total_steps=200))
        evaluator.begin(evaluator._trainer, records)
        assert is_due(evaluator, 20) is due


def test_a_kill_after_an_evaluation_keeps_the_best_that_a_resume_has(
    tmp_path: Path, grid: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kill(Callback):
        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            if done == 12 and record is not None and "eval/exact" in record:
                raise InterruptedError  # before the save of this step

    measured = Evaluator._metrics
    monkeypatch.setattr(
        Evaluator,
        "_metrics",
        lambda self, *each: {**measured(self, *each), "eval/exact": self._trainer.steps_done / 100},
    )
    config, run = with_train(grid, keep_checkpoints=0, save_interval_s=1e-6), tmp_path / "run"
    with pytest.raises(InterruptedError):
        train_run(config, CPU, run, callbacks=[Kill()])
    assert [each.step for each in list_checkpoints(run)] == [6, 12]
    config = with_train(Run(run).config, eval_time_share=0.0)
    assert train_run(config, CPU, run, resume=True).step == 30
    assert [each.step for each in list_checkpoints(run)] == [6]


def test_a_killed_run_has_every_evaluation_once(tmp_path: Path, grid: RunConfig) -> None:
    config = with_train(grid, save_interval_s=1e-6)
    train_run(config, CPU, tmp_path / "straight")
    killed = tmp_path / "killed"
    for stop in (8, 12, 13):  # at 12 a save was due before the evaluation
        resume = killed.exists()
        with pytest.raises(InterruptedError):
            started = Run(killed).config if resume else config
            train_run(started, CPU, killed, resume=resume, callbacks=[Notes(stop=stop)])
    train_run(Run(killed).config, CPU, killed, resume=True)
    assert evaluated(killed) == evaluated(tmp_path / "straight")


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_another_validation_set_is_an_error_that_changes_nothing(
    tmp_path: Path, grid: RunConfig
) -> None:
    run = tmp_path / "run"
    with suppress(InterruptedError):
        config = with_train(grid, save_interval_s=1e-6)
        train_run(config, CPU, run, callbacks=[Notes(stop=8)])
    settings = json.loads((run / RUN_CONFIG).read_text())
    settings["data"]["validation"] = [str(write_puzzles(tmp_path, "sudoku", 9, 5))]
    (run / RUN_CONFIG).write_text(json.dumps(settings))
    before = contents(run)
    with pytest.raises(UserError) as caught:
        train_run(Run(run).config, CPU, run, resume=True)
    assert str(caught.value).startswith("the tasks for validation are not those that the run in")
    assert contents(run) == before
    settings["train"]["eval_time_share"] = 0.0  # as the message says
    (run / RUN_CONFIG).write_text(json.dumps(settings))
    assert train_run(Run(run).config, CPU, run, resume=True).step == 30
    settings["train"]["eval_time_share"] = 0.05  # turned on again, it is still another set
    (run / RUN_CONFIG).write_text(json.dumps(settings))
    with pytest.raises(UserError, match="the tasks for validation are not those that the run in"):
        train_run(Run(run).config, CPU, run, resume=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eval/puzzles", math.nan),
        ("eval/puzzles", math.inf),
        ("eval/puzzles", -3),
        ("eval/puzzles", None),
        ("eval/exact", math.nan),
        ("eval/seconds", math.nan),
        ("eval/seconds", None),
    ],
)
def test_a_run_resumes_with_records_that_were_edited_by_hand(
    tmp_path: Path,
    grid: RunConfig,
    key: str,
    value: float | None,
    cli: Callable[..., Result],
) -> None:
    run = tmp_path / "run"

    class Interrupt(Callback):
        def progress(self, done: int, total: int, record: object = None) -> None:
            if done == 27:
                os.kill(os.getpid(), signal.SIGTERM)

    train_run(grid, CPU, run, callbacks=[Interrupt()])
    path, record = run / METRICS, {"step": 25, "eval/puzzles": 7, "eval/exact": 1, key: value}
    record = {name: number for name, number in record.items() if number is not None}
    path.write_text(path.read_text() + json.dumps(record) + "\n")
    result = cli("train", "--resume", run, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert evaluated(run)[-1]["step"] == 30 and evaluated(run)[-1]["eval/puzzles"] == 7


def test_a_run_that_is_interrupted_before_an_evaluation_resumes_with_it(
    tmp_path: Path, grid: RunConfig
) -> None:
    whole, run = train_run(grid, CPU, tmp_path / "whole"), tmp_path / "run"

    class Interrupt(Callback):
        def progress(self, done: int, total: int, record: object = None) -> None:
            if done == 12:
                os.kill(os.getpid(), signal.SIGTERM)

    assert train_run(grid, CPU, run, callbacks=[Interrupt()]).step == 12
    assert [each["step"] for each in evaluated(run)] == [6]
    train_run(Run(run).config, CPU, run, resume=True)
    assert evaluated(run) == evaluated(whole.path)


# Early stopping and the best


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The shares that the next evaluations find exact."""
    values: list[float] = []

    def evaluate(self: Evaluator, *_: object) -> dict[str, float]:
        metrics = {"eval/puzzles": 7.0, "eval/exact": values.pop(0), "eval/seconds": 0.1}
        self.records.append({"step": self._trainer.steps_done, **metrics})
        return self.records[-1]

    monkeypatch.setattr(Evaluator, "evaluate", evaluate)
    return values


def test_a_run_stops_early_and_stays_stopped(
    tmp_path: Path, grid: RunConfig, exact: list[float]
) -> None:
    exact += [0.2, 0.5, 0.5, 0.4, 0.9]
    heard, run = Notes(), tmp_path / "run"
    config = with_train(grid, early_stopping_patience=2)
    found = train_run(config, CPU, run, callbacks=[heard])
    assert found.step == 24 and not found.interrupted
    reason = (
        "early stopping ended the run at step 24: 2 evaluations in a row had no better exact than "
        "step 12 (exact 50.0 % of 7 validation puzzles)"
    )
    assert heard.notes[-1] == reason
    assert int(read_tensors(run / TRAINING_STATE)[0]["steps_done"]) == 24
    again = Notes()
    assert train_run(Run(run).config, CPU, run, resume=True, callbacks=[again]).step == 24
    assert f"{run} is complete: early stopping ended it at step 24" in again.notes
    assert again.notes[-1] == reason and exact == [0.9]
    patient = with_train(Run(run).config, early_stopping_patience=3)
    assert train_run(patient, CPU, run, resume=True).step == 30 and exact == []


def test_the_weights_of_the_best_evaluation_are_kept(
    tmp_path: Path, grid: RunConfig, exact: list[float]
) -> None:
    exact += [0.2, 0.5, 0.5, 0.4, 0.1]
    config = with_train(grid, keep_checkpoints=1, save_interval_s=1e-6)
    run = train_run(config, CPU, tmp_path / "run")
    found = [(each.step, each.metrics["eval/exact"]) for each in run.checkpoints]
    assert found == [(12, 0.5), (30, 0.1)]
    best = best_checkpoint(run.checkpoints)
    assert best is not None and best.step == 12


def test_without_patience_a_run_does_not_stop(
    tmp_path: Path, grid: RunConfig, exact: list[float]
) -> None:
    exact += [0.5, 0.0, 0.0, 0.0, 0.0]
    assert train_run(grid, CPU, tmp_path / "run").step == 30


def test_patience_without_evaluations_is_an_error_before_a_folder_is_made(
    tmp_path: Path, grid: RunConfig
) -> None:
    patient = with_train(grid, early_stopping_patience=2)
    no_time = with_train(patient, eval_time_share=0.0)
    no_puzzles = replace(patient, data=replace(patient.data, validation_puzzles=0))
    for config in (no_time, no_puzzles):
        with pytest.raises(UserError, match="early_stopping_patience needs evaluations"):
            train_run(config, CPU, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_an_unknown_best_metric_is_an_error_before_a_folder_is_made(
    tmp_path: Path, grid: RunConfig
) -> None:
    for metric, message in (
        ("pass_at_2", '"pass_at_2", but an evaluation of Sudoku has exact, valid, cell_accuracy: '),
        ("exakt", 'did you mean "exact", or auto'),
    ):
        with pytest.raises(UserError, match=message):
            train_run(with_train(grid, best_metric=metric), CPU, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_supervision_steps_in_training_than_at_prediction_are_told(
    tmp_path: Path, grid: RunConfig
) -> None:
    heard = Notes()
    deeper = grid.model.supervision_steps + 1
    config = with_train(grid, supervision_steps=deeper, total_steps=1)
    train_run(config, CPU, tmp_path / "run", callbacks=[heard])
    assert any(f"train.supervision_steps is {deeper}, but" in note for note in heard.notes)


# Several processes, torch.compile, adaptation, the command line

EVALUATE = """
import sys
import torch
import torch.distributed as dist
from arc_trm.device import process_group
from arc_trm.config import read_config, RunConfig
from arc_trm.data.training_set import build_training_set
from arc_trm.runs import Run
from arc_trm.training import Trainer
from arc_trm.training.evaluation import Evaluator
from arc_trm.training.setup import initial_model

config, cpu = Run(sys.argv[1]).config, torch.device("cpu")
with process_group(cpu) as (rank, world_size):
    training_set = build_training_set(config)
    model, _ = initial_model(config, len(training_set.puzzle_names), cpu, False, False)
    evaluator = Evaluator(model, training_set, config)
    evaluator.begin(Trainer(model, config.train), [])
    evaluator.add_step(1.0)
    found = evaluator.evaluate()
    everybody = [None] * world_size
    dist.all_gather_object(everybody, found)
    assert everybody == [found] * world_size, everybody
    if rank == 0:
        torch.save(found, sys.argv[2])
"""


@pytest.mark.slow
def test_processes_share_the_puzzles_and_agree(
    tmp_path: Path, arc: RunConfig, torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    train_run(with_train(arc, total_steps=0), CPU, tmp_path / "run")
    program = tmp_path / "evaluate.py"
    program.write_text(EVALUATE)
    done = torchrun(program, tmp_path / "run", tmp_path / "found.pt")
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt")
    alone = start(arc).evaluate()
    assert alone is not None
    for key in alone.keys() - {"eval/seconds"}:
        assert found[key] == pytest.approx(alone[key]), key


@pytest.mark.slow
def test_a_run_of_two_processes_is_evaluated(
    tmp_path: Path, grid: RunConfig, torchrun: Callable[..., CompletedProcess[str]]
) -> None:
    train_run(with_train(grid, total_steps=0), CPU, tmp_path / "run")
    settings = json.loads((tmp_path / "run" / RUN_CONFIG).read_text())
    settings["train"]["total_steps"] = 12
    (tmp_path / "run" / RUN_CONFIG).write_text(json.dumps(settings))
    done = torchrun("-m", "arc_trm", "train", "--resume", tmp_path / "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    records = evaluated(tmp_path / "run")
    assert [each["step"] for each in records] == [6, 12]
    assert all(each["eval/puzzles"] == 7 for each in records)


def test_compiled_batches_have_the_size_of_those_of_training(
    grid: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = module.predict_batch

    def predict(weights, tasks, batch, *others):  # type: ignore
        sizes.append(len(batch))
        return original(weights, tasks, batch, *others)

    monkeypatch.setattr(module, "predict_batch", predict)
    plain = start(grid).evaluate()
    assert sizes == [4, 3]
    sizes.clear()
    evaluator = start(grid)
    evaluator._model.compiled = True
    monkeypatch.setattr("arc_trm.models.base.compiled_run_blocks", lambda length: run_blocks)
    padded = evaluator.evaluate()
    assert sizes == [4, 4]
    assert plain is not None and padded is not None
    for key in plain.keys() - {"eval/seconds"}:
        assert plain[key] == pytest.approx(padded[key]), key


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of what only torch.compile loads
def test_only_the_first_evaluation_compiles(
    grid: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    base.compiled_run_blocks.cache_clear()
    evaluator = start(grid)
    trainer, evaluator._model.compiled = evaluator._trainer, True
    sampler = BatchSampler(build_training_set(grid).dataset, 4, 0)
    graphs = []
    for step in range(3):
        trainer.step(to_tensors(sampler(2 * step), CPU))
        trainer.step(to_tensors(sampler(2 * step + 1), CPU))
        graphs.append(counters["stats"]["unique_graphs"])
        assert evaluator.evaluate() is not None
        graphs.append(counters["stats"]["unique_graphs"])
    training, first, *later = graphs
    assert training > 0 and first <= training + 1
    assert later == [first] * 4


def test_adaptation_is_evaluated(tmp_path: Path, arc: RunConfig, weights_dir: Path) -> None:
    config = replace(arc, adapt=AdaptConfig(weights=str(weights_dir)))
    run = train_run(config, CPU, tmp_path / "run")
    assert [each["step"] for each in evaluated(run.path)] == [5, 10, 12]


def test_the_command_prints_the_best_evaluation(
    tmp_path: Path, cli: Callable[..., Result], grid: RunConfig
) -> None:
    train_run(grid, CPU, tmp_path / "run")
    names = "eval/exact", "eval/cell_accuracy"
    best = max(evaluated(tmp_path / "run"), key=lambda each: [each[name] for name in names])
    done = cli("train", "--resume", tmp_path / "run", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)["best"]
    assert {key: found[key] for key in best} == best
    assert f"best evaluation at step {best['step']}: exact " in done.stderr
    without = tmp_path / "without"
    train_run(with_train(grid, eval_time_share=0.0), CPU, without)
    done = cli("train", "--resume", without, "--json")
    assert json.loads(done.stdout)["best"] is None and "best evaluation" not in done.stderr


def test_data_of_the_command_line_replaces_the_validation_of_the_preset(tmp_path: Path) -> None:
    for kind in KINDS.values():
        settings = ["data.validation=['x']", *kind.data_settings("y")]
        assert load_config(overrides=settings).data.validation == ()


def test_evaluations_are_reported_beside_the_records_of_training(
    tmp_path: Path, grid: RunConfig
) -> None:
    class Records(Notes):
        def __init__(self) -> None:
            super().__init__()
            self.records: list[Mapping[str, float]] = []

        def progress(
            self, done: int, total: int, record: Mapping[str, float] | None = None
        ) -> None:
            self.records += [] if record is None else [record]

    heard = Records()
    train_run(grid, CPU, tmp_path / "run", callbacks=[heard])
    assert heard.records == Run(tmp_path / "run").metrics
    text = (tmp_path / "run" / METRICS).read_text()
    assert [json.loads(line) for line in text.splitlines()] == heard.records
    notes = [note for note in heard.notes if note.startswith("step ")]
    assert len(notes) == 5
    assert notes[0].startswith("step 6: exact ") and notes[0].endswith("of 7 validation puzzles")
