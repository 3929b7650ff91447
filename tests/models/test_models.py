"""Each model as its paper describes it: where gradient flows, when it halts, how large it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import ARCHITECTURES, make_batch, make_trainer, run_config, write_challenges
from torch import Tensor

from arc_trm import load_model, runs
from arc_trm.checkpoint import read_tensors
from arc_trm.config import ModelConfig, from_dict, load_config
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models import base as recursive
from arc_trm.models.hrm import HRM
from arc_trm.models.ops import TORCH_OPS
from arc_trm.models.transformer import Direct
from arc_trm.models.trm import TRM
from arc_trm.training.budget import activation_bytes
from arc_trm.training.loop import train
from arc_trm.training.losses import HALT_WEIGHT, continue_loss


def build(architecture: str, **changes: object) -> PuzzleModel:
    config = from_dict(ModelConfig, {**ARCHITECTURES[architecture], **changes})
    return build_model(config, 6, generator=torch.Generator().manual_seed(0))


def embedded(model: PuzzleModel) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z before a first supervision step."""
    batch = make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_table[batch["puzzle_ids"]])
    return x, *model.initial_state(len(x))


def gradients(model: PuzzleModel, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Of a number that depends on every entry of y and z."""
    model.zero_grad()
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    ((y + 0.5 * z) * weights).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_an_architecture_is_its_class() -> None:
    classes = {name: type(build(name)) for name in ARCHITECTURES}
    assert classes == {"trm": TRM, "hrm": HRM, "transformer": Direct}


@pytest.mark.parametrize(("cycles", "inner"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_hrm_learns_from_its_last_two_updates_only(cycles: int, inner: int) -> None:
    model = build("hrm", outer_cycles=cycles, inner_cycles=inner)
    assert isinstance(model, HRM)

    def network(blocks: torch.nn.ModuleList, h: Tensor) -> Tensor:
        for block in blocks:
            h = block(h, model.angles, TORCH_OPS)
        return h

    x, y, z = embedded(model)
    for cycle in range(cycles):
        for step in range(inner):
            last = (cycle, step) == (cycles - 1, inner - 1)
            z = network(model.z_blocks, z.detach() + (y.detach() + x))
            z = z if last else z.detach()
        y = network(model.y_blocks, y.detach() + z)
    expected = gradients(model, y, z)
    x, *state = embedded(model)
    got_y, got_z = model.supervision_step(x, *state)
    assert torch.equal(got_y, y) and torch.equal(got_z, z)
    got = gradients(model, got_y, got_z)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


def test_direct_prediction_reads_the_input_alone() -> None:
    model = build("transformer")
    x, y, z = embedded(model)
    once, _ = model.supervision_step(x, y, z)
    again, kept = model.supervision_step(x, once, z)
    assert torch.equal(once, again) and kept is z


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_model_solves_in_its_supervision_steps(architecture: str) -> None:
    model = build(architecture)
    batch = make_batch(0)
    steps = list(model.solve(batch["inputs"], batch["puzzle_ids"]))
    assert len(steps) == model.config.supervision_steps
    for logits, halt in steps:
        assert (logits.shape, halt.shape) == ((4, 16, 12), (4,))
        assert not logits.requires_grad
    x, y, z = embedded(model)
    for logits, _ in steps:
        y, z = model.supervision_step(x, y, z)
        assert torch.equal(logits, model.token_logits(y))
    assert type(model).solve is PuzzleModel.solve


def test_trm_halts_when_sure_and_hrm_when_halting_promises_more() -> None:
    halt_logits = torch.tensor([[1.0, 2.0], [-2.0, -3.0], [1.0, 0.5], [0.0, 0.0]])
    assert build("trm").halts(halt_logits).tolist() == [True, False, True, False]
    assert build("hrm").halts(halt_logits).tolist() == [False, True, True, False]


def test_continuing_is_worth_what_the_next_step_promises() -> None:
    following = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    logits = torch.tensor([0.3, -0.7, 0.1], requires_grad=True)
    last = torch.tensor([True, False, False])
    loss = continue_loss(logits, following, last)
    loss.sum().backward()
    assert following.grad is None
    p, target = torch.sigmoid(logits.detach()), torch.sigmoid(torch.tensor([1.0, 2.0, 3.0]))
    expected = -(target * p.log() + (1 - target) * (1 - p).log())
    assert torch.allclose(loss.detach(), expected)
    assert torch.allclose(logits.grad, p - target)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_made_of_its_parts(architecture: str) -> None:
    metrics = make_trainer(architecture=architecture).step(make_batch(0))
    halting = metrics["halt_loss"] + metrics["continue_loss"]
    assert metrics["loss"] * 4 == pytest.approx(metrics["lm_loss"] + HALT_WEIGHT * halting)
    assert (metrics["continue_loss"] > 0) == (architecture == "hrm")


@pytest.mark.parametrize(
    ("preset", "millions"),
    [
        *(("arc-agi-1", 7), ("arc-agi-2", 7), ("hrm-arc-agi-1", 27), ("hrm-arc-agi-2", 27)),
        *(("direct-arc-agi-1", 27), ("direct-arc-agi-2", 27)),
    ],
)
def test_presets_are_as_large_as_published(preset: str, millions: int) -> None:
    with torch.device("meta"):
        model = build_model(load_config(preset).model, 1)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


@pytest.mark.parametrize("benchmark", ["arc-agi-1", "arc-agi-2"])
@pytest.mark.parametrize(
    ("architecture", "layers", "cycles"), [("hrm", 4, 2), ("transformer", 8, 1)]
)
def test_baselines_differ_from_trm_where_published(
    benchmark: str, architecture: str, layers: int, cycles: int
) -> None:
    trm, baseline = load_config(benchmark), load_config(f"{architecture}-{benchmark}")
    shape = {"outer_cycles": cycles, "inner_cycles": cycles, "puzzle_emb_len": 1}
    shape["supervision_steps"] = 16 if architecture == "hrm" else 1
    model = replace(trm.model, architecture=architecture, layers=layers, **shape)
    train = replace(trm.train, ema_decay=0.0)
    assert baseline == replace(trm, name=baseline.name, model=model, train=train)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_memory_is_estimated_from_what_a_step_keeps(architecture: str) -> None:
    model = build(architecture, hidden_size=64, puzzle_emb_dim=64)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x, y, z = embedded(model)
        state = model.supervision_step(x, y, z)
    storages = [tensor.untyped_storage() for at, tensor in kept.items() if at not in weights]
    assert state[0].requires_grad
    assert 1.2 < activation_bytes(model) * len(x) / sum(s.nbytes() for s in storages) < 2.2


@pytest.mark.parametrize("architecture", ["hrm", "transformer"])
def test_a_run_of_every_architecture(tmp_path: Path, architecture: str) -> None:
    config = run_config(write_challenges(tmp_path), model=ARCHITECTURES[architecture])
    run = tmp_path / "run"
    train(config, torch.device("cpu"), run)
    learns = architecture == "hrm"
    assert all(("continue_loss" in record) == learns for record in runs.read_metrics(run))
    model = load_model(run)
    assert model.config == config.model
    state, _ = read_tensors(run / runs.CHECKPOINT)
    average = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert torch.equal(average, state["average"])


@pytest.mark.parametrize("key", ["outer_cycles", "inner_cycles", "supervision_steps"])
def test_direct_prediction_has_no_cycles(key: str) -> None:
    with pytest.raises(UserError, match="direct prediction is a single pass"):
        load_config("direct-arc-agi-1", overrides=[f"model.{key}=2"])
    with pytest.raises(UserError, match=r"train\.supervision_steps"):
        load_config("direct-arc-agi-1", overrides=["train.supervision_steps=2"])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("default")  # of libraries that only torch.compile loads
def test_compiled_layers_compute_the_same() -> None:
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    for step in range(4):
        expected, got = plain.step(make_batch(step)), compiled.step(make_batch(step))
        assert dict(got) == pytest.approx(dict(expected), rel=1e-4)
    assert compiled.model.compiled  # it did not fall back
    assert torch.allclose(plain.values, compiled.values, atol=1e-4)


def test_where_nothing_can_be_compiled_it_goes_on_without(monkeypatch) -> None:
    def fails(*arguments: object) -> torch.Tensor:
        raise ImportError("no triton\nand more")

    monkeypatch.setattr(recursive, "compiled_layers", lambda: fails)
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    with pytest.warns(UserWarning, match=r"torch.compile does not work here \(no triton\)"):
        got = compiled.step(make_batch(0))
    assert dict(got) == dict(plain.step(make_batch(0)))
    assert not compiled.model.compiled


@pytest.mark.filterwarnings("default")  # of libraries that only torch.compile loads
def test_where_the_way_back_cannot_be_compiled_it_goes_on_without(monkeypatch) -> None:
    from torch._dynamo.backends.common import aot_autograd

    def fails(*arguments: object) -> None:
        raise RuntimeError("no way back")

    backend = aot_autograd(fw_compiler=lambda graph, inputs: graph.forward, bw_compiler=fails)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    recursive.compiled_layers.cache_clear()
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    try:
        with pytest.warns(UserWarning, match=r"torch.compile does not work here \(no way back\)"):
            got = compiled.step(make_batch(0))
    finally:
        recursive.compiled_layers.cache_clear()
    assert dict(got) == dict(plain.step(make_batch(0)))
    assert not compiled.model.compiled
