"""Throughput of training, prediction and data, each measured as a real run does its steps."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch

from arc_trm.benchmarks.breakdown import prediction_breakdown, training_breakdown
from arc_trm.benchmarks.flops import block_flops, supervision_flops
from arc_trm.benchmarks.timing import median_seconds, peak_memory, product_rate, synchronise
from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, RunConfig
from arc_trm.data.prefetch import Prefetcher
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.device import pick_dtype, process_group
from arc_trm.errors import UserError
from arc_trm.inference.predictor import Query, build_queries, max_batch_size, predict_batch
from arc_trm.models import PuzzleModel
from arc_trm.models.ops import TORCH_OPS
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import PROCESS_STARTED
from arc_trm.training import Trainer
from arc_trm.training.budget import (
    activation_bytes,
    broadcast_scalar,
    pick_micro_batch_size,
    total_steps,
)
from arc_trm.training.loop import initial_model
from arc_trm.training.trainer import to_tensors

STEP_SECONDS = 10.0
"""How long steps are repeated, after one to warm up and one to see how long they take."""
MAX_CPU_BLOCK_FLOPS = 64e9
"""FLOP of a block in a step on a CPU, unless a batch size is given: 8 examples of the published
size."""
Result = dict[str, Any]


@dataclass(frozen=True)
class _CanvasBenchmark:
    """Steps on one canvas: its share of all examples, and the FLOP of an example."""

    side: int
    share: float
    flops: float
    step: Callable[[], object]


def bench_train(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool | None = None,
) -> Result:
    """Measure the first steps of a run, in every process of a torchrun job.

    Args:
        config: of the run.
        device: where to compute.
        batch_size: over all processes; None is the config's, on a CPU at most what takes as long as
            8 examples of the published size in each process.
        compiled: use torch.compile; None is where it pays.

    Raises:
        UserError: the run could not start.
    """
    with process_group(device) as (rank, world_size), ExitStack() as stack:
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        training_set = build_training_set(config)
        if batch_size is None:
            wanted = math.ceil(config.train.global_batch_size / world_size)
            batch_size = world_size * _default_batch_size(wanted, config.model, device)
        if batch_size % world_size:
            raise UserError(
                f"--batch-size ({batch_size}) must be a multiple of the number of processes "
                f"({world_size})"
            )
        size = batch_size // world_size
        sampler = BatchSampler(training_set.dataset, batch_size, config.seed, rank, world_size)
        num_puzzles = len(training_set.puzzle_names)
        model, generator = initial_model(config, num_puzzles, device, compiled, pretrained=False)
        steps = total_steps(config, sampler)
        train = replace(config.train, global_batch_size=batch_size, total_steps=steps)
        micro_batch_size = pick_micro_batch_size(model, device, size)
        trainer = Trainer(model, train, generator, micro_batch_size)
        canvases = _training_canvases(trainer, sampler, stack)
        measured = _measure(canvases, model, device, size)
        measured["examples_per_second"] *= world_size
        data = median_seconds(lambda: sampler(trainer.steps_done), torch.device("cpu"))
        return {
            "what": "train",
            **_describe(config, device, batch_size),
            **measured,
            "processes": world_size,
            "micro_batch": micro_batch_size,
            "needed_memory_mb": _needed_memory(trainer),
            "breakdown": {"data": data, **training_breakdown(trainer)},
            "whole_run": _whole_run(steps * config.train.global_batch_size, measured),
        }


def bench_predict(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool | None = None,
) -> Result:
    """Measure predictions of the test inputs of a run, by a model with fresh weights.

    Args:
        config: of the run.
        device: where to compute.
        batch_size: queries in a batch; None suits the device.
        compiled: use torch.compile; None is where it pays.

    Raises:
        UserError: there is nothing to predict.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    training_set = build_training_set(config)
    tasks = predicted_tasks(config.data)
    names = training_set.puzzle_names
    model, _ = initial_model(config, len(names), device, compiled, pretrained=False)
    with torch.no_grad():  # so that no predicted grid reaches the edge of a smaller canvas
        model.token_head.weight.zero_()
    model.puzzle_embedding = model.puzzle_embedding.cpu()  # as of loaded weights
    weights = Weights(model.eval(), {name: index for index, name in enumerate(names)})
    queries, _ = build_queries(weights, tasks)
    if not queries:
        raise UserError(f"there is nothing to predict in {tasks.name!r}")
    wanted = min(len(queries), max_batch_size(weights, config.model.side))
    size = batch_size or _default_batch_size(wanted, config.model, device)
    canvases = _prediction_canvases(weights, tasks, queries, size)
    measured = _measure(canvases, model, device, size)
    return {
        "what": "predict",
        **_describe(config, device, size),
        **measured,
        "supervision_steps": config.model.supervision_steps,
        "breakdown": prediction_breakdown(model, size),
        "whole_run": _whole_run(len(queries), measured),
    }


def bench_data(config: RunConfig, batch_size: int | None = None) -> Result:
    """Measure how batches are made, and everything that comes before the first one."""
    size = batch_size or config.train.global_batch_size
    training_set = build_training_set(config)
    sampler = BatchSampler(training_set.dataset, size, config.seed)
    sampler(0)
    first_step = time.monotonic() - PROCESS_STARTED
    steps = count(1)
    seconds = _median_step_seconds(lambda: sampler(next(steps)), torch.device("cpu"), STEP_SECONDS)
    return {
        "what": "data",
        **_describe(config, torch.device("cpu"), size),
        "examples_per_second": size / seconds,
        "seconds_per_step": seconds,
        "first_step_seconds": first_step,
        "puzzles": sum(map(len, training_set.dataset)),
        "peak_memory_mb": peak_memory(torch.device("cpu")) // 2**20,
    }


