"""The kernels in C compute what PyTorch's operations compute; where there are none, those do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from arc_trm.config import ModelConfig, from_dict
from arc_trm.models import build_model, cpu_kernels
from arc_trm.models.cpu_kernels import kernels, operations
from arc_trm.models.layers import build_rope_cache
from arc_trm.models.ops import TORCH_OPS, Ops

needs_kernels = pytest.mark.skipif(
    kernels(32, True) is None, reason="needs Linux, a processor with bfloat16 and a C compiler"
)
CLOSE = 0.03
"""Relative distance; bfloat16 alone rounds by 0.004, and slopes of few scores are differences."""


def distance(got: Tensor, expected: Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def both_ways(action, *inputs: Tensor) -> list[Tensor]:
    """The result, and the gradients by the inputs of a random direction of it."""
    inputs = tuple(each.clone().requires_grad_() for each in inputs)
    result = action(*inputs)
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    result.backward(direction.to(result.dtype))
    return [result.detach(), *(each.grad for each in inputs)]


def random(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compare(action, *inputs: Tensor) -> None:
    """`action(operations, *inputs)` in bfloat16 by the kernels is as near float32 as PyTorch's."""

    def by(operations: Ops):
        return lambda *given: action(operations, *given)

    narrow = [each.bfloat16() for each in inputs]
    exact = both_ways(by(TORCH_OPS), *(each.float() for each in narrow))
    plain = both_ways(by(TORCH_OPS), *narrow)
    for got, theirs, expected in zip(both_ways(by(fast()), *narrow), plain, exact, strict=True):
        assert got.dtype == torch.bfloat16
        assert distance(got, expected) < max(CLOSE, 1.2 * distance(theirs, expected))


def fast(head_size: int = 32, rotary: bool = True) -> Ops:
    found = kernels(head_size, rotary)
    assert found is not None
    return found


@needs_kernels
@settings(max_examples=25, deadline=None)
@given(
    head_size=st.sampled_from([32, 64, 96]),
    rotary=st.booleans(),
    length=st.integers(1, 140),
    heads=st.integers(1, 3),
    batch=st.integers(1, 3),
    scale=st.sampled_from([0.01, 1.0, 2.0]),
)
def test_attention(head_size, rotary, length, heads, batch, scale) -> None:
    qkv = random(batch, length, 3 * heads, head_size, scale=scale)
    angles = build_rope_cache(length, head_size) if rotary else None

    def action(which: Ops, x: Tensor) -> Tensor:
        if which is not TORCH_OPS:
            which = fast(head_size, rotary)
        return which.attention(x, angles)

    if length == 1:  # a weight of 1, whatever the scores: only values have a gradient
        narrow = qkv.bfloat16()
        got, slope = both_ways(lambda x: action(fast(), x), narrow)
        assert torch.equal(got, narrow[:, :, 2 * heads :])
        assert slope[:, :, : 2 * heads].abs().max() < CLOSE
    else:
        compare(action, qkv)


@needs_kernels
@pytest.mark.parametrize("matrices", [False, True])
def test_with_matrix_units_where_the_system_grants_them_and_without(matrices, monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrices)
    kernels.cache_clear()
    try:
        angles = build_rope_cache(70, 32)
        compare(lambda which, x: which.attention(x, angles), random(2, 70, 6, 32))
    finally:
        kernels.cache_clear()


@needs_kernels
@pytest.mark.parametrize("shift", [-400.0, 400.0])
def test_scores_far_from_zero_are_no_trouble(shift: float) -> None:
    """Up to 2260 of them; what fills the last tile has a score of 0 and must not count."""
    qkv = random(1, 40, 6, 32)
    qkv[:, :, :2, 0], qkv[:, :, 2:4, 0] = 32.0, shift
    narrow = qkv.bfloat16()
    (got, *slopes), (expected, *_) = (
        both_ways(lambda x, which=which: which.attention(x, None), narrow)
        for which in (fast(32, False), TORCH_OPS)
    )
    assert distance(got, expected) < CLOSE
    assert all(slope.isfinite().all() for slope in slopes)


