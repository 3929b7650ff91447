"""Make the next batch in a thread while the current step is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Calls `make(step)`, which returns what a step needs, one step ahead in a thread."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, "prefetch")
        self._next: tuple[int, Future[T]] | None = None

    def __call__(self, step: int) -> T:
        """Return what `make(step)` returns; raise what it raises."""
        if self._next is None or self._next[0] != step:
            self._next = step, self._pool.submit(self._make, step)
        made = self._next[1].result()
        self._next = step + 1, self._pool.submit(self._make, step + 1)
        return made

    def close(self) -> None:
        """Stop the thread."""
        self._pool.shutdown(cancel_futures=True)
