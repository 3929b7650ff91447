"""Small tasks, models and runs that the tests share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from arc_trm.checkpoint import save_config, save_weights
from arc_trm.config import ModelConfig, RunConfig, TrainConfig, from_dict
from arc_trm.evaluation.prediction_log import LogStatus, PredictionLog, submission_digest
from arc_trm.models import build_model
from arc_trm.tasks import TaskSet
from arc_trm.training import Trainer
from submission import Submission, write_json

MODEL = {
    "seq_len": 16,
    "hidden_size": 32,
    "num_heads": 2,
    "puzzle_emb_len": 1,
    "puzzle_emb_dim": 32,
    "outer_cycles": 2,
    "inner_cycles": 1,
    "supervision_steps": 3,
}
ONE_PASS = {"outer_cycles": 1, "inner_cycles": 1, "supervision_steps": 1}
ARCHITECTURES = {
    "trm": MODEL,
    "hrm": {**MODEL, "architecture": "hrm", "num_layers": 1, "inner_cycles": 2},
    "transformer": {**MODEL, **ONE_PASS, "architecture": "transformer"},
}
TRAIN = {"global_batch_size": 4, "lr": 1e-3, "warmup_steps": 3, "total_steps": 12}


def write_challenges(folder: Path, count: int = 3) -> Path:
    """A challenges file of tasks that mirror their input, and its solutions beside it."""
    rng = np.random.default_rng(1)

    def pair() -> dict[str, list[list[int]]]:
        grid = rng.integers(10, size=(2, 3))
        return {"input": grid.tolist(), "output": grid[:, ::-1].tolist()}

    tasks = {f"task{n}": {"train": [pair(), pair()], "test": [pair()]} for n in range(count)}
    solutions = {name: [p.pop("output") for p in task["test"]] for name, task in tasks.items()}
    (folder / "tiny_challenges.json").write_text(json.dumps(tasks))
    (folder / "tiny_solutions.json").write_text(json.dumps(solutions))
    return folder / "tiny_challenges.json"


def write_weights(folder: Path, names: Sequence[str] = "abc", **model: object) -> Path:
    """A folder of random weights that know puzzles of these names; `model` changes MODEL."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    config = from_dict(ModelConfig, {**MODEL, **model})
    made = build_model(config, 1 + len(names), generator=generator)
    made.puzzle_embedding[1:].normal_(generator=generator)
    save_config(folder, config, ["<blank>", *names])
    save_weights(folder, config, made.state_dict(), made.puzzle_embedding, 7)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What is in the files of a folder and of those in it, by their paths there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def log_with(folder: Path, line: str) -> PredictionLog:
    """A p.jsonl that somebody has written a line into."""
    log = PredictionLog(folder / "p.jsonl")
    log.begin({}, {})
    with log.path.open("a") as file:
        file.write(line + "\n")
    return log


def announce(log: Path, submission: Submission) -> None:
    """Let a log know a submission, as the job that writes it does."""
    status = LogStatus(submission_digest(submission), (0.0, 0, 0), ())
    PredictionLog(log).append_status(status)


def write_predictions(
    folder: Path, tasks: TaskSet, submission: Submission, **metadata: object
) -> Path:
    """A folder as `arc-trm predict` leaves it, with a submission and a log without predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    log = PredictionLog(folder / "predictions.jsonl")
    log.begin({"tasks": tasks.fingerprint(solutions=False)}, metadata)
    announce(log.path, submission)
    write_json(folder / "submission.json", submission)
    return folder


def run_config(challenges: Path, **changes: object) -> RunConfig:
    values = {
        "name": "tiny",
        "dtype": "float32",
        "model": MODEL,
        "data": {"test": [str(challenges)], "augmentations": 2},
        "train": TRAIN,
    }
    return from_dict(RunConfig, {**values, **changes})


def make_trainer(
    seed: int = 0, micro_batch_size: int | None = None, architecture: str = "trm", **train: object
) -> Trainer:
    generator = torch.Generator().manual_seed(seed)
    shape = from_dict(ModelConfig, ARCHITECTURES[architecture])
    model = build_model(shape, 6, generator=generator)
    return Trainer(model, TrainConfig(**{**TRAIN, **train}), generator, micro_batch_size)


def make_batch(step: int, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {
        "inputs": torch.randint(0, 12, (size, 16), generator=generator),
        "labels": torch.randint(0, 12, (size, 16), generator=generator),
        "puzzle_ids": torch.randint(0, 6, (size,), generator=generator),
    }
