"""How far a device is from recordings of the published code: logits, predictions and losses.

A recording is a folder of `tests/golden` of a checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arc_trm.checkpoint import read_published
from arc_trm.config import TrainConfig
from arc_trm.models import PuzzleModel
from arc_trm.training import Trainer


def load_golden(folder: Path) -> PuzzleModel:
    """Return the model of a recording, with float32 activations on the CPU."""
    shapes = json.loads((folder / "shapes.json").read_text())
    return read_published(folder / "step_0", shapes=shapes)


def recorded_config(recorded: dict[str, Any]) -> TrainConfig:
    """Return the settings of a recorded training, what its train.json holds."""
    return TrainConfig(
        global_batch_size=recorded["batch_size"],
        lr=recorded["lr"],
        puzzle_emb_lr=recorded["puzzle_emb_lr"],
        betas=tuple(recorded["betas"]),
        weight_decay=recorded["weight_decay"],
        puzzle_emb_weight_decay=recorded["puzzle_emb_weight_decay"],
        warmup_steps=recorded["warmup_steps"],
        total_steps=len(recorded["log"]),
        ema_decay=recorded["ema_rate"],
        halt_exploration_prob=0.0,
        supervision_steps=recorded["halt_max_steps"],
    )


def recorded_batches(folder: Path, recorded: dict[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Yield the batch of each recorded training step."""
    golden = np.load(folder / "train.npz")
    names = {"inputs": "inputs", "labels": "labels", "puzzle_ids": "puzzle_identifiers"}
    for index in range(len(recorded["log"])):
        prefix = f"batch{index % recorded['batches_cycled']}"
        yield {
            ours: torch.from_numpy(golden[f"{prefix}/{theirs}"]) for ours, theirs in names.items()
        }


def compare_predictions(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Predict what was recorded, and compare it after every supervision step.

    Returns:
        `cells` that were predicted in all steps, how many of them are `different`, and the largest
        deviations of a recorded logit and halting logit, `logit` and `halt_logit`.
    """
    model, golden = load_golden(folder).to(device), np.load(folder / "forward.npz")
    model.dtype = dtype
    inputs = torch.from_numpy(golden["batch_inputs"]).to(device)
    puzzle_ids = torch.from_numpy(golden["batch_puzzle_identifiers"])
    cells, different, logit, halt_logit = 0, 0, 0.0, 0.0
    for step, (logits, halt) in enumerate(model.predict_steps(inputs, puzzle_ids), 1):
        recorded = golden[f"preds_{step}"]
        cells += recorded.size
        different += int((logits.argmax(-1).cpu().numpy() != recorded).sum())
        halt_logit = max(halt_logit, _deviation(halt, golden[f"q_halt_{step}"]))
        if f"logits_{step}" in golden:
            logit = max(logit, _deviation(logits, golden[f"logits_{step}"]))
    return {"cells": cells, "different": different, "logit": logit, "halt_logit": halt_logit}


def compare_losses(folder: Path, device: torch.device) -> float:
    """Train as it was recorded; return the largest relative deviation of a step's loss."""
    recorded = json.loads((folder / "train.json").read_text())
    config = recorded_config(recorded)
    trainer = Trainer(load_golden(folder).to(device), config)
    deviation = 0.0
    steps = zip(recorded["log"], recorded_batches(folder, recorded), strict=True)
    for expected, batch in steps:
        loss = trainer.step(batch)["loss"] * config.global_batch_size
        deviation = max(deviation, abs(loss / expected["loss"] - 1))
    return deviation


def _deviation(ours: Tensor, recorded: np.ndarray) -> float:
    return float(np.abs(ours.float().cpu().numpy() - recorded).max())
