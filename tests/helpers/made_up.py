"""A run with made-up predictions of every outcome, for pictures and measurements of the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from arc_trm._version import __version__
from arc_trm.config import load_config
from arc_trm.data.loader import load_tasks
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.predictions import Prediction, TraceStep
from arc_trm.runs import METRICS, PREDICTIONS, PREDICTIONS_FOLDER, create_run
from arc_trm.tasks import Grid, Task, as_grid

VOTERS, STEPS = 30, 16


def write_run(folder: Path, dataset: str, seed: int, skill: float) -> Path:
    """Make a run with a training curve and predictions for the tasks of an ARC dataset.

    Args:
        folder: of the run.
        seed: the same tasks are easy for every seed.
        skill: about the share of tasks that are solved.
    """
    data = [f'data.test=["{dataset}"]', f"seed={seed}"]
    run = create_run(load_config("arc-agi-1", overrides=data), folder)
    rng = np.random.default_rng(seed)
    lines = map(json.dumps, _records(rng))
    (run / METRICS).write_text("".join(f"{line}\n" for line in lines))
    chosen = load_tasks(dataset)
    folder = run / PREDICTIONS_FOLDER / "made-up"
    folder.mkdir(parents=True)
    log = PredictionLog(folder / PREDICTIONS)
    key = {
        "weights": f"{seed:08x}",
        "tasks": chosen.fingerprint(False),
        "supervision_steps": STEPS,
        "augmentations": VOTERS - 1,
        "canvas": "full",
        "dtype": "bfloat16",
        "attempts": 2,
        "select": "votes",
        "version": __version__,
        "code": "0123abcd",
    }
    metadata = {
        "model": run.name,
        "preset": "arc-agi-1",
        "step": 10_000,
        "total_steps": 10_000,
        "seed": seed,
        "parameters": 6_829_058,
        "train_data": ["arc-agi-1/training", dataset],
        "started_at": "2026-11-26T12:00:00+00:00",
        "data": [dataset],
        "max_grid_size": 30,
        "tasks": len(chosen),
        "test_inputs": chosen.test_outputs,
    }
    log.begin(key, metadata)
    ease = np.random.default_rng(0)  # of the tasks
    for task in chosen:
        quality = np.clip(skill - ease.random() + 0.5 + 0.15 * rng.normal(), 0, 1)
        for test, pair in enumerate(task.test):
            assert pair.output is not None
            log.append(_predictions(rng, task, test, pair.output, quality))
    return run


def _records(rng: np.random.Generator) -> Iterator[dict[str, float]]:
    for step in range(10, 10_001, 10):
        done = 1 - np.exp(-step / 2500)
        loss = 2.2 * (1 - done) + 0.2 + 0.25 * rng.random()
        accuracy = float(np.clip(0.7 * done + 0.12 * rng.normal(), 0, 1))
        record = {"step": step, "train/lm_loss": loss, "train/exact_of_halted": accuracy}
        if rng.random() > done + 0.3:
            del record["train/exact_of_halted"]
        yield record
        if step % 500 == 0:
            pass_at_2 = 0.42 * done - 0.05 * max(0, step - 7500) / 2500
            attempts = {"eval/pass_at_1": 0.8 * pass_at_2, "eval/pass_at_2": pass_at_2}
            yield {"step": step, "eval/puzzles": 40, **attempts, "eval/seconds": 9.0}


def _predictions(
    rng: np.random.Generator, task: Task, test: int, output: Grid, quality: float
) -> Iterator[Prediction]:
    """Yield the votes on a test input; on a few inputs there are none."""
    if rng.random() < 0.03:
        return
    others = [_noisy(rng, output, noise) for noise in (0.02, 0.1, 0.2, 0.4)]
    others.append(as_grid(rng.integers(0, 10, (3, 3))))
    pool = [output, *others]
    weights = np.array([3 * quality, 1, 0.8, 0.8, 0.8, 0.3]) ** 2
    for order in range(VOTERS):
        grid = pool[rng.choice(len(pool), p=weights / weights.sum())]
        trace: Sequence[TraceStep] = ()
        if order == 0:
            noises = np.linspace(0.8, 0, STEPS)
            trace = [TraceStep(_noisy(rng, grid, n), 1 - float(n)) for n in noises]
        halt_prob = float(np.clip(quality + 0.1 * rng.normal(), 0, 1))
        yield Prediction(task.id, test, f"p{order}", order, grid, halt_prob, trace=tuple(trace))


def _noisy(rng: np.random.Generator, grid: Grid, noise: float) -> Grid:
    """Change about this share of the cells, at least one if any."""
    changed = rng.random(grid.shape) < noise
    if noise:
        changed.flat[rng.integers(grid.size)] = True
    return as_grid(np.where(changed, (grid + rng.integers(1, 10, grid.shape)) % 10, grid))
