"""Scaling: the seconds of a step against batch, canvas, supervision steps and augmentations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from arc_trm.benchmarks.machine import machine_names
from arc_trm.benchmarks.throughput import TrainingStep
from arc_trm.benchmarks.timing import median_seconds
from arc_trm.callbacks import Progress, ignore
from arc_trm.config import RunConfig, describe_preset
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.training_set import build_training_set
from arc_trm.device import pick_dtype
from arc_trm.models import PuzzleModel
from arc_trm.puzzles.arc.canvas import CANVAS_SIDES
from arc_trm.training import Trainer
from arc_trm.training.budget import pick_micro_batch_size
from arc_trm.training.setup import initial_model
from arc_trm.viz.curve import Curve, Panel, draw_panel
from arc_trm.viz.series import read_series
from arc_trm.viz.svg import Drawing, column, framed
from arc_trm.viz.theme import PAPER

BATCH_SIZE = 4
"""Examples in a step unless the batch size itself is varied."""
BATCH_SIZES = (1, 2, 4, 8, 16)
SUPERVISION_STEPS = (1, 2, 4, 8, 16)
AUGMENTATIONS = (0, 10, 100, 1000)
PANELS = {
    "batch": ("Seconds of a training step", "Examples in a batch"),
    "cells": (f"Seconds of a training step of {BATCH_SIZE}", "Cells of the canvas"),
    "supervision_steps": (f"Seconds of {BATCH_SIZE} predictions", "Supervision steps"),
    "augmentations": (f"Seconds of a training step of {BATCH_SIZE}", "Augmentations of a task"),
}
"""Title and label of the x axis for each thing that is varied."""
COLOUR = "#1F6FB2"

Points = dict[str, list[tuple[int, float]]]


def bench_scaling(
    config: RunConfig,
    device: torch.device,
    compiled: bool = False,
    progress: Progress = ignore,
) -> tuple[dict[str, Any], Drawing]:
    """Measure steps while one thing at a time is varied.

    Returns:
        The points (x, seconds) by name, and a picture of them.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    benchmark = _ScalingBenchmark(config, device, compiled)
    seq_len, sides = config.model.seq_len, [config.model.side]
    if config.model.mixer == "attention":
        sides = [*(side for side in CANVAS_SIDES if side < sides[0]), *sides]
    varied: dict[str, tuple[Sequence[int], Callable[[int], float]]] = {
        "batch": (BATCH_SIZES, lambda size: benchmark.step_seconds(seq_len, size)),
        "cells": ([side**2 for side in sides], benchmark.step_seconds),
        "supervision_steps": (SUPERVISION_STEPS, benchmark.prediction_seconds),
        "augmentations": (AUGMENTATIONS, benchmark.run_step_seconds),
    }
    total = sum(len(values) for values, _ in varied.values())
    progress(0, total)
    points: Points = {name: [] for name in varied}
    for name, (values, measure) in varied.items():
        for value in values:
            points[name].append((value, measure(value)))
            progress(sum(map(len, points.values())), total)
    result = {
        "what": "scaling",
        "preset": describe_preset(config),
        **machine_names(device),
        "dtype": config.dtype,
    }
    return {**result, **points}, _picture(points)


class _ScalingBenchmark:
    """Measures steps of a model of the config."""

    def __init__(self, config: RunConfig, device: torch.device, compiled: bool) -> None:
        self.config, self.device, self.compiled = config, device, compiled
        self.model, _ = initial_model(config, 1, device, compiled, pretrained=False)

    def step_seconds(self, seq_len: int, batch_size: int = BATCH_SIZE) -> float:
        """Measure training steps on random tokens."""
        trainer = self._trainer(self.model, batch_size)
        batch = self._random_batch(seq_len, batch_size)
        return median_seconds(lambda: trainer.step(batch), self.device)

    def prediction_seconds(self, supervision_steps: int) -> float:
        """Measure predictions of random tokens."""
        batch = self._random_batch(self.config.model.seq_len, BATCH_SIZE)
        inputs, puzzle_ids = batch["inputs"].to(self.device), batch["puzzle_ids"]
        return median_seconds(
            lambda: list(self.model.predict_steps(inputs, puzzle_ids, supervision_steps)),
            self.device,
        )

    def run_step_seconds(self, augmentations: int) -> float:
        """Measure training steps on the run's own data."""
        data = replace(self.config.data, augmentations=augmentations, vote_augmentations=None)
        config = replace(self.config, data=data)
        training_set = build_training_set(config)
        num_puzzles = len(training_set.puzzle_names)
        model, _ = initial_model(config, num_puzzles, self.device, self.compiled, pretrained=False)
        trainer = self._trainer(model, BATCH_SIZE)
        sampler = BatchSampler(training_set.dataset, BATCH_SIZE, config.seed)
        with ExitStack() as stack:
            return median_seconds(TrainingStep(trainer, sampler, stack), self.device)

    def _trainer(self, model: PuzzleModel, batch_size: int) -> Trainer:
        train = replace(self.config.train, global_batch_size=batch_size, total_steps=10**6)
        micro_batch_size = pick_micro_batch_size(model, self.device, batch_size)
        return Trainer(model, train, micro_batch_size=micro_batch_size)

    def _random_batch(self, seq_len: int, batch_size: int) -> dict[str, torch.Tensor]:
        """Return random tokens, all for the blank puzzle."""
        generator = torch.Generator().manual_seed(0)
        shape, high = (2, batch_size, seq_len), self.config.model.vocab_size
        inputs, labels = torch.randint(0, high, shape, generator=generator)
        puzzle_ids = torch.zeros(batch_size, dtype=torch.int)
        return {"inputs": inputs, "labels": labels, "puzzle_ids": puzzle_ids}


def _picture(points: Points) -> Drawing:
    panels = []
    for name, (title, x_label) in PANELS.items():
        records = [{"step": x, "seconds": seconds} for x, seconds in points[name]]
        curve = Curve(read_series(records, "seconds"), "", COLOUR, "seconds")
        panels.append(draw_panel(Panel(title, (curve,), x_label=x_label)))
    return framed(column(panels, 18), 32, PAPER)
