"""Augmentations of which fewer are the beginning of more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arc_trm import load_tasks
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.arc.deduplication import PuzzleHash
from arc_trm.tasks import Pair, Task, as_grid

ARC = KINDS["arc"]
TASKS = list(load_tasks("arc-agi-1/training"))[:20]


@given(st.integers(0, 19), st.integers(0, 300), st.integers(0, 1500), st.integers(0, 3))
def test_fewer_augmentations_are_the_beginning_of_more(
    number: int, few: int, many: int, seed: int
) -> None:
    task = TASKS[number]
    some = ARC.nested_augmentations(task, min(few, many), seed).names()
    more = ARC.nested_augmentations(task, max(few, many), seed).names()
    assert some == more[: min(few, many)]
    assert len(set(more)) == len(more) <= max(few, many)


def test_they_make_distinct_puzzles_and_do_not_see_test_outputs() -> None:
    for task in TASKS[:5]:
        found = ARC.nested_augmentations(task, 200, 0)
        blind = task.without_solutions()
        assert found.names() == ARC.nested_augmentations(blind, 200, 0).names()
        puzzle_hash = PuzzleHash(blind)
        hashes = puzzle_hash(found.dihedrals, found.colours)
        assert len({*hashes.tolist(), int(puzzle_hash.original[0])}) == 1 + len(found)


@pytest.mark.parametrize("count", [0, 1, 5, 1000])
def test_a_task_of_one_colour_has_few_of_them(count: int) -> None:
    grid = as_grid([[1]])
    task = Task("one", (Pair(grid, grid),), (Pair(grid),))
    # Colour 1 may become each of the eight others.
    assert len(ARC.nested_augmentations(task, count, 0)) == min(count, 8)


def test_other_kinds_have_none() -> None:
    with pytest.raises(ValueError, match="Sudoku has no composed puzzle embedding"):
        KINDS["sudoku"].nested_augmentations(TASKS[0], 1, 0)
