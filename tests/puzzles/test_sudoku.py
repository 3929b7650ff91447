"""Sudoku: symmetries, tokens, the rule, and puzzles checked by a solver of somebody else's."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysat.solvers import Cadical153

from arc_trm.puzzles import BOARDS, DOMAINS
from arc_trm.puzzles.generate import Recipe, generated
from arc_trm.puzzles.sudoku.kind import BOXES
from arc_trm.puzzles.sudoku.solver import full_grids, solve, thinned
from arc_trm.tasks import Grid, Pair
from arc_trm.viz.theme import LOOKS

SUDOKU = BOARDS["sudoku"]
HARD = (
    "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
)
# Without a solution, which takes a solver of this kind minutes to see (P. Norvig's example).
IMPOSSIBLE = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
sides = st.sampled_from(list(BOXES))
seeds = st.integers(0, 2**32)


def grid_of(text: str) -> Grid:
    side = round(len(text) ** 0.5)
    return np.array([0 if sign == "." else int(sign) for sign in text], np.uint8).reshape(
        side, side
    )


@cache
def some(side: int, clues: int = 0) -> tuple[Grid, Grid]:
    """Questions and answers of a size."""
    rng = np.random.default_rng(side)
    answers = full_grids(side, 40, rng)
    return thinned(answers, clues, rng), answers


def by_sat(question: Grid, most: int = 2) -> list[Grid]:
    """Up to so many solutions, by a SAT solver that knows the rule alone."""
    side = len(question)
    height, width = BOXES[side]
    numbers = range(side)

    def literal(row: int, column: int, digit: int) -> int:
        return 1 + digit + side * (column + side * row)

    cells = list(itertools.product(numbers, numbers))
    groups = [[literal(row, column, digit) for digit in numbers] for row, column in cells]
    for digit in numbers:
        groups += [[literal(row, column, digit) for column in numbers] for row in numbers]
        groups += [[literal(row, column, digit) for row in numbers] for column in numbers]
        groups += [
            [
                literal(top + down, left + right, digit)
                for down in range(height)
                for right in range(width)
            ]
            for top in range(0, side, height)
            for left in range(0, side, width)
        ]
    found: list[Grid] = []
    with Cadical153() as solver:
        for group in groups:
            solver.add_clause(group)
            for first, second in itertools.combinations(group, 2):
                solver.add_clause([-first, -second])
        for row, column in cells:
            if question[row, column]:
                solver.add_clause([literal(row, column, int(question[row, column]) - 1)])
        while len(found) < most and solver.solve():
            true = {value for value in solver.get_model() if value > 0}
            digits = [[literal(*cell, digit) in true for digit in numbers] for cell in cells]
            found.append(1 + np.array(digits).argmax(1).reshape(side, side).astype(np.uint8))
            solver.add_clause([-value for value in true])
    return found


@settings(deadline=None)  # the first example makes the puzzles
@given(sides, seeds)
def test_every_augmentation_inverts_and_keeps_the_rule(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    augmentation = SUDOKU.augmentation(1, side, rng)
    for question, answer in zip(*some(side), strict=True):
        changed = augmentation.apply(question), augmentation.apply(answer)
        assert SUDOKU.valid(*changed)
        assert np.array_equal(augmentation.invert(changed[0]), question)
        assert np.array_equal(augmentation.invert(changed[1]), answer)
        assert changed[0].dtype == np.uint8


def test_augmentation_0_is_the_puzzle_and_others_reach_every_symmetry() -> None:
    answer = some(9)[1][0]
    rng = np.random.default_rng(0)
    assert np.array_equal(SUDOKU.augmentation(0, 9, rng).apply(answer), answer)
    where: set[tuple[int, int]] = set()
    marked = np.zeros((9, 9), np.uint8)
    marked[0, 1] = 1
    for number in range(1, 2000):
        moved = SUDOKU.augmentation(number, 9, rng).apply(marked)
        (place,) = np.argwhere(moved)
        where.add((int(place[0]), int(place[1])))
    assert len(where) == 81


def test_small_boxes_are_not_laid_on_their_side() -> None:
    rng = np.random.default_rng(0)
    assert not any(SUDOKU.augmentation(1, 6, rng).transposed for _ in range(50))
    assert len({SUDOKU.augmentation(1, 4, rng).transposed for _ in range(50)}) == 2


def test_tokens_are_the_published_ones() -> None:
    question, answer = (grids[0] for grids in some(9))
    inputs, labels = SUDOKU.encode(Pair(question, answer), 9)
    assert SUDOKU.vocabulary == 11
    assert inputs.tolist() == [1 if cell == 0 else cell + 1 for cell in question.reshape(-1)]
    assert labels.tolist() == [cell + 1 for cell in answer.reshape(-1)]  # every cell is labelled
    assert np.array_equal(SUDOKU.decode(labels), answer)
    assert not SUDOKU.encode(Pair(question), 9)[1].any()
    labels[3] = 0
    assert SUDOKU.decode(labels) is None
    with pytest.raises(ValueError, match="canvas of side 6"):
        SUDOKU.encode(Pair(question), 6)


@pytest.mark.parametrize("side", BOXES)
def test_an_independent_solver_finds_the_same_and_nothing_else(side: int) -> None:
    for question, answer in zip(*some(side), strict=True):
        (only,) = by_sat(question)
        assert np.array_equal(only, answer)
    found = solve(some(side)[0])
    assert found.count.tolist() == [1] * 40 and np.array_equal(found.solution, some(side)[1])


@pytest.mark.parametrize("side", BOXES)
def test_without_one_of_its_digits_a_minimal_puzzle_has_more_solutions(side: int) -> None:
    question = some(side)[0][0]
    for row, column in np.argwhere(question):
        less = question.copy()
        less[row, column] = 0
        assert len(by_sat(less)) == 2
        assert solve(less[None]).count[0] >= 2


@settings(max_examples=25, deadline=None)
@given(sides, seeds, st.integers(0, 30))
def test_solutions_are_counted_as_an_independent_solver_counts(
    side: int, seed: int, clues: int
) -> None:
    rng = np.random.default_rng(seed)
    question = np.where(rng.random((side, side)) < clues / 81, some(side)[1][seed % 40], 0)
    wrong = rng.integers(side, size=2)
    question[tuple(wrong)] = rng.integers(1, side + 1)  # there may be no solution at all
    question = question.astype(np.uint8)
    assert min(2, solve(question[None]).count[0]) == len(by_sat(question))


def test_guesses_are_the_same_however_many_are_solved_together() -> None:
    questions = np.stack([grid_of(text) for text in HARD])
    together, alone = solve(questions), [solve(each[None]) for each in questions]
    assert together.count.tolist() == [1, 1]
    assert together.guesses.tolist() == [int(each.guesses[0]) for each in alone]
    assert min(together.guesses) > 50
    easy = some(9, 45)[0]
    assert solve(easy).guesses.max() <= 4


def test_a_search_without_end_is_given_up() -> None:
    assert solve(grid_of(IMPOSSIBLE)[None]).count.tolist() == [-1]


def problem(question: Grid, answer: Grid | None = None) -> str:
    known = np.array([answer is not None])
    given = question if answer is None else answer
    (text,) = SUDOKU.problems(question[None], given[None], known)
    return text


def test_what_is_wrong_is_said() -> None:
    question, answer = (grids[0].copy() for grids in some(9))
    assert problem(question, answer) == problem(question) == ""
    row, column = np.argwhere(question == 0)[0]
    changed = answer.copy()
    changed[row, column] = 0
    assert (
        problem(question, changed) == f"the answer leaves row {row + 1}, column {column + 1} blank"
    )
    changed[row, column] = answer[row, (column + 1) % 9]
    assert "the answer has the digit" in problem(question, changed)
    assert f"more than once in row {row + 1}" in problem(question, changed)
    full = question.copy()
    full[row, column] = answer[row, (column + 1) % 9]
    assert problem(full, answer).startswith(("the answer changes the given", "the question has"))
    given = np.argwhere(question)[0]
    swapped = answer.copy()  # a valid grid, but of another puzzle
    first, second = answer[tuple(given)], answer[tuple(given)] % 9 + 1
    swapped[answer == first], swapped[answer == second] = second, first
    assert "the answer changes the given digit" in problem(question, swapped)
    assert not SUDOKU.valid(question, swapped)


def test_valid_knows_digits_that_a_small_puzzle_has_not() -> None:
    question, answer = (grids[0].copy() for grids in some(4))
    strange = np.where((answer == 4) & (question == 0), 9, answer).astype(np.uint8)
    question[question == 4] = 0
    assert "no digit of the puzzle" in problem(question, strange)
    assert not SUDOKU.valid(question, strange)
    assert not SUDOKU.valid(question, some(6)[1][0])


def test_a_guess_keeps_the_question_and_is_seldom_right() -> None:
    rng = np.random.default_rng(0)
    guesses = SUDOKU.guesses(some(9)[0], rng)
    for question, guess in zip(some(9)[0], guesses, strict=True):
        assert (guess[question > 0] == question[question > 0]).all()
        assert guess.min() >= 1
    assert not any(map(SUDOKU.valid, some(9)[0], guesses))


@pytest.mark.slow
def test_a_recipe_makes_what_it_says() -> None:
    made = generated(Recipe("sudoku", 30, seed=3, easiest=10, hardest=40))
    questions = made.boards.questions
    assert len({question.tobytes() for question in questions}) == len(made.boards) == 30
    assert made.ratings.tolist() == solve(questions).guesses.tolist()
    assert set(made.ratings.tolist()) <= set(range(10, 41))
    for question, answer in zip(questions, made.boards.answers, strict=True):
        (only,) = by_sat(question)
        assert np.array_equal(only, answer)
    again = generated(Recipe("sudoku", 30, seed=3, easiest=10, hardest=40))
    assert np.array_equal(again.boards.questions, questions)
    other = generated(Recipe("sudoku", 30, seed=4, easiest=10, hardest=40))
    assert not np.array_equal(other.boards.questions, questions)


def test_clues_are_left_where_they_are_wanted() -> None:
    made = generated(Recipe("sudoku", 20, seed=1, hardest=0, clues=36))
    assert ((made.boards.questions > 0).sum((1, 2)) == 36).all()
    assert made.ratings.max() == 0


def test_puzzles_look_as_their_rules_say() -> None:
    assert dict(LOOKS["sudoku"].boxes) == BOXES
    for name, board in BOARDS.items():
        assert LOOKS[name].plain == board.symbols
        assert len(LOOKS[name].colours) == len(LOOKS[name].signs) == len(board.symbols)
    assert LOOKS.keys() == DOMAINS.keys()


def test_every_domain_says_what_it_is() -> None:
    assert [(name, domain.vocabulary) for name, domain in DOMAINS.items()] == [
        ("arc", 12),
        ("sudoku", 11),
        ("maze", 6),
    ]
