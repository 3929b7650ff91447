"""The three things that are measured, each as a real run does it: training, prediction, data."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch

from arc_trm.benchmarks.breakdown import parts_of_prediction, parts_of_training
from arc_trm.benchmarks.flops import layer_flops, supervision_flops
from arc_trm.benchmarks.timing import peak_memory, product_rate, synchronise, timed
from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, RunConfig
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.device import DTYPES, compiles, pick_dtype, process_group
from arc_trm.errors import UserError
from arc_trm.inference.predictor import answers, batch_limit, questions
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.ops import TORCH_OPS
from arc_trm.time_limit import STARTED
from arc_trm.training import Trainer
from arc_trm.training.budget import (
    Prefetcher,
    activation_bytes,
    broadcast_scalar,
    micro_batch,
    total_steps,
)

SECONDS = 10.0  # of repeated steps, after one to warm up and one to see how long they take
LARGEST_ON_A_CPU = 64e9  # operations of a layer: 8 sequences of the published size
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


def _steps(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Median seconds of a step over some seconds, in as many steps on all ranks."""

    def once() -> float:
        start = time.perf_counter()
        step()
        synchronise(device)
        return time.perf_counter() - start

    first = once()
    return statistics.median(
        [first, *(once() for _ in range(int(broadcast_scalar(seconds / first, device))))]
    )


@dataclass(frozen=True)
class _Canvas:
    """Steps on one canvas: their share of all examples, the operations of an example, one step."""

    side: int
    share: float
    flops: float
    step: Callable[[], object]


def _measured(
    canvases: Sequence[_Canvas], device: torch.device, clock: _Clock, size: int
) -> Result:
    """Steps of `size` examples on every canvas, and their mean over all examples."""
    canvases[0].step()
    clock.step_done()
    clock.measure_product()
    each = {}
    for number, canvas in enumerate(canvases):
        if number:  # of the first one has been done
            canvas.step()
        each[str(canvas.side)] = _steps(canvas.step, device, SECONDS / len(canvases))
    memory = peak_memory(device)
    clock.measure_product()
    seconds = sum(canvas.share * each[str(canvas.side)] for canvas in canvases)
    flops = sum(canvas.share * canvas.flops for canvas in canvases)
    return {
        "examples_per_second": size / seconds,
        "seconds_per_step": seconds,
        "seconds_per_step_by_side": each,
        "share_by_side": {str(canvas.side): canvas.share for canvas in canvases},
        "gflop_per_example": flops / 1e9,
        "product_tflops": clock.rate / 1e12,
        "utilisation": flops * size / seconds / clock.rate,
        "first_step_seconds": clock.first_step,
        "peak_memory_mb": memory // 2**20,
    }


def _default_batch(wanted: int, model: ModelConfig, device: torch.device) -> int:
    """What a run would have at once; less if a CPU had to work too long for it."""
    if device.type == "cuda":
        return wanted
    return min(wanted, max(1, int(LARGEST_ON_A_CPU / layer_flops(model, model.length))))


def fresh_model(
    config: RunConfig, rows: int, device: torch.device, compiled: bool | None
) -> tuple[PuzzleModel, torch.Generator]:
    """The model that a run begins with, its table of so many rows, and the run's generator."""
    generator = torch.Generator().manual_seed(config.seed)
    dtype = DTYPES[config.dtype]
    model = build_model(config.model, rows, dtype, generator).to(device)
    model.compiled = compiles(device, compiled)
    return model, generator


