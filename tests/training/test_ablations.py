"""What the paper takes away or adds, one setting each: networks, gradient, halting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import ARCHITECTURES, MODEL, make_batch, make_trainer
from torch import Tensor

from arc_trm.checkpoint import convert_back, load_weights, save_config, save_weights
from arc_trm.config import ModelConfig, RunConfig, from_dict, load_config
from arc_trm.errors import UserError
from arc_trm.models import build_model
from arc_trm.models.trm import TRM


def build(**changes: object) -> TRM:
    config = from_dict(ModelConfig, {**MODEL, "outer_cycles": 3, "inner_cycles": 3, **changes})
    model = build_model(config, 6, generator=torch.Generator().manual_seed(0))
    assert isinstance(model, TRM)
    return model


def begun(model: TRM) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and z before a first supervision step."""
    batch = make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_table[batch["puzzle_ids"]])
    return x, *model.initial_state(len(x))


def gradient(model: TRM, y: Tensor, z: Tensor) -> Tensor:
    """Of a number that depends on every entry of y and z, for the weights of the network."""
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    loss = ((y + 0.5 * z) * weights).sum()
    found = torch.autograd.grad(loss, list(model.blocks.parameters()))
    return torch.cat([each.reshape(-1) for each in found])


def by_hand(model: TRM, tracked: int) -> tuple[Tensor, Tensor]:
    """A supervision step by its definition, of which the last `tracked` updates are tracked."""
    x, y, z = begun(model)
    cycles, inner = model.config.outer_cycles, model.config.inner_cycles
    total = cycles * (inner + 1)
    for number in range(total):
        with torch.set_grad_enabled(number >= total - tracked):
            if (number + 1) % (inner + 1):
                z = model._update_z(x, y, z)
            else:
                y = model._update_y(y, z)
    return y, z


@pytest.mark.parametrize(("setting", "tracked"), [("last", 2), ("cycle", 4), ("all", 12)])
def test_gradient_goes_through_as_many_updates_as_it_says(setting: str, tracked: int) -> None:
    model = build(backprop_through=setting)
    y, z = model.supervision_step(*begun(model))
    expected_y, expected_z = by_hand(model, tracked)
    assert torch.equal(y, expected_y) and torch.equal(z, expected_z)
    found, expected = gradient(model, y, z), gradient(model, *by_hand(model, tracked))
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    other = gradient(model, *by_hand(model, tracked % 12 + 2))
    assert not torch.allclose(found, other, rtol=1e-2)
    assert model.layers_with_gradient == tracked * model.config.num_layers
    assert model.layers_per_step == 12 * model.config.num_layers


def test_two_networks_share_nothing() -> None:
    one, two = build(), build(separate_networks=2)
    assert two.y_blocks is not None and one.y_blocks is None
    network = sum(each.numel() for each in one.blocks.parameters())
    sizes = [sum(p.numel() for p in model.parameters()) for model in (one, two)]
    assert sizes[1] - sizes[0] == network
    for shared, own in zip(one.blocks.parameters(), two.blocks.parameters(), strict=True):
        assert torch.equal(shared, own)  # a seed means the same network for z
    x, y, z = begun(two)
    z_before = two._update_z(x, y, z)
    for parameter in two.y_blocks.parameters():
        parameter.data.zero_()
    assert torch.equal(two._update_z(x, y, z), z_before)
    assert not torch.equal(two._update_y(y, z), one._update_y(y, z))


def test_two_networks_are_saved_loaded_and_not_published(tmp_path: Path) -> None:
    model = build(separate_networks=2)
    save_config(tmp_path, model.config, ["<blank>", *"abcde"])
    save_weights(tmp_path, model.config, model.state_dict(), model.puzzle_table, 3)
    loaded = load_weights(tmp_path).model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    with pytest.raises(UserError, match="one network for both"):
        convert_back(tmp_path, tmp_path / "out")


def test_without_halting_every_sequence_takes_all_its_steps() -> None:
    for halting, number in ((True, 4), (False, 0)):
        trainer = make_trainer(halt_exploration_prob=0.0, early_halting=halting)
        trainer.model.halt_head.bias.data.fill_(50.0)  # sure at once
        counts = [trainer.step(make_batch(step))["count"] for step in range(3)]
        assert counts == [number, number, 4]


@pytest.mark.parametrize("architecture", ["hrm", "transformer"])
@pytest.mark.parametrize("change", [{"separate_networks": 2}, {"backprop_through": "all"}])
def test_they_are_of_trm_alone(architecture: str, change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="are for the architecture trm"):
        from_dict(ModelConfig, {**ARCHITECTURES[architecture], **change})


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "model.separate_networks=2",
            "model.backprop_through=last",
            "model.backprop_through=all",
            "train.ema_decay=0",
        ),
        *("model.num_layers=4", "model.mixer=attention", "model.outer_cycles=1"),
        *("model.inner_cycles=1", "train.early_halting=false"),
    ],
)
def test_every_ablation_is_one_setting(setting: str) -> None:
    config = load_config("sudoku-quick", overrides=[setting])
    assert isinstance(config, RunConfig) and config != load_config("sudoku-quick")
    build_model(config.model, 1, generator=torch.Generator().manual_seed(0))


def test_there_are_one_or_two_networks() -> None:
    with pytest.raises(UserError, match=r"model.separate_networks must be 1 or 2"):
        build(separate_networks=3)
