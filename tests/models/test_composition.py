"""A composed puzzle embedding: an augmentation acts on a task's vector as it acts on its grids."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import MODEL

from arc_trm.config import ModelConfig, from_dict
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.composition import Composition, identity_codes, validate_augmentations
from arc_trm.puzzles import IDENTITY, KINDS
from arc_trm.puzzles.arc.augmentation import ArcAugmentation
from arc_trm.puzzles.symmetry import PRODUCTS, SYMMETRIES, transform
from arc_trm.tasks import as_grid

SIZE = 67  # chunks of two numbers, and some that are the same for all

augmentations = st.builds(
    lambda dihedral, colours: ArcAugmentation(dihedral, bytes([0, *colours])),
    st.integers(0, 7),
    st.permutations(range(1, 10)),
)


def shape(**changes: object) -> ModelConfig:
    return from_dict(ModelConfig, {**MODEL, "puzzle_embedding": "composed", **changes})


def composition(size: int = SIZE) -> Composition:
    config = shape(puzzle_emb_dim=size)
    return Composition(config, torch.Generator().manual_seed(0))


def codes(*each: ArcAugmentation) -> torch.Tensor:
    return torch.from_numpy(np.stack([augmentation.code for augmentation in each]))


def vectors(count: int = 1, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(1))


def test_products_of_symmetries_are_those_of_their_effects_on_grids() -> None:
    grid = np.arange(6).reshape(2, 3)
    for first, second in product(range(SYMMETRIES), repeat=2):
        both = transform(transform(grid, first), second)
        assert np.array_equal(both, transform(grid, PRODUCTS[second][first]))


@given(augmentations, augmentations)
def test_two_augmentations_move_a_vector_as_one_that_does_both(
    first: ArcAugmentation, second: ArcAugmentation
) -> None:
    grid = as_grid(np.arange(10).reshape(2, 5))
    both = ArcAugmentation(
        PRODUCTS[second.dihedral][first.dihedral],
        bytes(second.colours[colour] for colour in first.colours),
    )
    assert np.array_equal(second.apply(first.apply(grid)), both.apply(grid))
    permute = composition().permute
    vector = vectors()
    assert torch.equal(
        permute(permute(vector, codes(first)), codes(second)), permute(vector, codes(both))
    )


@given(augmentations)
def test_the_image_of_a_colour_takes_its_chunk_and_no_number_is_lost(
    augmentation: ArcAugmentation,
) -> None:
    layer = composition()
    vector = vectors()
    moved = layer.permute(vector, codes(augmentation))
    assert torch.equal(moved[:, : layer.shared], vector[:, : layer.shared])
    assert torch.equal(moved.sort().values, vector.sort().values)
    before, after = (each[0, -10 * layer.chunk :].view(10, layer.chunk) for each in (vector, moved))
    for colour, image in enumerate(augmentation.colours):
        assert torch.equal(after[image], before[colour])


def test_every_symmetry_moves_the_directions_otherwise() -> None:
    layer = composition()
    eight = codes(*(ArcAugmentation(dihedral) for dihedral in range(8)))
    moved = layer.permute(vectors().expand(8, -1), eight)
    assert len(moved.unique(dim=0)) == 8
    assert torch.equal(moved[:1], vectors())


@pytest.mark.parametrize("size", [32, 67, 512])
def test_sizes_that_leave_something_over(size: int) -> None:
    layer = composition(size)
    assert layer(vectors(3, size), identity_codes(3)).shape == (3, MODEL["hidden_size"])


def test_the_code_of_an_augmentation_is_its_symmetry_and_its_images() -> None:
    kind = KINDS["arc"]
    augmentation = ArcAugmentation(3, bytes([0, 2, 1, *range(3, 10)]))
    assert kind.augmentation_code(augmentation).tolist() == [3, 0, 2, 1, *range(3, 10)]
    assert kind.augmentation_code(IDENTITY).tolist() == identity_codes(1)[0].tolist()
    other = type("Other", (), {"name": "blur"})()
    with pytest.raises(ValueError, match="'blur' is no rotation"):
        kind.augmentation_code(other)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (identity_codes(2)[:, :5], "shape"),
        (identity_codes(3), "shape"),
        (identity_codes(2).float(), "integer type"),
        (identity_codes(2) + 1, "each colour"),
        (identity_codes(2).index_fill(1, torch.tensor([0]), 8), "symmetry"),
        (identity_codes(2).index_fill(1, torch.tensor([0]), -1), "symmetry"),
        (identity_codes(2).index_fill(1, torch.tensor([3]), 9), "each colour"),
    ],
)
def test_codes_that_would_index_wrongly_are_refused(wrong: torch.Tensor, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        validate_augmentations("codes", wrong, 2)


def model(**changes: object) -> PuzzleModel:
    generator = torch.Generator().manual_seed(0)
    made = build_model(shape(**changes), 3, generator=generator)
    made.puzzle_embedding.normal_(generator=generator)
    return made


def test_a_composed_model_predicts_by_task_and_augmentation() -> None:
    made = model()
    inputs, ids = torch.ones(3, 16, dtype=torch.int), torch.tensor([1, 1, 2])
    turned = codes(ArcAugmentation(0), ArcAugmentation(1), ArcAugmentation(0))
    *_, (logits, _) = made.predict_steps(inputs, ids, augmentations=turned)
    first, second, third = logits
    assert not torch.equal(first, second) and not torch.equal(first, third)
    with pytest.raises(ValueError, match="augmentations are for a composed puzzle embedding"):
        next(made.predict_steps(inputs, ids))


@pytest.mark.parametrize("positions", [1, 5])
def test_one_position_holds_the_embedding_and_the_others_are_empty(positions: int) -> None:
    made = model(puzzle_emb_len=positions, puzzle_emb_dim=64)
    x = made.embed(
        torch.ones(1, 16, dtype=torch.int), made.puzzle_embedding[1:2], identity_codes(1)
    )
    assert x.shape[1] == positions + 16
    assert x[:, 0].any() and not x[:, 1:positions].any()


def test_a_seed_means_the_same_initial_weights_with_a_table_and_composed() -> None:
    composed = model().state_dict()
    generator = torch.Generator().manual_seed(0)
    table = build_model(from_dict(ModelConfig, MODEL), 3, generator=generator).state_dict()
    assert set(composed) - set(table) == {"composition.weight"}
    assert all(torch.equal(composed[name], tensor) for name, tensor in table.items())


@given(st.sampled_from([("puzzle_emb_dim", 31), ("puzzle_emb_dim", 0), ("puzzle_emb_len", 0)]))
@settings(max_examples=3)
def test_vectors_too_small_to_compose_are_refused(change: tuple[str, int]) -> None:
    with pytest.raises(UserError, match="of at least 1 and"):
        shape(**{change[0]: change[1]})