def _memory(trainer: Trainer) -> dict[str, int]:
    """MB that a step cannot do without, by what they are for."""
    model, values = trainer.model, trainer.values
    share = trainer.config.global_batch_size // trainer.world
    slots = [tensor for carry in trainer.carries.values() for tensor in carry.values()]
    needed = {
        "table": model.puzzle_embedding.nbytes,
        "network_and_optimiser": 5 * values.nbytes,  # gradients, two moments, average
        "slots": sum(tensor.nbytes for tensor in slots),
        "activations": min(share, trainer.micro_batch) * activation_bytes(model),
    }
    return {name: size // 2**20 for name, size in needed.items()}


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
        batch_size: of the whole job; None is the config's, on a CPU at most what a process of the
            published size has with 8.
        compiled: use torch.compile; None is where it pays.

    Raises UserError if the run could not begin either.
    """
    with process_group(device) as (rank, world), ExitStack() as open_until_the_end:
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        clock = _Clock(device, DTYPES[config.dtype])
        learnt = build_training_set(config)
        if batch_size and batch_size % world:
            raise UserError(
                f"--batch-size ({batch_size}) must be a multiple of the number of processes "
                f"({world})"
            )
        wanted = math.ceil(config.train.global_batch_size / world)
        share = batch_size // world if batch_size else _default_batch(wanted, config.model, device)
        batches = BatchSampler(learnt.groups, share * world, config.seed, (rank, world))
        model, generator = fresh_model(config, len(learnt.names), device, compiled)
        steps = total_steps(config, batches)
        train = replace(config.train, global_batch_size=share * world, total_steps=steps)
        trainer = Trainer(model, train, generator, micro_batch(model, device, share))

        def canvas(cells: int, part: float, there: BatchSampler) -> _Canvas:
            ahead, numbers = (
                open_until_the_end.enter_context(closing(Prefetcher(there, device))),
                count(),
            )
            length = config.model.puzzle_emb_len + cells
            return _Canvas(
                *(math.isqrt(cells), part),
                supervision_flops(model, length, training=True),
                lambda: trainer.step(ahead(next(numbers))),
            )

        canvases = [canvas(cells, *part) for cells, part in batches.canvases().items()]
        measured = _measured(canvases, device, clock, share)
        measured["examples_per_second"] *= world
        examples = steps * config.train.global_batch_size
        data = timed(lambda: batches(trainer.steps_done), torch.device("cpu"))
        return {
            "what": "train",
            **_about(config, device, share * world),
            **measured,
            "compiled": model.compiled,
            "kernels": model.select_ops(model.dtype) is not TORCH_OPS,
            "processes": world,
            "micro_batch": trainer.micro_batch,
            "needed_memory_mb": _memory(trainer),
            "parts": {"data": data} | parts_of_training(trainer),
            "whole_run": {
                "examples": examples,
                "seconds": examples / measured["examples_per_second"],
            },
        }


def bench_predict(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None = None,
    compiled: bool | None = None,
) -> Result:
    """BatchSampler of questions about the test inputs of `config`, to a model with fresh weights.

    Args:
        config: of the run whose test inputs are answered.
        device: where to compute.
        batch_size: questions at once; None suits the device.
        compiled: use torch.compile; None is where it pays.

    Raises UserError if there is nothing to predict.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    clock = _Clock(device, DTYPES[config.dtype])
    learnt = build_training_set(config)
    tasks = predicted_tasks(config.data)
    model, _ = fresh_model(config, len(learnt.names), device, compiled)
    with torch.no_grad():  # so that it draws no grid that reaches the end of a canvas
        model.token_head.weight.zero_()
    model.puzzle_embedding = model.puzzle_embedding.cpu()  # as of loaded weights
    weights = Weights(model.eval(), {name: row for row, name in enumerate(learnt.names)})
    asked, _ = questions(weights, tasks)
    if not asked:
        raise UserError(f"there is nothing to predict in {tasks.name!r}")
    size = batch_size or _default_batch(
        min(len(asked), batch_limit(weights, config.model.side)), config.model, device
    )

    def canvas(side: int) -> _Canvas:
        there = [question for question in asked if question.side == side]
        places = count(step=size)

        def step() -> None:
            first = next(places)
            chosen = [there[(first + index) % len(there)] for index in range(size)]
            deque(answers(weights, tasks, chosen, None, []), maxlen=0)

        length = config.model.puzzle_emb_len + side * side
        flops = supervision_flops(model, length, training=False)
        rounds = config.model.supervision_steps
        return _Canvas(side, len(there) / len(asked), rounds * flops, step)

    sides = sorted({question.side for question in asked}, reverse=True)
    measured = _measured([canvas(side) for side in sides], device, clock, size)
    return {
        "what": "predict",
        **_about(config, device, size),
        **measured,
        "compiled": model.compiled,
        "kernels": model.select_ops(model.dtype) is not TORCH_OPS,
        "supervision_steps": config.model.supervision_steps,
        "parts": parts_of_prediction(model, size),
        "whole_run": {
            "examples": len(asked),
            "seconds": len(asked) / measured["examples_per_second"],
        },
    }


def bench_data(config: RunConfig, batch_size: int | None = None) -> Result:
    """Making batches alone, and all that comes before the first.

    Args:
        config: of the run.
        batch_size: None is the config's.
    """
    size = batch_size or config.train.global_batch_size
    learnt = build_training_set(config)
    batches = BatchSampler(learnt.groups, size, config.seed)
    batches(0)
    first = time.monotonic() - STARTED
    begun = 0

    def step() -> None:
        nonlocal begun
        begun += 1
        batches(begun)

    seconds = _steps(step, torch.device("cpu"), SECONDS)
    return {
        "what": "data",
        **_about(config, torch.device("cpu"), size),
        "examples_per_second": size / seconds,
        "seconds_per_step": seconds,
        "first_step_seconds": first,
        "puzzles": sum(map(len, learnt.groups)),
        "peak_memory_mb": peak_memory(torch.device("cpu")) // 2**20,
    }
