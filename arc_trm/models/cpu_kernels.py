"""Attention, residual norm and SiLU(gate) · up in C, for bfloat16 on recent x86-64 CPUs.

`cpu_kernels.c` is compiled when it is first needed, which takes half a second, and kept in the
user's cache folder. The kernels need Linux, a CPU with AVX-512 BF16 and a C compiler; otherwise
PyTorch computes the same formulas (`arc_trm.models.ops.TorchOps`).
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

from arc_trm.device import has_amx, has_avx512_bf16
from arc_trm.models.ops import RMS_EPSILON, TORCH_OPS, TorchOps

LANES = 16
"""float32 numbers in a vector register; norm and SiLU need widths that are a multiple."""
HEAD_SIZE_MULTIPLE = 32
"""Head sizes must be a multiple of this."""
AVX512_FLAGS = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512bf16")
AMX_FLAGS = ("-mamx-tile", "-mamx-bf16")


def compiler_advice(head_size: int, rotary: bool) -> str | None:
    """Return what to do if the kernels suit this CPU but cannot be compiled, else None."""
    if not _suits_kernels(head_size) or load_kernels(head_size, rotary) is not None:
        return None
    return (
        "the C kernels for this CPU cannot be compiled, so all takes longer: install a C compiler "
        "such as gcc, or name one in CC"
    )


def _suits_kernels(head_size: int) -> bool:
    """Return whether this machine can run the kernels for heads of a size."""
    can_run = platform.system() == "Linux" and has_avx512_bf16()
    return can_run and head_size % HEAD_SIZE_MULTIPLE == 0


@cache
def load_kernels(head_size: int, rotary: bool) -> KernelOps | None:
    """Compile and load the kernels; return None if this machine cannot compile or run them."""
    if not _suits_kernels(head_size):
        return None
    for amx in (True, False) if has_amx() else (False,):
        library = _load_library(head_size, rotary, amx)
        if library is not None and library.trm_request_amx() == 0:
            return KernelOps(library, amx)
    return None


def _load_library(head_size: int, rotary: bool, amx: bool) -> ctypes.CDLL | None:
    """Return the compiled library, or None if it cannot be compiled."""
    flags = ["-O3", "-fno-strict-aliasing"]  # the code reads pairs of bfloat16 as one integer
    flags += [*AVX512_FLAGS, f"-DHEAD={head_size}", f"-DROTARY={int(rotary)}"]
    flags += AMX_FLAGS if amx else ()
    try:
        compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "gcc"]
        folder = cache_folder()
        if folder is not None:
            return _compile(compiler, flags, folder)
        with tempfile.TemporaryDirectory(prefix="arc-trm-") as temporary:
            return _compile(compiler, flags, Path(temporary))  # a loaded library needs no file
    except (OSError, ValueError, subprocess.SubprocessError):  # ValueError: an open quote in CC
        return None


def cache_folder() -> Path | None:
    """Return a folder that only this user can write to, or None."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: the user has no home
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = root / "arc-trm"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        private = status.st_uid == os.getuid() and not status.st_mode & 0o022
        if private and os.access(folder, os.W_OK):
            return folder
    return None


