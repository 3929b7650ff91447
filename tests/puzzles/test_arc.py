"""Augmentations invert, encodings decode, and distinct puzzles are distinct."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from puzzles import augment_pair, parse_puzzle_name

from arc_trm.puzzles import PAD, SEPARATOR
from arc_trm.puzzles.arc.augmentation import IDENTITY, ArcAugmentation
from arc_trm.puzzles.arc.deduplication import distinct_augmentations
from arc_trm.puzzles.arc.tokenizer import EOS, FIRST_COLOUR, decode, encode_pair, random_offset
from arc_trm.puzzles.symmetry import transform
from arc_trm.tasks import Pair, Task, as_grid

sides = st.integers(1, 30)
grids = st_numpy.arrays(np.uint8, st.tuples(sides, sides), elements=st.integers(0, 9))
small_grids = st_numpy.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 3)), elements=st.integers(0, 2)
)
augmentations = st.builds(
    lambda dihedral, colours: ArcAugmentation(dihedral, bytes([0, *colours])),
    st.integers(0, 7),
    st.permutations(range(1, 10)),
)


@given(augmentations, grids)
def test_every_augmentation_inverts(augmentation: ArcAugmentation, grid: np.ndarray) -> None:
    assert np.array_equal(augmentation.invert(augmentation.apply(grid)), grid)
    assert np.array_equal(augmentation.apply(augmentation.invert(grid)), grid)


@given(augmentations)
def test_names_are_read_back(augmentation: ArcAugmentation) -> None:
    assert ArcAugmentation.from_name(augmentation.name) == augmentation
    name = f"007bbfb7{SEPARATOR}{augmentation.name}"
    assert parse_puzzle_name(name) == ("007bbfb7", augmentation)
    assert parse_puzzle_name("007bbfb7") == ("007bbfb7", IDENTITY)


@pytest.mark.parametrize(
    "name",
    [
        "t8|||0123456789",
        "t0",
        "t0|||",
        "t0|||1023456789",
        "t0|||0123456788",
        "t0|||012345678٩",
        "x",
    ],
)
def test_invalid_names_are_errors(name: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        ArcAugmentation.from_name(name)


def test_transforms_are_those_of_numpy() -> None:
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = [grid, *(np.rot90(grid, k) for k in (1, 2, 3)), np.fliplr(grid), np.flipud(grid)]
    expected += [grid.T, np.fliplr(np.rot90(grid))]
    for dihedral, image in enumerate(expected):
        assert np.array_equal(transform(grid, dihedral), image)


@given(grids, grids, st.integers(0, 2**32), st.sampled_from([30, 31]))
def test_encoding_decodes_at_the_corner_and_holds_the_grid_anywhere(
    first: np.ndarray, second: np.ndarray, seed: int, side: int
) -> None:
    pair = Pair(first, second)
    for tokens, grid in zip(encode_pair(pair, side), pair.grids, strict=True):
        assert np.array_equal(decode(tokens), grid)
    offset = random_offset(pair, side, np.random.default_rng(seed))
    for tokens, grid in zip(encode_pair(pair, side, offset), pair.grids, strict=True):
        canvas = tokens.reshape(side, side)
        (row, column), (height, width) = offset, grid.shape
        inside = canvas[row : row + height, column : column + width]
        assert np.array_equal(inside, grid + FIRST_COLOUR)
        lines = height * (column + width < side) + width * (row + height < side)
        assert (canvas == EOS).sum() == lines
        assert (canvas == PAD).sum() == side**2 - height * width - lines


def test_a_grid_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_pair(Pair(np.zeros((3, 3), np.uint8)), 5, (3, 0))


@given(st_numpy.arrays(np.uint8, (36,), elements=st.integers(0, 11)))
def test_decode_is_the_largest_rectangle(tokens: np.ndarray) -> None:
    canvas = tokens.reshape(6, 6)
    areas = [
        height * width
        for height in range(1, 7)
        for width in range(1, 7)
        if (canvas[:height, :width] >= FIRST_COLOUR).all()
    ]
    grid = decode(tokens)
    assert (0 if grid is None else grid.size) == max(areas, default=0)
    if grid is not None:
        height, width = grid.shape
        assert np.array_equal(canvas[:height, :width], grid + FIRST_COLOUR)


def contents(task: Task, augmentation: ArcAugmentation) -> str:
    pairs = [augment_pair(augmentation, pair) for pair in (*task.train, *task.test)]
    return str(sorted([grid.tolist() for grid in pair.grids] for pair in pairs))


@given(st.lists(st.tuples(small_grids, small_grids), min_size=1, max_size=3), st.integers(0, 99))
def test_sampled_augmentations_are_all_that_differ(
    pairs: list[tuple[np.ndarray, np.ndarray]], seed: int
) -> None:
    task = Task("t", tuple(Pair(*map(as_grid, pair)) for pair in pairs[1:]), (Pair(*pairs[0]),))
    count = 12
    dihedrals, colours = distinct_augmentations(task, count, np.random.default_rng(seed))
    sampled = [
        ArcAugmentation(int(dihedral), bytes(permutation.tolist()))
        for dihedral, permutation in zip(dihedrals, colours, strict=True)
    ]
    seen = {contents(task, a) for a in (IDENTITY, *sampled)}
    assert len(seen) == 1 + len(sampled)  # all puzzles differ
    if len(sampled) < count:  # then trials ran out; a replay must find no other
        rng = np.random.default_rng(seed)
        for _ in range(5):
            tried = rng.integers(8, size=count, dtype=np.uint8)
            digits = np.tile(np.arange(10, dtype=np.uint8), (count, 1))
            rng.permuted(digits[:, 1:], axis=1, out=digits[:, 1:])
            for dihedral, permutation in zip(tried, digits, strict=True):
                again = ArcAugmentation(int(dihedral), bytes(permutation.tolist()))
                assert contents(task, again) in seen


def test_augmentations_depend_on_the_generator_alone() -> None:
    task = Task("t", (Pair(as_grid([[1, 2]]), as_grid([[3]])),), (Pair(as_grid([[4, 5]])),))
    first, second = (distinct_augmentations(task, 9, np.random.default_rng(1)) for _ in range(2))
    assert all(map(np.array_equal, first, second))
    assert len(first[0]) == 9
