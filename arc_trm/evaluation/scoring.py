"""What answers to Sudokus and mazes are worth: exact, as published, and beside it valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arc_trm.evaluation.voting import PredictionSet
from arc_trm.puzzles import BOARDS, Board
from arc_trm.tasks import Grid, TaskSet, same_grid
from submission import Rate, RateName
from submission.errors import pluralise
from submission.scoring import Counts, format_rate, nest

CHUNK = 10_000
MAX_TRACES = 1000
"""Puzzles of a set whose drafts are kept and that a report draws: a set may have hundreds of
thousands, and nobody looks at all."""


@dataclass(frozen=True)
class PuzzleScore:
    """How many of all puzzles of a set were answered exactly and validly; `submission.Scored`.

    `exact` are the puzzles with a known answer, by id, and whether every cell is as in that;
    `valid` are all, and whether the answer keeps the rule. A puzzle without an answer is neither.
    """

    board: Board
    exact: Mapping[str, bool]
    valid: Mapping[str, bool]
    answered: int

    @property
    def rates(self) -> dict[RateName, Rate]:
        """By name; without "exact" where no answer is known."""
        named = {"exact": self.exact, "valid": self.valid}
        return {
            (name,): Rate(sum(right.values()), len(right)) for name, right in named.items() if right
        }

    @property
    def labels(self) -> dict[RateName, str]:
        """What each rate counts."""
        exact = "every cell as in the known answer, as published"
        labels: dict[RateName, str] = {("exact",): exact, ("valid",): self.board.solved}
        return {name: labels[name] for name in self.rates}

    @property
    def deciding(self) -> RateName:
        """Exactness decides which puzzles are gained or lost."""
        return ("exact",)

    @property
    def headline(self) -> RateName:
        """Exactness is what is published."""
        return ("exact",)

    @property
    def task_ids(self) -> list[str]:
        """All puzzles of the set."""
        return list(self.valid)

    @property
    def noun(self) -> str:
        """`puzzle`."""
        return "puzzle"

    def counts(self) -> dict[RateName, Counts]:
        """Split every rate by puzzle, as `submission.Scored.counts` says."""
        outcomes: dict[RateName, Mapping[str, bool]]
        outcomes = {("exact",): self.exact, ("valid",): self.valid}
        return {
            name: (
                np.array([outcomes[name].get(each, False) for each in self.valid], np.float64),
                np.array([each in outcomes[name] for each in self.valid], np.float64),
            )
            for name in self.rates
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "kind": self.board.name,
            "puzzles": len(self.valid),
            "answered": self.answered,
            **nest({name: rate.to_dict() for name, rate in self.rates.items()}),
            "tasks": {
                name: {"exact": self.exact.get(name), "valid": right}
                for name, right in self.valid.items()
            },
        }

    @property
    def notes(self) -> list[str]:
        """A sentence if not every puzzle is answered."""
        if self.answered == len(self.valid):
            return []
        of = f"{self.answered} of {pluralise(len(self.valid), 'puzzle')} are answered"
        if not self.answered:
            return [of]
        named = ", ".join(
            f"{name} {100 * rate.solved / self.answered:.1f} %"
            for (name,), rate in self.rates.items()
        )
        return [f"{of}, the others count as wrong; of the answered ones {named}"]

    @property
    def explained(self) -> list[str]:
        """Sentences on what the rates mean."""
        return [*self.notes, *(f"{name}: {label}" for (name,), label in self.labels.items())]

    def lines(self) -> list[str]:
        """As a person reads it."""
        labels = self.labels
        rates = [
            f"{name}  {format_rate(rate):>13}  {100 * rate.value:5.1f} %  ({labels[name,]})"
            for (name,), rate in self.rates.items()
        ]
        return [*rates, *self.notes]


def judged(predictions: PredictionSet) -> PuzzleScore:
    """The first answer to every puzzle of the predictions' tasks."""
    found = ((each.task, each.attempts[0]) for each in predictions if each.attempts)
    return _judged(predictions.tasks, {name: grid for name, grid in found if grid is not None})


def _judged(tasks: TaskSet, answers: Mapping[str, Grid]) -> PuzzleScore:
    boards, board, names = tasks.boards, BOARDS[tasks.domain], list(tasks.tasks)
    exact = {
        name: same_grid(answers.get(name), boards.answers[place])
        for place, name in enumerate(names)
        if boards.known[place]
    }
    valid = dict.fromkeys(names, False)
    answered = [place for place, name in enumerate(names) if name in answers]
    for start in range(0, len(answered), CHUNK):
        some = answered[start : start + CHUNK]
        given = np.stack([answers[names[place]] for place in some])
        problems = board.problems(boards.questions[some], given, np.ones(len(some), np.bool_))
        for place, problem in zip(some, problems, strict=True):
            valid[names[place]] = not problem
    return PuzzleScore(board, exact, valid, len(answered))


def baselines(tasks: TaskSet, rng: np.random.Generator) -> dict[str, PuzzleScore]:
    """What answers come to that nobody has thought about, by what they are: copies and guesses."""
    boards, board = tasks.boards, BOARDS[tasks.domain]

    def of(grids: Grid) -> PuzzleScore:
        return _judged(tasks, dict(zip(tasks.tasks, grids, strict=True)))

    return {
        "copying the question": of(boards.questions),
        "guessing by the rule": of(board.guesses(boards.questions, rng)),
    }


def baseline_lines(found: Mapping[str, PuzzleScore]) -> list[str]:
    """As a person reads them."""
    return [
        f"{what}: "
        + ", ".join(
            f"{name} {format_rate(rate)} {100 * rate.value:.1f} %"
            for (name,), rate in each.rates.items()
        )
        for what, each in found.items()
    ]
