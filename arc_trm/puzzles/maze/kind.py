"""Mazes: tokens, symmetries, and the rule that the path is a shortest one.

Tokens: PAD 0, then `#`, space, S, G and o as 1 to 5 (TRM paper, arXiv 2510.04871, section 5), so a
cell's value is its character's place in `#` space `SGo`. The answer is the question with the free
cells of a shortest path from S to G as o.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.puzzles.base import Flags
from arc_trm.puzzles.grid_puzzle import GridPuzzle
from arc_trm.puzzles.maze.generator import random_mazes
from arc_trm.puzzles.maze.solver import (
    FREE,
    GOAL,
    MOVES,
    PATH,
    START,
    WALL,
    distances,
    path_lengths,
    shortest_paths,
)
from arc_trm.puzzles.symmetry import SYMMETRIES, Dihedral
from arc_trm.puzzles.theme import puzzle_theme
from arc_trm.tasks import Grid

MAX_SIDE = 30


class Maze(GridPuzzle):
    """A shortest path from S to G through free cells, up, down, left and right."""

    name = "maze"
    title = "Maze"
    default_side = MAX_SIDE
    quick_preset = "maze-quick"
    symbols = "# SGo"
    spellings: ClassVar[dict[str, str]] = {
        **dict.fromkeys("X1█", "#"),
        **dict.fromkeys("._0", " "),
        "s": "S",
        **dict.fromkeys("gEeF", "G"),
        **dict.fromkeys("O*", "o"),
    }
    max_augmentations = SYMMETRIES - 1
    rule = "a shortest path from S to G, and nothing else is changed"
    full_noun = "maze"
    theme = puzzle_theme(
        task="Maze",
        colours=("#4A4845", "#FFFFFF", "#7FDBFF", "#7FDBFF", "#FFDC00"),
        symbols="  SG ",
        text_symbols="# SGo",
    )
    rating_unit = "steps"
    hard_rating = 111
    has_solver = True

    def resembles(self, text: str) -> bool:
        return super().resembles(text) and all(
            any(character in text for character in self._spelt(symbol)) for symbol in "SG"
        )

    def unsolved(self, text: str) -> str:
        return text.translate(dict.fromkeys(map(ord, self._spelt("o")), " "))

    def _spelt(self, symbol: str) -> str:
        """Return every character that means the same as a symbol."""
        return symbol + "".join(each for each, meant in self.spellings.items() if meant == symbol)

    def batch_size(self, side: int) -> int:
        return 2000

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> Dihedral:
        return Dihedral(number)

    def side_error(self, side: int) -> str | None:
        if 2 <= side <= MAX_SIDE:
            return None
        return f"a maze has 2 to {MAX_SIDE} cells a side, not {side}"

    def validate(self, questions: Grid, answers: Grid, known: Flags) -> list[str]:
        starts, goals = ((questions == value).sum((1, 2)) for value in (START, GOAL))
        path, free = answers == PATH, questions == FREE
        shortest, length = (
            path_lengths(passable, questions == START, questions == GOAL)
            for passable in (questions != WALL, np.where(free, path, questions != WALL))
        )
        longer = (length > shortest) | (path.sum((1, 2)) != shortest - 1)
        changed = (np.where(path & free, FREE, answers) != questions).any((1, 2))
        faults = {
            "the question has no S": starts == 0,
            "the question has more than one S": starts > 1,
            "the question has no G": goals == 0,
            "the question has more than one G": goals > 1,
            "the question has a path drawn in it already": (questions == PATH).any((1, 2)),
            "there is no path from S to G": shortest < 0,
            "the answer changes more than free cells into o": known & changed,
            "the cells with o in the answer are no path from S to G": known & (length < 0),
            "the answer's path is not a shortest one": known & longer,
        }
        first: list[str] = np.select(list(faults.values()), list(faults), "").tolist()
        return first

    def solve(self, questions: Grid) -> tuple[Grid, Flags]:
        """Draw one of the shortest paths of each maze."""
        side = questions.shape[1]
        steps = distances(questions != WALL, questions == START)
        path = shortest_paths(steps, (questions == GOAL).reshape(-1, side * side).argmax(1))
        return np.where(path, PATH, questions), np.ones(len(questions), np.bool_)

    def guess(self, questions: Grid, rng: np.random.Generator) -> Grid:
        """Walk at random without entering a cell twice, until the walk reaches G or is stuck."""
        return np.array([self._walk(question, rng) for question in questions])

    def _walk(self, question: Grid, rng: np.random.Generator) -> Grid:
        answer = question.copy()
        row, column = np.argwhere(question == START)[0]
        while True:
            neighbours = [
                (row + down, column + right)
                for down, right in MOVES
                if 0 <= row + down < len(question) and 0 <= column + right < len(question)
            ]
            free = [cell for cell in neighbours if answer[cell] == FREE]
            if not free or any(question[cell] == GOAL for cell in neighbours):
                return answer
            row, column = free[int(rng.integers(len(free)))]
            answer[row, column] = PATH

    def generate(
        self, count: int, side: int, min_rating: int, clues: int, rng: np.random.Generator
    ) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
        """Return mazes with one shortest path, rated by its steps."""
        return random_mazes(count, side, min_rating, rng)
