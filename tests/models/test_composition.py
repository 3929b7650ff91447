"""A composed puzzle embedding: an augmentation acts on a task's vector as it acts on its grids."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
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


def composition(size: int = SIZE, **changes: object) -> Composition:
    config = shape(puzzle_emb_dim=size, puzzle_emb_len=16, **changes)
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


@pytest.mark.parametrize("roles", [True, False])
@pytest.mark.parametrize("size", [32, 67, 512])
def test_vectors_of_any_size_are_composed(size: int, roles: bool) -> None:
    layer = composition(size, colour_roles=roles)
    shared = size - 18 * (size // 32)
    embeddings = layer.compose(layer.permute(vectors(3, size), identity_codes(3)))
    assert embeddings.shape == (3, max(shared, MODEL["hidden_size"]))
    rest = embeddings[:, MODEL["hidden_size"] :]
    assert torch.equal(rest, vectors(3, size)[:, MODEL["hidden_size"] : shared])


def test_with_roles_colours_do_not_change_the_embedding_but_their_cells() -> None:
    plain, recoloured = codes(
        ArcAugmentation(2), ArcAugmentation(2, bytes([0, 2, 1, *range(3, 10)]))
    )
    with_roles, without = composition(), composition(colour_roles=False)
    for layer, same in ((with_roles, True), (without, False)):
        one, other = (
            layer.compose(layer.permute(vectors(), code[None])) for code in (plain, recoloured)
        )
        assert torch.equal(one, other) == same
    inputs, images = torch.tensor([[0, 1, 2, 3, 4, 11]]), torch.tensor([[0, 1, 2, 4, 3, 11]])
    one = with_roles.embed_colours(
        with_roles.permute(vectors(), plain[None]), inputs, torch.float32
    )
    other = with_roles.embed_colours(
        with_roles.permute(vectors(), recoloured[None]), images, torch.float32
    )
    assert one is not None and torch.equal(one, other)
    assert not one[0, :2].any() and one[0, 2:].any(1).all()
    assert (
        without.embed_colours(without.permute(vectors(), plain[None]), inputs, torch.float32)
        is None
    )
    assert without.head_weights(without.permute(vectors(), plain[None])) is None


@given(augmentations)
def test_logits_of_a_colour_follow_it_to_its_image(augmentation: ArcAugmentation) -> None:
    layer = composition()
    torch.nn.init.ones_(layer.head)
    y, logits = torch.randn(1, 4, MODEL["hidden_size"]), torch.zeros(1, 4, 12)
    read = [
        layer.add_colour_logits(
            logits, y, layer.head_weights(layer.permute(vectors(), codes(each)))
        )
        for each in (ArcAugmentation(), augmentation)
    ]
    assert not any(each[..., :2].any() for each in read)
    images = [2 + image for image in augmentation.colours]
    torch.testing.assert_close(read[1][..., images], read[0][..., 2:])


def test_the_code_of_an_augmentation_is_its_symmetry_and_itsimages() -> None:
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
    *_, (plain, _) = made.predict_steps(inputs, ids)
    assert torch.equal(plain[0], first) and torch.equal(plain[2], third)
    table = build_model(from_dict(ModelConfig, MODEL), 3)
    with pytest.raises(ValueError, match="augmentations are for a composed puzzle embedding"):
        next(table.predict_steps(inputs, ids, augmentations=turned))
    with pytest.raises(ValueError, match="needs the augmentations of the examples"):
        made.embed(inputs, made.puzzle_embedding[ids])


@pytest.mark.parametrize("positions", [1, 5])
def test_one_position_holds_the_embedding_and_the_others_are_empty(positions: int) -> None:
    made = model(puzzle_emb_len=positions)
    x = made.embed(
        torch.ones(1, 16, dtype=torch.int), made.puzzle_embedding[1:2], identity_codes(1)
    )
    assert x.shape[1] == positions + 16
    assert not x[:, 1:positions].any()


def test_a_seed_means_the_same_initial_weights_with_a_table_and_composed() -> None:
    composed = model().state_dict()
    generator = torch.Generator().manual_seed(0)
    table = build_model(from_dict(ModelConfig, MODEL), 3, generator=generator).state_dict()
    assert set(composed) - set(table) == {
        f"composition.{name}" for name in ("position", "cell", "head")
    }
    assert all(torch.equal(composed[name], tensor) for name, tensor in table.items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"puzzle_emb_dim": 31}, "of at least 32, got 31"),
        ({"puzzle_emb_dim": 160}, "the 70 shared numbers of model.puzzle_emb_dim (160) do not fit"),
        ({"puzzle_embedding": "table", "colour_roles": False}, 'needs model.puzzle_embedding = "c'),
        ({"vocab_size": 10}, "is for ARC, whose ten colours are tokens"),
        (
            {"block": "digit_equivariant", "mixer": "mlp", "vocab_size": 11, "seq_len": 81},
            "the block digit_equivariant has not",
        ),
    ],
)
def test_models_that_cannot_be_composed_are_told(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        build_model(shape(**changes), 1)
