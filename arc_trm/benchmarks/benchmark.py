"""Run a benchmark by name, and say its result in words or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arc_trm.benchmarks.adaptation import PREDICTION_SHARE, TITLES, TRAINING_SHARE, bench_adapt
from arc_trm.benchmarks.busy import bench_busy, busy_lines
from arc_trm.benchmarks.comparison import Setting, bench_comparison, comparison_lines
from arc_trm.benchmarks.files import bench_files, file_lines
from arc_trm.benchmarks.kernels import bench_kernels, kernel_lines
from arc_trm.benchmarks.machine import machine_text
from arc_trm.benchmarks.scaling import bench_scaling
from arc_trm.benchmarks.throughput import bench_data, bench_predict, bench_training
from arc_trm.callbacks import Callback
from arc_trm.config import RunConfig
from arc_trm.device import pick_device, process_group
from arc_trm.errors import UserError, verb
from arc_trm.io import WriteError
from arc_trm.time_limit import format_duration
from arc_trm.viz.svg import check_ending, save

COMPARABLE = ("train", "predict")
"""Benchmarks that compare two settings."""
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark measured: `values` are seconds unless a key says otherwise."""

    values: dict[str, Any]
    picture: Path | None = None

    def to_json(self) -> str:
        """Return one line of JSON, numbers rounded."""
        return json.dumps(_round(self.values))

    def lines(self) -> list[str]:
        """Return what a person wants to know."""
        if self.picture is not None:
            return [str(self.picture)]
        if self.values["what"] == "adapt":
            return _adapt_lines(self.values)
        if self.values["what"] == "compare":
            return comparison_lines(self.values)
        if self.values["what"] == "files":
            return file_lines(self.values)
        if self.values["what"] == "busy":
            return busy_lines(self.values)
        if self.values["what"] == "kernels":
            return kernel_lines(self.values)
        if self.values["what"] == "data":
            return _data_lines(self.values)
        one, several = ("example", "examples")
        if self.values["what"] == "predict":
            one, several = ("query", "queries")
        lines = [*_rate_lines(self.values, one, several), *_part_lines(self.values)]
        if run := self.values.get("whole_run"):
            duration = format_duration(run["seconds"])
            lines.append(f"the whole run, {run['examples']:,} {several}: {duration}")
        return lines


def run_benchmark(
    what: str,
    config: RunConfig,
    device: str = "auto",
    batch_size: int | None = None,
    compiled: bool = False,
    picture: Path = Path("scaling.svg"),
    callback: Callback | None = None,
    other: Setting | None = None,
) -> BenchmarkResult:
    """Measure steps as a real run does them.

    Args:
        what: `train`, `adapt`, `predict`, `data`, `scaling`, `kernels`, `files` or `busy`.
        config: of the run; `files` measures no run.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        batch_size: examples in a step; None suits the run and the device.
        compiled: use torch.compile, which delays the first steps.
        picture: file for the picture of `scaling`.
        callback: receives the progress.
        other: of `train` or `predict`, what the arguments are compared with; None measures alone.

    Raises:
        UserError: the run could not start, or an argument is for another benchmark.
        WriteError: the picture cannot be written.
    """
    callback = callback or Callback()
    if other is not None:
        if what not in COMPARABLE:
            raise UserError(f"`bench {what}` compares no settings: leave out --with")
        first = Setting("as given", config, batch_size, compiled)
        return BenchmarkResult(
            bench_comparison(what, (first, other), pick_device(device), callback)
        )
    if what == "files":
        if device != "auto" or compiled or batch_size is not None:
            raise UserError(
                "`bench files` measures no model: leave out --device, --compile and --batch-size"
            )
        return BenchmarkResult(bench_files(progress=callback.progress))
    if what == "busy":
        if device not in {"auto", "cpu"} or compiled:
            raise UserError("`bench busy` measures the CPU: leave out --device and --compile")
        return BenchmarkResult(bench_busy(config, batch_size, progress=callback.progress))
    if what == "data":
        if device != "auto" or compiled:
            raise UserError("`bench data` computes nothing: leave out --device and --compile")
        return BenchmarkResult(bench_data(config, batch_size, callback))
    if what == "kernels":
        if batch_size is not None or compiled:
            raise UserError(
                "`bench kernels` measures single operations: leave out --batch-size and --compile"
            )
        return BenchmarkResult(bench_kernels(config, pick_device(device), callback.progress))
    if what == "scaling":
        if batch_size is not None:
            raise UserError("`bench scaling` measures several batches: leave out --batch-size")
        check_ending(picture)
        values, drawing = bench_scaling(config, pick_device(device), compiled, callback.progress)
        result = BenchmarkResult(values, picture)
        try:
            save(drawing, picture)
        except WriteError:  # minutes of measuring should not be lost with the picture
            callback.note(result.to_json())
            raise
        return result
    chosen = pick_device(device)
    if what == "train":
        with process_group(chosen) as process:
            values = bench_training(what, config, chosen, batch_size, compiled, process, callback)
    else:
        measure = {"adapt": bench_adapt, "predict": bench_predict}[what]
        values = measure(config, chosen, batch_size, compiled, callback)
    return BenchmarkResult(values)


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_round(each) for each in value]
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _data_lines(values: dict[str, Any]) -> list[str]:
    lines = [
        f"data, preset {values['preset']}, {machine_text(values)}",
        f"{values['examples_per_second']:,.0f} examples a second in this process, "
        f"{1e3 * values['seconds_per_step']:.4g} ms for a batch of {values['batch_size']}",
    ]
    if processes := values["batch_processes"]:
        lines.append(
            f"{values['examples_per_second_of_all']:,.0f} examples a second from {processes} "
            f"{verb(processes, 'process', 'processes')} beside it, as for a run on a GPU here"
        )
    lines.append(
        f"first batch after {format_duration(values['first_step_seconds'])}, "
        f"at most {values['peak_memory_mb']} MB"
    )
    return lines


