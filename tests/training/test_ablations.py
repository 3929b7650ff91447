"""The ablations of the TRM paper are one setting each: networks, gradient, halting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import MODEL, make_batch, make_trainer
from torch import Tensor

from arc_trm.checkpoint import convert_to_published, load_weights, save_config, save_weights
from arc_trm.config import ModelConfig, RunConfig, from_dict, load_config
from arc_trm.errors import UserError
from arc_trm.models import build_model
from arc_trm.models.layers import run_blocks
from arc_trm.models.ops import TORCH_OPS
from arc_trm.models.trm import TRM


def build(**changes: object) -> TRM:
    config = from_dict(ModelConfig, {**MODEL, "outer_cycles": 3, "inner_cycles": 3, **changes})
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    assert isinstance(model, TRM)
    return model


def first_state(model: TRM) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z before the first supervision step of a batch."""
    batch = make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_embedding[batch["puzzle_ids"]])
    return x, *model.initial_state(len(x))


def gradient(model: TRM, y: Tensor, z: Tensor) -> Tensor:
    """Gradient, by the network's weights, of a number that depends on every entry of y and z."""
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    loss = ((y + 0.5 * z) * weights).sum()
    gradients = torch.autograd.grad(loss, list(model.blocks.parameters()))
    return torch.cat([each.reshape(-1) for each in gradients])


def reference_step(model: TRM, with_gradient: int) -> tuple[Tensor, Tensor]:
    """A supervision step by its definition, whose last `with_gradient` updates carry gradient."""
    x, y, z = first_state(model)
    updates_per_cycle = model.config.inner_cycles + 1
    updates = model.config.outer_cycles * updates_per_cycle
    for number in range(1, updates + 1):
        with torch.set_grad_enabled(number > updates - with_gradient):
            if number % updates_per_cycle:
                z = run_blocks(model.blocks, z, y + x, model.rope_cache, TORCH_OPS)
            else:
                y = run_blocks(model.blocks, y, z, model.rope_cache, TORCH_OPS)
    return y, z


@pytest.mark.parametrize(
    ("backprop_through", "with_gradient"),
    [("last_update", 2), ("last_cycle", 4), ("all_cycles", 12)],
)
def test_backprop_through_sets_the_updates_with_gradient(
    backprop_through: str, with_gradient: int
) -> None:
    model = build(backprop_through=backprop_through)
    y, z = model.supervision_step(*first_state(model))
    expected_y, expected_z = reference_step(model, with_gradient)
    assert torch.equal(y, expected_y) and torch.equal(z, expected_z)
    got, expected = gradient(model, y, z), gradient(model, expected_y, expected_z)
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-5)
    other = gradient(model, *reference_step(model, with_gradient % 12 + 2))
    assert not torch.allclose(got, other, rtol=1e-2)
    assert model.blocks_with_gradient == with_gradient * model.config.num_layers
    assert model.blocks_per_step == 12 * model.config.num_layers


def test_separate_networks_share_no_weight() -> None:
    shared, separate = build(), build(separate_networks=True)
    assert separate.y_blocks is not None and shared.y_blocks is None
    network = sum(each.numel() for each in shared.blocks.parameters())
    sizes = [sum(p.numel() for p in model.parameters()) for model in (shared, separate)]
    assert sizes[1] - sizes[0] == network
    pairs = zip(shared.blocks.parameters(), separate.blocks.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)  # a seed means the same z network


def test_separate_networks_update_y_and_z() -> None:
    model = build(separate_networks=True, outer_cycles=1, inner_cycles=1)
    assert model.y_blocks is not None
    x, y0, z0 = first_state(model)
    y, z = model.supervision_step(x, y0, z0)
    assert torch.equal(z, run_blocks(model.blocks, z0, y0 + x, model.rope_cache, TORCH_OPS))
    assert torch.equal(y, run_blocks(model.y_blocks, y0, z, model.rope_cache, TORCH_OPS))


def test_separate_networks_are_saved_and_loaded_but_not_published(tmp_path: Path) -> None:
    model = build(separate_networks=True)
    save_config(tmp_path, model.config, ["<blank>", *"abcde"])
    save_weights(tmp_path, model.config, model.state_dict(), model.puzzle_embedding, 3)
    loaded = load_weights(tmp_path).model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    with pytest.raises(UserError, match=r"has no place for model\.separate_networks True"):
        convert_to_published(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(("early_halting", "halted"), [(True, 4), (False, 0)])
def test_without_early_halting_an_example_takes_all_steps(early_halting: bool, halted: int) -> None:
    trainer = make_trainer(halt_exploration_prob=0.0, early_halting=early_halting)
    trainer.model.heads.halt.bias.data.fill_(50.0)  # halts at once if it may
    counts = [trainer.step(make_batch(step))["count"] for step in range(3)]
    assert counts == [halted, halted, 4]


@pytest.mark.parametrize(
    "setting",
    [
        "model.separate_networks=true",
        "model.backprop_through=last_update",
        "model.backprop_through=all_cycles",
        "model.num_layers=4",
        "model.mixer=attention",
        "model.outer_cycles=1",
        "model.inner_cycles=1",
        "train.ema_decay=0",
        "train.early_halting=false",
    ],
)
def test_every_ablation_is_one_setting(setting: str) -> None:
    config = load_config("maze-quick", overrides=[setting])
    assert isinstance(config, RunConfig) and config != load_config("maze-quick")
    build_model(config.model, 1, generator=torch.Generator().manual_seed(0))
