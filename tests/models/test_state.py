"""Latent states of a batch: noise that each example draws alone, and examples that come and go."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ARCHITECTURES, make_batch
from torch import Tensor

from arc_trm.config import ModelConfig, from_dict
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.state import LatentState, Sampling

RECURSIVE = ["trm", "hrm"]


def build(architecture: str = "trm", **changes: object) -> PuzzleModel:
    generator = torch.Generator().manual_seed(0)
    config = from_dict(ModelConfig, {**ARCHITECTURES[architecture], **changes})
    return build_model(config, 6, generator=generator)


def begin(model: PuzzleModel, sampling: list[Sampling], rows: list[int]) -> LatentState:
    batch = make_batch(0)
    return model.begin(batch["inputs"][rows], batch["puzzle_ids"][rows], sampling)


def latents(state: LatentState) -> Tensor:
    return torch.stack([state.y, state.z])


PLAIN, NOISY, OTHER = Sampling(1), Sampling(2, noise=0.5), Sampling(3, "random", 0.5)


@pytest.mark.parametrize("architecture", RECURSIVE)
def test_noise_is_added_to_y_and_z_before_every_step_of_noisy_examples(architecture: str) -> None:
    model = build(architecture)
    state = begin(model, [PLAIN, NOISY, Sampling(2, noise=1.0)], [0, 1, 1])
    for _ in range(3):
        y, z = state.with_noise()
        assert torch.equal(y[0], state.y[0]) and torch.equal(z[0], state.z[0])
        one, other = torch.stack([y, z])[:, 1:].transpose(0, 1) - latents(state)[:, 1:].transpose(
            0, 1
        )
        torch.testing.assert_close(2 * one, other)  # of the same seed, scaled by σ
        assert not torch.allclose(one[0], one[1], atol=0.1)
        assert one.std().item() == pytest.approx(0.5, rel=0.1)
        before, state = one, model.advance(state)
        assert not torch.allclose(before, state.with_noise()[0][1] - state.y[1], atol=0.1)


def test_random_starts_are_those_of_the_examples_that_want_them() -> None:
    model = build()
    state = begin(model, [PLAIN, OTHER, Sampling(3, "random"), Sampling(4, "random")], [0, 1, 2, 3])
    fixed = begin(model, [PLAIN] * 4, [0, 1, 2, 3])
    assert torch.equal(latents(state)[:, 0], latents(fixed)[:, 0])
    assert torch.equal(latents(state)[:, 1], latents(state)[:, 2])
    assert not torch.allclose(latents(state)[:, 2], latents(state)[:, 3], atol=0.1)
    trained = build(initial_state="random")
    state = begin(trained, [Sampling(3), Sampling(3, "fixed")], [0, 1])
    assert not torch.allclose(state.y[0], state.y[1], atol=0.1)
    assert torch.equal(state.y[1], fixed.y[1])


@pytest.mark.parametrize("architecture", RECURSIVE)
@pytest.mark.parametrize("first", [0, 1])
def test_plain_and_noisy_examples_join_at_any_step(architecture: str, first: int) -> None:
    """Each continues as it does alone, whichever of them entered the batch first."""
    model, samplings, rows = build(architecture), [PLAIN, NOISY], [[0, 1], [2]]
    alone = []
    for sampling, own in zip(samplings, rows, strict=True):
        states = [begin(model, [sampling] * len(own), own)]
        for _ in range(3):
            states.append(model.advance(states[-1]))
        alone.append(states)
    order = [first, 1 - first]
    started = model.advance(begin(model, [samplings[first]] * len(rows[first]), rows[first]))
    added = begin(model, [samplings[1 - first]] * len(rows[1 - first]), rows[1 - first])
    joined = LatentState.concatenate([started, added])
    for _ in range(2):
        joined = model.advance(joined)
    expected = [alone[order[0]][3], alone[order[1]][2]]
    torch.testing.assert_close(latents(joined), torch.cat([*map(latents, expected)], 1))
    assert joined.sigma == expected[0].sigma + expected[1].sigma


@given(st.lists(st.sampled_from([0.0, 0.5]), min_size=1, max_size=6), st.data())
def test_who_stays_draws_as_if_nobody_left(sigmas: list[float], data: st.DataObject) -> None:
    """Of any examples, in any order, and split in any way."""

    def start() -> LatentState:
        torch.manual_seed(0)
        model = build()
        inputs = torch.ones(len(sigmas), 16, dtype=torch.int32)
        sampling = [Sampling(seed, noise=sigma) for seed, sigma in enumerate(sigmas)]
        return model.begin(inputs, torch.zeros(len(sigmas), dtype=torch.int32), sampling)

    whole = torch.stack(start().with_noise())
    numbers = st.permutations(range(len(sigmas)))
    kept = data.draw(numbers)[: data.draw(st.integers(1, len(sigmas)))]
    taken = start().take(kept)
    assert torch.equal(torch.stack(taken.with_noise()), whole[:, kept])
    parts = start().split(data.draw(st.integers(1, 7)))
    assert [len(part) for part in parts] and sum(map(len, parts)) == len(sigmas)
    drawn = [torch.stack(part.with_noise()) for part in parts]
    assert torch.equal(torch.cat(drawn, 1), whole)


def test_resampled_examples_go_on_from_their_ancestor_with_noise_of_their_own() -> None:
    model = build()
    state = model.advance(begin(model, [NOISY, OTHER, Sampling(5, noise=0.5)], [0, 1, 2]))
    resampled = state.resample([1, 1, 2])
    assert torch.equal(resampled.x, state.x[[1, 1, 2]])
    assert torch.equal(latents(resampled), latents(state)[:, [1, 1, 2]])
    assert not torch.equal(state.y[0], state.y[1])
    parted = model.advance(resampled)
    assert not torch.allclose(parted.y[0], parted.y[1], atol=1e-2)
