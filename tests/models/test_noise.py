"""Random starts, damping and latent noise: what is drawn, for whom, and that nothing else moves."""

from __future__ import annotations

from functools import partial

import copycat
import pytest
import torch
from tiny import ARCHITECTURES, MODEL, TRAIN, make_batch
from torch import Tensor

from arc_trm.config import ModelConfig, TrainConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.inference.engine import predict_batch
from arc_trm.inference.queries import build_queries
from arc_trm.models import PuzzleModel, build_model, check_model_config
from arc_trm.models.layers import run_blocks
from arc_trm.models.noise import Noise
from arc_trm.models.ops import TORCH_OPS
from arc_trm.models.state import LatentState, Sampling
from arc_trm.training import Trainer

CPU = torch.device("cpu")
RANDOM = {"initial_state": "random", "damping": 0.75, "latent_noise": 0.1}
RECURSIVE = ["trm", "hrm"]


def model_config(architecture: str, **changes: object) -> ModelConfig:
    return from_dict(ModelConfig, {**ARCHITECTURES[architecture], **changes})


def build(architecture: str = "trm", **changes: object) -> PuzzleModel:
    generator = torch.Generator().manual_seed(0)
    return build_model(model_config(architecture, **changes), 6, generator=generator)


def make_trainer(architecture: str = "trm", micro_batch_size: int | None = None, **changes: object):
    generator = torch.Generator().manual_seed(1)
    model = build(architecture, **changes)
    return Trainer(model, TrainConfig(**TRAIN), generator, micro_batch_size)


def predict(model: PuzzleModel, rows: slice, seeds: list[int]) -> list[Tensor]:
    batch = make_batch(0)
    steps = model.predict_steps(batch["inputs"][rows], batch["puzzle_ids"][rows], seeds=seeds)
    return [logits for logits, _ in steps]


# What is drawn


def test_truncated_normal_has_deviation_one_and_an_edge() -> None:
    drawn = Noise.from_seeds(range(4), CPU).truncated_normal((4, 200, 50))
    assert drawn.std() == pytest.approx(1, abs=0.01) and abs(drawn.mean()) < 0.02
    # σ before truncation is 1 / 0.8796 (the deviation of a standard normal cut off at ±2).
    assert 2.2 < drawn.abs().max() <= 2 / 0.8796 + 1e-3


def test_an_example_draws_by_its_own_seed() -> None:
    together = Noise.from_seeds([5, 6, 5], CPU)
    alone = Noise.from_seeds([6], CPU)
    first, second = together.normal((3, 7, 2)), together.normal((3, 7, 2))
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], first[1])
    assert torch.equal(first[1], alone.normal((1, 7, 2))[0])
    assert torch.equal(second[1], alone.normal((1, 7, 2))[0])
    parts = Noise.from_seeds([5, 6, 5], CPU)
    assert torch.equal(parts[1:].normal((2, 7, 2)), first[1:])
    assert torch.equal(parts[:1].normal((1, 7, 2)), first[:1])


def test_a_random_start_is_drawn_for_each_cell() -> None:
    model = build(initial_state="random")
    y, z = model.initial_state(2, noise=Noise.from_seeds([1, 2], CPU))
    assert y.shape == z.shape == (2, 17, 32)
    assert not torch.equal(y, z)
    for start in (y, z):
        cells = start.reshape(-1, 32)
        assert len({tuple(cell) for cell in cells.tolist()}) == len(cells)
        assert start.std() == pytest.approx(1, abs=0.1)


# What is computed


