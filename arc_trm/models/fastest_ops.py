"""Choose the fastest implementation of the operations of a block (`arc_trm.models.ops`)."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from arc_trm.device import is_recent_gpu
from arc_trm.models import cpu_kernels
from arc_trm.models.ops import TORCH_OPS, Ops


@dataclass(frozen=True)
class _Found:
    """The operations for a GPU, and what would make them faster."""

    ops: Ops
    advice: str | None = None


def fastest_ops(device: torch.device, dtype: torch.dtype, head_size: int, rotary: bool) -> Ops:
    """Return the fastest `Ops` for such activations; `rotary` says whether q and k are rotated."""
    if device.type == "cuda":
        return _gpu_ops(device).ops
    if device.type == "cpu" and dtype == torch.bfloat16:
        return cpu_kernels.load_kernels(head_size, rotary) or TORCH_OPS
    return TORCH_OPS


def speed_advice(
    device: torch.device, dtype: torch.dtype, head_size: int, rotary: bool
) -> str | None:
    """Return what to do if this machine suits kernels that cannot be compiled, else None."""
    if device.type == "cuda":
        return _gpu_ops(device).advice
    if device.type == "cpu" and dtype == torch.bfloat16:
        return cpu_kernels.compiler_advice(head_size, rotary)
    return None


@cache
def _gpu_ops(device: torch.device) -> _Found:
    """Return the kernels in Triton after running one, else PyTorch's operations."""
    if not is_recent_gpu(device):
        return _Found(TORCH_OPS)
    if find_spec("triton") is None:
        return _Found(
            TORCH_OPS,
            "the kernels for this GPU need Triton, which comes with PyTorch on Linux, so all takes "
            "longer: install it with `pip install triton`",
        )
    try:
        keep_compiled("TRITON_CACHE_DIR", "triton")
        from arc_trm.models.gpu_kernels import TritonOps

        ops = TritonOps()
        ops.silu_mul(torch.zeros(1, 32, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, its compiler and the driver raise errors of many classes
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        return _Found(
            TORCH_OPS,
            f"the kernels for this GPU cannot be compiled ({reason}), so all takes longer: Triton "
            "needs a C compiler such as gcc, named in CC if it is not on the PATH",
        )
    return _Found(ops)


def keep_compiled(variable: str, name: str) -> None:
    """Let a compiler keep its results in this user's cache, else in a folder of this process.

    Args:
        variable: of the environment, which names the folder; a user's own stays.
        name: of the folder in the cache.
    """
    if variable in os.environ:
        return
    folder = cpu_kernels.cache_folder()
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="arc-trm-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[variable] = str(folder / name)
