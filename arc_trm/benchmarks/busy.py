"""Training steps on the CPU beside a busy neighbour: what other work on the cores costs."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from arc_trm.benchmarks.machine import machine_names, machine_text
from arc_trm.benchmarks.throughput import TrainingStep, prepare_trainer
from arc_trm.callbacks import Progress, ignore
from arc_trm.config import RunConfig, describe_preset
from arc_trm.cores import limit_spinning, usable_cores
from arc_trm.device import cpu_threads, pick_device, under_torchrun
from arc_trm.errors import UserError
from submission.process import end_with_parent

ROUNDS = 3
"""How often each case is measured, in turn with the others."""
SECONDS = 5.0
"""How long steps are repeated in a round, after one to warm up."""
CASES = {
    "idle_one_thread": "one thread, no neighbour",
    "idle": "threads as chosen, no neighbour",
    "busy": "threads as chosen, busy neighbour",
}
NEIGHBOUR = (
    "import os\nparent = os.getppid()\nos.write(1, b'.')\nwhile os.getppid() == parent: pass"
)
"""It says that it has started, and ends by itself if this process is killed."""


def bench_busy(
    config: RunConfig,
    batch_size: int | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    progress: Progress = ignore,
) -> dict[str, Any]:
    """Measure training steps a second on the CPU, alone and beside processes that keep it busy.

    Each measurement is a process of its own, because OpenMP is set up when it is loaded. The
    neighbour is one process per core that computes without a pause.

    Args:
        config: of the run.
        batch_size: examples in a step; None is the config's.
        rounds: measurements of each case.
        seconds: of each measurement, without its start.
        progress: called with the number of measurements done, and of all.

    Returns:
        `cases`: per name in `CASES` (without `idle` if one thread is chosen), `threads`,
        `steps_per_second` (the median of the rounds), `steps_per_second_by_round`, `cores`, the
        median of the seconds of CPU a second, and `spin_counts`, GOMP_SPINCOUNT in each round.

    Raises:
        UserError: the run could not start, or this is a process of torchrun.
    """
    if under_torchrun():
        raise UserError("`bench busy` measures one process: start it without torchrun")
    size = batch_size or config.train.global_batch_size
    names = [name for name in CASES if name != "idle" or cpu_threads() > 1]
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for done in range(rounds * len(names)):
        name = names[done % len(names)]
        progress(done, rounds * len(names))
        with ExitStack() as stack:
            threads = {"OMP_NUM_THREADS": "1"} if name == "idle_one_thread" else {}
            stack.enter_context(_environment(threads))
            if name == "busy":
                stack.enter_context(_busy_neighbour())
            limit_spinning()  # as at the start of a command
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(
                ProcessPoolExecutor(1, context, end_with_parent, (signal.SIGKILL,))
            )
            try:
                measured[name].append(pool.submit(_measure, config, size, seconds).result())
            except BrokenProcessPool:
                raise UserError(
                    "the process that was measured has been killed, perhaps because the memory ran "
                    "out: lower --batch-size"
                ) from None
    progress(rounds * len(names), rounds * len(names))
    cases = {name: _summarise(each) for name, each in measured.items()}
    rates = {name: case["steps_per_second"] for name, case in cases.items()}
    return {
        "what": "busy",
        "preset": describe_preset(config),
        **machine_names(torch.device("cpu")),
        "torch": torch.__version__,
        "batch_size": size,
        "cases": cases,
        "busy_share_of_one_thread": rates["busy"] / rates["idle_one_thread"],
    }


def busy_lines(values: Mapping[str, Any]) -> list[str]:
    """Return what a person wants to know of the values of `bench_busy`."""
    machine = machine_text(values)
    lines = [f"busy, preset {values['preset']}, {machine}, batch {values['batch_size']}"]
    for name, case in values["cases"].items():
        rates = case["steps_per_second_by_round"]
        lines.append(
            f"  {CASES[name]:<36}{case['steps_per_second']:8.4g} steps a second "
            f"({min(rates):.4g} to {max(rates):.4g}), {case['cores']:.2f} cores"
        )
    share = values["busy_share_of_one_thread"]
    lines.append(f"beside the neighbour {share:.0%} of the speed of one thread alone")
    return lines


def _measure(config: RunConfig, batch_size: int, seconds: float) -> dict[str, Any]:
    """Measure steps in this process."""
    _, trainer, sampler, _ = prepare_trainer(config, pick_device("cpu"), batch_size, False, (0, 1))
    with ExitStack() as stack:
        step = TrainingStep(trainer, sampler, stack)
        step()
        first, started, used = trainer.steps_done, time.perf_counter(), _cpu_seconds()
        while time.perf_counter() - started < seconds:
            step()
        passed = time.perf_counter() - started
        return {
            "spin_count": os.environ.get("GOMP_SPINCOUNT"),
            "threads": torch.get_num_threads(),
            "steps_per_second": (trainer.steps_done - first) / passed,
            "cores": (_cpu_seconds() - used) / passed,
        }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [each["steps_per_second"] for each in rounds]
    return {
        "threads": rounds[0]["threads"],
        "spin_counts": [each["spin_count"] for each in rounds],
        "steps_per_second": statistics.median(rates),
        "steps_per_second_by_round": rates,
        "cores": statistics.median(each["cores"] for each in rounds),
    }


@contextmanager
def _busy_neighbour() -> Iterator[None]:
    """Keep every core busy while the block runs."""
    with ExitStack() as stack:
        for _ in range(usable_cores()):
            command = [sys.executable, "-c", NEIGHBOUR]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.read(1)
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which a process that is started in the block gets."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
