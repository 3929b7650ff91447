"""Synchronise the processes of a torchrun job by counters with names."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch.distributed as dist
from torch.distributed import HashStore, PrefixStore  # type: ignore[attr-defined]

from arc_trm.device import under_torchrun
from arc_trm.errors import UserError

POLL_INTERVAL_S = 0.05

_jobs = itertools.count()


class Workers:
    """The processes of a torchrun job; without torchrun, this process alone.

    There is no process group, because a process that waits in a collective operation for one that
    hangs can neither stop waiting nor be ended by a signal. All processes must create their
    `Workers` in the same order.
    """

    def __init__(self) -> None:
        store, self.rank, self.world_size = HashStore(), 0, 1
        if under_torchrun():
            # Either torchrun or the first process keeps the store; only this call knows which.
            store, self.rank, self.world_size = next(dist.rendezvous("env://"))  # type: ignore
        self._store = PrefixStore(f"arc-trm {next(_jobs)}", store)

    def arrive(self, point: str, amount: int = 1) -> int:
        """Add `amount` to the counter of a point and return its value; 0 reads it.

        Raises:
            UserError: the process that keeps the store is gone.
        """
        try:
            return int(self._store.add(point, amount))
        except dist.DistError as error:
            raise UserError(
                "the process that started this one is gone: its predictions are saved, and the "
                "same command resumes them"
            ) from error

    def wait(
        self,
        point: str,
        number: int,
        timed_out: Callable[[], bool],
        on_poll: Callable[[], None] = lambda: None,
    ) -> bool:
        """Wait until `number` processes have arrived at a point or `timed_out` returns True.

        Returns:
            Whether they have arrived.

        Raises:
            UserError: the process that keeps the store is gone.
        """
        while self.arrive(point, 0) < number:
            if timed_out():
                return False
            time.sleep(POLL_INTERVAL_S)
            on_poll()
        return True
