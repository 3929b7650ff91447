"""How many steps a run takes, and how much of a batch goes through the network at once."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
import torch.distributed as dist

from arc_trm.config import RunConfig, TrainConfig
from arc_trm.data.sampler import Batch, BatchSampler
from arc_trm.device import memory_bytes
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import swiglu_width
from arc_trm.training.trainer import Trainer

# The published schedule for adapting is 2000 of 12 500 steps of warm-up and an average over the
# last 1000. A run that is shorter keeps these proportions.
WARMUP_SHARE, AVERAGE_SHARE = 0.16, 0.08
PROBE_SHARE, PROBE_STEPS = 0.01, 20  # of a time limit, for measuring; steps of each kind, at most


def tensors(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """A batch as `Trainer.step` takes it, in memory that `device` reads by itself."""
    made = {name: torch.from_numpy(array) for name, array in batch.items()}
    return {n: t.pin_memory() for n, t in made.items()} if device.type == "cuda" else made


class Prefetcher:
    """BatchSampler made one ahead in a thread, while the step before is computed."""

    def __init__(self, batches: BatchSampler, device: torch.device) -> None:
        self._batches, self._device = batches, device
        self._pool = ThreadPoolExecutor(1, "batches")
        self._next: tuple[int, Future[dict[str, torch.Tensor]]] | None = None

    def __call__(self, step: int) -> dict[str, torch.Tensor]:
        """The batch of a step; what making it raises is raised here."""
        if self._next is None or self._next[0] != step:
            self._next = step, self._pool.submit(self._make, step)
        made = self._next[1].result()
        self._next = step + 1, self._pool.submit(self._make, step + 1)
        return made

    def _make(self, step: int) -> dict[str, torch.Tensor]:
        return tensors(self._batches(step), self._device)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def total_steps(config: RunConfig, batches: BatchSampler) -> int:
    """train.total_steps or epochs · groups · mean pairs of one / global batch, the smaller."""
    limits = [] if config.train.total_steps is None else [config.train.total_steps]
    if config.epochs is not None:
        pairs = config.epochs * len(batches.groups) * batches.mean_pairs
        limits.append(max(1, int(pairs / config.train.global_batch_size)))
    if not limits:
        raise UserError("how long to train is not said: set epochs or train.total_steps")
    return min(limits)


def scale_schedule(train: TrainConfig, steps: int) -> TrainConfig:
    """`train` for so many steps, with warm-up and weight average no longer than their share."""
    horizon = max(1.0, AVERAGE_SHARE * steps)
    return replace(
        train,
        total_steps=steps,
        warmup_steps=min(train.warmup_steps, round(WARMUP_SHARE * steps)),
        ema_decay=min(train.ema_decay, 1 - 1 / horizon),
    )


def broadcast_scalar(value: float, device: torch.device) -> float:
    """Rank 0's value, on all ranks."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def estimate_steps(
    model: PuzzleModel,
    train: TrainConfig,
    batches: BatchSampler,
    micro_batch: int,
    seconds: Callable[[], float],
) -> int:
    """How many steps fit into the time left, by the measured rate of both kinds of step.

    They are measured on a copy of the model, so that nothing is learnt. All ranks must call it
    together; rank 0's clock decides.

    Args:
        model: as the run begins.
        train: its `embedding_only_fraction` of the steps will train the puzzle rows alone.
        batches: of the run.
        micro_batch: see `Trainer`.
        seconds: says the time left for steps, which measuring them takes some of.
    """
    device, cost = model.puzzle_embedding.device, 0.0
    world = dist.get_world_size() if dist.is_initialized() else 1

    def prober(**changes: object) -> Trainer:
        # The table may be gigabytes, so there is no second one; at this rate its rows stay.
        fixed = {"total_steps": 2 * PROBE_STEPS, "puzzle_emb_lr": 0.0, **changes}
        copied = copy.deepcopy(model, {id(model.puzzle_embedding): model.puzzle_embedding})
        return Trainer(copied, replace(train, **fixed), micro_batch=micro_batch)  # type: ignore[arg-type]

    def timed(trainer: Trainer, batch: Batch) -> float:
        started = time.monotonic()
        metrics = trainer.step(tensors(batch, device))
        assert metrics["loss"] is not None  # reading it waits for the step
        return time.monotonic() - started

    canvases = batches.canvases().values()
    if device.type == "cpu":  # where a step costs as much as its sequences do one by one
        one, cost_of_one, size = (
            prober(embedding_only_fraction=0.0, global_batch_size=world),
            0.0,
            0,
        )
        for part, there in canvases:
            batch = there(0)
            size = len(batch["inputs"])
            example = {name: array[:1] for name, array in batch.items()}
            timed(one, example)
            cost_of_one += part * timed(one, example)
        if broadcast_scalar(seconds() - size * cost_of_one, device) < 0:
            return 0
    budget = PROBE_SHARE * seconds() / len(canvases)
    for share, embedding_only_fraction in (
        (train.embedding_only_fraction, 1.0),
        (1 - train.embedding_only_fraction, 0.0),
    ):
        if not share:
            continue
        trainer = prober(embedding_only_fraction=embedding_only_fraction)
        for part, there in canvases:
            if broadcast_scalar(seconds(), device) <= 0:
                return 0
            if model.compiled:
                timed(trainer, there(0))
            each = timed(trainer, there(0))  # the first is slow, so it counts only if it is alone
            repeats = math.floor(broadcast_scalar(min(PROBE_STEPS, budget / each), device))
            if repeats:
                each = sum(timed(trainer, there(1 + n)) for n in range(repeats)) / repeats
            cost += share * part * each
    return max(0, math.floor(broadcast_scalar(seconds() / cost, device)))


def activation_bytes(model: PuzzleModel) -> int:
    """What a step keeps of a sequence for the backward pass, estimated from the model's shape."""
    config = model.config
    hidden = swiglu_width(config.hidden_size, config.expansion)
    # Numbers kept a position: half as many again as PyTorch's saved-tensor hooks count.
    layer = 14 * config.hidden_size + 6 * hidden
    return config.length * layer * model.blocks_with_gradient * model.dtype.itemsize


def micro_batch(model: PuzzleModel, device: torch.device, share: int) -> int:
    """How many sequences of `share` go through the network at once, all but the last parts equal.

    As many as are fastest, and half the device's memory may be taken by what is kept for the
    backward pass.
    """
    fitting = memory_bytes(device) / 2 / activation_bytes(model)
    chunks = math.ceil(
        share / min(fitting, model.cpu_micro_batch_size(model.config.length) or share)
    )
    return math.ceil(share / chunks)
