"""The operations of a block alone: by the fastest kernels for this device, and by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from arc_trm.benchmarks.machine import machine_names, machine_text
from arc_trm.benchmarks.timing import median_seconds
from arc_trm.callbacks import Progress, ignore
from arc_trm.config import RunConfig, describe_preset
from arc_trm.device import DTYPES, pick_dtype
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.layers import Attention, PostNormBlock, SwiGLU
from arc_trm.models.ops import TORCH_OPS, Ops

POSITIONS = {"cpu": 4096, "mps": 4096, "cuda": 2**17}
"""Positions of the activations, in whole examples."""
COPIED_BYTES = {"cpu": 2**28, "mps": 2**28, "cuda": 2**31}
"""Size of the tensor that is copied: far more than caches hold."""

Operation = Callable[[Ops, Tensor], Tensor]


def bench_kernels(
    config: RunConfig, device: torch.device, progress: Progress = ignore
) -> dict[str, Any]:
    """Measure each operation of a model's block, forward and with its backward pass.

    Args:
        config: of a run.
        device: where to measure.
        progress: called with the number of operations that were measured, and of all.

    Returns:
        `operations` maps names to the seconds `forward` and `both`, of forward and backward, by the
        fastest kernels, and to `torch_forward` and `torch_both`, by PyTorch.
        `copy_bytes_per_second` are those that copying a tensor reads and writes.
    """
    config = replace(config, dtype=pick_dtype(config.dtype, device))
    dtype = DTYPES[config.dtype]
    model = build_model(config.model, 1, dtype, torch.Generator().manual_seed(0)).to(device)
    length = model.state_length()
    batch = max(1, POSITIONS[device.type] // length)
    fast, operations = model.select_ops(dtype), _operations(model, batch, length)
    measured: dict[str, dict[str, float]] = {}
    with model.cache_cast_weights():
        for name, (shape, operation) in operations.items():
            progress(len(measured), len(operations))
            operand = _random(shape, device, dtype)
            measured[name] = {
                **_seconds(operation, fast, operand, ""),
                **_seconds(operation, TORCH_OPS, operand, "torch_"),
            }
    progress(len(measured), len(operations))
    source = torch.ones(COPIED_BYTES[device.type] // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    copy = median_seconds(lambda: target.copy_(source), device)
    return {
        "what": "kernels",
        "preset": describe_preset(config),
        **machine_names(device),
        "dtype": config.dtype,
        "batch_size": batch,
        "positions": length,
        "kernels": fast is not TORCH_OPS,
        "copy_bytes_per_second": 2 * source.nbytes / copy,
        "operations": measured,
    }


def _operations(
    model: PuzzleModel, batch: int, length: int
) -> dict[str, tuple[tuple[int, ...], Operation]]:
    """Return the shape of an operand and the function of each operation, by name."""
    block = next((each for each in model.modules() if isinstance(each, PostNormBlock)), None)
    width = model.config.hidden_size
    state = (batch, length, width)
    found: dict[str, tuple[tuple[int, ...], Operation]] = {
        "residual norm": (state, lambda ops, h: ops.residual_norm(h, h))
    }
    if block is None:
        return found
    hidden = block.swiglu.down.weight.shape[1]
    found["SiLU(gate) · up"] = ((batch, length, 2 * hidden), lambda ops, h: ops.silu_mul(h))
    mixer = block.token_mixer
    if isinstance(mixer, Attention):
        heads = mixer.num_heads
        found["attention with rotation"] = (
            (batch, length, 3 * heads, width // heads),
            lambda ops, qkv: ops.attention(qkv, model.rope_cache),
        )
    if isinstance(mixer, SwiGLU):
        found["mixer over positions"] = (
            state,
            lambda ops, h: ops.mix_positions(h, mixer.gate_up, mixer.down),
        )
    return found


def _random(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def _seconds(operation: Operation, ops: Ops, operand: Tensor, prefix: str) -> dict[str, float]:
    device = operand.device
    with torch.no_grad():
        forward = median_seconds(lambda: operation(ops, operand), device)
    leaf = operand.clone().requires_grad_()
    gradient = torch.ones_like(operation(ops, leaf))
    both = median_seconds(lambda: torch.autograd.grad(operation(ops, leaf), leaf, gradient), device)
    return {f"{prefix}forward": forward, f"{prefix}both": both}


def kernel_lines(values: dict[str, Any]) -> list[str]:
    """Return the measurements of `bench_kernels` as a table."""
    lines = [
        f"kernels, preset {values['preset']}, {machine_text(values)}, {values['dtype']}, "
        f"{values['batch_size']} examples of {values['positions']} positions; copying moves "
        f"{values['copy_bytes_per_second'] / 1e9:,.0f} GB a second",
        f"  {'milliseconds':<26}{'forward':>9}{'PyTorch':>9}{'both':>9}{'PyTorch':>9}",
    ]
    for name, seconds in values["operations"].items():
        keys = ("forward", "torch_forward", "both", "torch_both")
        numbers = "".join(f"{1e3 * seconds[key]:9.3f}" for key in keys)
        lines.append(f"  {name:<26}{numbers}")
    return lines
