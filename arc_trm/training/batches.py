"""Batches as tensors, made ahead while steps are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import torch
from torch import Tensor

from arc_trm.data.prefetch import Prefetcher
from arc_trm.data.processes import BatchProcesses, process_count
from arc_trm.data.sampler import Batch, BatchSampler


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

    The function raises what `sampler` raises, and UserError if a process that made batches was
    killed. `note` receives a sentence if no such process can be started.
    """
    with ExitStack() as stack:
        make: Callable[[int], Batch] = sampler
        if count := processes_for(device):
            try:
                make = stack.enter_context(closing(BatchProcesses(sampler, count)))
            except OSError as error:
                note(
                    "the system starts no processes that make batches "
                    f"({error.strerror}), so a thread makes them, which may be slower"
                )
        prefetcher = Prefetcher(lambda step: to_tensors(make(step), device))
        yield stack.enter_context(closing(prefetcher))
