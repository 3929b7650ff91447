"""Which device, which type of numbers, how many processes."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
import torch.distributed as dist

from arc_trm.config import Dtype
from arc_trm.errors import UserError

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is cuda, then mps, then cpu; under torchrun each process gets its own GPU.

    Readies the process for it.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (index and not index.isdecimal()):
        raise UserError(f"invalid device {name!r}: use auto, cpu, mps, cuda or cuda:NUMBER")
    mine = os.environ.get("LOCAL_RANK", "0") if kind == "cuda" else "0"
    number = int(index or mine)
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }[kind]
    if number >= count:
        raise UserError(
            f"device {name!r} cannot be used here: PyTorch finds {count} of the kind {kind}; "
            "`--device cpu` always works"
        )
    if kind == "cpu":
        _keep_memory()
    return torch.device(kind, number) if kind == "cuda" else torch.device(kind)


def _keep_memory() -> None:
    """Have glibc keep what is freed: taking it again page by page costs a tenth of the time."""
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3  # malloc.h; the latter is at most 32 MiB
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 32 * 2**20)


def pick_dtype(name: Dtype, device: torch.device) -> Dtype:
    """`auto` is bfloat16 where the device multiplies it faster than float32, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # These questions have no public spelling; an older torch without them gets float32.
        asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        fast = any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)
    else:
        fast = False
    return "bfloat16" if fast else "float32"


def compiles(device: torch.device, wanted: bool | None = None) -> bool:
    """Return whether to use torch.compile; it takes its time before the first steps.

    Args:
        device: to compile for.
        wanted: None is yes on GPUs that torch.compile was made for, from Ampere on.

    Raises:
        UserError: it is wanted and has no compiler.
    """
    if wanted:
        _require_compiler(device)
    if wanted is not None or device.type != "cuda":
        return bool(wanted)
    return torch.cuda.get_device_capability(device) >= (8, 0) and bool(find_spec("triton"))


def _require_compiler(device: torch.device) -> None:
    """Raise UserError unless there is the compiler that torch.compile calls, on a GPU Triton."""
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
    """A CPU tensor on the device, without waiting for what that is doing."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def memory_bytes(device: torch.device) -> int:
    """All memory of the device; the same on every start, unlike what is free."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def under_torchrun() -> bool:
    """Whether torchrun, or who does as it does, has started this process and perhaps others."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """(rank, world) under torchrun, with its process group for as long as the block runs."""
    if not under_torchrun():
        yield 0, 1
        return
    # Whoever imports this while there is a group keeps that for good, as its functions take it as a
    # default; then threads of gloo outlive Python and abort a process that has done its work.
    import torch.distributed.nn.functional

    nccl = device.type == "cuda"
    if nccl:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if nccl else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    except BaseException:
        if not nccl:  # which ends by a joint act, for which the others may never come
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()
