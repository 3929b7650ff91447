"""Clocks, the rate of a large matrix product, and peak memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch

PRODUCT_SIDE = {"cpu": 4096, "mps": 4096, "cuda": 8192}
PRODUCT_SECONDS = 1.0


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(action: Callable[[], object], device: torch.device, seconds: float = 0.5) -> float:
    """Median seconds of `action` after one call to warm up, for about `seconds`, thrice at least.

    On a GPU several calls are timed together where one is short, for launches overlap with work.
    """
    action()
    synchronise(device)
    began = time.perf_counter()
    action()
    synchronise(device)
    once = time.perf_counter() - began
    together = 1 if device.type == "cpu" else max(1, int(0.02 / max(once, 1e-6)))
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for _ in range(together):
            action()
        synchronise(device)
        samples.append((time.perf_counter() - start) / together)
    return statistics.median(samples)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of the product of two large square matrices of random numbers."""
    side = PRODUCT_SIDE[device.type]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * side**3 / timed(lambda: torch.mm(a, b, out=out), device, PRODUCT_SECONDS)


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has held at most so far, on a GPU those of its tensors there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo
