"""Throughput of training, prediction and data, each measured as a real run does its steps."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from typing import Any

import torch
from torch.profiler import record_function

from arc_trm.benchmarks.breakdown import PREFIX, WAITING, has_breakdown, step_parts
from arc_trm.benchmarks.flops import block_flops, supervision_flops
from arc_trm.benchmarks.machine import machine_names
from arc_trm.benchmarks.timing import (
    PowerMeter,
    elapsed,
    peak_memory,
    product_rate,
    quartile_range,
    synchronise,
)
from arc_trm.callbacks import Callback
from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, RunConfig, describe_preset
from arc_trm.data.processes import SLOTS, BatchProcesses, process_count
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.device import pick_dtype
from arc_trm.errors import UserError, format_name
from arc_trm.inference.engine import predict_batch
from arc_trm.inference.queries import Query, build_queries, max_batch_size
from arc_trm.models import PuzzleModel
from arc_trm.models.cuda_graphs import WARM_CALLS
from arc_trm.models.layers import state_length
from arc_trm.models.ops import TORCH_OPS
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import PROCESS_STARTED
from arc_trm.training import Trainer
from arc_trm.training.batches import batches_ahead
from arc_trm.training.budget import (
    activation_bytes,
    broadcast_scalar,
    pick_micro_batch_size,
    total_steps,
)
from arc_trm.training.setup import initial_model

STEP_SECONDS = 10.0
"""How long steps are repeated, after one to warm up and one to see how long they take."""
GPU_SAMPLES = 5
"""Samples of the rate of steps on a GPU."""
MAX_CPU_BLOCK_FLOPS = 64e9
"""FLOP of a block in a step on a CPU, unless a batch size is given: 8 examples of the published
size."""
Result = dict[str, Any]


@dataclass(frozen=True)
class CanvasSteps:
    """Steps on the canvas of `seq_len` cells, which a share of all examples has."""

    seq_len: int
    share: float
    step: Callable[[], object]


@dataclass(frozen=True)
class Benchmark:
    """What is measured: steps of a model.

    Attributes:
        config: of the run, with the dtype that is used.
        canvases: the largest first.
        batch_size: examples or queries in a step, of all processes.
        examples: of the whole run.
        trainer: of training steps; None predicts.
    """

    config: RunConfig
    model: PuzzleModel
    canvases: Sequence[CanvasSteps]
    batch_size: int
    examples: int
    world_size: int = 1
    trainer: Trainer | None = None

    @property
    def device(self) -> torch.device:
        return self.model.y_init.device


class TrainingStep:
    """Takes the next step of a run when it is called.

    Args:
        trainer: takes the steps.
        sampler: of their batches.
        stack: ends what makes the batches.

    Attributes:
        waited: how many seconds each step waited for its batch.
    """

    def __init__(self, trainer: Trainer, sampler: BatchSampler, stack: ExitStack) -> None:
        self._trainer, self._sampler, self._stack = trainer, sampler, stack
        self._batch_of: Callable[[int], dict[str, torch.Tensor]] | None = None
        self.waited: list[float] = []

    def __call__(self) -> None:
        if self._batch_of is None:  # at the first step, as not all canvases are measured at once
            device = self._trainer.flat_params.device
            self._batch_of = self._stack.enter_context(batches_ahead(self._sampler, device))
        started = time.perf_counter()
        with record_function(PREFIX + WAITING):
            batch = self._batch_of(self._trainer.steps_done)
        self.waited.append(time.perf_counter() - started)
        self._trainer.step(batch)


def prepare_training(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None,
    compiled: bool,
    process: tuple[int, int],
    stack: ExitStack,
) -> Benchmark:
    """Return the first steps of a run, to be measured inside the group of its processes.

    Without `batch_size`, of all processes, it is the config's, on a CPU at most what takes as long
    as 8 examples of the published size in each process.

    Args:
        process: rank and world size.
        stack: ends the threads that make batches.

    Raises:
        UserError: the run could not start.
    """
    config, trainer, sampler, examples = prepare_trainer(
        config, device, batch_size, compiled, process
    )
    canvases = [
        CanvasSteps(seq_len, share, TrainingStep(trainer, part, stack))
        for seq_len, (share, part) in sampler.by_canvas_size().items()
    ]
    size, world_size = sampler.batch_size, process[1]
    return Benchmark(config, trainer.model, canvases, size, examples, world_size, trainer)


def prepare_trainer(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None,
    compiled: bool,
    process: tuple[int, int],
) -> tuple[RunConfig, Trainer, BatchSampler, int]:
    """Return the trainer of a run, as `prepare_training` says it.

    Returns:
        The config with the dtype that is used, the trainer, the sampler of its batches, and the
        examples of the whole run.
    """
    rank, world_size = process
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
    sampler = BatchSampler(training_set.dataset, batch_size, config.seed, rank, world_size)
    num_puzzles = len(training_set.puzzle_names)
    model, generator = initial_model(config, num_puzzles, device, compiled, pretrained=False)
    steps = total_steps(config, sampler)
    train = replace(config.train, global_batch_size=batch_size, total_steps=steps)
    micro_batch_size = pick_micro_batch_size(model, device, batch_size // world_size)
    trainer = Trainer(model, train, generator, micro_batch_size)
    return config, trainer, sampler, steps * config.train.global_batch_size


def bench_training(
    what: str,
    config: RunConfig,
    device: torch.device,
    batch_size: int | None,
    compiled: bool,
    process: tuple[int, int],
    callback: Callback,
) -> Result:
    """Measure what `prepare_training` prepares, in every process of a torchrun job.

    Raises:
        UserError: the run could not start.
    """
    with ExitStack() as stack:
        callback.stage("building the data and the model", 0, None)
        benchmark = prepare_training(config, device, batch_size, compiled, process, stack)
        measured = _measure(what, benchmark, callback)
        trainer = benchmark.trainer
        assert trainer is not None
        return {
            **measured,
            "processes": benchmark.world_size,
            "micro_batch": trainer.micro_batch_size,
            "needed_memory_mb": _needed_memory(trainer),
        }


def prepare_prediction(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool = False,
) -> Benchmark:
    """Return predictions of the test inputs of a run, by a model with fresh weights.

    Raises:
        UserError: there is nothing to predict.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    training_set = build_training_set(config)
    tasks = predicted_tasks(config.data)
    names = training_set.puzzle_names
    model, _ = initial_model(config, len(names), device, compiled, pretrained=False)
    with torch.no_grad():  # so that no predicted grid reaches the edge of a smaller canvas
        for weight in model.heads.parameters():
            weight.zero_()
    model.puzzle_embedding = model.puzzle_embedding.cpu()  # as of loaded weights
    weights = Weights(model.eval(), {name: index for index, name in enumerate(names)})
    queries, _ = build_queries(weights, tasks)
    if not queries:
        raise UserError(f"there is nothing to predict in {format_name(tasks.name)}")
    wanted = min(len(queries), max_batch_size(weights, config.model.side))
    size = batch_size or _default_batch_size(wanted, config.model, device)
    canvases = []
    for side in sorted({query.side for query in queries}, reverse=True):
        same_side = [query for query in queries if query.side == side]
        step = _prediction_step(weights, tasks, same_side, size)
        canvases.append(CanvasSteps(side * side, len(same_side) / len(queries), step))
    return Benchmark(config, model, canvases, size, len(queries))


