"""Sudoku: symmetries, tokens, the rule, and puzzles checked by a SAT solver."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysat.solvers import Cadical153

from arc_trm.puzzles import KINDS, grid_kinds
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.puzzles.sudoku.generator import full_grids, remove_digits
from arc_trm.puzzles.sudoku.kind import Sudoku
from arc_trm.puzzles.sudoku.solver import BOXES, QUICK_SIDE, SearchResult, search, solve
from arc_trm.tasks import Grid, Pair

SUDOKU = Sudoku()
HARD = (
    "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
)
# Without a solution, which takes a backtracking solver minutes to prove (P. Norvig's example).
IMPOSSIBLE = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
SIDES = list(BOXES)
MINIMAL_SIDES = [side for side in SIDES if side <= QUICK_SIDE]
sides = st.sampled_from(SIDES)
seeds = st.integers(0, 2**32)


def grid_of(text: str) -> Grid:
    side = round(len(text) ** 0.5)
    values = [".123456789ABCDEFG".index(character) for character in text]
    return np.array(values, np.uint8).reshape(side, side)


@cache
def sample_sudokus(side: int, clues: int = 0) -> tuple[Grid, Grid]:
    """Questions and answers of one size; fewer and easier ones of 16×16, which take longer."""
    rng, is_large = np.random.default_rng(side), side > QUICK_SIDE
    answers = full_grids(side, 10 if is_large else 40, rng)
    return remove_digits(answers, max(clues, 110) if is_large else clues, rng), answers


def solve_by_sat(question: Grid, most: int = 2) -> list[Grid]:
    """Return at most so many solutions, found by a SAT solver from the rule alone."""
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


@settings(deadline=None)  # the first example generates the puzzles
@given(sides, seeds)
@pytest.mark.slow
def test_every_augmentation_inverts_and_keeps_the_rule(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    augmentation = SUDOKU.augmentation(1, side, rng)
    for question, answer in zip(*sample_sudokus(side), strict=True):
        changed = augmentation.apply(question), augmentation.apply(answer)
        assert SUDOKU.is_valid(*changed)
        assert np.array_equal(augmentation.invert(changed[0]), question)
        assert np.array_equal(augmentation.invert(changed[1]), answer)
        assert changed[0].dtype == np.uint8


@given(sides, seeds)
def test_a_wrong_answer_with_digits_above_the_side_is_changed_back(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    augmentation = SUDOKU.augmentation(1, side, rng)
    answer = rng.integers(0, SUDOKU.vocab_size(side) - 1, (side, side)).astype(np.uint8)
    restored = augmentation.invert(answer)
    assert restored.dtype == np.uint8
    inside = restored <= side
    assert sorted(restored[~inside].tolist()) == sorted(answer[answer > side].tolist())
    within = np.where(inside, restored, 0).astype(np.uint8)
    again = augmentation.apply(within)
    assert np.array_equal(again, np.where(answer <= side, answer, 0))


def test_augmentations_move_a_cell_to_every_other() -> None:
    rng = np.random.default_rng(0)
    single = np.zeros((9, 9), np.uint8)
    single[0, 1] = 1
    found: set[tuple[int, int]] = set()
    for number in range(1, 2000):
        ((row, column),) = np.argwhere(SUDOKU.augmentation(number, 9, rng).apply(single)).tolist()
        found.add((row, column))
    assert len(found) == 81


def test_only_puzzles_with_square_boxes_are_transposed() -> None:
    rng = np.random.default_rng(0)
    assert not any(SUDOKU.augmentation(1, 6, rng).transposed for _ in range(50))
    assert len({SUDOKU.augmentation(1, 4, rng).transposed for _ in range(50)}) == 2


def test_only_16_x_16_has_more_tokens_than_published() -> None:
    assert {side: SUDOKU.vocab_size(side) for side in SIDES} == {4: 11, 6: 11, 9: 11, 16: 18}
    assert [SUDOKU.usual_side(size) for size in (11, 18, 12)] == [9, 16, None]
    question, answer = (grids[0] for grids in sample_sudokus(16))
    inputs, labels = SUDOKU.encode(Pair(question, answer), 16)
    assert inputs.tolist() == [cell + 1 for cell in question.reshape(-1)]
    assert (labels.min(), labels.max(), inputs.max()) == (2, 17, 17)
    assert np.array_equal(SUDOKU.decode(labels), answer)


def test_tokens_are_the_published_ones() -> None:
    question, answer = (grids[0] for grids in sample_sudokus(9))
    inputs, labels = SUDOKU.encode(Pair(question, answer), 9)
    assert SUDOKU.vocab_size(9) == 11
    assert inputs.tolist() == [1 if cell == 0 else cell + 1 for cell in question.reshape(-1)]
    assert labels.tolist() == [cell + 1 for cell in answer.reshape(-1)]  # every cell has a label
    assert np.array_equal(SUDOKU.decode(labels), answer)
    assert not SUDOKU.encode(Pair(question), 9)[1].any()
    labels[3] = 0
    assert SUDOKU.decode(labels) is None
    with pytest.raises(ValueError, match="canvas of side 6"):
        SUDOKU.encode(Pair(question), 6)


@pytest.mark.parametrize("side", SIDES)
def test_a_sat_solver_finds_the_same_only_solution(side: int) -> None:
    for question, answer in zip(*sample_sudokus(side), strict=True):
        (only,) = solve_by_sat(question)
        assert np.array_equal(only, answer)
    found = solve(sample_sudokus(side)[0])
    assert (found.count == 1).all() and np.array_equal(found.solution, sample_sudokus(side)[1])


@pytest.mark.parametrize("side", MINIMAL_SIDES)
def test_without_one_of_its_digits_a_minimal_puzzle_has_more_solutions(side: int) -> None:
    question = sample_sudokus(side)[0][0]
    for row, column in np.argwhere(question):
        less = question.copy()
        less[row, column] = 0
        assert len(solve_by_sat(less)) == 2
        assert solve(less[None]).count[0] >= 2


@settings(max_examples=25, deadline=None)
@given(sides, seeds, st.floats(0, 0.4))
def test_solutions_are_counted_as_a_sat_solver_counts(side: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    if side > QUICK_SIDE:
        share += 0.4  # with fewer clues a search may be given up
    answers = sample_sudokus(side)[1]
    question = np.where(rng.random((side, side)) < share, answers[seed % len(answers)], 0)
    wrong = rng.integers(side, size=2)
    question[tuple(wrong)] = rng.integers(1, side + 1)  # there may be no solution at all
    question = question.astype(np.uint8)
    assert min(2, solve(question[None]).count[0]) == len(solve_by_sat(question))


def test_guesses_are_the_same_however_many_are_solved_together() -> None:
    questions = np.stack([grid_of(text) for text in HARD])
    together, alone = solve(questions), [solve(each[None]) for each in questions]
    assert together.count.tolist() == [1, 1]
    assert together.guesses.tolist() == [int(each.guesses[0]) for each in alone]
    assert min(together.guesses) > 50
    easy = sample_sudokus(9, 45)[0]
    assert solve(easy).guesses.max() <= 4


def test_solutions_of_large_puzzles_are_counted_in_batches() -> None:
    questions = np.concatenate([sample_sudokus(16)[0]] * 13)
    assert len(questions) == 130
    questions[[3, 129]] = 0
    counts = SUDOKU.count_solutions(questions)
    assert np.flatnonzero(counts != 1).tolist() == [3, 129] and counts[129] == 2


def test_a_search_that_takes_too_long_is_given_up() -> None:
    assert solve(grid_of(IMPOSSIBLE)[None]).count.tolist() == [-1]


def without_first(found: SearchResult) -> SearchResult:
    """A search of which the first puzzle was given up."""
    count = found.count.copy()
    count[0] = -1
    return replace(found, count=count)


def test_a_puzzle_that_is_given_up_has_neither_a_digit_removed_nor_a_rating(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def searched(*arguments: object, **options: object) -> SearchResult:
        return without_first(search(*arguments, **options))  # type: ignore[arg-type]

    answers = sample_sudokus(9)[1][:2]
    with monkeypatch.context() as patch:
        patch.setattr("arc_trm.puzzles.sudoku.generator.search", searched)
        first, second = remove_digits(answers, 80, np.random.default_rng(0))
    assert (np.count_nonzero(first), np.count_nonzero(second)) == (81, 80)
    monkeypatch.setattr(
        "arc_trm.puzzles.sudoku.kind.solve", lambda questions: without_first(solve(questions))
    )
    found = SUDOKU.generate(3, 9, 0, 70, np.random.default_rng(1))
    assert [len(each) for each in found] == [2, 2, 2]


def test_a_full_grid_that_is_given_up_is_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def give_up(states: npt.NDArray[np.uint16], *rest: object, **options: object) -> SearchResult:
        found = search(states, *rest, **options)  # type: ignore[arg-type]
        sizes.append(len(found.count))
        lost = np.arange(len(found.count)) % 2 == 1
        solution = np.where(lost[:, None, None], 0, found.solution).astype(np.uint8)
        return replace(found, count=np.where(lost, -1, found.count), solution=solution)

    monkeypatch.setattr("arc_trm.puzzles.sudoku.generator.search", give_up)
    grids = full_grids(4, 5, np.random.default_rng(0))
    assert sizes == [5, 2, 1]
    assert [fault_of(grid, grid) for grid in grids] == [""] * 5


def fault_of(question: Grid, answer: Grid | None = None) -> str:
    """The fault of one puzzle, "" if it has none."""
    known = np.array([answer is not None])
    answers = question if answer is None else answer
    (fault,) = SUDOKU.validate(question[None], answers[None], known)
    return fault


def test_a_fault_is_named() -> None:
    question, answer = (grids[0].copy() for grids in sample_sudokus(9))
    assert fault_of(question, answer) == fault_of(question) == ""
    row, column = np.argwhere(question == 0)[0]
    changed = answer.copy()
    changed[row, column] = 0
    expected = f"the answer leaves row {row + 1}, column {column + 1} blank"
    assert fault_of(question, changed) == expected
    changed[row, column] = answer[row, (column + 1) % 9]
    assert "the answer has the digit" in fault_of(question, changed)
    assert f"more than once in row {row + 1}" in fault_of(question, changed)
    full = question.copy()
    full[row, column] = answer[row, (column + 1) % 9]
    assert fault_of(full, answer).startswith(("the answer changes the given", "the question has"))
    given = np.argwhere(question)[0]
    swapped = answer.copy()  # a valid grid, but of another puzzle
    first, second = answer[tuple(given)], answer[tuple(given)] % 9 + 1
    swapped[answer == first], swapped[answer == second] = second, first
    assert "the answer changes the given digit" in fault_of(question, swapped)
    assert not SUDOKU.is_valid(question, swapped)


@given(seeds, st.integers(1, 16))
@settings(deadline=None, max_examples=25)
def test_the_faults_of_each_digit_of_a_large_puzzle_are_named(seed: int, digit: int) -> None:
    rng = np.random.default_rng(seed)
    answer = sample_sudokus(16)[1][seed % 10].copy()
    empty = np.zeros_like(answer)
    assert fault_of(empty, answer) == fault_of(answer) == ""
    row, column = rng.integers(16, size=2).tolist()
    twice = answer.copy()
    twice[row, column] = 0
    expected = f"the answer leaves row {row + 1}, column {column + 1} blank"
    assert fault_of(empty, twice) == expected
    answer[row] = np.where(answer[row] == digit, digit % 16 + 1, answer[row])
    assert f"the digit {digit % 16 + 1} more than once in row {row + 1}" in fault_of(empty, answer)
    assert f"the question has the digit {digit % 16 + 1} more than" in fault_of(answer)
    answer[row, column] = 17
    assert not SUDOKU.is_valid(empty, answer)


def test_digits_above_the_side_of_a_small_puzzle_are_invalid() -> None:
    question, answer = (grids[0].copy() for grids in sample_sudokus(4))
    strange = np.where((answer == 4) & (question == 0), 9, answer).astype(np.uint8)
    question[question == 4] = 0
    assert "no digit of the puzzle" in fault_of(question, strange)
    assert not SUDOKU.is_valid(question, strange)
    assert not SUDOKU.is_valid(question, sample_sudokus(6)[1][0])


def test_a_guess_keeps_the_given_cells_and_is_rarely_right() -> None:
    rng = np.random.default_rng(0)
    guesses = SUDOKU.guess(sample_sudokus(9)[0], rng)
    for question, guess in zip(sample_sudokus(9)[0], guesses, strict=True):
        assert (guess[question > 0] == question[question > 0]).all()
        assert guess.min() >= 1
    assert not any(map(SUDOKU.is_valid, sample_sudokus(9)[0], guesses))


@pytest.mark.slow
def test_generated_sudokus_are_as_configured() -> None:
    config = GeneratorConfig("sudoku", 30, seed=3, min_rating=10, max_rating=40)
    generated = generate_puzzles(config)
    questions = generated.puzzles.questions
    assert len({question.tobytes() for question in questions}) == len(generated.puzzles) == 30
    assert generated.ratings.tolist() == solve(questions).guesses.tolist()
    assert set(generated.ratings.tolist()) <= set(range(10, 41))
    for question, answer in zip(questions, generated.puzzles.answers, strict=True):
        (only,) = solve_by_sat(question)
        assert np.array_equal(only, answer)
    again = generate_puzzles(config)
    assert np.array_equal(again.puzzles.questions, questions)
    other = generate_puzzles(replace(config, seed=4))
    assert not np.array_equal(other.puzzles.questions, questions)


@pytest.mark.slow
def test_the_wanted_clues_are_left() -> None:
    generated = generate_puzzles(GeneratorConfig("sudoku", 20, seed=1, max_rating=0, clues=36))
    assert ((generated.puzzles.questions > 0).sum((1, 2)) == 36).all()
    assert generated.ratings.max() == 0


def test_themes_fit_the_rules() -> None:
    assert dict(SUDOKU.theme.boxes) == BOXES
    for kind in grid_kinds():
        assert kind.theme.text_symbols == kind.symbols
        assert len(kind.theme.colours) == len(kind.theme.symbols) == len(kind.symbols)
    assert all(kind.theme.colours for kind in KINDS.values())


def test_the_registered_kinds() -> None:
    assert [(name, kind.vocab_size(kind.default_side)) for name, kind in KINDS.items()] == [
        ("arc", 12),
        ("sudoku", 11),
        ("maze", 6),
    ]
