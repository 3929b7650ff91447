"""What the parts of a step cost, measured inside whole steps by PyTorch's profiler.

Every operation of a profiled step belongs to the part in which it was started, and an operation of
the backward pass to the part of the operation whose gradient it computes. On a GPU the time of a
part is that of its kernels.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from arc_trm.benchmarks.timing import elapsed, synchronise
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import Attention, Block, SwiGLU
from arc_trm.models.ops import Ops
from arc_trm.training import Trainer
from arc_trm.training import trainer as training

Breakdown = dict[str, float]

PREFIX = "part: "
"""Of the names of ranges, so that a library's ranges are no parts."""
REST = "the rest"
IDLE = "idle"
KERNEL_GROUPS = {
    "attention": ("sdpa", "flash", "fmha", "attention"),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "addmm", "aten::mm", "aten::bmm"),
}
"""Words in the names of kernels by which those of compiled blocks are grouped."""


def breakdown(
    step: Callable[[], object], model: PuzzleModel, seconds: float, trainer: Trainer | None = None
) -> Breakdown:
    """Return the seconds of each part of a step that takes `seconds`.

    They add up to `seconds`, by `IDLE` on a GPU and `REST` elsewhere, unless the parts alone take
    longer. CUDA graphs are not replayed in the profiled step, for they hide which part a kernel
    belongs to.
    """
    device = model.y_init.device
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would say when it starts
    with _named_parts(model, trainer):
        step()  # the first one with other functions may be slow
        synchronise(device)
        with profile(activities=activities) as profiler:
            wall = elapsed(step, device)
    parts = _sum_parts(list(profiler.events() or []), device, model.compiled)
    if device.type != "cuda":  # the profiler slows every operation down
        parts = {name: value / wall * seconds for name, value in parts.items()}
    found = {name: value for name, value in parts.items() if name != REST}
    left = seconds - sum(found.values())
    if device.type == "cuda":
        found[REST] = parts.get(REST, 0.0)
        return {**found, IDLE: max(0.0, left - found[REST])}
    return {**found, REST: max(0.0, left)}


@contextmanager
def _named_parts(model: PuzzleModel, trainer: Trainer | None) -> Iterator[None]:
    """Give the functions of a model and its trainer ranges, and replay no CUDA graph."""
    with ExitStack() as stack:

        def name(owner: Any, attribute: str, part: str) -> None:
            function = getattr(owner, attribute)

            @wraps(function)
            def ranged(*arguments: Any, **named: Any) -> Any:
                with record_function(PREFIX + part):
                    return function(*arguments, **named)

            stack.enter_context(_replaced(owner, attribute, ranged))

        stack.enter_context(_replaced(model, "is_launch_bound", lambda size, length: False))
        for function, part in (
            ("embed", "embedding"),
            ("token_logits", "heads"),
            ("halt_logits", "heads"),
            ("cache_cast_weights", "casts"),
        ):
            name(model, function, part)
        if not model.compiled:  # a compiler would see other functions, and compile them
            for module in model.modules():
                if isinstance(module, Block):
                    name(module, "forward", "blocks")
                elif isinstance(module, Attention):
                    name(module, "fork", "attention")
                elif isinstance(module, SwiGLU):
                    name(module, "fork", "swiglu")
                    name(module, "forward", "swiglu")
            select_ops = model.select_ops
            stack.enter_context(
                _replaced(model, "select_ops", lambda dtype: _NamedOps(select_ops(dtype)))
            )
        if trainer is not None:
            name(trainer, "token_loss", "loss")
            name(trainer, "_refill_carry", "carry")
            name(trainer, "_update", "optimisers")
            name(training, "clip_gradients", "optimisers")
        yield


@contextmanager
def _replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """Set an attribute of an object inside the context."""
    own = attribute in vars(owner)
    before = getattr(owner, attribute)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, attribute, before)
        else:
            delattr(owner, attribute)


class _NamedOps:
    """Operations with ranges."""

    def __init__(self, ops: Ops) -> None:
        self._ops = ops

    def __getattr__(self, attribute: str) -> Any:
        function = getattr(self._ops, attribute)
        part = {"residual_norm": "norms", "mix_positions": "mixer"}.get(attribute)
        if part is None:
            return function

        def ranged(*arguments: Any) -> Any:
            with record_function(PREFIX + part):
                return function(*arguments)

        return ranged


def _sum_parts(events: list[FunctionEvent], device: torch.device, compiled: bool) -> Breakdown:
    """Return the seconds of each part in the events of a profiled step."""
    forward: dict[int, str] = {}  # part by the number that forward and backward share
    for event in events:
        part = _part_of(event)
        if part is not None and event.sequence_nr >= 0 and event.scope == 0:
            forward.setdefault(event.sequence_nr, part)
    sums: defaultdict[str, float] = defaultdict(float)
    for event in events:
        if event.is_user_annotation:
            continue
        cuda = device.type == "cuda"
        microseconds = sum(kernel.duration for kernel in event.kernels)
        if not cuda:
            microseconds = event.self_cpu_time_total
        if not microseconds:
            continue
        part = _part_of(event) or _backward_part(event, forward)
        if part is None and compiled:
            names = [kernel.name for kernel in event.kernels] or [event.name]
            part = _kernel_group(names[0])
        sums[part or REST] += microseconds / 1e6
    return dict(sums)


def _ancestors(event: FunctionEvent) -> Iterator[FunctionEvent]:
    """Yield an event and those around it, the nearest first."""
    while event is not None:
        yield event
        event = event.cpu_parent  # type: ignore[assignment]


def _part_of(event: FunctionEvent) -> str | None:
    """Return the part of the nearest range around an event."""
    names = (each.name for each in _ancestors(event))
    return next((name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)), None)


def _backward_part(event: FunctionEvent, forward: dict[int, str]) -> str | None:
    """Return the part of the operation whose gradient an event belongs to."""
    numbers = (each.sequence_nr for each in _ancestors(event))
    return next((forward[number] for number in numbers if number in forward), None)


def _kernel_group(name: str) -> str | None:
    for group, words in KERNEL_GROUPS.items():
        if any(word in name.lower() for word in words):
            return group
    return None
