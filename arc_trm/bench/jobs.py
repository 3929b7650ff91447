"""The three things that are measured, each as a real run does it: training, prediction, data."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from arc_trm.bench.parts import parts_of_prediction, parts_of_training
from arc_trm.bench.timing import peak_memory, product_rate, synchronise, timed
from arc_trm.bench.work import supervision_flops
from arc_trm.checkpoint import Weights
from arc_trm.clock import STARTED
from arc_trm.config import RunConfig
from arc_trm.data.batches import Batches
from arc_trm.data.learning import LearningSet, learning_set
from arc_trm.data.selection import predicted_tasks
from arc_trm.device import DTYPES, compiles, pick_dtype, process_group
from arc_trm.model import RecursiveModel, build_model
from arc_trm.predict.asking import answers, batch_limit, dealt, questions
from arc_trm.train import Trainer
from arc_trm.train.plan import Ahead, micro_batch, total_steps

SECONDS = 10.0  # of repeated steps, after one to warm up
LARGEST_ON_A_CPU = 8  # sequences of the published size take a second each
Note = Callable[[str], None]
Result = dict[str, Any]


class _Clock:
    """Seconds since the program began, without those spent on measuring the product's rate."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype, self.paused, self.rate = device, dtype, 0.0, 0.0
        self.first_step = 0.0

    def measure_product(self) -> None:
        began = time.monotonic()
        self.rate = max(self.rate, product_rate(self.device, self.dtype))
        self.paused += time.monotonic() - began

    def step_done(self) -> None:
        synchronise(self.device)
        self.first_step = time.monotonic() - STARTED - self.paused


def _about(config: RunConfig, device: torch.device, batch_size: int) -> Result:
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


def _steps(step: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a step over some seconds."""
    samples: list[float] = []
    began = time.perf_counter()
    while not samples or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        step()
        synchronise(device)
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def _default_batch(wanted: int, device: torch.device) -> int:
    return wanted if device.type == "cuda" else min(wanted, LARGEST_ON_A_CPU)


def _rates(clock: _Clock, flops: float, examples: int, seconds: float) -> Result:
    return {
        "examples_per_second": examples / seconds,
        "seconds_per_step": seconds,
        "gflop_per_example": flops / 1e9,
        "product_tflops": clock.rate / 1e12,
        "utilisation": flops * examples / seconds / clock.rate,
        "first_step_seconds": clock.first_step,
    }


def _fresh(
    config: RunConfig, device: torch.device, learnt: LearningSet
) -> tuple[RecursiveModel, torch.Generator]:
    generator = torch.Generator().manual_seed(config.seed)
    dtype = DTYPES[config.dtype]
    return build_model(config.model, len(learnt.names), dtype, generator).to(device), generator


def bench_train(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool | None = None,
) -> Result:
    """Steps of a run with `config` from its beginning, in every process of a torchrun job.

    Args:
        config: of the run.
        device: where to compute.
        batch_size: of the whole job; None is the config's, on a CPU at most 8 a process.
        compiled: use torch.compile; None is where it pays.

    Raises UserError if the run could not begin either.
    """
    with process_group(device) as (rank, world):
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        clock = _Clock(device, DTYPES[config.dtype])
        learnt = learning_set(config)
        wanted = math.ceil(config.train.global_batch_size / world)
        share = batch_size // world if batch_size else _default_batch(wanted, device)
        train = replace(config.train, global_batch_size=share * world)
        batches = Batches(learnt.groups, share * world, config.seed, (rank, world))
        model, generator = _fresh(config, device, learnt)
        model.compiled = compiles(device, compiled)
        steps = total_steps(config, batches)
        chunk = micro_batch(model, device, share)
        trainer = Trainer(model, replace(train, total_steps=steps), generator, chunk)

        ahead = Ahead(batches, device)

        def step() -> None:
            trainer.step(ahead(trainer.steps_done))

        step()
        clock.step_done()
        clock.measure_product()
        seconds = _steps(step, device)
        memory = peak_memory(device)
        clock.measure_product()
        flops = supervision_flops(model, config.model.length, training=True)
        rate = share * world / seconds
        ahead.close()
        data = timed(lambda: batches(trainer.steps_done), torch.device("cpu"))
        parts = {"data": data} | parts_of_training(trainer, chunk)
        return {
            "what": "train",
            **_about(config, device, share * world),
            **_rates(clock, flops, share, seconds),
            "examples_per_second": rate,
            "compiled": model.compiled,
            "processes": world,
            "micro_batch": chunk,
            "peak_memory_mb": memory // 2**20,
            "parts": parts,
            "whole_run": {
                "examples": steps * config.train.global_batch_size,
                "seconds": steps * config.train.global_batch_size / rate,
            },
        }


def bench_predict(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool | None = None,
) -> Result:
    """Batches of questions about the test inputs of `config`, to a model with fresh weights.

    Args:
        config: of the run whose test inputs are answered.
        device: where to compute.
        batch_size: questions at once; None suits the device.
        compiled: use torch.compile; None is where it pays.

    Raises UserError if there is nothing to predict.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    clock = _Clock(device, DTYPES[config.dtype])
    learnt = learning_set(config)
    tasks = predicted_tasks(config.data)
    model, _ = _fresh(config, device, learnt)
    model.compiled = compiles(device, compiled)
    weights = Weights(model.eval(), {name: row for row, name in enumerate(learnt.names)})
    asked, _ = questions(weights, tasks)
    size = batch_size or _default_batch(batch_limit(weights), device)
    begun = 0

    def step() -> None:
        nonlocal begun
        for _ in answers(weights, tasks, dealt(asked, begun % 97, 97)[:size]):
            pass
        begun += 1

    step()
    clock.step_done()
    clock.measure_product()
    seconds = _steps(step, device)
    memory = peak_memory(device)
    clock.measure_product()
    rounds = config.model.supervision_steps
    flops = rounds * supervision_flops(model, config.model.length, training=False)
    rates = _rates(clock, flops, size, seconds)
    return {
        "what": "predict",
        **_about(config, device, size),
        **rates,
        "compiled": model.compiled,
        "supervision_steps": rounds,
        "peak_memory_mb": memory // 2**20,
        "parts": parts_of_prediction(model, size),
        "whole_run": {
            "examples": len(asked),
            "seconds": len(asked) / rates["examples_per_second"],
        },
    }


def bench_data(config: RunConfig, batch_size: int | None = None) -> Result:
    """Making batches alone, and all that comes before the first.

    Args:
        config: of the run.
        batch_size: None is the config's.
    """
    size = batch_size or config.train.global_batch_size
    learnt = learning_set(config)
    batches = Batches(learnt.groups, size, config.seed)
    batches(0)
    first = time.monotonic() - STARTED
    begun = 0

    def step() -> None:
        nonlocal begun
        begun += 1
        batches(begun)

    seconds = _steps(step, torch.device("cpu"))
    return {
        "what": "data",
        **_about(config, torch.device("cpu"), size),
        "examples_per_second": size / seconds,
        "seconds_per_step": seconds,
        "first_step_seconds": first,
        "puzzles": len(learnt.names) - 1,
        "peak_memory_mb": peak_memory(torch.device("cpu")) // 2**20,
    }
