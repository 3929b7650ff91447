"""The kernels in Triton compute what PyTorch computes, as far as Triton's interpreter shows it.

The interpreter runs them on the CPU, one program after the other; it has no bfloat16. It is chosen
by `TRITON_INTERPRET`, which `tests/conftest.py` sets because Triton reads it when it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import MODEL, TRAIN, make_batch
from torch import Tensor

from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.models import build_model, fastest_ops
from arc_trm.models.layers import build_rope_cache
from arc_trm.models.linear import Linear, _ForkedLinear
from arc_trm.models.ops import TORCH_OPS, Ops
from arc_trm.training import Trainer

pytest.importorskip("triton", reason="Triton is for Linux")
FEW = settings(max_examples=8, deadline=None)
CUDA = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def triton_ops() -> Ops:
    """The operations, whose kernels Triton's interpreter runs."""
    from arc_trm.models.gpu_kernels import TritonOps

    return TritonOps()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_same(
    function: Callable[..., Tensor], expected: Callable[..., Tensor], *inputs: Tensor
) -> None:
    """Check the result, and the gradients of inputs for a random gradient of the result."""
    results = []
    for each in (function, expected):
        leaves = [leaf.clone().requires_grad_() for leaf in inputs]
        result = each(*leaves)
        result.backward(random(*result.shape, seed=1))
        results.append([result.detach(), *(leaf.grad for leaf in leaves)])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@FEW
@given(st.integers(1, 5), st.integers(1, 300))
def test_silu_mul(triton_ops: Ops, rows: int, width: int) -> None:
    gate_up = random(2, rows, 2 * width)
    assert_same(triton_ops.silu_mul, TORCH_OPS.silu_mul, gate_up)


@FEW
@given(st.integers(1, 9), st.integers(1, 300))
def test_residual_norm(triton_ops: Ops, rows: int, width: int) -> None:
    h, update = random(2, rows, width), random(2, rows, width, seed=2)
    assert_same(triton_ops.residual_norm, TORCH_OPS.residual_norm, h, update)


@FEW
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 3), st.sampled_from([2, 6, 16]))
def test_attention(triton_ops: Ops, batch: int, length: int, heads: int, size: int) -> None:
    qkv, rope_cache = random(batch, length, 3 * heads, size), build_rope_cache(length, size)
    assert_same(
        lambda qkv: triton_ops.attention(qkv, rope_cache),
        lambda qkv: TORCH_OPS.attention(qkv, rope_cache),
        qkv,
    )


@pytest.mark.parametrize("length", [5, 16, 97])
@pytest.mark.parametrize("width", [16, 24])
def test_mixing_positions(triton_ops: Ops, length: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gate_up, down = Linear(length, 2 * 64, generator), Linear(64, length, generator)
    h = random(2, length, width)

    def gradients(ops: Ops) -> Callable[..., Tensor]:
        def mixed(h: Tensor, first: Tensor, second: Tensor) -> Tensor:
            gate_up.weight, down.weight = torch.nn.Parameter(first), torch.nn.Parameter(second)
            out = ops.mix_positions(h, gate_up, down)
            weights = torch.autograd.grad(out, (gate_up.weight, down.weight), out)
            return torch.cat([out.flatten(), *(each.flatten() for each in weights)])

        return mixed

    weights = gate_up.weight.detach().clone(), down.weight.detach().clone()
    got, expected = (gradients(ops)(h, *weights) for ops in (triton_ops, TORCH_OPS))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert_same(
        lambda h: triton_ops.mix_positions(h, gate_up, down),
        lambda h: TORCH_OPS.mix_positions(h, gate_up, down),
        h,
    )
    with torch.no_grad():  # one kernel, for numbers of 16 bits
        half = triton_ops.mix_positions(h.half(), gate_up, down)
        expected = TORCH_OPS.mix_positions(h, gate_up, down)
    torch.testing.assert_close(half.float(), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mixer", ["attention", "mlp"])
def test_a_training_step_is_the_same(
    triton_ops: Ops, monkeypatch: pytest.MonkeyPatch, mixer: str
) -> None:
    def fork(linear: Linear, x: Tensor) -> tuple[Tensor, Tensor]:
        """Do on the CPU what is done on a GPU."""
        x, out = _ForkedLinear.apply(x, linear.weight, linear.weight.detach())
        return x, out

    config = from_dict(ModelConfig, {**MODEL, "mixer": mixer, "inner_cycles": 2})
    train = TrainConfig(**TRAIN)
    plain, by_kernels = (
        Trainer(build_model(config, 6, generator=torch.Generator().manual_seed(0)), train, None, 2)
        for _ in range(2)
    )
    monkeypatch.setattr(by_kernels.model, "select_ops", lambda dtype: triton_ops)
    expected = plain.step(make_batch(0))
    with monkeypatch.context() as patched:
        patched.setattr(Linear, "fork", fork)
        got = by_kernels.step(make_batch(0))
    assert dict(got) == pytest.approx(dict(expected), rel=1e-4)
    distance = (by_kernels.gradients - plain.gradients).norm() / plain.gradients.norm()
    assert distance < 1e-5


def test_forked_products_add_their_gradient_to_that_of_their_operand() -> None:
    x, weight = random(2, 3, 8), random(5, 8, seed=2)

    def forked(x: Tensor, weight: Tensor) -> Tensor:
        x, out = _ForkedLinear.apply(x, weight, weight.detach())
        return torch.cat([3 * x, out.square()], dim=-1)

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return torch.cat([3 * x, (x @ weight.t()).square()], dim=-1)

    assert_same(forked, plain, x, weight)
    square = random(8, 8, seed=3)  # a sum gives both gradients as one tensor

    def forked_sum(x: Tensor, weight: Tensor) -> Tensor:
        return sum(_ForkedLinear.apply(x, weight, weight.detach()))

    assert_same(forked_sum, lambda x, weight: x + x @ weight.t(), x, square)


@pytest.mark.parametrize(
    ("capability", "triton", "kernels", "advice"),
    [
        ((7, 5), True, False, None),
        ((8, 0), False, False, "need Triton"),
        ((9, 0), True, False, "cannot be compiled"),  # without a driver
    ],
)
def test_gpus_without_kernels_compute_by_pytorch(
    capability: tuple[int, int],
    triton: bool,
    kernels: bool,
    advice: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    found = SimpleNamespace() if triton else None
    monkeypatch.setattr(fastest_ops, "find_spec", lambda name: found)
    monkeypatch.setenv("TRITON_CACHE_DIR", os.environ.get("TRITON_CACHE_DIR", "unused"))
    fastest_ops._gpu_ops.cache_clear()
    try:
        assert fastest_ops.fastest_ops(CUDA, torch.bfloat16, 32, True) is TORCH_OPS
        said = fastest_ops.speed_advice(CUDA, torch.bfloat16, 32, True)
    finally:
        fastest_ops._gpu_ops.cache_clear()
    assert said is None if advice is None else advice in str(said)
    assert said is None or "\n" not in said


def test_compiled_kernels_are_kept_in_a_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    fastest_ops.keep_compiled("TRITON_CACHE_DIR", "triton")
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "cache/arc-trm/triton")
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.delenv("TRITON_CACHE_DIR")
    fastest_ops.keep_compiled("TRITON_CACHE_DIR", "triton")
    assert Path(os.environ["TRITON_CACHE_DIR"]).parent.is_dir()
    monkeypatch.setenv("TRITON_CACHE_DIR", "mine")
    fastest_ops.keep_compiled("TRITON_CACHE_DIR", "triton")
    assert os.environ["TRITON_CACHE_DIR"] == "mine"
