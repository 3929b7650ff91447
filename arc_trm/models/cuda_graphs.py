"""Replay the GPU's work of a function as one CUDA graph.

A small step is a thousand short kernels, and starting them one by one from Python takes longer than
they run. A graph starts all of them at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from arc_trm.device import is_out_of_memory

WARM_CALLS = 2
"""Calls before the work is recorded: the first ones compile kernels and make workspaces."""
MAX_GRAPHS = 32
"""Graphs that are kept: enough for both kinds of training steps on all canvases."""

Function = Callable[..., tuple[Tensor, ...]]


class CudaGraphs:
    """CUDA graphs of functions of tensors; a copy of it is empty.

    The graphs share their memory, so that no two may run at the same time. Of more than
    `MAX_GRAPHS` functions those that were not called for the longest time are forgotten.
    """

    def __init__(self) -> None:
        self._functions: dict[Hashable, _CapturedFunction] = {}

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[()]]:
        return CudaGraphs, ()

    def __len__(self) -> int:
        """Return the number of graphs that are replayed."""
        return sum(each.graph is not None for each in self._functions.values())

    def call(self, key: Hashable, function: Function, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Return what a function returns, after `WARM_CALLS` calls by replaying its work.

        Args:
            key: names the function and the shapes of its arguments.
            function: must do the same work at every call, on tensors that stay where they are but
                for its arguments, without waiting for the GPU.
            arguments: tensors on a GPU.

        Returns:
            Tensors that the next call, of any function, may overwrite.
        """
        captured = self._functions.pop(key, None) or _CapturedFunction()
        self._functions[key] = captured  # the last one
        while len(self._functions) > MAX_GRAPHS:
            del self._functions[next(iter(self._functions))]
        # PyTorch refuses a pool that no graph uses any more.
        pools = (each.graph.pool() for each in self._functions.values() if each.graph is not None)
        return captured(function, arguments, next(pools, None))

    def clear(self) -> None:
        """Forget all functions: their tensors have moved, or their memory is needed."""
        self._functions.clear()


class _CapturedFunction:
    """Calls a function, and replays the graph of its work once that is recorded.

    The function is not kept, for it may hold what holds the graphs.
    """

    def __init__(self) -> None:
        self.graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0
        self._arguments: tuple[Tensor, ...] = ()
        self._result: tuple[Tensor, ...] = ()

    def __call__(
        self, function: Function, arguments: tuple[Tensor, ...], pool: Any
    ) -> tuple[Tensor, ...]:
        self._calls += 1
        if self._calls == WARM_CALLS + 1:
            self._capture(function, arguments, pool)
        if self.graph is None:
            return function(*arguments)
        for place, argument in zip(self._arguments, arguments, strict=True):
            place.copy_(argument)
        self.graph.replay()
        return self._result

    def _capture(self, function: Function, arguments: tuple[Tensor, ...], pool: Any) -> None:
        """Record the work, which is not done; without a graph the function is called as before."""
        stream = torch.cuda.current_stream()
        try:
            graph = torch.cuda.CUDAGraph()
            self._arguments = tuple(argument.clone() for argument in arguments)
            # Another thread may put batches into pinned memory meanwhile.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                self._result = function(*self._arguments)
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # PyTorch leaves that of the recording only if it ends
            self._arguments = ()
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if is_out_of_memory(error):
                reason = "the memory is too small to record them"
            warnings.warn(f"steps are not replayed as a CUDA graph ({reason})", stacklevel=2)
            return
        self.graph = graph
