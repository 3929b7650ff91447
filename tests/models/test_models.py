"""The architectures follow their papers: gradient, halting, size, settings."""

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
from arc_trm.models import PuzzleModel, base, build_model, check_model_config
from arc_trm.models.hrm import HRM
from arc_trm.models.layers import run_blocks, swiglu_width
from arc_trm.models.ops import TORCH_OPS
from arc_trm.models.transformer import Transformer
from arc_trm.models.trm import TRM
from arc_trm.training import train_run
from arc_trm.training.budget import activation_bytes
from arc_trm.training.losses import HALT_WEIGHT, continue_loss


def model_config(architecture: str, **changes: object) -> ModelConfig:
    return from_dict(ModelConfig, {**ARCHITECTURES[architecture], **changes})


def build(architecture: str, **changes: object) -> PuzzleModel:
    generator = torch.Generator().manual_seed(0)
    return build_model(model_config(architecture, **changes), 6, generator=generator)


def first_state(model: PuzzleModel) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z before the first supervision step of a batch."""
    batch = make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_embedding[batch["puzzle_ids"]])
    return x, *model.initial_state(len(x))


def gradients(model: PuzzleModel, y: Tensor, z: Tensor) -> dict[str, Tensor]:
    """Gradients of a number that depends on every entry of y and z."""
    model.zero_grad()
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    ((y + 0.5 * z) * weights).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_architecture_names_its_class() -> None:
    classes = {name: type(build(name)) for name in ARCHITECTURES}
    assert classes == {"trm": TRM, "hrm": HRM, "transformer": Transformer}


@pytest.mark.parametrize("high_level_layers", [None, 2])
@pytest.mark.parametrize(("cycles", "inner"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_hrm_backpropagates_through_its_last_two_updates(
    cycles: int, inner: int, high_level_layers: int | None
) -> None:
    changes = {"outer_cycles": cycles, "inner_cycles": inner}
    model = build("hrm", num_high_level_layers=high_level_layers, **changes)
    assert isinstance(model, HRM)
    depths = (len(model.z_blocks), len(model.y_blocks))
    assert depths == (1, high_level_layers or 1)
    assert model.blocks_with_gradient == sum(depths)
    assert model.blocks_per_step == cycles * (inner * depths[0] + depths[1])

    x, y, z = first_state(model)
    for cycle in range(cycles):
        for step in range(inner):
            last = (cycle, step) == (cycles - 1, inner - 1)
            injection = y.detach() + x
            z = run_blocks(model.z_blocks, z.detach(), injection, model.rope_cache, TORCH_OPS)
            z = z if last else z.detach()
        y = run_blocks(model.y_blocks, y.detach(), z, model.rope_cache, TORCH_OPS)
    expected = gradients(model, y, z)
    got_y, got_z = model.supervision_step(*first_state(model))
    assert torch.equal(got_y, y) and torch.equal(got_z, z)
    got = gradients(model, got_y, got_z)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


def test_transformer_reads_only_the_input() -> None:
    model = build("transformer")
    x, y, z = first_state(model)
    first, _ = model.supervision_step(x, y, z)
    second, same_z = model.supervision_step(x, first, z)
    assert torch.equal(first, second) and same_z is z


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prediction_yields_every_supervision_step(architecture: str) -> None:
    model = build(architecture)
    batch = make_batch(0)
    steps = list(model.predict_steps(batch["inputs"], batch["puzzle_ids"]))
    assert len(steps) == model.config.supervision_steps
    x, y, z = first_state(model)
    for logits, halt_logits in steps:
        assert (logits.shape, halt_logits.shape) == ((4, 16, 12), (4,))
        assert not logits.requires_grad
        y, z = model.supervision_step(x, y, z)
        assert torch.equal(logits, model.token_logits(y))


def test_trm_halts_above_zero_and_hrm_above_the_continue_logit() -> None:
    halt_logits = torch.tensor([[1.0, 2.0], [-2.0, -3.0], [1.0, 0.5], [0.0, 0.0]])
    assert build("trm").should_halt(halt_logits).tolist() == [True, False, True, False]
    assert build("hrm").should_halt(halt_logits).tolist() == [False, True, True, False]


def test_continue_loss_targets_the_value_of_the_next_step() -> None:
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
def test_loss_is_the_sum_of_its_parts(architecture: str) -> None:
    metrics = make_trainer(architecture=architecture).step(make_batch(0))
    halting = metrics["halt_loss"] + metrics["continue_loss"]
    assert metrics["loss"] * 4 == pytest.approx(metrics["lm_loss"] + HALT_WEIGHT * halting)
    assert (metrics["continue_loss"] > 0) == (architecture == "hrm")


@pytest.mark.parametrize("benchmark", ["arc-agi-1", "arc-agi-2"])
@pytest.mark.parametrize(("prefix", "millions"), [("", 7), ("hrm-", 27), ("transformer-", 27)])
def test_presets_have_the_published_number_of_weights(
    prefix: str, millions: int, benchmark: str
) -> None:
    with torch.device("meta"):
        model = build_model(load_config(prefix + benchmark).model, 1)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


@pytest.mark.parametrize("benchmark", ["arc-agi-1", "arc-agi-2"])
@pytest.mark.parametrize(
    ("architecture", "layers", "cycles", "supervision_steps"),
    [("hrm", 4, 2, 16), ("transformer", 8, 1, 1)],
)
def test_baseline_presets_differ_from_trm_only_where_published(
    benchmark: str, architecture: str, layers: int, cycles: int, supervision_steps: int
) -> None:
    trm, baseline = load_config(benchmark), load_config(f"{architecture}-{benchmark}")
    model = replace(
        trm.model,
        architecture=architecture,
        num_layers=layers,
        outer_cycles=cycles,
        inner_cycles=cycles,
        supervision_steps=supervision_steps,
        puzzle_emb_len=1,
    )
    train = replace(trm.train, ema_decay=0.0)
    assert baseline == replace(trm, name=baseline.name, model=model, train=train)


@pytest.mark.parametrize(
    ("width", "expansion", "hidden"),
    [(512, 4, 1536), (96, 4, 256), (97, 4, 512), (32, 4, 256), (8, 0.01, 256)],
)
def test_swiglu_width_is_a_multiple_of_256(width: int, expansion: float, hidden: int) -> None:
    assert swiglu_width(width, expansion) == hidden


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_activation_memory_is_estimated_from_what_a_step_keeps(architecture: str) -> None:
    model = build(architecture, hidden_size=64, puzzle_emb_dim=64)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x, y, z = first_state(model)
        state = model.supervision_step(x, y, z)
    storages = [tensor.untyped_storage() for at, tensor in kept.items() if at not in weights]
    assert state[0].requires_grad
    assert 1.2 < activation_bytes(model) * len(x) / sum(s.nbytes() for s in storages) < 2.2


@pytest.mark.parametrize("architecture", ["hrm", "transformer"])
def test_run_of_every_architecture(tmp_path: Path, architecture: str) -> None:
    config = run_config(write_challenges(tmp_path), model=ARCHITECTURES[architecture])
    run = tmp_path / "run"
    train_run(config, torch.device("cpu"), run)
    has_continue_loss = architecture == "hrm"
    metrics = runs.read_metrics(run)
    assert all(("train/continue_loss" in record) == has_continue_loss for record in metrics)
    model = load_model(run)
    assert model.config == config.model
    state, _ = read_tensors(run / runs.TRAINING_STATE)
    average = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert torch.equal(average, state["ema"])


FOR_TRM = (
    "model.separate_networks and model.backprop_through apply to the architecture trm only: "
    "leave them out"
)
FOR_HRM = "model.num_high_level_layers applies to the architecture hrm only: leave it out"
SINGLE_PASS = (
    "the architecture transformer predicts in a single pass: set model.outer_cycles, "
    "model.inner_cycles and model.supervision_steps to 1"
)


@pytest.mark.parametrize(
    ("architecture", "setting", "value", "message"),
    [
        ("hrm", "separate_networks", True, FOR_TRM),
        ("hrm", "backprop_through", "last_update", FOR_TRM),
        ("transformer", "separate_networks", True, FOR_TRM),
        ("transformer", "backprop_through", "all_cycles", FOR_TRM),
        ("trm", "num_high_level_layers", 3, FOR_HRM),
        ("transformer", "num_high_level_layers", 3, FOR_HRM),
        ("transformer", "outer_cycles", 2, SINGLE_PASS),
        ("transformer", "inner_cycles", 2, SINGLE_PASS),
        ("transformer", "supervision_steps", 2, SINGLE_PASS),
        (
            "trm",
            "block",
            "postnorm",
            'model.block: unknown block "postnorm"; did you mean "post_norm"?',
        ),
    ],
)
def test_settings_that_an_architecture_cannot_use_are_refused(
    architecture: str, setting: str, value: object, message: str
) -> None:
    config = model_config(architecture, **{setting: value})
    for check in (check_model_config, partial(build_model, num_puzzles=6)):
        with pytest.raises(UserError) as error:
            check(config)
        assert str(error.value) == message


def test_unknown_architecture_suggests_a_known_one() -> None:
    config = ModelConfig(architecture="transfomer")
    with pytest.raises(UserError, match='unknown architecture "transfomer"; did you mean "trans'):
        build_model(config, 6)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("default")  # of libraries that only torch.compile loads
def test_compiled_blocks_compute_the_same() -> None:
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    for step in range(4):
        expected, got = plain.step(make_batch(step)), compiled.step(make_batch(step))
        assert dict(got) == pytest.approx(dict(expected), rel=1e-4)
    assert compiled.model.compiled  # it did not fall back
    assert torch.allclose(plain.flat_params, compiled.flat_params, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of libraries that only torch.compile loads
def test_every_canvas_has_a_compiled_graph_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    base.compiled_run_blocks.cache_clear()
    trainer = make_trainer(architecture="trm")
    trainer.model.compiled = True
    graphs = []
    try:
        for seq_len in (16, 9, 4, 16, 4, 9, 9, 16):
            batch = make_batch(0)
            batch = {
                name: values[:, :seq_len] if values.dim() > 1 else values
                for name, values in batch.items()
            }
            trainer.step(batch)
            graphs.append(counters["stats"]["unique_graphs"])
    finally:
        base.compiled_run_blocks.cache_clear()
    per_canvas = graphs[0]
    assert graphs == [each * per_canvas for each in (1, 2, 3, 3, 3, 3, 3, 3)]
    assert not counters["graph_break"]


def test_failing_forward_compilation_falls_back(monkeypatch) -> None:
    def fail(*arguments: object) -> torch.Tensor:
        raise ImportError("no triton\nand more")

    monkeypatch.setattr(base, "compiled_run_blocks", lambda length: fail)
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    with pytest.warns(UserWarning, match=r"torch.compile does not work here \(no triton\)"):
        got = compiled.step(make_batch(0))
    assert dict(got) == dict(plain.step(make_batch(0)))
    assert not compiled.model.compiled


@pytest.mark.filterwarnings("default")  # of libraries that only torch.compile loads
@pytest.mark.slow
def test_failing_backward_compilation_falls_back(monkeypatch) -> None:
    from torch._dynamo.backends.common import aot_autograd

    def fail(*arguments: object) -> None:
        raise RuntimeError("no backward")

    backend = aot_autograd(fw_compiler=lambda graph, inputs: graph.forward, bw_compiler=fail)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    base.compiled_run_blocks.cache_clear()
    plain, compiled = (make_trainer(architecture="trm") for _ in range(2))
    compiled.model.compiled = True
    try:
        with pytest.warns(UserWarning, match=r"torch.compile does not work here \(no backward\)"):
            got = compiled.step(make_batch(0))
    finally:
        base.compiled_run_blocks.cache_clear()
    assert dict(got) == dict(plain.step(make_batch(0)))
    assert not compiled.model.compiled