def _training_canvases(
    trainer: Trainer, sampler: BatchSampler, stack: ExitStack
) -> list[_CanvasBenchmark]:
    """Return the training steps of every canvas; `stack` closes what they open."""
    model, device = trainer.model, trainer.flat_params.device

    def make_canvas(seq_len: int, share: float, canvas_sampler: BatchSampler) -> _CanvasBenchmark:
        prefetcher = Prefetcher(lambda step: to_tensors(canvas_sampler(step), device))
        stack.enter_context(closing(prefetcher))
        steps = count()
        flops = supervision_flops(model, model.config.puzzle_emb_len + seq_len, training=True)
        return _CanvasBenchmark(
            math.isqrt(seq_len), share, flops, lambda: trainer.step(prefetcher(next(steps)))
        )

    return [
        make_canvas(seq_len, share, canvas_sampler)
        for seq_len, (share, canvas_sampler) in sampler.by_canvas_size().items()
    ]


def _prediction_canvases(
    weights: Weights, tasks: TaskSet, queries: Sequence[Query], batch_size: int
) -> list[_CanvasBenchmark]:
    """Return the batches of queries of every canvas, the largest first."""
    config = weights.model.config

    def make_canvas(side: int) -> _CanvasBenchmark:
        same_side = [query for query in queries if query.side == side]
        starts = count(step=batch_size)

        def step() -> None:
            start = next(starts)
            batch = [same_side[(start + index) % len(same_side)] for index in range(batch_size)]
            list(predict_batch(weights, tasks, batch, None, []))

        length = config.puzzle_emb_len + side * side
        flops = supervision_flops(weights.model, length, training=False)
        share = len(same_side) / len(queries)
        return _CanvasBenchmark(side, share, config.supervision_steps * flops, step)

    sides = sorted({query.side for query in queries}, reverse=True)
    return [make_canvas(side) for side in sides]


def _measure(
    canvases: Sequence[_CanvasBenchmark], model: PuzzleModel, device: torch.device, batch_size: int
) -> Result:
    """Measure steps on every canvas, and compute their mean over all examples."""
    canvases[0].step()
    synchronise(device)
    first_step = time.monotonic() - PROCESS_STARTED
    rate = product_rate(device, model.dtype)
    by_side = {}
    for index, canvas in enumerate(canvases):
        if index:  # the first canvas is warm
            canvas.step()
        by_side[str(canvas.side)] = _median_step_seconds(
            canvas.step, device, STEP_SECONDS / len(canvases)
        )
    memory = peak_memory(device)
    rate = max(rate, product_rate(device, model.dtype))
    seconds = sum(canvas.share * by_side[str(canvas.side)] for canvas in canvases)
    flops = sum(canvas.share * canvas.flops for canvas in canvases)
    return {
        "examples_per_second": batch_size / seconds,
        "seconds_per_step": seconds,
        "seconds_per_step_by_side": by_side,
        "share_by_side": {str(canvas.side): canvas.share for canvas in canvases},
        "gflop_per_example": flops / 1e9,
        "product_tflops": rate / 1e12,
        "utilisation": flops * batch_size / seconds / rate,
        "first_step_seconds": first_step,
        "peak_memory_mb": memory // 2**20,
        "compiled": model.compiled,
        "kernels": model.select_ops(model.dtype) is not TORCH_OPS,
    }


def _median_step_seconds(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the median seconds of the steps of some seconds; all ranks take equally many."""

    def elapsed() -> float:
        started = time.perf_counter()
        step()
        synchronise(device)
        return time.perf_counter() - started

    first = elapsed()
    repeats = int(broadcast_scalar(seconds / first, device))
    return statistics.median([first, *(elapsed() for _ in range(repeats))])


def _default_batch_size(wanted: int, model: ModelConfig, device: torch.device) -> int:
    """Return the batch size of a run, or a smaller one where a CPU would work too long for it."""
    if device.type == "cuda":
        return wanted
    return min(wanted, max(1, int(MAX_CPU_BLOCK_FLOPS / block_flops(model, model.length))))


def _describe(config: RunConfig, device: torch.device, batch_size: int) -> Result:
    cuda = device.type == "cuda"
    return {
        "preset": config.name,
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "dtype": config.dtype,
        "torch": torch.__version__,
        "batch_size": batch_size,
        "positions": config.model.length,
    }


def _whole_run(examples: int, measured: Result) -> Result:
    return {"examples": examples, "seconds": examples / measured["examples_per_second"]}


def _needed_memory(trainer: Trainer) -> dict[str, int]:
    """Return the MB that a training step needs, by purpose."""
    model = trainer.model
    carry = [tensor for carry in trainer.carries.values() for tensor in carry.values()]
    micro_batch_size = min(trainer.batch_size, trainer.micro_batch_size)
    needed = {
        "puzzle_embedding": model.puzzle_embedding.nbytes,
        "network_and_optimiser": 5 * trainer.flat_params.nbytes,  # gradients, two moments, EMA
        "carry": sum(tensor.nbytes for tensor in carry),
        "activations": micro_batch_size * activation_bytes(model),
    }
    return {name: size // 2**20 for name, size in needed.items()}
