"""Budgets: how many steps a run takes, how often it is saved, and what the memory holds at once."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.distributed as dist

from arc_trm.config import RunConfig, TrainConfig
from arc_trm.data.sampler import BatchSampler
from arc_trm.device import memory_bytes
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel, build_without_memory
from arc_trm.models.layers import block_class
from arc_trm.time_limit import TimeLimit
from arc_trm.training.batches import to_tensors
from arc_trm.training.trainer import Trainer

# The published schedule for adaptation has 12 500 steps, a warm-up of 2000 and an average over
# the last 1000. A shorter run keeps these proportions.
WARMUP_SHARE, EMA_SHARE = 0.16, 0.08
PROBE_SHARE = 0.01
"""Part of the time left in which steps are measured."""
GROWTH_SHARE, FEW_STEPS, MAX_GROWTH_SHARE = 0.03, 30, 0.1
"""Part of the time left that a larger part of a batch may take to be measured; the second share
where fewer steps than these seem to fit."""
PROBE_GROWTH = 4
MAX_PROBE_STEPS = 20
"""Steps of each kind that are measured, at most."""
SAVE_INTERVAL_SHARE = 0.05
"""Part of a time limit that a kill may cost."""
MAX_SAVE_SHARE = 0.05
"""Part of the time that a run with a time limit spends on saving, at most."""
FLOAT_BYTES = 4
WEIGHT_COPIES = 5
"""Numbers that training keeps of a weight: itself, its gradient, its average and two moments."""


def total_steps(config: RunConfig, sampler: BatchSampler) -> int:
    """Return the number of steps: `total_steps`, `max_steps` or those of `epochs`, the smallest.

    An epoch visits every group once; a visit takes `mean_pairs` examples.

    Raises:
        UserError: none of them is set.
    """
    limits = [n for n in (config.train.total_steps, config.train.max_steps) if n is not None]
    if config.epochs is not None:
        pairs = config.epochs * len(sampler.dataset) * sampler.mean_pairs
        limits.append(max(1, int(pairs / config.train.global_batch_size)))
    if not limits:
        raise UserError(
            "the run has no end: set epochs, train.total_steps (--max-steps) or train.time_limit "
            "(--time-limit)"
        )
    return min(limits)


def scale_schedule(train: TrainConfig, steps: int) -> TrainConfig:
    """Return the settings for a run of `steps`, with a shorter warm-up and average if need be."""
    horizon = max(1.0, EMA_SHARE * steps)
    return replace(
        train,
        total_steps=steps,
        warmup_steps=min(train.warmup_steps, round(WARMUP_SHARE * steps)),
        ema_decay=min(train.ema_decay, 1 - 1 / horizon),
    )


def broadcast_scalar(value: float, device: torch.device) -> float:
    """Return rank 0's value on all ranks."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def save_interval(config: RunConfig, time_limit: TimeLimit, save_seconds: float) -> float:
    """Return the seconds between saves; a kill costs little of a short time limit, too."""
    interval = config.train.save_interval_s
    if time_limit.limit is None:
        return interval
    share = max(SAVE_INTERVAL_SHARE * time_limit.limit, save_seconds / MAX_SAVE_SHARE)
    return min(interval, share)


def estimate_steps(
    model: PuzzleModel,
    train: TrainConfig,
    sampler: BatchSampler,
    micro_batch_size: int,
    seconds_left: Callable[[], float],
    evaluation_seconds: float = 0.0,
) -> int:
    """Return how many steps fit into the time left, by the measured rates of both kinds of step.

    The first steps on each canvas take longer, which costs the run that time once. Steps are
    measured on a copy of the model, so that nothing is trained. All ranks must call it together;
    the clock of rank 0 decides.

    Args:
        model: at the start of the run.
        train: its `embedding_only_fraction` of the steps will train the puzzle embedding alone.
        sampler: of the run.
        micro_batch_size: see `Trainer`.
        seconds_left: returns the time left for steps; measuring takes some of it.
        evaluation_seconds: of evaluations for every step, which come on top.
    """
    device, samplers = model.puzzle_embedding.device, sampler.by_canvas_size().values()
    left = broadcast_scalar(seconds_left(), device) / len(samplers)
    seconds_per_step, alone = evaluation_seconds, train.embedding_only_fraction
    start_up = 0.0
    for step_share, embedding_only in ((alone, 1.0), (1 - alone, 0.0)):
        if not step_share:
            continue
        measured = replace(train, embedding_only_fraction=embedding_only)
        for canvas_share, canvas_sampler in samplers:
            if broadcast_scalar(seconds_left(), device) <= 0:
                return 0
            seconds, slowness = _measure_steps(
                model, measured, micro_batch_size, canvas_sampler, left
            )
            seconds_per_step += step_share * canvas_share * seconds
            start_up += slowness
            if broadcast_scalar(seconds_left() - seconds, device) < 0:
                return 0
    fitting = (seconds_left() - start_up) / seconds_per_step
    return max(0, math.floor(broadcast_scalar(fitting, device)))