def _compile(compiler: Sequence[str], flags: Sequence[str], folder: Path) -> ctypes.CDLL:
    """Load the library from `folder`; compile it first if it is missing or damaged.

    Raises:
        OSError: the compiler cannot be started, or the folder not written to.
        subprocess.SubprocessError: the compiler fails or takes longer than two minutes.
    """
    # Link PyTorch's own OpenMP, so that the process has one pool of threads.
    openmp = map(str, (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    with resources.as_file(resources.files(__package__) / "cpu_kernels.c") as source:
        options = [*flags, "-fopenmp", "-shared", "-fPIC", "-Wl,--as-needed"]
        command = [*compiler, *options, str(source), *openmp, "-lm"]
        key = hashlib.sha256(repr(command).encode() + source.read_bytes()).hexdigest()
        library = folder / f"kernels-{key[:24]}.so"
        with contextlib.suppress(OSError):
            if _is_whole(library):
                return ctypes.CDLL(str(library))
        handle, temporary = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            command += ["-o", temporary]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            _append_digest(Path(temporary))
            os.replace(temporary, library)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return ctypes.CDLL(str(library))


def _append_digest(library: Path) -> None:
    """Append the SHA-256 of a library to its file, which a loader of libraries does not read."""
    with library.open("r+b") as file:
        file.write(hashlib.sha256(file.read()).digest())
        file.flush()
        os.fsync(file.fileno())


def _is_whole(library: Path) -> bool:
    """Return whether a file ends with its digest: loading a damaged one would end the process."""
    content = library.read_bytes()
    end = len(content) - hashlib.sha256().digest_size
    return end > 0 and hashlib.sha256(content[:end]).digest() == content[end:]


class KernelOps(TorchOps):
    """`Ops` by the C kernels for contiguous bfloat16 tensors on the CPU, else by PyTorch."""

    def __init__(self, library: ctypes.CDLL, uses_amx: bool) -> None:
        self._library = library
        self.uses_amx = uses_amx

    def call(self, name: str, *arguments: Tensor | int | float) -> None:
        """Call the C function `trm_NAME`; tensors must be contiguous and outlive the call."""
        converted: list[Any] = []
        for argument in arguments:
            if isinstance(argument, Tensor):
                converted.append(ctypes.c_void_p(argument.data_ptr()))
            elif isinstance(argument, float):
                converted.append(ctypes.c_float(argument))
            else:
                converted.append(ctypes.c_long(argument))
        getattr(self._library, f"trm_{name}")(*converted, ctypes.c_int(torch.get_num_threads()))

    def attention(self, qkv: Tensor, rope_cache: Tensor | None) -> Tensor:
        length, half = qkv.shape[1], qkv.shape[3] // 2
        if rope_cache is None:
            rope_cache = qkv.new_zeros(2, 1, dtype=torch.float32)  # never read
        elif rope_cache.shape != (2, length, half) or rope_cache.dtype != torch.float32:
            return TORCH_OPS.attention(qkv, rope_cache)
        out: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            qkv.contiguous(), rope_cache.contiguous(), self
        )
        return out

    def residual_norm(self, h: Tensor, update: Tensor) -> Tensor:
        contiguous = h.is_contiguous() and update.is_contiguous()
        same_type = h.shape == update.shape and h.dtype == update.dtype
        if not contiguous or not same_type or h.shape[-1] % LANES:
            return TORCH_OPS.residual_norm(h, update)
        out: Tensor = _ResidualNorm.apply(h, update, self)  # type: ignore[no-untyped-call]
        return out

    def silu_mul(self, gate_up: Tensor) -> Tensor:
        if not gate_up.is_contiguous() or gate_up.shape[-1] % (2 * LANES):
            return TORCH_OPS.silu_mul(gate_up)
        out: Tensor = _SiluMul.apply(gate_up, self)  # type: ignore[no-untyped-call]
        return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, rope_cache: Tensor, kernels: KernelOps) -> Tensor:
        batch, length, heads, size = qkv.shape
        shape = (batch, length, heads // 3)
        out = qkv.new_empty(*shape, size)
        log_sums = qkv.new_empty(batch, heads // 3, length, dtype=torch.float32)
        kernels.call("attention", qkv, *rope_cache, out, log_sums, *shape)
        ctx.save_for_backward(qkv, rope_cache, out, log_sums)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        qkv, rope_cache, out, log_sums = ctx.saved_tensors
        grad_qkv = torch.empty_like(qkv)
        tensors = (qkv, *rope_cache, out, log_sums, grad.contiguous(), grad_qkv)
        ctx.kernels.call("attention_backward", *tensors, *out.shape[:3])
        return grad_qkv, None, None


class _ResidualNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, update: Tensor, kernels: KernelOps) -> Tensor:
        width = h.shape[-1]
        x, out = torch.empty_like(h), torch.empty_like(h)
        scales = h.new_empty(h.numel() // width, dtype=torch.float32)
        kernels.call("residual_norm", h, update, x, out, scales, RMS_EPSILON, len(scales), width)
        ctx.save_for_backward(x, scales)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scales = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        tensors = (x, scales, grad.contiguous(), grad_x)
        ctx.kernels.call("residual_norm_backward", *tensors, len(scales), x.shape[-1])
        return grad_x, grad_x, None


class _SiluMul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor, kernels: KernelOps) -> Tensor:
        width = gate_up.shape[-1] // 2
        out = gate_up.new_empty(*gate_up.shape[:-1], width)
        kernels.call("silu_mul", gate_up, out, out.numel() // width, width)
        ctx.save_for_backward(gate_up)
        ctx.kernels = kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gate_up,) = ctx.saved_tensors
        width = gate_up.shape[-1] // 2
        grad_gate_up = torch.empty_like(gate_up)
        tensors = (gate_up, grad.contiguous(), grad_gate_up)
        ctx.kernels.call("silu_mul_backward", *tensors, grad.numel() // width, width)
        return grad_gate_up, None
