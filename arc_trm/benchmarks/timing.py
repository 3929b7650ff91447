"""Measurements of seconds, of the rate of a large matrix product, of peak memory and of power."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile

ACTION_SECONDS = 0.5
"""How long an action is repeated."""
PRODUCT_SECONDS = 1.0
"""How long the matrix product is repeated."""
PRODUCT_SIDE = {"cpu": 4096, "mps": 4096, "cuda": 8192}
MIN_SAMPLES = 3
MIN_SAMPLE_SECONDS = 0.02
"""Length of a sample on a GPU, at least; shorter actions are timed together."""
POWER_INTERVAL_MS = 100


def synchronise(device: torch.device) -> None:
    """Wait until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def median_seconds(
    action: Callable[[], object], device: torch.device, seconds: float | None = None
) -> float:
    """Return the median seconds of an action, after one call to warm up.

    On a GPU several short calls are timed together, because their launches overlap with the work.
    The action is repeated for `seconds` (None is `ACTION_SECONDS`), at least `MIN_SAMPLES` times.
    """
    seconds = ACTION_SECONDS if seconds is None else seconds
    action()
    once = elapsed(action, device)
    repeats = 1
    if device.type != "cpu":
        repeats = max(1, int(MIN_SAMPLE_SECONDS / max(once, 1e-6)))
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < MIN_SAMPLES or time.perf_counter() - started < seconds:
        samples.append(elapsed(action, device, repeats) / repeats)
    return statistics.median(samples)


def elapsed(action: Callable[[], object], device: torch.device, repeats: int = 1) -> float:
    """Return the seconds of all repeats of an action together."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(repeats):
        action()
    synchronise(device)
    return time.perf_counter() - started


def quartile_range(samples: Sequence[float]) -> tuple[float, float]:
    """Return the first and the third quartile; of a single sample it is both."""
    if len(samples) < 2:
        return samples[0], samples[0]
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    return first, third


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP per second of the product of two large square matrices."""
    side = PRODUCT_SIDE[device.type]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = median_seconds(lambda: torch.mm(a, b, out=out), device, PRODUCT_SECONDS)
    return 2 * side**3 / seconds


def make_profiler(device: torch.device) -> profile:
    """Return PyTorch's profiler of what the CPU and a GPU do."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would write its own lines to stderr
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    return profile(activities=activities)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has held; on a GPU those of its tensors there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class PowerMeter:
    """Measures the power of a GPU inside the context by nvidia-smi, where there is one.

    Attributes:
        mean_watts: known after the context; None without such a GPU, program or number.
    """

    def __init__(self, device: torch.device) -> None:
        self.mean_watts: float | None = None
        self._device = device
        self._meter: subprocess.Popen[str] | None = None

    def __enter__(self) -> PowerMeter:
        program = shutil.which("nvidia-smi")
        if self._device.type == "cuda" and program is not None:
            gpu = f"GPU-{torch.cuda.get_device_properties(self._device).uuid}"
            query = ("--query-gpu=power.draw", "--format=csv,noheader,nounits")
            command = (program, "-i", gpu, *query, f"--loop-ms={POWER_INTERVAL_MS}")
            with suppress(OSError):
                self._meter = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._meter is None:
            return
        self._meter.kill()
        output, _ = self._meter.communicate()
        self.mean_watts = mean_watts(output)


def mean_watts(output: str) -> float | None:
    """Return the mean of the numbers that nvidia-smi wrote, one a line; None of no number."""
    watts = []
    for line in output.splitlines():
        with suppress(ValueError):  # "[N/A]" where the GPU does not say it
            watts.append(float(line))
    return statistics.fmean(watts) if watts else None
