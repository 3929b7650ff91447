"""Batches made in processes of their own, several steps ahead.

Each process is a fork, so datasets are shared and nothing is loaded again. Batches come back
through memory that is mapped before the fork: it has no name, so none is left behind, and the size
of /dev/shm does not limit it. Messages of eight bytes go through pipes.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import sys
import warnings
from collections import deque
from contextlib import suppress
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from arc_trm.cores import usable_cores
from arc_trm.data.sampler import Batch, BatchSampler
from arc_trm.environment import environment_number
from submission.process import stop_signals

MAX_PROCESSES = 4
"""With so many a GPU need not wait: `arc-trm bench data` measures what each makes."""
SLOTS = 2
"""Batches of each process that are ready or being made."""
MESSAGE_BYTES = 8
FAILED = 0
"""What a process says in place of S if it could not make a batch."""


def process_count() -> int:
    """Return how many processes a rank has to make batches; 0 where a process cannot fork safely.

    The ranks of a machine share its cores, and each keeps one for itself.
    """
    if sys.platform != "linux":
        return 0
    ranks = max(1, environment_number("LOCAL_WORLD_SIZE", 1))
    cores = usable_cores() // ranks
    return max(1, min(MAX_PROCESSES, cores - 1))


class BatchProcesses:
    """Makes what `sampler` makes, in `count` processes. Not for several threads at once.

    The batches of a process that is killed are made by this one, more slowly.

    Raises:
        OSError: the system has no memory or no process left.
    """

    def __init__(self, sampler: BatchSampler, count: int) -> None:
        self._sampler = sampler
        self._workers: list[_Worker] = []
        self._next = self._asked = 0  # the step that is expected, and the first not asked for
        try:
            for _ in range(count):
                self._workers.append(_Worker(sampler))
        except OSError:
            self.close()
            raise

    def __call__(self, step: int) -> Batch:
        """Return what `sampler(step)` returns; raise what it raises."""
        if step != self._next:
            for worker in self._workers:
                while worker.asked:
                    worker.receive()
            self._asked = step
        while self._asked < step + SLOTS * len(self._workers):
            self._worker_of(self._asked).ask(self._asked)
            self._asked += 1
        self._next = step + 1
        # A process that failed cannot say why as well as the same failure here can.
        return self._worker_of(step).receive() or self._sampler(step)

    @property
    def lost(self) -> int:
        """How many of the processes were killed."""
        return sum(worker.is_lost for worker in self._workers)

    def _worker_of(self, step: int) -> _Worker:
        return self._workers[step % len(self._workers)]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()


class _Worker:
    """A process that makes the batches of the steps that it is asked for, in this order."""

    def __init__(self, sampler: BatchSampler) -> None:
        self.asked = deque[int]()
        self.is_lost = False
        rows, longest = sampler.part_size, sampler.max_seq_len
        self._code_size = sampler.code_size
        self._memory = mmap.mmap(-1, SLOTS * rows * (1 + self._code_size + 2 * longest) * 4)
        self._slots = np.frombuffer(self._memory, np.int32).reshape(SLOTS, rows, -1)
        self._slot = 0
        tasks, self._tasks = os.pipe()
        try:
            self._answers, answers = os.pipe()
        except OSError:
            os.close(tasks)
            os.close(self._tasks)
            raise
        # A signal between the fork and its handling would do in the child what it does here.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
        try:
            with warnings.catch_warnings():  # threads of torch hold no lock that a sampler takes
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
            if self._pid == 0:
                _serve(sampler, self._slots, tasks, answers)
        except OSError:
            os.close(self._tasks)
            os.close(self._answers)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            os.close(tasks)
            os.close(answers)

    def ask(self, step: int) -> None:
        """Have the batch of a step made."""
        with suppress(BrokenPipeError):  # the process is dead, which `receive` notices
            os.write(self._tasks, step.to_bytes(MESSAGE_BYTES, "little"))
        self.asked.append(step)

    def receive(self) -> Batch | None:
        """Return the batch of the first step asked for, or None if the process did not make it."""
        message = os.read(self._answers, MESSAGE_BYTES)
        self.asked.popleft()
        if not message:
            self.is_lost = True
            return None
        slot = self._slots[self._slot]
        self._slot = (self._slot + 1) % SLOTS
        seq_len = int.from_bytes(message, "little")
        return None if seq_len == FAILED else _unpack(slot, self._code_size, seq_len)

    def close(self) -> None:
        """End the process, which has nothing to save."""
        os.close(self._tasks)
        os.close(self._answers)
        with suppress(ProcessLookupError, ChildProcessError):  # it has ended already
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _serve(
    sampler: BatchSampler, slots: npt.NDArray[np.int32], tasks: int, answers: int
) -> NoReturn:
    """Make batches until the main process closes `tasks`, or is gone; then end this process."""
    try:
        for number in stop_signals():  # the main process decides what they mean
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()  # objects of the main process, as tensors on a GPU, are not for us to collect
        _close_files({0, 1, 2, tasks, answers})
        made = 0
        while message := os.read(tasks, MESSAGE_BYTES):
            try:
                batch = sampler(int.from_bytes(message, "little"))
                _pack(slots[made % SLOTS], sampler.code_size, batch)
                answer = batch["inputs"].shape[1]
            except Exception:
                answer = FAILED
            made += 1
            os.write(answers, answer.to_bytes(MESSAGE_BYTES, "little"))
    finally:
        os._exit(0)


def _close_files(kept: set[int]) -> None:
    """Close files of the main process: its lock, its GPU, and pipes whose end it waits for."""
    names: list[str] = []
    with suppress(OSError):  # without /proc they stay open for as long as this process lives
        names = os.listdir("/proc/self/fd")
    for number in map(int, names):
        if number not in kept:
            with suppress(OSError):  # that of the list itself is closed
                os.close(number)


def _columns(code_size: int, length: int) -> dict[str, int | slice]:
    """Return where the arrays of a batch are in a slot: A = `code_size` and S = `length`."""
    start = 1 + code_size
    columns: dict[str, int | slice] = {
        "inputs": slice(start, start + length),
        "labels": slice(start + length, start + 2 * length),
        "puzzle_ids": 0,
    }
    return {**columns, "augmentations": slice(1, start)} if code_size else columns


def _pack(slot: npt.NDArray[np.int32], code_size: int, batch: Batch) -> None:
    """Write a batch into a slot (B, at least 1 + A + 2 S)."""
    for name, column in _columns(code_size, batch["inputs"].shape[1]).items():
        slot[:, column] = batch[name]


def _unpack(slot: npt.NDArray[np.int32], code_size: int, length: int) -> Batch:
    """Return a copy of the batch in a slot, whose S is `length`."""
    return {name: slot[:, column].copy() for name, column in _columns(code_size, length).items()}
