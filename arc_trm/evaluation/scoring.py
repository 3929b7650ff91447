"""What answers to Sudokus and mazes are worth: exact, as published, and beside it valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arc_trm.errors import UserError
from arc_trm.evaluation.voting import PredictionSet
from arc_trm.puzzles import BOARDS, Board
from arc_trm.tasks import Grid, TaskSet, same_grid
from submission import Comparison, Difference, Rate
from submission.comparison import CONFIDENCE, RESAMPLES
from submission.errors import counted
from submission.scoring import fraction

CHUNK = 10_000
MOST_NAMED = 5
MAX_TRACES = 1000
"""Puzzles of a set whose drafts are kept and that a report draws: a set may have hundreds of
thousands, and nobody looks at all."""


@dataclass(frozen=True)
class PuzzleScore:
    """How many of all puzzles of a set were answered exactly and validly.

    `exact` are the puzzles with a known answer, by id, and whether every cell is as in that;
    `valid` are all, and whether the answer keeps the rule. A puzzle without an answer is neither.
    """

    board: Board
    exact: Mapping[str, bool]
    valid: Mapping[str, bool]
    answered: int

    @property
    def rates(self) -> dict[str, Rate]:
        """By name; without "exact" where no answer is known."""
        named = {"exact": self.exact, "valid": self.valid}
        return {
            name: Rate(sum(right.values()), len(right)) for name, right in named.items() if right
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "kind": self.board.name,
            "puzzles": len(self.valid),
            "answered": self.answered,
            **{name: rate.to_dict() for name, rate in self.rates.items()},
            "tasks": {
                name: {"exact": self.exact.get(name), "valid": right}
                for name, right in self.valid.items()
            },
        }

    @property
    def _meanings(self) -> dict[str, str]:
        exact = "every cell as in the known answer, as published"
        return {"exact": exact, "valid": self.board.solved}

    @property
    def _unanswered(self) -> list[str]:
        """A sentence if not every puzzle is answered."""
        if self.answered == len(self.valid):
            return []
        of = f"{self.answered} of {counted(len(self.valid), 'puzzle')} are answered"
        if not self.answered:
            return [of]
        named = ", ".join(
            f"{name} {100 * rate.solved / self.answered:.1f} %" for name, rate in self.rates.items()
        )
        return [f"{of}, the others count as wrong; of the answered ones {named}"]

    @property
    def explained(self) -> list[str]:
        """Sentences on what the rates mean."""
        meanings = [f"{name}: {self._meanings[name]}" for name in self.rates]
        return [*self._unanswered, *meanings]

    def lines(self) -> list[str]:
        """As a person reads it."""
        rates = [
            f"{name}  {fraction(rate):>13}  {100 * rate.value:5.1f} %  ({self._meanings[name]})"
            for name, rate in self.rates.items()
        ]
        return [*rates, *self._unanswered]


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
            f"{name} {fraction(rate)} {100 * rate.value:.1f} %" for name, rate in each.rates.items()
        )
        for what, each in found.items()
    ]


def compared(
    names: Sequence[str], both: Sequence[PredictionSet], rng: np.random.Generator
) -> tuple[dict[str, Any], list[str]]:
    """Two sets of answers to the same puzzles: as JSON, and as lines for a person.

    The interval is of a paired bootstrap over puzzles and of exactness: drawing puzzles with
    replacement draws how many were gained and lost from a multinomial. Raises UserError if no
    answer is known.
    """
    if not both[0].tasks.boards.known.any():
        raise UserError(
            f"no answer of {both[0].tasks.name} is known, so two sets of answers to it cannot be "
            "compared: name data with answers with --data"
        )
    first, second = (judged(each) for each in both)
    gained = tuple(each for each, right in second.exact.items() if right > first.exact[each])
    lost = tuple(each for each, right in second.exact.items() if right < first.exact[each])
    comparison = Comparison({}, gained, lost)
    total = len(first.exact)
    shares = np.array([len(gained), len(lost), total - len(gained) - len(lost)]) / total
    changes = rng.multinomial(total, shares, RESAMPLES) @ (1, -1, 0) / total
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(changes, [tail, 1 - tail])
    difference = Difference(float(shares[0] - shares[1]), float(low), float(high))
    lines = []
    for name, each in zip(names, (first, second), strict=True):
        lines += [f"{name}:", *(f"  {line}" for line in each.lines())]
    lines.append(
        f"exact, second minus first: {100 * difference.value:+.1f} points, {CONFIDENCE:.0%} "
        f"interval [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}] of a paired "
        "bootstrap"
    )
    for verb, ids in (("gained", comparison.gained), ("lost", comparison.lost)):
        shown = ", ".join(ids[:MOST_NAMED]) + (", ..." if ids[MOST_NAMED:] else "")
        lines.append(f"{verb} {counted(len(ids), 'puzzle')}{': ' * bool(ids)}{shown}")
    lines.append(f"sign test on what changed: p = {comparison.p_value:.2g}")
    told = {
        "first": {"file": names[0], **first.to_dict()},
        "second": {"file": names[1], **second.to_dict()},
        "difference": {"exact": difference.to_dict()}
        | {"gained": list(comparison.gained), "lost": list(comparison.lost)}
        | {"p_value": comparison.p_value},
    }
    return told, lines
