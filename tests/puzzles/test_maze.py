"""Mazes: symmetries, tokens, the rule, and paths checked by networkx."""

from __future__ import annotations

from functools import cache

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.puzzles.maze.generator import random_mazes
from arc_trm.puzzles.maze.kind import Maze
from arc_trm.puzzles.maze.solver import FREE, GOAL, PATH, START, WALL, distances, path_lengths
from arc_trm.tasks import Grid, Pair

MAZE = Maze()


def grid_of(*rows: str) -> Grid:
    return np.array(
        [[MAZE.symbols.index(character) for character in row] for row in rows], np.uint8
    )


@cache
def sample_mazes(side: int = 9) -> tuple[Grid, Grid]:
    questions, answers, _ = random_mazes(300, side, 5, np.random.default_rng(0))
    return questions[:60], answers[:60]


def paths_by_networkx(question: Grid) -> list[list[tuple[int, int]]]:
    """All shortest paths, ends included."""
    graph = networkx.grid_2d_graph(*question.shape)
    graph.remove_nodes_from(map(tuple, np.argwhere(question == WALL).tolist()))
    (start,), (goal,) = (np.argwhere(question == value).tolist() for value in (START, GOAL))
    return list(networkx.all_shortest_paths(graph, tuple(start), tuple(goal)))


@settings(deadline=None)  # the first example generates the mazes
@given(st.integers(0, 7), st.integers(0, 59))
def test_every_augmentation_inverts_and_keeps_the_rule(number: int, index: int) -> None:
    question, answer = (grids[index] for grids in sample_mazes())
    augmentation = MAZE.augmentation(number, 9, np.random.default_rng(0))
    changed = augmentation.apply(question), augmentation.apply(answer)
    assert MAZE.is_valid(*changed)
    assert np.array_equal(augmentation.invert(changed[0]), question)
    assert (number == 0) == np.array_equal(changed[0], question)


def test_tokens_are_the_published_ones() -> None:
    question, answer = grid_of("S #", "# #", "  G"), grid_of("So#", "#o#", " oG")
    inputs, labels = MAZE.encode(Pair(question, answer), 3)
    assert MAZE.vocab_size(3) == 6
    assert inputs.tolist() == [3, 2, 1, 1, 2, 1, 2, 2, 4]
    assert labels.tolist() == [3, 5, 1, 1, 5, 1, 2, 5, 4]
    assert np.array_equal(MAZE.decode(labels), answer)
    labels[0] = 0
    assert MAZE.decode(labels) is None


def test_the_path_is_the_only_shortest_one_that_networkx_finds() -> None:
    for question, answer in zip(*sample_mazes(), strict=True):
        (path,) = paths_by_networkx(question)
        assert sorted(path[1:-1]) == sorted(map(tuple, np.argwhere(answer == PATH).tolist()))
        assert np.array_equal(np.where(answer == PATH, FREE, answer), question)


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        (("S ", " G"), ("So", " G"), ""),
        (("S ", " G"), ("S ", "oG"), ""),  # another path as short
        (("S ", " G"), ("So", "oG"), "is not a shortest one"),
        (("S ", " G"), ("S ", " G"), "are no path from S to G"),
        (("S  ", "#  ", "  G"), ("So ", "#o ", " oG"), ""),
        (("S   ", "### ", "   G", "    "), ("So  ", "### ", "   G", "    "), "no path"),
        (("S   ", "    ", "    ", "   G"), ("oooo", "   o", "   o", "   G"), "changes more than"),
        (("S# ", "## ", "  G"), None, "there is no path from S to G"),
        (("   ", "   ", "  G"), None, "the question has no S"),
        (("S  ", "   ", "   "), None, "the question has no G"),
        (("S S", "   ", "  G"), None, "more than one S"),
        (("So ", "   ", "  G"), None, "a path drawn in it"),
    ],
)  # fmt: skip
def test_a_fault_is_named(
    question: tuple[str, ...], answer: tuple[str, ...] | None, fault: str
) -> None:
    grid = grid_of(*question)
    drawn = grid if answer is None else grid_of(*answer)
    (found,) = MAZE.validate(grid[None], drawn[None], np.array([answer is not None]))
    assert fault in found and bool(fault) == bool(found)
    if answer is not None:
        assert MAZE.is_valid(grid, drawn) == (not fault)


@given(st.integers(0, 2**32), st.integers(2, 30), st.floats(0, 0.6))
def test_path_lengths_are_the_distances_of_the_goals(seed: int, side: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    passable = rng.random((3, side, side)) >= density
    start, goal = np.zeros((2, *passable.shape), np.bool_)
    for index in range(len(passable)):
        for cells, cell in zip((start, goal), rng.choice(side**2, 2, replace=False), strict=True):
            cells[index].flat[cell] = passable[index].flat[cell] = True
    expected = distances(passable, start)[goal]
    assert path_lengths(passable, start, goal).tolist() == expected.tolist()


def test_the_faults_among_many_mazes_are_those_of_the_invalid_ones() -> None:
    questions, answers = (grids.copy() for grids in sample_mazes())
    questions[7][questions[7] == START] = FREE
    answers[9][answers[9] == PATH] = FREE
    faults = MAZE.validate(questions, answers, np.ones(len(questions), np.bool_))
    assert [index for index, fault in enumerate(faults) if fault] == [7, 9]


@pytest.mark.slow
def test_generated_mazes_have_long_paths_on_the_published_size() -> None:
    config = GeneratorConfig("maze", 5, seed=2, min_rating=111)
    generated = generate_puzzles(config)
    assert generated.puzzles.questions.shape == (5, 30, 30)
    assert generated.ratings.min() > 110
    for question, rating in zip(
        generated.puzzles.questions, generated.ratings.tolist(), strict=True
    ):
        (path,) = paths_by_networkx(question)
        assert len(path) - 1 == rating
    again = generate_puzzles(config)
    assert np.array_equal(again.puzzles.answers, generated.puzzles.answers)


def test_a_guess_walks_from_the_start_and_changes_nothing_else() -> None:
    rng = np.random.default_rng(0)
    valid = 0
    questions, _ = sample_mazes()
    for question, guess in zip(questions, MAZE.guess(questions, rng), strict=True):
        assert ((guess == PATH) <= (question == FREE)).all()
        assert np.array_equal(np.where(guess == PATH, FREE, guess), question)
        valid += MAZE.is_valid(question, guess)
    assert valid < 30
