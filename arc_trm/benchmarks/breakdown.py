"""The cost of each part of a step, measured in place by PyTorch's profiler.

One whole step runs under the profiler, forward and backward as a real run does them. On a GPU the
time of a kernel counts for the part that launched it; on a CPU the time of the thread counts.
Autograd numbers the nodes that the forward pass makes, and backward counts for the part that made
the node. Where a part is inside another one, the inner one counts.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import record_function

from arc_trm.benchmarks.timing import make_profiler, synchronise
from arc_trm.models import PuzzleModel
from arc_trm.models.layers import Attention, Block, PostNormBlock
from arc_trm.training import Trainer

Breakdown = dict[str, float]
PREFIX = "arc-trm: "
"""Begins the names of ranges in a trace that are parts of a step."""
REST = "the rest"
IDLE = "idle"
WAITING = "data"
"""The name of the time in which a step waits for its batch."""
COMPILED_REGION = "Torch-Compiled Region"
"""Begins PyTorch's own names of ranges of compiled code, which has no parts."""
BACKWARD_NODE = "autograd::engine::evaluate_function: "
LAUNCHES = ("cuda_runtime", "cuda_driver")
KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
RANGES_ON_GPU = "gpu_user_annotation"
"""Copies of the CPU's ranges, from their first kernel to their last one."""


def has_breakdown(device: torch.device) -> bool:
    """Return whether the profiler sees the work of a device."""
    return device.type in ("cpu", "cuda")


def step_parts(
    step: Callable[[], object],
    seconds: float,
    waiting: float,
    model: PuzzleModel,
    trainer: Trainer | None = None,
) -> Breakdown:
    """Return the seconds of each part of a step, which add up to `seconds`.

    Args:
        step: takes one step; it has been called before.
        seconds: of a step without the profiler, which itself takes time.
        waiting: how many of them a step waits for its batch.
        model, trainer: what the step uses; None is no trainer.
    """
    device = model.y_init.device
    parts = read_trace(_trace(step, device, model, trainer))
    parts.pop(WAITING, None)  # the profiler keeps the thread that makes batches waiting too
    working, measured = seconds - waiting, sum(parts.values())
    if device.type == "cpu" or measured > working:
        parts = {name: part * working / measured for name, part in parts.items()}
    else:
        parts[IDLE] = working - measured
    rest = {name: parts.pop(name) for name in (REST, IDLE) if name in parts}
    shown = {name: parts[name] for name in sorted(parts, key=lambda name: -parts[name])}
    return {**({WAITING: waiting} if trainer else {}), **shown, **rest}


def _trace(
    step: Callable[[], object], device: torch.device, model: PuzzleModel, trainer: Trainer | None
) -> list[dict[str, Any]]:
    """Return the events of a step, as PyTorch writes them for Chrome's viewer of traces."""
    with tempfile.TemporaryDirectory() as folder, _named_parts(model, trainer):
        with make_profiler(device) as profiler:
            with record_function(PREFIX + REST):
                step()
            synchronise(device)
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        events: list[dict[str, Any]] = json.loads(file.read_text())["traceEvents"]
    return events


