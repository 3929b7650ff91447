"""The C kernels compute what PyTorch computes; machines that cannot run them use PyTorch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from arc_trm.config import ModelConfig, from_dict
from arc_trm.models import build_model, cpu_kernels
from arc_trm.models.cpu_kernels import KernelOps, load_kernels
from arc_trm.models.fastest_ops import fastest_ops
from arc_trm.models.layers import build_rope_cache
from arc_trm.models.ops import TORCH_OPS, Ops

needs_kernels = pytest.mark.skipif(
    load_kernels(32, True) is None, reason="needs Linux, a CPU with AVX-512 BF16 and a C compiler"
)
TOLERANCE = 0.03
"""Relative distance. bfloat16 alone rounds by 0.004; gradients of few scores are differences."""


@pytest.fixture
def fresh_kernels() -> Iterator[None]:
    """Compile and load kernels again in this test, and again after it."""
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


def kernel_ops(head_size: int = 32, rotary: bool = True) -> KernelOps:
    kernels = load_kernels(head_size, rotary)
    assert kernels is not None
    return kernels


def random(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def distance(got: Tensor, expected: Tensor) -> float:
    """Relative distance of two tensors."""
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def forward_backward(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Return the result, and the inputs' gradients for a random gradient of the result."""
    inputs = tuple(each.clone().requires_grad_() for each in inputs)
    result = function(*inputs)
    result.backward(random(*result.shape, seed=1).to(result.dtype))
    return [result.detach(), *(each.grad for each in inputs)]


def assert_as_exact_as_torch(
    kernels: Ops, function: Callable[..., Tensor], *inputs: Tensor
) -> None:
    """Check that `function(ops, *inputs)` by the kernels is as near to float32 as by PyTorch."""
    narrow = [each.bfloat16() for each in inputs]
    exact = forward_backward(
        lambda *given: function(TORCH_OPS, *given), *(each.float() for each in narrow)
    )
    by_torch = forward_backward(lambda *given: function(TORCH_OPS, *given), *narrow)
    by_kernels = forward_backward(lambda *given: function(kernels, *given), *narrow)
    for got, torchs, expected in zip(by_kernels, by_torch, exact, strict=True):
        assert got.dtype == torch.bfloat16
        assert distance(got, expected) < max(TOLERANCE, 1.2 * distance(torchs, expected))


@pytest.mark.slow
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
    rope_cache = build_rope_cache(length, head_size) if rotary else None
    kernels = kernel_ops(head_size, rotary)
    if length == 1:  # the weight is 1 whatever the score, so only the value has a gradient
        narrow = qkv.bfloat16()
        got, gradient = forward_backward(lambda x: kernels.attention(x, rope_cache), narrow)
        assert torch.equal(got, narrow[:, :, 2 * heads :])
        assert gradient[:, :, : 2 * heads].abs().max() < TOLERANCE
    else:
        assert_as_exact_as_torch(kernels, lambda ops, x: ops.attention(x, rope_cache), qkv)


def check_attention(kernels: KernelOps) -> None:
    rope_cache = build_rope_cache(70, 32)
    qkv = random(2, 70, 6, 32)
    assert_as_exact_as_torch(kernels, lambda ops, x: ops.attention(x, rope_cache), qkv)


@needs_kernels
def test_attention_with_amx() -> None:
    kernels = kernel_ops()
    if not kernels.uses_amx:
        pytest.skip("needs a CPU with AMX and a system that grants it")
    check_attention(kernels)


@pytest.mark.slow
@needs_kernels
def test_attention_without_amx(fresh_kernels, monkeypatch) -> None:
    monkeypatch.setattr(cpu_kernels, "has_amx", lambda: False)
    kernels = kernel_ops()
    assert not kernels.uses_amx
    check_attention(kernels)


@needs_kernels
@pytest.mark.parametrize("shift", [-400.0, 400.0])
def test_attention_with_large_scores(shift: float) -> None:
    """Scores are up to 2260. The padding of the last tile has a score of 0 and must not count."""
    qkv = random(1, 40, 6, 32)
    qkv[:, :, :2, 0], qkv[:, :, 2:4, 0] = 32.0, shift
    narrow = qkv.bfloat16()
    kernels = kernel_ops(32, rotary=False)
    got, gradient = forward_backward(lambda x: kernels.attention(x, None), narrow)
    assert distance(got, TORCH_OPS.attention(narrow, None)) < TOLERANCE
    assert gradient.isfinite().all()


@needs_kernels
def test_attention_takes_tensors_that_are_not_contiguous() -> None:
    qkv = random(2, 9, 32, 6).bfloat16().transpose(2, 3)
    rope_cache = build_rope_cache(9, 32)
    got = kernel_ops().attention(qkv, rope_cache)
    assert torch.equal(got, kernel_ops().attention(qkv.contiguous(), rope_cache))


