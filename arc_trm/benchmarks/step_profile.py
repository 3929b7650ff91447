"""A profile of training steps: the kernels of a GPU or the operations of a CPU, by their time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from arc_trm.benchmarks.timing import make_profiler, synchronise
from arc_trm.callbacks import Callback

MAX_KERNELS = 25
"""Kernels that a result names; all others are summed."""


class StepProfiler(Callback):
    """Profiles some steps of a run that it is a callback of.

    Args:
        device: that the run uses.
        after: steps before the profile, in which everything is warmed up.
        steps: to profile.
    """

    def __init__(self, device: torch.device, after: int, steps: int) -> None:
        self.device, self.after, self.steps = device, after, steps
        self._profile = make_profiler(device)
        self._started = self._seconds = 0.0

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if done == self.after:
            synchronise(self.device)
            self._profile.start()
            self._started = time.perf_counter()
        elif done == self.after + self.steps:
            synchronise(self.device)
            self._seconds = time.perf_counter() - self._started
            self._profile.stop()

    def result(self) -> dict[str, Any]:
        """Return what a step took.

        Returns:
            `seconds_per_step`, `busy_seconds` of all kernels, and the kernels in `profile`, the
            longest first: `name`, `seconds` and `calls` in a step. The last may sum up all
            `others`.
        """
        on_gpu = self.device.type == "cuda"
        found = []
        for event in self._profile.key_averages():
            if getattr(event, "is_user_annotation", False):  # a range, which contains kernels
                continue
            if on_gpu and event.device_type.name != "CUDA":
                continue
            microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            if microseconds:
                found.append((event.key, 1e-6 * microseconds / self.steps, event.count))
        found.sort(key=lambda each: -each[1])
        kernels = [
            {"name": name, "seconds": seconds, "calls": calls / self.steps}
            for name, seconds, calls in found[:MAX_KERNELS]
        ]
        if rest := found[MAX_KERNELS:]:
            seconds, calls = (sum(each[index] for each in rest) for index in (1, 2))
            kernels.append({"name": "others", "seconds": seconds, "calls": calls / self.steps})
        return {
            "seconds_per_step": self._seconds / self.steps,
            "busy_seconds": sum(seconds for _, seconds, _ in found),
            "profile": kernels,
        }