def _adapt_lines(values: dict[str, Any]) -> list[str]:
    lines = [f"adapt, preset {values['preset']}, {machine_text(values)}, {values['dtype']}"]
    for key, title in TITLES.items():
        each = values[key]
        several = "queries" if key == "predict" else "examples"
        lines.append(
            f"  {title}: {each['examples_per_second']:.4g} {several} a second, "
            f"{each['seconds_per_step']:.4g} s for {each['batch_size']}, "
            f"{each['gflop_per_example']:.4g} GFLOP each, {each['utilisation']:.1%} of the "
            f"{each['product_tflops']:.4g} TFLOP a second of a large matrix product"
        )
    size, share = values["global_batch_size"], values["embedding_only_fraction"]
    lines += [
        f"steps of {size}, {share:.0%} of them of the puzzle embedding only, and predictions an "
        "hour:",
        _hour_line("measured here", values),
        f"computed, not measured, at {TRAINING_SHARE:.0%} of the peak in training and "
        f"{PREDICTION_SHARE:.0%} in prediction, as on an H200 (docs/performance.md):",
    ]
    for machine, rates in values["computed"].items():
        lines.append(_hour_line(f"{machine}, {rates['dtype']}", rates))
    return lines


def _hour_line(name: str, rates: dict[str, Any]) -> str:
    numbers = (rates["steps_per_hour"], rates["predictions_per_hour"])
    steps, predictions = (f"{each:,.0f}" if each >= 10 else f"{each:.2g}" for each in numbers)
    return f"  {name:<18}{steps:>10} steps{predictions:>12} predictions"


def _rate_lines(values: dict[str, Any], one: str, several: str) -> list[str]:
    lines = [
        f"{values['what']}, preset {values['preset']}, {machine_text(values)}, {values['dtype']}",
        f"{values['examples_per_second']:.4g} {several} a second, "
        f"{values['seconds_per_step']:.4g} s for a step of {values['batch_size']}",
        f"{values['gflop_per_example']:.4g} GFLOP for one {one}: {values['utilisation']:.1%} "
        f"of the {values['product_tflops']:.4g} TFLOP a second of a large matrix product",
    ]
    memory = f"{values['peak_memory_mb']} MB"
    if reserved := values.get("reserved_memory_mb"):
        memory += f" ({reserved} MB reserved)"
    lines.append(
        f"first step after {format_duration(values['first_step_seconds'])}, at most {memory}"
    )
    if watts := values.get("watts"):
        lines.append(f"{watts:.0f} W in the mean")
    if values["what"] == "train":
        lines.append(f"{values['waits_for_data']:.1%} of a step waits for its batch")
    return lines


def _part_lines(values: dict[str, Any]) -> list[str]:
    breakdown, sides = values.get("breakdown", {}), values.get("seconds_per_step_by_side", {})
    lines, seconds = [], sum(breakdown.values())
    if len(sides) > 1:  # the parts are those of a step on the largest canvas
        lines.append(f"a step on the canvas of side {max(sides, key=int)}: {seconds:.4g} s")
    for name, cost in breakdown.items():
        lines.append(f"  {name:<12}{cost:10.4f} s {cost / seconds:6.1%}")
    return lines
