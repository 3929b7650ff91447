"""The processes of a job that share files: they deal work among themselves and meet at points."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import torch.distributed as dist

from arc_trm.errors import UserError

POLL = 0.05  # seconds between two looks at whether the others are there

_jobs = itertools.count()


class Peers:
    """This process and the others that torchrun started with it; alone without torchrun.

    They exchange no tensors, so there is no process group: a collective operation cannot be left
    once it has begun, and who waits for a peer that hangs could not even be ended by a signal. All
    processes must make their `Peers` in the same order.

    Attributes:
        rank, world: this process's number and how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.world, self._store = 0, 1, None
        if {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            # The one call that knows whether torchrun keeps the store or the first process has to.
            self._store, self.rank, self.world = next(dist.rendezvous("env://"))  # type: ignore
            self._prefix = f"arc-trm/{next(_jobs)}/"

    def _come(self, point: str, number: int) -> int:
        """How many are at a point, `number` more included."""
        if self._store is None:
            return self.world
        try:
            return int(self._store.add(self._prefix + point, number))
        except dist.DistError as error:
            raise UserError(
                "the process that started this one is gone: what was answered counts, and the same "
                "command goes on from there"
            ) from error

    def reach(self, point: str) -> None:
        """Let the others know that this process is at a point; each comes there once."""
        self._come(point, 1)

    def wait(
        self,
        point: str,
        number: int | None = None,
        meanwhile: Callable[[], None] = lambda: None,
        tired: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Wait until a number of processes, None is all, are at a point; whether they are.

        They may be not when this process is `tired` of waiting. `meanwhile` is called now and then.
        Raises UserError if the others cannot be asked any more.
        """
        while self._come(point, 0) < (number or self.world):
            if tired():
                return False
            time.sleep(POLL)
            meanwhile()
        return True
