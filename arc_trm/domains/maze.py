"""Mazes as the model sees them: tokens, symmetries, and the rule that a path is a shortest one.

Tokens: PAD 0, then `#`, space, S, G and o as 1 to 5 (TRM paper, arXiv 2510.04871, section 5), so a
cell's value is its character's place in `#` space `SGo`. The answer is the question with the free
cells of a shortest path from S to G as o.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from arc_trm.domains.dihedral import SYMMETRIES, Dihedral
from arc_trm.domains.domain import Board
from arc_trm.domains.maze_search import FREE, GOAL, MOVES, PATH, START, WALL, distances
from arc_trm.tasks import Grid, as_grid

LARGEST = 30


class Maze(Board):
    """A way from S to G through free cells, up, down, left and right; none is shorter."""

    name: ClassVar[str] = "maze"
    title: ClassVar[str] = "Maze"
    vocabulary: ClassVar[int] = 6
    symbols: ClassVar[str] = "# SGo"
    most_augmentations: ClassVar[int | None] = SYMMETRIES - 1
    solved: ClassVar[str] = "a shortest path from S to G, and nothing else is changed"

    def augmentation(self, number: int, side: int, rng: np.random.Generator) -> Dihedral:
        return Dihedral(number)

    def wrong_size(self, side: int) -> str | None:
        if 2 <= side <= LARGEST:
            return None
        return f"a maze has 2 to {LARGEST} cells a side, not {side}"

    def problems(self, questions: Grid, answers: Grid, known: npt.NDArray[np.bool_]) -> list[str]:
        texts = [""] * len(questions)

        def note(wrong: npt.NDArray[np.bool_], text: str) -> None:
            """The first that is noted of a maze is what is said."""
            for number in np.flatnonzero(wrong).tolist():
                texts[number] = texts[number] or text

        for value in (START, GOAL):
            number = (questions == value).sum((1, 2))
            name = self.symbols[value]
            note(number == 0, f"the question has no {name}")
            note(number > 1, f"the question has more than one {name}")
        note((questions == PATH).any((1, 2)), "the question has a path drawn in it already")
        sound = np.array([not text for text in texts])
        needed = steps_to_goal(questions[sound])
        note(_at(sound, needed < 0), "there is no path from S to G")
        answered = sound & known
        drawn = answers == PATH
        kept = np.where(drawn & (questions == FREE), FREE, answers) == questions
        note(answered & ~kept.all((1, 2)), "the answer changes more than free cells into o")
        chosen = np.flatnonzero(answered & kept.all((1, 2)))
        walked = np.where(drawn | (questions != FREE), questions, WALL)[chosen]
        there = steps_to_goal(walked)
        least = np.full(len(questions), -1, np.int32)
        least[sound] = needed
        least = least[chosen]
        cut = _at_numbers(len(questions), chosen[there < 0])
        note(cut, "the cells with o in the answer are no path from S to G")
        longer = (there > least) | (drawn[chosen].sum((1, 2)) != least - 1)
        note(_at_numbers(len(questions), chosen[longer]), "the answer's path is not a shortest one")
        return texts

    def solutions(self, questions: Grid) -> npt.NDArray[np.int64]:
        return np.ones(len(questions), np.int64)  # `problems` saw that there is a path

    def valid(self, question: Grid, answer: Grid) -> bool:
        if answer.shape != question.shape:
            return False
        return not any(self.problems(question[None], answer[None], np.ones(1, np.bool_)))

    def guess(self, question: Grid, rng: np.random.Generator) -> Grid:
        """A random walk that enters no cell twice, until it is at G or stuck."""
        answer = question.copy()
        row, column = np.argwhere(question == START)[0]
        while True:
            near = [
                (row + down, column + right)
                for down, right in MOVES
                if 0 <= row + down < len(question) and 0 <= column + right < len(question)
            ]
            if any(question[cell] == GOAL for cell in near):
                break
            free = [cell for cell in near if answer[cell] == FREE]
            if not free:
                break
            row, column = free[int(rng.integers(len(free)))]
            answer[row, column] = PATH
        return as_grid(answer)


def steps_to_goal(questions: Grid) -> npt.NDArray[np.int32]:
    """(N,) steps of a shortest path through cells that are no wall, -1 where there is none."""
    if not len(questions):
        return np.empty(0, np.int32)
    steps = distances(questions != WALL, questions == START)
    needed: npt.NDArray[np.int32] = np.where(questions == GOAL, steps, -1).max((1, 2))
    return needed


def _at(chosen: npt.NDArray[np.bool_], flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """`flags` of the chosen ones, as flags of all."""
    every = np.zeros(len(chosen), np.bool_)
    every[chosen] = flags
    return every


def _at_numbers(count: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    every = np.zeros(count, np.bool_)
    every[numbers] = True
    return every