@needs_kernels
def test_attention_reads_tensors_that_are_not_contiguous() -> None:
    qkv = random(2, 9, 32, 6).bfloat16().transpose(2, 3)
    angles = build_rope_cache(9, 32)
    got = fast().attention(qkv, angles)
    assert torch.equal(got, fast().attention(qkv.contiguous(), angles))


@needs_kernels
@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 300),
    width=st.sampled_from([16, 48, 97, 128, 512]),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_residual_norm_and_gated_silu(rows: int, width: int, scale: float) -> None:
    h, update = random(rows, width, scale=scale), random(rows, width, scale=scale, seed=2)
    compare(lambda which, a, b: which.residual_norm(a, b), h, update)
    compare(lambda which, x: which.silu_mul(x), torch.cat([h, update], -1))


@needs_kernels
def test_a_model_agrees_with_itself_without_kernels(monkeypatch) -> None:
    shape = {
        "seq_len": 36,
        "hidden_size": 64,
        "num_heads": 2,
        "puzzle_emb_len": 1,
        "puzzle_emb_dim": 64,
    }
    config = from_dict(ModelConfig, {**shape, "supervision_steps": 2})
    model = build_model(config, 3, torch.bfloat16, torch.Generator().manual_seed(0))
    inputs = torch.randint(0, 12, (5, 36), generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([0, 1, 2, 1, 0])
    fast = [logits for logits, _ in model.solve(inputs, ids)]
    monkeypatch.setattr(cpu_kernels, "kernels", lambda *shape: None)
    plain = [logits for logits, _ in model.solve(inputs, ids)]
    model.dtype = torch.float32
    exact = [logits for logits, _ in model.solve(inputs, ids)]
    assert distance(fast[0], exact[0]) < max(0.02, 1.5 * distance(plain[0], exact[0]))


def test_other_tensors_go_to_pytorch() -> None:
    cpu = torch.device("cpu")
    assert operations(cpu, torch.float32, 32, True) is TORCH_OPS
    assert operations(cpu, torch.bfloat16, 20, True) is TORCH_OPS
    assert operations(torch.device("cuda"), torch.bfloat16, 32, True) is TORCH_OPS


@pytest.mark.parametrize("compiler", ["does-not-exist", "false", "'open"])
def test_without_a_working_compiler_there_are_none(compiler, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels.cache_clear()
    try:
        assert kernels(32, True) is None
    finally:
        kernels.cache_clear()
    assert not [*tmp_path.rglob("*.so")]


@needs_kernels
def test_they_are_compiled_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels.cache_clear()
    try:
        assert kernels(32, True) is not None
        (library,) = tmp_path.glob("arc-trm/*.so")
        made = library.stat().st_mtime_ns
        kernels.cache_clear()
        monkeypatch.setattr(subprocess, "run", None)
        assert kernels(32, True) is not None
        assert library.stat().st_mtime_ns == made
    finally:
        kernels.cache_clear()


@needs_kernels
def test_a_spoilt_library_is_made_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    kernels.cache_clear()
    try:
        assert kernels(32, True) is not None
        (whole,) = tmp_path.glob("a/arc-trm/*.so")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
        spoilt = tmp_path / "b" / "arc-trm" / whole.name
        spoilt.parent.mkdir(mode=0o700, parents=True)
        spoilt.write_text("spoilt")
        kernels.cache_clear()
        assert kernels(32, True) is not None
        assert spoilt.stat().st_size == whole.stat().st_size
    finally:
        kernels.cache_clear()


@needs_kernels
def test_a_folder_that_others_may_write_into_is_not_trusted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "arc-trm").mkdir()
    (tmp_path / "arc-trm").chmod(0o777)
    kernels.cache_clear()
    try:
        assert kernels(32, True) is not None
    finally:
        kernels.cache_clear()
    assert not [*(tmp_path / "arc-trm").iterdir()]