def bench_predict(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None,
    compiled: bool,
    callback: Callback,
) -> Result:
    """Measure what `prepare_prediction` prepares.

    Raises:
        UserError: there is nothing to predict.
    """
    callback.stage("building the data and the model", 0, None)
    benchmark = prepare_prediction(config, device, batch_size, compiled)
    steps = config.model.supervision_steps
    return {**_measure("predict", benchmark, callback), "supervision_steps": steps}


def _prediction_step(
    weights: Weights, tasks: TaskSet, queries: Sequence[Query], batch_size: int
) -> Callable[[], object]:
    """Return a function that predicts the next of the queries, over and over."""
    endless = cycle(queries)
    return lambda: list(predict_batch(weights, tasks, list(islice(endless, batch_size)), None, []))


def bench_data(config: RunConfig, batch_size: int | None, callback: Callback) -> Result:
    """Measure how batches are made, by one process and by all, and what comes before the first."""
    callback.stage("building the data", 0, None)
    size = batch_size or config.train.global_batch_size
    training_set = build_training_set(config)
    sampler = BatchSampler(training_set.dataset, size, config.seed)
    sampler(0)
    first_step = time.monotonic() - PROCESS_STARTED
    callback.stage("batches of one process", 0, None)
    steps = count(1)
    samples = _step_seconds(lambda: sampler(next(steps)), torch.device("cpu"), STEP_SECONDS)
    together = seconds = statistics.median(samples)
    if processes := process_count():
        callback.stage("batches of all processes together", 0, None)
        try:
            together = _together_seconds(sampler, processes, seconds)
        except OSError as error:
            processes = 0
            callback.note(f"no process can be started to make batches: {error.strerror}")
    return {
        "what": "data",
        **_describe(config, torch.device("cpu"), size),
        "examples_per_second": size / seconds,
        "seconds_per_step": seconds,
        "batch_processes": processes,
        "examples_per_second_of_all": size / together,
        "first_step_seconds": first_step,
        "puzzles": sum(map(len, training_set.dataset)),
        "peak_memory_mb": peak_memory(torch.device("cpu")) // 2**20,
    }


def _together_seconds(sampler: BatchSampler, processes: int, seconds: float) -> float:
    """Return the mean seconds between batches of several processes; one takes `seconds` a batch."""
    with closing(BatchProcesses(sampler, processes)) as batch_of:
        ready = SLOTS * processes
        for step in range(ready):  # later ones are not ready before they are asked for
            batch_of(step)
        last = ready + math.ceil(processes * STEP_SECONDS / seconds)
        started = time.monotonic()
        for step in range(ready, last):
            batch_of(step)
        return (time.monotonic() - started) / (last - ready)