def _measure_steps(
    model: PuzzleModel,
    train: TrainConfig,
    micro_batch_size: int,
    sampler: BatchSampler,
    left: float,
) -> tuple[float, float]:
    """Measure steps on one canvas for a small share of the `left` seconds.

    On a CPU a whole step may take minutes, so a part of a batch is measured: one example, and four
    times as many as long as that takes little time. Few examples take longer each, so that where
    only few steps seem to fit, more time is taken to see how many do.

    Returns:
        The seconds of a step, and how many more the first steps of a new trainer take together.
    """
    device, batch_size = model.puzzle_embedding.device, len(sampler(0)["inputs"])
    size = 1 if device.type == "cpu" else batch_size
    while True:
        trainer = _probe_trainer(model, train, micro_batch_size, size)
        step = partial(_time_step, trainer, sampler, size)
        first_seconds = [step() for _ in range(trainer.slow_steps)]
        seconds = broadcast_scalar(step(), device)
        seems_long = FEW_STEPS * seconds * batch_size / size > left
        share = MAX_GROWTH_SHARE if seems_long else GROWTH_SHARE
        if size == batch_size or 2 * PROBE_GROWTH * seconds > share * left:
            break
        size = min(PROBE_GROWTH * size, batch_size)
    if repeats := math.floor(min(MAX_PROBE_STEPS, PROBE_SHARE * left / seconds)):
        seconds = sum(step() for _ in range(repeats)) / repeats
    slowness = sum(first_seconds) - len(first_seconds) * seconds
    if broadcast_scalar(slowness - seconds, device) > 0:
        # What a process loads or compiles once, the run need not wait for again. Another new
        # trainer tells what it does.
        del trainer, step  # first, as there may be no memory for both
        trainer = _probe_trainer(model, train, micro_batch_size, size)
        first_seconds = [_time_step(trainer, sampler, size) for _ in first_seconds]
        slowness = sum(first_seconds) - len(first_seconds) * seconds
    return seconds * batch_size / size, max(0.0, slowness)


def _probe_trainer(
    model: PuzzleModel, train: TrainConfig, micro_batch_size: int, batch_size: int
) -> Trainer:
    """Return a trainer of a copy of the model, to measure steps of this batch size per process."""
    # The puzzle embedding may be gigabytes, so the copy shares it; a rate of 0 leaves it as it is.
    shared = {id(model.puzzle_embedding): model.puzzle_embedding}
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    config = replace(
        train,
        total_steps=2 * MAX_PROBE_STEPS,
        puzzle_emb_lr=0.0,
        global_batch_size=batch_size * world_size,
    )
    return Trainer(copy.deepcopy(model, shared), config, micro_batch_size=micro_batch_size)


def _time_step(trainer: Trainer, sampler: BatchSampler, size: int) -> float:
    """Return the seconds of a step on the first examples of the next batch."""
    batch = {name: array[:size] for name, array in sampler(trainer.steps_done).items()}
    started = time.monotonic()
    metrics = trainer.step(to_tensors(batch, trainer.flat_params.device))
    assert metrics["loss"] is not None  # reading it waits for the step
    return time.monotonic() - started


def check_memory(config: RunConfig, num_puzzles: int, device: torch.device) -> None:
    """Raise UserError if the model of a run cannot fit the memory of the device.

    Only shapes are computed, so that finding out takes no memory.
    """
    weights = sum(weight.numel() for weight in build_without_memory(config.model).parameters())
    network = WEIGHT_COPIES * FLOAT_BYTES * weights
    embedding = FLOAT_BYTES * num_puzzles * config.model.puzzle_emb_dim
    memory = memory_bytes(device)
    if network + embedding > memory:
        raise UserError(
            f"training {weights:,} weights and {num_puzzles:,} puzzle embeddings takes "
            f"{network / 1e9:,.1f} and {embedding / 1e9:,.1f} GB, but the memory has "
            f"{memory / 1e9:,.1f} GB: lower the size of the model, such as model.hidden_size, or "
            "data.augmentations"
        )
    world_size = dist.get_world_size() if dist.is_initialized() else 1
    batch_size = config.train.global_batch_size // world_size
    # y and z of each example between two steps; in float32 they take twice as much.
    carry = (
        2 * batch_size * config.model.length * config.model.hidden_size * torch.bfloat16.itemsize
    )
    if carry > memory:
        raise UserError(
            f"{batch_size:,} examples of a batch take {carry / 1e9:,.1f} GB between two steps, but "
            f"the memory has {memory / 1e9:,.1f} GB: lower train.global_batch_size"
        )


def activation_bytes(model: PuzzleModel) -> int:
    """Estimate the bytes that a step keeps of an example on the full canvas for backward."""
    numbers = block_class(model.config).saved_activations(model.config)
    return numbers * model.blocks_with_gradient * model.dtype.itemsize


def pick_micro_batch_size(model: PuzzleModel, device: torch.device, batch_size: int) -> int:
    """Return how many examples go through the network together.

    As many as are fastest, unless their activations would take more than half of the memory. The
    parts of a batch of this process are equal but for the last one.
    """
    fitting = memory_bytes(device) / 2 / activation_bytes(model)
    fastest = model.cpu_micro_batch_size(model.state_length()) or batch_size
    return math.ceil(batch_size / math.ceil(batch_size / min(fitting, fastest)))
