"""Mazes: symmetries, tokens, the rule, and paths checked by somebody else's search."""

from __future__ import annotations

from functools import cache

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arc_trm.puzzles import BOARDS
from arc_trm.puzzles.generate import Recipe, generated
from arc_trm.puzzles.maze.solver import FREE, GOAL, PATH, START, WALL, random_mazes
from arc_trm.tasks import Grid, Pair

MAZE = BOARDS["maze"]


def grid_of(*rows: str) -> Grid:
    return np.array([[MAZE.symbols.index(sign) for sign in row] for row in rows], np.uint8)


@cache
def some(side: int = 9) -> tuple[Grid, Grid]:
    questions, answers, _ = random_mazes(300, side, 5, np.random.default_rng(0))
    return questions[:60], answers[:60]


def paths_by_networkx(question: Grid) -> list[list[tuple[int, int]]]:
    """All shortest paths, ends included."""
    graph = networkx.grid_2d_graph(*question.shape)
    graph.remove_nodes_from(map(tuple, np.argwhere(question == WALL).tolist()))
    (start,), (goal,) = (np.argwhere(question == value).tolist() for value in (START, GOAL))
    return list(networkx.all_shortest_paths(graph, tuple(start), tuple(goal)))


@settings(deadline=None)  # the first example makes the mazes
@given(st.integers(0, 7), st.integers(0, 59))
def test_every_augmentation_inverts_and_keeps_the_rule(number: int, place: int) -> None:
    question, answer = (grids[place] for grids in some())
    augmentation = MAZE.augmentation(number, 9, np.random.default_rng(0))
    changed = augmentation.apply(question), augmentation.apply(answer)
    assert MAZE.valid(*changed)
    assert np.array_equal(augmentation.invert(changed[0]), question)
    assert (number == 0) == np.array_equal(changed[0], question)


def test_tokens_are_the_published_ones() -> None:
    question, answer = grid_of("S #", "# #", "  G"), grid_of("So#", "#o#", " oG")
    inputs, labels = MAZE.encode(Pair(question, answer), 3)
    assert MAZE.vocabulary == 6
    assert inputs.tolist() == [3, 2, 1, 1, 2, 1, 2, 2, 4]
    assert labels.tolist() == [3, 5, 1, 1, 5, 1, 2, 5, 4]
    assert np.array_equal(MAZE.decode(labels), answer)
    labels[0] = 0
    assert MAZE.decode(labels) is None


def test_the_path_is_the_only_shortest_one_that_an_independent_search_finds() -> None:
    for question, answer in zip(*some(), strict=True):
        (path,) = paths_by_networkx(question)
        assert sorted(path[1:-1]) == sorted(map(tuple, np.argwhere(answer == PATH).tolist()))
        assert np.array_equal(np.where(answer == PATH, FREE, answer), question)


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        (("S ", " G"), ("So", " G"), ""),
        (("S ", " G"), ("S ", "oG"), ""),  # another one as short
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
def test_what_is_wrong_is_said(
    question: tuple[str, ...], answer: tuple[str, ...] | None, told: str
) -> None:
    asked = grid_of(*question)
    drawn = asked if answer is None else grid_of(*answer)
    (text,) = MAZE.problems(asked[None], drawn[None], np.array([answer is not None]))
    assert told in text and bool(told) == bool(text)
    if answer is not None:
        assert MAZE.valid(asked, drawn) == (not told)


def test_one_wrong_maze_among_others_is_the_one_that_is_told() -> None:
    questions, answers = (grids.copy() for grids in some())
    questions[7][questions[7] == START] = FREE
    answers[9][answers[9] == PATH] = FREE
    texts = MAZE.problems(questions, answers, np.ones(len(questions), np.bool_))
    assert [place for place, text in enumerate(texts) if text] == [7, 9]


@pytest.mark.slow
def test_a_recipe_makes_long_ways_on_the_published_size() -> None:
    made = generated(Recipe("maze", 5, seed=2, easiest=111))
    assert made.boards.questions.shape == (5, 30, 30)
    assert made.ratings.min() > 110
    for question, rating in zip(made.boards.questions, made.ratings.tolist(), strict=True):
        (path,) = paths_by_networkx(question)
        assert len(path) - 1 == rating
    again = generated(Recipe("maze", 5, seed=2, easiest=111))
    assert np.array_equal(again.boards.answers, made.boards.answers)


def test_a_guess_walks_from_the_start_and_changes_nothing_else() -> None:
    rng = np.random.default_rng(0)
    right = 0
    for question, guess in zip(some()[0], MAZE.guesses(some()[0], rng), strict=True):
        assert ((guess == PATH) <= (question == FREE)).all()
        assert np.array_equal(np.where(guess == PATH, FREE, guess), question)
        right += MAZE.valid(question, guess)
    assert right < 30
