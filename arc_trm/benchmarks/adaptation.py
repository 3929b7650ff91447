"""Adaptation: steps and predictions an hour, measured here and computed for other machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from arc_trm.benchmarks.throughput import Result, bench_predict, bench_training
from arc_trm.callbacks import Callback
from arc_trm.config import RunConfig
from arc_trm.device import process_group
from arc_trm.errors import UserError, format_value

DATA = "arc-agi-2/evaluation"
"""What is adapted to unless the config names data: it resembles the hidden tasks."""
PHASES = {"embedding_only": 1.0, "all_weights": 0.0}
"""The phases of adapting, and the `train.embedding_only_fraction` that has no other."""
TITLES = {
    "embedding_only": "the puzzle embedding only",
    "all_weights": "all weights",
    "predict": "prediction",
}
"""What is measured, in words."""
HOUR = 3600.0
COMMON = ("preset", "device", "processor", "threads", "dtype", "torch", "positions", "processes")
"""Keys of a measurement that are equal in all of them."""
SELECTED = (
    "batch_size",
    "examples_per_second",
    "seconds_per_step",
    "seconds_per_step_quartiles",
    "seconds_per_step_by_side",
    "share_by_side",
    "gflop_per_example",
    "product_tflops",
    "product_tflops_before_after",
    "utilisation",
)
"""Keys of a measurement that differ between them."""


@dataclass(frozen=True)
class Machine:
    """GPUs of one kind, for which rates are computed.

    Attributes:
        tflops: peak of one GPU in `dtype`, dense, by NVIDIA's data sheet.
    """

    name: str
    gpus: int
    dtype: str
    tflops: float


MACHINES = (
    Machine("L4 × 4", 4, "bfloat16", 121.0),
    Machine("T4 × 2", 2, "float32", 8.1),  # a T4 has no bfloat16
    Machine("H100", 1, "bfloat16", 989.4),
)
TRAINING_SHARE, PREDICTION_SHARE = 0.32, 0.38
"""Parts of the peak that an H200 reached (docs/performance.md), assumed for all machines."""


def bench_adapt(
    config: RunConfig,
    device: torch.device,
    batch_size: int | None,
    compiled: bool,
    callback: Callback,
) -> Result:
    """Measure both kinds of steps of adapting, and the predictions after them.

    Under torchrun all processes take the steps together; each predicts as many queries.

    Raises:
        UserError: the config does not adapt, or the run could not start.
    """
    if config.adapt is None:
        raise UserError(
            f"preset {format_value(config.name)} trains from scratch, so `bench train` measures "
            "it: name one "
            "that adapts, with a table [adapt]"
        )
    if not config.data.test:
        config = replace(config, data=replace(config.data, test=(DATA,)))
    with process_group(device) as process:
        measured = {}
        for phase, fraction in PHASES.items():
            callback.note(f"measuring {TITLES[phase]}")
            train = replace(config.train, embedding_only_fraction=fraction)
            changed = replace(config, train=train)
            measured[phase] = bench_training(
                "adapt", changed, device, batch_size, compiled, process, callback
            )
        callback.note(f"measuring {TITLES['predict']}")
        predicted = bench_predict(config, device, batch_size, compiled, callback)
    first = measured["embedding_only"]
    size, share = config.train.global_batch_size, config.train.embedding_only_fraction

    def mean(values: Mapping[str, float]) -> float:
        """Return the mean of the phases over the steps of a run."""
        return share * values["embedding_only"] + (1 - share) * values["all_weights"]

    seconds = mean({name: size / each["examples_per_second"] for name, each in measured.items()})
    gflop = mean({name: size * each["gflop_per_example"] for name, each in measured.items()})
    return {
        "what": "adapt",
        **{key: first[key] for key in COMMON},
        **{phase: _selected(each) for phase, each in measured.items()},
        "predict": _selected(predicted),
        "first_step_seconds": first["first_step_seconds"],
        "peak_memory_mb": predicted["peak_memory_mb"],  # of all three, as it never falls
        "embedding_only_fraction": share,
        "global_batch_size": size,
        "steps_per_hour": HOUR / seconds,
        "predictions_per_hour": HOUR * process[1] * predicted["examples_per_second"],
        "computed": computed_rates(gflop, predicted["gflop_per_example"]),
    }


def _selected(measured: Mapping[str, Any]) -> Result:
    return {key: measured[key] for key in SELECTED}


def computed_rates(gflop_per_step: float, gflop_per_prediction: float) -> dict[str, Any]:
    """Return steps and predictions an hour for every machine, computed and not measured.

    Args:
        gflop_per_step: of a batch, the mean over both phases.
        gflop_per_prediction: of one query.
    """
    rates = {}
    for machine in MACHINES:
        gflop_per_hour = HOUR * 1e3 * machine.gpus * machine.tflops
        steps = TRAINING_SHARE * gflop_per_hour / gflop_per_step
        predictions = PREDICTION_SHARE * gflop_per_hour / gflop_per_prediction
        rates[machine.name] = {
            "dtype": machine.dtype,
            "steps_per_hour": float(f"{steps:.2g}"),  # the shares are no more exact
            "predictions_per_hour": float(f"{predictions:.2g}"),
        }
    return rates