def _measure(what: str, benchmark: Benchmark, callback: Callback) -> Result:
    """Measure steps on every canvas, and compute their mean over all examples of a run."""
    config, model, device = benchmark.config, benchmark.model, benchmark.device
    canvases, trainer = benchmark.canvases, benchmark.trainer
    callback.stage("first step", 0, None)
    canvases[0].step()
    synchronise(device)
    first_step = time.monotonic() - PROCESS_STARTED
    callback.stage("large matrix product", 0, None)
    rate = product_rate(device, model.dtype)
    alone = config.train.embedding_only_fraction == 1
    by_side, shares, seconds, flops, waited = {}, {}, 0.0, 0.0, 0.0
    low, high = 0.0, 0.0
    with PowerMeter(device) as power:
        for index, canvas in enumerate(canvases):
            side = str(math.isqrt(canvas.seq_len))
            callback.stage(f"steps on the canvas of side {side}", 0, None)
            warm_up(canvas, device, index == 0)
            length = model.state_length(canvas.seq_len)
            samples = _step_seconds(canvas.step, device, STEP_SECONDS / len(canvases))
            by_side[side] = statistics.median(samples)
            quartiles = quartile_range(samples)
            low, high = low + canvas.share * quartiles[0], high + canvas.share * quartiles[1]
            shares[side] = canvas.share
            seconds += canvas.share * by_side[side]
            waited += canvas.share * _waiting(canvas)
            flops += canvas.share * supervision_flops(model, length, trainer is not None, alone)
    if trainer is None:
        flops *= config.model.supervision_steps
    memory = peak_memory(device)
    callback.stage("large matrix product, again", 0, None)
    rates = rate, product_rate(device, model.dtype)
    rate = max(rates)
    breakdown = {}
    if has_breakdown(device):
        callback.stage("profile of a step", 0, None)
        first, step_seconds = canvases[0], next(iter(by_side.values()))
        breakdown = step_parts(first.step, step_seconds, _waiting(first), model, trainer)
    return {
        "what": what,
        **_describe(config, device, benchmark.batch_size),
        "examples_per_second": benchmark.batch_size / seconds,
        "seconds_per_step": seconds,
        "seconds_per_step_quartiles": [low, high],
        "seconds_per_step_by_side": by_side,
        "share_by_side": shares,
        "gflop_per_example": flops / 1e9,
        "product_tflops": rate / 1e12,
        "product_tflops_before_after": [each / 1e12 for each in rates],
        "utilisation": flops * benchmark.batch_size / benchmark.world_size / seconds / rate,
        "first_step_seconds": first_step,
        "peak_memory_mb": memory // 2**20,
        "reserved_memory_mb": _reserved_memory(device),
        "watts": power.mean_watts,
        "compiled": model.compiled,
        "kernels": not model.compiled and model.select_ops(model.dtype) is not TORCH_OPS,
        "waits_for_data": waited / seconds,
        "breakdown": breakdown,
        "whole_run": {
            "examples": benchmark.examples,
            "seconds": benchmark.examples * seconds / benchmark.batch_size,
        },
    }


def warm_up(canvas: CanvasSteps, device: torch.device, has_stepped: bool = False) -> None:
    """Take steps until those that follow are as fast as in a long run.

    A GPU compiles kernels, and records small steps before it replays them.
    """
    for _ in range(WARM_CALLS + 1 if device.type == "cuda" else int(not has_stepped)):
        canvas.step()


def _waiting(canvas: CanvasSteps) -> float:
    """Return the median seconds that a step waited for its batch, but for the first one."""
    if not isinstance(canvas.step, TrainingStep):
        return 0.0
    return statistics.median(canvas.step.waited[1:])


def _reserved_memory(device: torch.device) -> int | None:
    """Return the most MB that PyTorch held on a GPU, free memory included; None on others."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_reserved(device) // 2**20


def _step_seconds(step: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Return the seconds of steps, measured for some seconds; all ranks take equally many.

    On a GPU several steps are timed together, because a run starts a step before the GPU has done
    the one before.
    """
    first = elapsed(step, device)
    repeats = int(broadcast_scalar(seconds / first, device))
    if device.type == "cpu":
        return [first, *(elapsed(step, device) for _ in range(repeats))]
    together = max(1, math.ceil(repeats / GPU_SAMPLES))
    return [elapsed(step, device, together) / together for _ in range(GPU_SAMPLES)]


def _default_batch_size(wanted: int, model: ModelConfig, device: torch.device) -> int:
    """Return the batch size of a run, or a smaller one where a CPU would work too long for it."""
    if device.type == "cuda":
        return wanted
    return min(wanted, max(1, int(MAX_CPU_BLOCK_FLOPS / block_flops(model, state_length(model)))))


def _describe(config: RunConfig, device: torch.device, batch_size: int) -> Result:
    return {
        "preset": describe_preset(config),
        **machine_names(device),
        "threads": torch.get_num_threads(),
        "dtype": config.dtype,
        "torch": torch.__version__,
        "batch_size": batch_size,
        "positions": state_length(config.model),
    }


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