@pytest.mark.parametrize("architecture", RECURSIVE)
def test_damping_and_noise_apply_to_every_update_of_z(architecture: str) -> None:
    model = build(architecture, damping=0.75, latent_noise=0.1)
    config, batch = model.config, make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_embedding[batch["puzzle_ids"]])
    y, z = model.initial_state(4)
    got = model.supervision_step(x, y, z, Noise.from_seeds(range(4), CPU))
    noise = Noise.from_seeds(range(4), CPU)
    z_blocks, y_blocks = (
        (model.blocks, model.blocks) if architecture == "trm" else (model.z_blocks, model.y_blocks)
    )
    run = partial(run_blocks, rope_cache=model.rope_cache, ops=TORCH_OPS)
    for _ in range(config.outer_cycles):
        for _ in range(config.inner_cycles):
            update = run(z_blocks, z, y + x)
            z = 0.25 * z + 0.75 * update + 0.1 * noise.normal(z.shape)
        y = run(y_blocks, y, z)
    assert torch.allclose(got[0], y, atol=1e-4) and torch.allclose(got[1], z, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_published_settings_draw_nothing_and_change_nothing(architecture: str) -> None:
    model = build(architecture)
    assert not model.is_random
    explicit = build(architecture, initial_state="fixed", damping=1.0, latent_noise=0.0)
    for plain, seeded in zip(
        predict(model, slice(4), [0] * 4), predict(explicit, slice(4), [9, 8, 7, 6]), strict=True
    ):
        assert torch.equal(plain, seeded)
    trainer = make_trainer(architecture)
    generator = torch.Generator()
    generator.set_state(trainer.generator.get_state())
    trainer.step(make_batch(0))
    torch.rand(4, generator=generator)  # whether an example explores, and its minimum of steps
    torch.randint(2, 9, (4,), generator=generator, dtype=torch.int32)
    assert torch.equal(trainer.generator.get_state(), generator.get_state())


def test_a_model_with_noise_refuses_a_batch_without() -> None:
    model = build(latent_noise=0.1)
    batch = make_batch(0)
    x = model.embed(batch["inputs"], model.puzzle_embedding[batch["puzzle_ids"]])
    with pytest.raises(ValueError, match="needs the noise of the batch"):
        model.supervision_step(x, *model.initial_state(4))


def test_transformer_has_no_state_to_draw() -> None:
    for key, value in RANDOM.items():
        with pytest.raises(UserError, match="the architecture transformer carries no state"):
            check_model_config(model_config("transformer", **{key: value}))


# Prediction


@pytest.mark.parametrize("architecture", RECURSIVE)
def test_a_prediction_depends_on_its_seed_and_not_on_the_batch(architecture: str) -> None:
    model = build(architecture, **RANDOM)
    together = predict(model, slice(4), [3, 1, 4, 1])
    again = predict(model, slice(4), [3, 1, 4, 1])
    other = predict(model, slice(4), [3, 2, 4, 1])
    alone = predict(model, slice(1, 2), [1])
    for step in range(model.config.supervision_steps):
        assert torch.equal(together[step], again[step])
        assert torch.allclose(alone[step][0], together[step][1], atol=1e-4)
        assert not torch.allclose(other[step][1], together[step][1], atol=1e-2)


def test_a_prediction_needs_a_seed_for_every_example() -> None:
    with pytest.raises(ValueError, match="4 examples need as many seeds, got 3"):
        predict(build(), slice(4), [1, 2, 3])


def test_a_query_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = copycat.tasks()
    loaded = copycat.weights(copycat.Copycat, known)
    queries, _ = build_queries(loaded, known, 2)
    seen: list[int] = []
    begin = copycat.Copycat.begin

    def record(
        model: copycat.Copycat,
        inputs: Tensor,
        puzzle_ids: Tensor,
        sampling: list[Sampling],
        augmentations: Tensor | None,
    ) -> LatentState:
        seen.extend(each.seed for each in sampling)
        return begin(model, inputs, puzzle_ids, sampling, augmentations)

    monkeypatch.setattr(copycat.Copycat, "begin", record)
    list(predict_batch(loaded, known, queries, None, []))
    assert len(set(seen)) == len(queries) > 4  # three test inputs, original and augmentations
    together = dict(zip(queries, seen, strict=True))
    for query in reversed(queries):
        seen.clear()
        list(predict_batch(loaded, known, [query], None, []))
        assert seen == [together[query]]


# Training


@pytest.mark.parametrize("architecture", RECURSIVE)
def test_training_resumes_to_the_last_bit(architecture: str) -> None:
    whole, first, second = (make_trainer(architecture, **RANDOM) for _ in range(3))
    for step in range(4):
        whole.step(make_batch(step))
        (first if step < 2 else second).step(make_batch(step))
        if step == 1:
            second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_parts_of_a_batch_draw_what_the_whole_draws() -> None:
    whole, parts = make_trainer(**RANDOM), make_trainer(micro_batch_size=1, **RANDOM)
    for step in range(3):
        expected, got = whole.step(make_batch(step)), parts.step(make_batch(step))
        assert dict(got) == pytest.approx(dict(expected), rel=1e-4)
    assert torch.allclose(whole.carry["z"], parts.carry["z"], atol=1e-3)


def test_an_example_starts_anew_when_it_is_reset_only() -> None:
    trainer = make_trainer(initial_state="random")
    trainer.model.heads.halt.bias.data.fill_(-50.0)  # halts after its last step only
    starts = []
    original = trainer.model.supervision_step

    def spy(x: Tensor, y: Tensor, z: Tensor, noise: Noise | None) -> tuple[Tensor, Tensor]:
        starts.append((y.clone(), z.clone()))
        return original(x, y, z, noise)

    trainer.model.supervision_step = spy
    for step in range(5):
        carried = trainer.carry["y"].clone()
        trainer.step(make_batch(step))
        reset = step in (0, 3)  # 3 supervision steps
        assert torch.equal(starts[-1][0], carried) != reset
    assert not torch.equal(starts[0][0], starts[3][0])
    assert len({tuple(row) for row in starts[0][0][:, 0].tolist()}) == 4  # each its own


@pytest.mark.parametrize("block", ["post_norm", "digit_equivariant"])
def test_every_block_takes_random_starts_and_noise(block: str) -> None:
    shape: dict[str, object] = {**MODEL, **RANDOM, "block": block, "mixer": "mlp"}
    if block == "digit_equivariant":
        shape |= {"puzzle_emb_len": 0, "puzzle_emb_dim": 0}
    model = build_model(from_dict(ModelConfig, shape), 6)
    assert Trainer(model, TrainConfig(**TRAIN)).step(make_batch(0))["loss"] > 0
    assert len(predict(model, slice(4), [1, 2, 3, 4])) == 3
