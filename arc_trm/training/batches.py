"""Batches as tensors, made ahead while steps are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import torch
from torch import Tensor

from arc_trm.data.prefetch import Prefetcher
from arc_trm.data.processes import BatchProcesses, process_count
from arc_trm.data.sampler import Batch, BatchSampler
from arc_trm.errors import verb


def to_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Convert a batch to CPU tensors for `Trainer.step`, in pinned memory if `device` is a GPU."""
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    if device.type == "cuda":
        return {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return tensors


def processes_for(device: torch.device) -> int:
    """Return how many processes make batches for a device; 0 leaves them to a thread.

    A GPU has some, because there the main thread has to start kernels all the time. Elsewhere steps
    need the cores, and a batch takes little of a step.
    """
    return process_count() if device.type == "cuda" else 0


@contextmanager
def batches_ahead(
    sampler: BatchSampler,
    device: torch.device,
    note: Callable[[str], object] = lambda _: None,
) -> Iterator[Callable[[int], dict[str, Tensor]]]:
    """Yield a function that returns the batch of a step, as `to_tensors` does, made before.

    The function raises what `sampler` raises. `note` receives a sentence if processes that make
    batches cannot be started, or one of them is killed.
    """
    with ExitStack() as stack:
        make: Callable[[int], Batch] = sampler
        processes: BatchProcesses | None = None
        if count := processes_for(device):
            try:
                make = processes = stack.enter_context(closing(BatchProcesses(sampler, count)))
            except OSError as error:
                note(
                    "the system starts no processes that make batches "
                    f"({error.strerror}), so a thread makes them, which may be slower"
                )
        prefetcher = Prefetcher(lambda step: to_tensors(make(step), device))
        stack.enter_context(closing(prefetcher))
        known_as_lost = 0

        def batch_of(step: int) -> dict[str, Tensor]:
            nonlocal known_as_lost
            batch = prefetcher(step)
            if processes is not None and processes.lost > known_as_lost:
                known_as_lost = processes.lost
                note(
                    f"{known_as_lost} of {count} processes that make batches "
                    f"{verb(known_as_lost, 'was', 'were')} killed, perhaps because the memory was "
                    "full: this process makes their batches, which may be slower"
                )
            return batch

        yield batch_of
