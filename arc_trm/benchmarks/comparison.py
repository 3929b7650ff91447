"""Two settings of a run against each other, by blocks of steps that alternate in one process."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from arc_trm.benchmarks.machine import machine_names, machine_text
from arc_trm.benchmarks.throughput import (
    Benchmark,
    Result,
    prepare_prediction,
    prepare_training,
    warm_up,
)
from arc_trm.benchmarks.timing import elapsed, synchronise
from arc_trm.callbacks import Callback
from arc_trm.config import RunConfig, describe_preset
from arc_trm.device import process_group
from arc_trm.training.budget import broadcast_scalar

ROUNDS = 9
"""How often the two alternate: the median has as many on either side, and outliers are seen."""
BLOCK_SECONDS = 2.0
"""How long a block of steps takes, at least one step on every canvas."""


@dataclass(frozen=True)
class Setting:
    """One side of a comparison: what `run_benchmark` takes, and how the user wrote it."""

    name: str
    config: RunConfig
    batch_size: int | None = None
    compiled: bool = False


def bench_comparison(
    what: str, settings: Sequence[Setting], device: torch.device, callback: Callback
) -> Result:
    """Measure two settings by turns.

    Args:
        what: `train` or `predict`.
        settings: two of them.
        device: where both models are.
        callback: receives the progress.

    Returns:
        Medians of the examples a second of both, and of the ratio of the second to the first in
        each round, each with its least and most. `blocks` are the examples a second in each round.

    Raises:
        UserError: a run could not start.
    """
    with process_group(device) as process, ExitStack() as stack:
        benchmarks = []
        for setting in settings:
            callback.stage(f"first steps, {setting.name}", 0, None)
            options = (setting.config, device, setting.batch_size, setting.compiled)
            if what == "train":
                benchmark = prepare_training(*options, process, stack)
            else:
                benchmark = prepare_prediction(*options)
            for canvas in benchmark.canvases:
                warm_up(canvas, device)
            synchronise(device)
            benchmarks.append(benchmark)
        repeats = [_repeats(benchmark) for benchmark in benchmarks]
        rates: list[list[float]] = [[], []]
        callback.progress(0, ROUNDS)
        for done in range(ROUNDS):
            for index in (0, 1) if done % 2 else (1, 0):  # neither is always the first
                rates[index].append(_examples_per_second(benchmarks[index], repeats[index]))
            callback.progress(done + 1, ROUNDS)
    ratios = [second / first for first, second in zip(*rates, strict=True)]
    return {
        "what": "compare",
        "measured": what,
        "preset": describe_preset(settings[0].config),
        **machine_names(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "processes": process[1],
        "rounds": ROUNDS,
        "settings": [
            {
                "name": setting.name,
                "batch_size": benchmark.batch_size,
                "dtype": benchmark.config.dtype,
                "compiled": benchmark.model.compiled,
                "examples_per_second": _spread(each),
                "blocks": each,
            }
            for setting, benchmark, each in zip(settings, benchmarks, rates, strict=True)
        ],
        "ratio": _spread(ratios),
        "differs": min(ratios) > 1 or max(ratios) < 1,
    }


def _repeats(benchmark: Benchmark) -> list[int]:
    """Return how many steps on each canvas make a block; all ranks take equally many."""
    seconds = BLOCK_SECONDS / len(benchmark.canvases)
    device = benchmark.device
    return [
        max(1, int(broadcast_scalar(seconds / elapsed(canvas.step, device), device)))
        for canvas in benchmark.canvases
    ]


def _examples_per_second(benchmark: Benchmark, repeats: Sequence[int]) -> float:
    """Take a block of steps, and return the rate over all examples of a run."""
    seconds = sum(
        canvas.share * elapsed(canvas.step, benchmark.device, count) / count
        for canvas, count in zip(benchmark.canvases, repeats, strict=True)
    )
    return benchmark.batch_size / seconds


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def comparison_lines(values: dict[str, Any]) -> list[str]:
    """Return what a person wants to know of a comparison."""
    several = "queries" if values["measured"] == "predict" else "examples"
    lines = [f"{values['measured']}, preset {values['preset']}, {machine_text(values)}"]
    for each in values["settings"]:
        rate = each["examples_per_second"]
        lines.append(
            f"  {rate['median']:.4g} {several} a second ({rate['least']:.4g} to "
            f"{rate['most']:.4g}), batch {each['batch_size']}, {each['dtype']}: {each['name']}"
        )
    ratio = values["ratio"]
    spread = f"{ratio['median']:.3f} ({ratio['least']:.3f} to {ratio['most']:.3f})"
    meaning = "the second to the first" if values["differs"] else "no difference"
    lines.append(f"ratio in {values['rounds']} rounds: {spread}, {meaning}")
    return lines
