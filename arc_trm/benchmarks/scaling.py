"""How the time of a step grows with what it is made of, one thing changed at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from arc_trm.benchmarks.throughput import fresh_model
from arc_trm.benchmarks.timing import timed
from arc_trm.config import RunConfig
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.device import pick_dtype
from arc_trm.models import PuzzleModel
from arc_trm.puzzles.arc.kind import CANVAS_SIDES
from arc_trm.training import Trainer
from arc_trm.training.budget import Prefetcher, micro_batch
from arc_trm.viz.curve import Measure, draw_panel, read_series
from arc_trm.viz.svg import Drawing, column, framed
from arc_trm.viz.theme import PAPER

BATCH = 4
BATCHES, SUPERVISION_STEPS, AUGMENTATIONS = (1, 2, 4, 8, 16), (1, 2, 4, 8, 16), (0, 10, 100, 1000)
PANELS = {
    "batch": ("Seconds of a training step", "Sequences in a batch"),
    "cells": (f"Seconds of a training step of {BATCH}", "Cells of the canvas"),
    "supervision_steps": (f"Seconds of {BATCH} answers", "Supervision steps"),
    "augmentations": (f"Seconds of a training step of {BATCH}", "Augmentations of a task"),
}
Points = dict[str, list[tuple[int, float]]]


def bench_growth(
    config: RunConfig,
    device: torch.device,
    compiled: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], Drawing]:
    """Seconds of a step against batch, canvas, supervision steps and augmentations.

    Args:
        config: of the run whose steps are measured; all else is as it says.
        device: where to compute.
        compiled: use torch.compile; None is where it pays.
        progress: is told how many points of all are measured.

    Returns the points, and a picture of them.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    full = config.model.side
    smaller = [side for side in CANVAS_SIDES if side < full and config.model.mixer == "attention"]
    sides = [*smaller, full]
    points: Points = {name: [] for name in PANELS}
    wanted = len(BATCHES) + len(sides) + len(SUPERVISION_STEPS) + len(AUGMENTATIONS)

    def add(name: str, at: int, seconds: float) -> None:
        points[name].append((at, seconds))
        progress(sum(map(len, points.values())), wanted)

    def trainer(model: PuzzleModel, size: int) -> Trainer:
        train = replace(config.train, global_batch_size=size, total_steps=10**6)
        return Trainer(model, train, None, micro_batch(model, device, size))

    progress(0, wanted)
    model, _ = fresh_model(config, 1, device, compiled)
    for size in BATCHES:
        add("batch", size, _step(trainer(model, size), _tokens(full**2, size), device))
    for side in sides:
        add("cells", side**2, _step(trainer(model, BATCH), _tokens(side**2, BATCH), device))
    inputs, ids = _tokens(full**2, BATCH)["inputs"].to(device), torch.zeros(BATCH, dtype=torch.int)
    for steps in SUPERVISION_STEPS:
        seconds = timed(lambda n=steps: deque(model.predict_steps(inputs, ids, n), 0), device)  # type: ignore[misc]
        add("supervision_steps", steps, seconds)
    for augmentations in AUGMENTATIONS:
        data = replace(config.data, augmentations=augmentations)
        learnt = build_training_set(replace(config, data=data))
        stepper = trainer(fresh_model(config, len(learnt.names), device, compiled)[0], BATCH)
        with closing(Prefetcher(BatchSampler(learnt.groups, BATCH, config.seed), device)) as ahead:

            def step(stepper: Trainer = stepper, ahead: Prefetcher = ahead) -> None:
                stepper.step(ahead(stepper.steps_done))

            add("augmentations", augmentations, timed(step, device))
    result = {"what": "growth", "preset": config.name, "dtype": config.dtype, **points}
    return result, _picture(points)


def _tokens(cells: int, size: int) -> dict[str, torch.Tensor]:
    """A batch of random tokens, all for the blank row."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randint(0, 12, (2, size, cells), generator=generator)
    return {"inputs": inputs, "labels": labels, "puzzle_ids": torch.zeros(size, dtype=torch.int)}


def _step(trainer: Trainer, batch: dict[str, torch.Tensor], device: torch.device) -> float:
    return timed(lambda: trainer.step(batch), device)


def _picture(points: Points) -> Drawing:
    panels = []
    for name, (title, x_label) in PANELS.items():
        records = [{"step": at, "seconds": seconds} for at, seconds in points[name]]
        measure = Measure("seconds", title, "#1F6FB2", x_label=x_label)
        panels.append(draw_panel(read_series(records, "seconds"), measure))
    return framed(column(panels, 18), 32, PAPER)
