"""The processes of a job that share files: they deal work among themselves and wait at points."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch.distributed as dist
from torch.distributed import HashStore, PrefixStore  # type: ignore[attr-defined]

from arc_trm.device import under_torchrun
from arc_trm.errors import UserError

POLL = 0.05  # seconds between two looks at whether the others are there

_jobs = itertools.count()


class Workers:
    """This process and the others that torchrun started with it; alone without torchrun.

    They exchange no tensors, so there is no process group: a collective operation cannot be left
    once it has begun, and who waits for a peer that hangs could not even be ended by a signal. All
    processes must make their `Workers` in the same order.

    Attributes:
        rank, world: this process's number and how many there are.
    """

    def __init__(self) -> None:
        store, self.rank, self.world = HashStore(), 0, 1
        if under_torchrun():
            # The one call that knows whether torchrun keeps the store or the first process has to.
            store, self.rank, self.world = next(dist.rendezvous("env://"))  # type: ignore
        self._store = PrefixStore(f"arc-trm {next(_jobs)}", store)

    def come(self, point: str, number: int = 1) -> int:
        """Say that this process is at a point, or with 0 not; returns how many are there."""
        try:
            return int(self._store.add(point, number))
        except dist.DistError as error:
            raise UserError(
                "the process that started this one is gone: what was answered counts, and the same "
                "command goes on from there"
            ) from error

    def wait(
        self,
        point: str,
        number: int,
        tired: Callable[[], bool],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Wait until `number` processes are at a point or this one is `tired`; whether they are.

        `meanwhile` is called now and then. Raises UserError if the others cannot be asked any more.
        """
        while self.come(point, 0) < number:
            if tired():
                return False
            time.sleep(POLL)
            meanwhile()
        return True