@needs_kernels
@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 300),
    width=st.sampled_from([16, 48, 97, 128, 512]),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_residual_norm_and_silu_mul(rows: int, width: int, scale: float) -> None:
    h, update = random(rows, width, scale=scale), random(rows, width, scale=scale, seed=2)
    kernels = kernel_ops()
    assert_as_exact_as_torch(kernels, lambda ops, a, b: ops.residual_norm(a, b), h, update)
    gate_up = torch.cat([h, update], -1)
    assert_as_exact_as_torch(kernels, lambda ops, x: ops.silu_mul(x), gate_up)


@needs_kernels
def test_model_predicts_alike_with_and_without_kernels(monkeypatch) -> None:
    shape = {
        "seq_len": 36,
        "hidden_size": 64,
        "num_heads": 2,
        "puzzle_emb_len": 1,
        "puzzle_emb_dim": 64,
        "supervision_steps": 1,
    }
    config = from_dict(ModelConfig, shape)
    model = build_model(config, 3, torch.bfloat16, torch.Generator().manual_seed(0))
    inputs = torch.randint(0, 12, (5, 36), generator=torch.Generator().manual_seed(0))
    puzzle_ids = torch.tensor([0, 1, 2, 1, 0])
    by_kernels, _ = next(model.predict_steps(inputs, puzzle_ids))
    monkeypatch.setattr(cpu_kernels, "load_kernels", lambda head_size, rotary: None)
    by_torch, _ = next(model.predict_steps(inputs, puzzle_ids))
    model.dtype = torch.float32
    exact, _ = next(model.predict_steps(inputs, puzzle_ids))
    assert not torch.equal(by_kernels, by_torch)
    assert distance(by_kernels, exact) < max(0.02, 1.5 * distance(by_torch, exact))


def test_other_activations_go_to_torch() -> None:
    cpu = torch.device("cpu")
    assert fastest_ops(cpu, torch.float32, 32, True) is TORCH_OPS
    assert fastest_ops(cpu, torch.bfloat16, 20, True) is TORCH_OPS


@pytest.mark.parametrize("compiler", ["does-not-exist", "false", "'open"])
def test_no_kernels_without_a_working_compiler(
    compiler, fresh_kernels, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_kernels(32, True) is None
    assert not [*tmp_path.rglob("*.so")]


@pytest.mark.parametrize("compiler", ["does-not-exist", "false"])
def test_a_user_is_told_what_would_be_faster(
    compiler, fresh_kernels, tmp_path, monkeypatch
) -> None:
    def advice(**changes) -> str | None:
        settings = {"hidden_size": 64, "num_heads": 2, "puzzle_emb_dim": 64, "seq_len": 16}
        model = build_model(from_dict(ModelConfig, settings | changes), 2, torch.bfloat16)
        return model.speed_advice()

    monkeypatch.setattr(cpu_kernels.platform, "system", lambda: "Linux")
    monkeypatch.setattr(cpu_kernels, "has_avx512_bf16", lambda: True)
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = advice()
    assert said is not None and "install a C compiler such as gcc, or name one in CC" in said
    assert advice(hidden_size=48, puzzle_emb_dim=48) is None  # there are no kernels for such heads
    monkeypatch.setattr(cpu_kernels, "has_avx512_bf16", lambda: False)
    assert advice() is None


@pytest.mark.slow
@needs_kernels
def test_kernels_are_compiled_once(fresh_kernels, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel_ops()
    (library,) = tmp_path.glob("arc-trm/*.so")
    compiled_at = library.stat().st_mtime_ns
    load_kernels.cache_clear()
    monkeypatch.setattr(subprocess, "run", None)
    kernel_ops()
    assert library.stat().st_mtime_ns == compiled_at


@pytest.mark.slow
@needs_kernels
@pytest.mark.parametrize("kept", [0, 7, 4096, 20_000])
def test_damaged_library_is_compiled_again(kept, fresh_kernels, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    kernel_ops()
    (library,) = tmp_path.glob("a/arc-trm/*.so")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    damaged = tmp_path / "b" / "arc-trm" / library.name
    damaged.parent.mkdir(mode=0o700, parents=True)
    damaged.write_bytes(library.read_bytes()[:kept])  # loading 4096 bytes would end the process
    load_kernels.cache_clear()
    kernel_ops()
    assert damaged.stat().st_size == library.stat().st_size


@needs_kernels
@pytest.mark.slow
def test_cache_folder_that_others_can_write_to_is_not_used(
    fresh_kernels, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "arc-trm").mkdir()
    (tmp_path / "arc-trm").chmod(0o777)
    kernel_ops()
    assert not [*(tmp_path / "arc-trm").iterdir()]
