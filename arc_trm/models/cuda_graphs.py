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

WARM_CALLS = 2
"""Calls before the work is recorded: the first ones compile kernels and make workspaces."""

Function = Callable[..., tuple[Tensor, ...]]


class CudaGraphs:
    """CUDA graphs of functions of tensors; a copy of it is empty.

    The graphs share their memory, so that no two may run at the same time.
    """

    def __init__(self) -> None:
        self._functions: dict[Hashable, _CapturedFunction] = {}
        self._pool: Any = None

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[()]]:
        return CudaGraphs, ()

    def __len__(self) -> int:
        """Return the number of graphs that are replayed."""
        return sum(each.is_replayed for each in self._functions.values())

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
        if key not in self._functions:
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            self._functions[key] = _CapturedFunction(function, self._pool)
        return self._functions[key](arguments)

    def clear(self) -> None:
        """Forget all functions, whose tensors are no longer where they were."""
        self._functions.clear()


class _CapturedFunction:
    """A function, and the graph of its work once it is recorded."""

    def __init__(self, function: Function, pool: Any) -> None:
        self._function, self._pool, self._calls = function, pool, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._arguments: tuple[Tensor, ...] = ()
        self._result: tuple[Tensor, ...] = ()

    @property
    def is_replayed(self) -> bool:
        return self._graph is not None

    def __call__(self, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._calls += 1
        if self._calls == WARM_CALLS + 1:
            self._capture(arguments)
        if self._graph is None:
            return self._function(*arguments)
        for place, argument in zip(self._arguments, arguments, strict=True):
            place.copy_(argument)
        self._graph.replay()
        return self._result

    def _capture(self, arguments: tuple[Tensor, ...]) -> None:
        """Record the work, which is not done; without a graph the function is called as before."""
        graph = torch.cuda.CUDAGraph()
        self._arguments = tuple(argument.clone() for argument in arguments)
        torch.cuda.empty_cache()  # what earlier calls used, the graph cannot
        try:
            # Another thread may put batches into pinned memory meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._result = self._function(*self._arguments)
        except RuntimeError as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            warnings.warn(f"steps are not replayed as a CUDA graph ({reason})", stacklevel=2)
            return
        self._graph = graph