def read_trace(events: list[dict[str, Any]]) -> Breakdown:
    """Return the seconds of each part in a trace: of kernels if it has any, else of the CPU."""
    spans = [event for event in events if event.get("ph") == "X" and event["cat"] != RANGES_ON_GPU]
    spans.sort(key=lambda event: (event["ts"], -event["dur"]))  # an outer span before its inner
    open_parts: dict[object, list[tuple[float, str]]] = defaultdict(list)  # by thread: end, name
    made: dict[int, str] = {}  # part by the number of a node that it made
    launched: dict[int, str] = {}  # part by the number of a kernel
    host: Breakdown = defaultdict(float)
    for event in spans:
        if event["cat"] in KERNELS:
            continue
        stack, start, arguments = open_parts[event["tid"]], event["ts"], event.get("args", {})
        while stack and stack[-1][0] <= start:
            stack.pop()
        outer = stack[-1][1] if stack else None
        part = _part(event["name"], arguments.get("Sequence number"), made)
        if part is not None:
            stack.append((start + event["dur"], part))
            host[part] += event["dur"] / 1e6
            if outer is not None:
                host[outer] -= event["dur"] / 1e6
        inner = part or outer or REST
        if event["cat"] in LAUNCHES:
            launched[arguments.get("correlation")] = inner
        elif "Sequence number" in arguments:
            made[arguments["Sequence number"]] = inner  # the last event of a number made the node
    kernels = [event for event in spans if event["cat"] in KERNELS]
    return _kernel_parts(kernels, launched) if kernels else dict(host)


def _part(name: str, sequence_number: int | None, made: dict[int, str]) -> str | None:
    """Return the part that a range of a trace begins, None if it begins none."""
    if name.startswith(PREFIX):
        return name.removeprefix(PREFIX)
    if name.startswith(COMPILED_REGION):
        return "compiled"
    if name.startswith(BACKWARD_NODE):
        return REST if sequence_number is None else made.get(sequence_number, REST)
    return None


def _kernel_parts(kernels: list[dict[str, Any]], launched: dict[int, str]) -> Breakdown:
    """Return the seconds of kernels by part; of two at the same time the first one counts."""
    parts: Breakdown = defaultdict(float)
    busy_until = 0.0
    for kernel in kernels:
        end = kernel["ts"] + kernel["dur"]
        part = launched.get(kernel["args"].get("correlation"), REST)
        parts[part] += max(0.0, end - max(kernel["ts"], busy_until)) / 1e6
        busy_until = max(busy_until, end)
    return dict(parts)


@contextmanager
def _named_parts(model: PuzzleModel, trainer: Trainer | None) -> Iterator[None]:
    """Name the parts of steps inside the context; outside it nothing is there that costs time."""
    with ExitStack() as stack:
        for owner, method, part in _methods(model, trainer):
            _name_calls(owner, method, PREFIX + part, stack)
        # A CUDA graph would hide which part starts a kernel.
        _set(model, "is_launch_bound", lambda size, length: False, stack)
        yield


def _methods(model: PuzzleModel, trainer: Trainer | None) -> Iterator[tuple[object, str, str]]:
    """Yield objects, their methods, and the parts of a step that these are."""
    yield model.embedding, "forward", "embedding"
    yield model.heads, "token_logits", "heads"
    yield model.heads, "halt_logits", "heads"
    # Compiled code has no parts, and would be compiled again for them.
    blocks = [] if model.compiled else [each for each in model.modules() if isinstance(each, Block)]
    for block in blocks:
        if isinstance(block, PostNormBlock):
            mixer = block.token_mixer
            yield block, "forward", "norms"  # what a block does outside its two modules
            if isinstance(mixer, Attention):
                yield mixer, "fork", "attention"
            yield block.swiglu, "fork", "swiglu"
        else:
            yield block, "forward", "block"
    if blocks:
        yield model.select_ops(model.dtype), "mix_positions", "mixer"
    if trainer is not None:
        yield trainer, "token_loss", "loss"
        yield trainer, "_update", "optimisers"


def _name_calls(owner: Any, method: str, name: str, stack: ExitStack) -> None:
    """Let the profiler see the calls of a method of an object under a name, until `stack` ends."""
    original = getattr(owner, method)

    @functools.wraps(original)
    def named(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return original(*args, **kwargs)

    _set(owner, method, named, stack)


def _set(owner: Any, name: str, value: object, stack: ExitStack) -> None:
    """Set an attribute of an object until `stack` ends."""
    own = vars(owner).get(name)
    stack.callback(*((delattr, owner, name) if own is None else (setattr, owner, name, own)))
    setattr(owner, name, value)
