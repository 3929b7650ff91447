"""Choose the device and the dtype, and set up the processes of torchrun."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from arc_trm.config import Dtype
from arc_trm.cores import usable_cores, visible_cores
from arc_trm.environment import MAX_NUMBER, environment_number
from arc_trm.errors import UserError, format_value, pluralise

PEER_IS_GONE = "another process of this job has ended, so this one cannot go on: resume the job"
PEER_GRACE_S = 3.0
"""Seconds in which a process that failed says why, before others say that it is gone."""
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str = "auto") -> torch.device:
    """Return a device; for the CPU, also set up the memory allocator and the number of threads.

    Under torchrun each process gets its own GPU.

    Args:
        name: cpu, mps, cuda or cuda:NUMBER; auto is the first of cuda, mps and cpu that exists.

    Raises:
        UserError: the name is invalid, or there is no such device.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (index and not index.isdecimal()):
        raise UserError(
            f"invalid device {format_value(name)}: use auto, cpu, mps, cuda or cuda:NUMBER"
        )
    number = environment_number("LOCAL_RANK", 0) if kind == "cuda" else 0
    if index:
        number = int(index) if len(index) < 10 else MAX_NUMBER
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(has_mps)}[kind]
    if number >= count:
        raise UserError(f"device {format_value(name)} cannot be used here: {_reason(kind, count)}")
    if kind == "cpu":
        _keep_freed_memory()
        torch.set_num_threads(cpu_threads())
    if kind != "cuda":
        return torch.device(kind)
    device = torch.device(kind, number)
    torch.cuda.set_device(device)  # Triton and CUDA graphs run on the current one
    return device


def _reason(kind: str, count: int) -> str:
    """Return why there is no such device, and what to do."""
    instead = "`--device cpu` always works"
    if count and "LOCAL_RANK" in os.environ:
        return (
            f"there are more processes than GPUs, of which PyTorch finds {count}: start one for "
            "each with `--nproc-per-node gpu`"
        )
    if kind == "cuda" and not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return (
            "this PyTorch was built without CUDA: install one with it, as pytorch.org says; until "
            f"then {instead}"
        )
    if kind == "mps" and not torch.backends.mps.is_built():
        return f"this PyTorch was built without MPS, which is for Macs; {instead}"
    if count == 0:
        return f"PyTorch finds no such device, perhaps for want of a driver; {instead}"
    return f"PyTorch finds {pluralise(count, 'device')} of this kind, numbered from 0; {instead}"


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory, because getting it back page by page costs 10 % of the time."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD in malloc.h
        libc.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD; 32 MiB is the largest


def cpu_threads() -> int:
    """Return the number of threads that compute in a process that has the machine for itself.

    It is the number that OMP_NUM_THREADS or torch.set_num_threads has set, and otherwise PyTorch's
    own, at most the cores that this process may use. It does not depend on what else runs, because
    results depend on it: sums in another number of threads are rounded in another order.
    """
    threads, visible = torch.get_num_threads(), visible_cores()
    # PyTorch starts with a thread for each core; it may count two hyperthreads as one.
    if "OMP_NUM_THREADS" in os.environ or threads not in {visible, visible // 2}:
        return threads
    return min(threads, usable_cores())


def pick_dtype(name: Dtype, device: torch.device) -> Dtype:
    """Return a dtype; `auto` is bfloat16 if the device multiplies it faster than float32.

    Raises:
        UserError: bfloat16 is named, but the GPU is older than Ampere, where PyTorch imitates it
            without the speed that it is for.
    """
    if name == "bfloat16" and device.type == "cuda" and not is_recent_gpu(device):
        major, minor = torch.cuda.get_device_capability(device)
        raise UserError(
            f"dtype=bfloat16 needs a GPU of compute capability 8.0 or above, but {device} has "
            f"{major}.{minor}: set dtype=float32, or use another device"
        )
    if name != "auto":
        return name
    fast = is_recent_gpu(device) or (device.type == "cpu" and (has_avx512_bf16() or has_amx()))
    return "bfloat16" if fast else "float32"


def is_recent_gpu(device: torch.device) -> bool:
    """Return whether a device is a GPU from Ampere on (compute capability 8.0).

    Such GPUs multiply bfloat16 fast, and Triton supports them.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


# PyTorch has no public functions for these two. A version without the private ones says no.
def has_avx512_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 in vector registers."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def has_amx() -> bool:
    """Return whether this CPU has matrix units for bfloat16."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def require_compiler(device: torch.device) -> None:
    """Raise UserError unless there is the C compiler that torch.compile or Triton calls."""
    if device.type == "cuda":
        variable, names = "CC", ["gcc", "clang"]
    else:
        variable, names = "CXX", ["clang++" if sys.platform == "darwin" else "g++"]
    names = [os.environ[variable]] if os.environ.get(variable) else names
    if not any(map(shutil.which, names)):
        raise UserError(
            f"torch.compile needs a C compiler, but {' or '.join(names)} is not on the PATH: "
            f"install one, name yours in {variable}, or leave out --compile"
        )


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a CPU tensor to the device without waiting for the device."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def memory_bytes(device: torch.device) -> int:
    """Return the total memory of the device, which unlike the free memory is always the same."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of PyTorch says that a device has no memory left."""
    # On the CPU there is no class for it, nor where a library or a kernel asks a GPU for memory.
    phrases = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error) for each in phrases)


def free_memory(device: torch.device) -> None:
    """Give back to the device what this process keeps for tensors that no longer exist.

    The traceback of an error keeps its tensors, so call this after the error has been handled.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def describe_memory(device: torch.device) -> str:
    """Return which device has how much memory, and on a GPU how much this process holds of it."""
    text = f"{device} ({memory_bytes(device) / 1e9:.1f} GB"
    if device.type == "cuda":  # others may hold the rest
        held, (free, _) = torch.cuda.memory_reserved(device), torch.cuda.mem_get_info(device)
        text += f", of which this process holds {held / 1e9:.1f} and {free / 1e9:.1f} are free"
    return f"{text})"


def under_torchrun() -> bool:
    """Return whether torchrun, or a launcher like it, has started this process.

    Raises:
        UserError: the variables by which it tells do not fit.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return False
    rank, size = environment_number("RANK", 0), environment_number("WORLD_SIZE", 1)
    environment_number("MASTER_PORT", 0)
    if rank >= size:
        raise UserError(
            f"the environment variable RANK is {rank}, expected a number below WORLD_SIZE, {size}: "
            "start the processes with torchrun"
        )
    return True


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """Yield (rank, world size); under torchrun there is a process group while the block runs."""
    if not under_torchrun():
        yield 0, 1
        return
    # Import this before the group exists. Its functions have the group as a default argument, so a
    # later import would keep it alive, and threads of gloo would abort the process at its end.
    import torch.distributed.nn.functional

    nccl = device.type == "cuda"
    if nccl:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if nccl else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    except BaseException as error:
        if not nccl:  # nccl waits for all processes, of which some may be gone
            dist.destroy_process_group()
        if not isinstance(error, UserError) and _is_of_peer(error):
            # The process that failed first says why. It takes a moment to end, and torchrun, which
            # sees that, then ends this one.
            time.sleep(PEER_GRACE_S)
            raise UserError(PEER_IS_GONE) from error
        raise
    dist.destroy_process_group()


def _is_of_peer(error: BaseException) -> bool:
    """Return whether an error says that another process of the job cannot be reached."""
    # gloo has no class of its own for errors.
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )
