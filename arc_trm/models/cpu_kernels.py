"""Attention, norm and SwiGLU in bfloat16 on x86-64 processors that multiply it, in C.

`cpu_kernels.c` is compiled when it is first needed, in half a second, and kept in the user's cache.
Without such a processor, Linux or a C compiler there are no kernels, and PyTorch's own operations
compute the same formulas.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from arc_trm.models.ops import RMS_EPSILON, TORCH_OPS, Ops

LANES = 16
"""float32 numbers in a vector: norm and SwiGLU go through widths of whole vectors."""
HEAD_STEP = 32
"""Head sizes must be a multiple of this."""
VECTORS = ("avx512f", "avx512bw", "avx512vl", "avx512bf16")
MATRICES = ("amx-tile", "amx-bf16")


def operations(device: torch.device, dtype: torch.dtype, head_size: int, rotary: bool) -> Ops:
    """The fastest operations there are for such tensors."""
    if device.type != "cpu" or dtype != torch.bfloat16:
        return TORCH_OPS
    return kernels(head_size, rotary) or TORCH_OPS


@cache
def kernels(head_size: int, rotary: bool) -> Kernels | None:
    """The kernels for a head size and kind of positions; None where there are none."""
    # These questions have no public spelling; an older torch without them gets no kernels.
    vectors, matrices = (
        getattr(torch.cpu, ask, lambda: False)()
        for ask in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    if platform.system() != "Linux" or not vectors or head_size % HEAD_STEP:
        return None
    for extensions in (VECTORS + MATRICES, VECTORS)[not matrices :]:
        library = _library(extensions, head_size, rotary)
        if library and library.trm_request() == 0:
            return Kernels(library)
    return None


def _library(extensions: Sequence[str], head_size: int, rotary: bool) -> ctypes.CDLL | None:
    """The kernels for processors with these extensions; None if they cannot be compiled."""
    flags = ["-O3", "-fno-strict-aliasing"]  # pairs of bfloat16 are read as one number
    flags += [f"-m{extension}" for extension in extensions]
    flags += [f"-DHEAD={head_size}", f"-DROTARY={int(rotary)}"]
    try:
        compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "gcc"]
        folder = _cache_folder()
        if folder is not None:
            return _compiled(compiler, flags, folder)
        with tempfile.TemporaryDirectory(prefix="arc-trm-") as own:  # once loaded, it may go
            return _compiled(compiler, flags, Path(own))
    except (OSError, ValueError, subprocess.SubprocessError):  # ValueError: quotes left open in CC
        return None


def _cache_folder() -> Path | None:
    """Where compiled kernels are kept, a folder of this user alone; None if there can be none."""
    with contextlib.suppress(OSError, RuntimeError):  # the latter without a home
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = root / "arc-trm"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if (
            status.st_uid == os.getuid()
            and not status.st_mode & 0o022
            and os.access(folder, os.W_OK)
        ):
            return folder
    return None


def _compiled(compiler: Sequence[str], flags: Sequence[str], folder: Path) -> ctypes.CDLL:
    """The library in `folder`, made there if it is missing or spoilt.

    Raises OSError or SubprocessError if it cannot be made.
    """
    # PyTorch's own OpenMP first, so that the process has one pool of threads.
    openmp = map(str, (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    with resources.as_file(resources.files(__package__) / "cpu_kernels.c") as source:
        options = [*flags, "-fopenmp", "-shared", "-fPIC", "-Wl,--as-needed"]
        command = [*compiler, *options, str(source), *openmp, "-lm"]
        key = hashlib.sha256(repr(command).encode() + source.read_bytes()).hexdigest()
        library = folder / f"kernels-{key[:24]}.so"
        with contextlib.suppress(OSError):
            return ctypes.CDLL(str(library))
        handle, made = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            subprocess.run([*command, "-o", made], check=True, capture_output=True, timeout=120)
            os.replace(made, library)
        finally:
            Path(made).unlink(missing_ok=True)
    return ctypes.CDLL(str(library))


class Kernels:
    """`Ops` on contiguous bfloat16 tensors of a CPU; others go to PyTorch's."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def run(self, name: str, *arguments: Tensor | int | float) -> None:
        """Call a function of the library; tensors must be contiguous and stay alive meanwhile."""
        given: list[Any] = []
        for argument in arguments:
            if isinstance(argument, Tensor):
                given.append(ctypes.c_void_p(argument.data_ptr()))
            elif isinstance(argument, float):
                given.append(ctypes.c_float(argument))
            else:
                given.append(ctypes.c_long(argument))
        getattr(self._library, f"trm_{name}")(*given, ctypes.c_int(torch.get_num_threads()))

    def attention(self, qkv: Tensor, angles: Tensor | None) -> Tensor:
        length, half = qkv.shape[1], qkv.shape[3] // 2
        if angles is None:
            angles = qkv.new_zeros(2, 1, dtype=torch.float32)
        elif angles.shape != (2, length, half) or angles.dtype != torch.float32:
            return TORCH_OPS.attention(qkv, angles)
        out: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            qkv.contiguous(), angles.contiguous(), self
        )
        return out

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        whole = h.is_contiguous() and update.is_contiguous()
        alike = h.shape == update.shape and h.dtype == update.dtype
        if not whole or not alike or h.shape[-1] % LANES:
            return TORCH_OPS.residual_norm(h, update)
        out: Tensor = _ResidualNorm.apply(h, update, self)  # type: ignore[no-untyped-call]
        return out

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        if not gate_up.is_contiguous() or gate_up.shape[-1] % (2 * LANES):
            return TORCH_OPS.silu_mul(gate_up)
        out: Tensor = _GatedSiLU.apply(gate_up, self)  # type: ignore[no-untyped-call]
        return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, angles: Tensor, kernels: Kernels) -> Tensor:
        batch, length, heads, size = qkv.shape
        shape = (batch, length, heads // 3)
        out = qkv.new_empty(*shape, size)
        log_sums = qkv.new_empty(batch, heads // 3, length, dtype=torch.float32)
        kernels.run("attention", qkv, *angles, out, log_sums, *shape)
        ctx.save_for_backward(qkv, angles, out, log_sums)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        qkv, angles, out, log_sums = ctx.saved_tensors
        to_qkv = torch.empty_like(qkv)
        tensors = (qkv, *angles, out, log_sums, gradient.contiguous(), to_qkv)
        ctx.kernels.run("attention_backward", *tensors, *out.shape[:3])
        return to_qkv, None, None


class _ResidualNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, update: Tensor, kernels: Kernels) -> Tensor:
        width = h.shape[-1]
        x, out = torch.empty_like(h), torch.empty_like(h)
        scales = h.new_empty(h.numel() // width, dtype=torch.float32)
        kernels.run("residual_norm", h, update, x, out, scales, RMS_EPSILON, len(scales), width)
        ctx.save_for_backward(x, scales)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scales = ctx.saved_tensors
        to_x = torch.empty_like(x)
        gradient = gradient.contiguous()
        ctx.kernels.run("norm_backward", x, scales, gradient, to_x, len(scales), x.shape[-1])
        return to_x, to_x, None


class _GatedSiLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, kernels: Kernels) -> Tensor:
        width = gate_up.shape[-1] // 2
        out = gate_up.new_empty(*gate_up.shape[:-1], width)
        kernels.run("silu_mul", gate_up, out, out.numel() // width, width)
        ctx.save_for_backward(gate_up)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (gate_up,) = ctx.saved_tensors
        width = gate_up.shape[-1] // 2
        to_gate_up = torch.empty_like(gate_up)
        gradient = gradient.contiguous()
        rows = gradient.numel() // width
        ctx.kernels.run("gated_silu_backward", gate_up, gradient, to_gate_up, rows, width)
        return to_gate_up, None
