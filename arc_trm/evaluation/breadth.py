"""What several answers to each puzzle were worth: the chosen one, the plain one, any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.tasks import Grid, TaskSet, same_grid
from submission import Rate, Scored
from submission.scoring import align_columns, format_percent, format_rate, headline_rate, rate_title


@dataclass(frozen=True)
class Asked:
    """How much was asked about each test input.

    Attributes:
        selected_by: the rule that selected among the answers, as of `Scored`.
        answers: number of answers per test input: mean, smallest, largest.
        steps: mean number of supervision steps per test input.
    """

    selected_by: str
    answers: tuple[float, int, int]
    steps: float

    @classmethod
    def of(cls, predictions: Iterable[InputPrediction], selected_by: str) -> Asked | None:
        """Return how much was asked; None if nothing was."""
        counts, steps = [], 0
        for each in predictions:
            if each.answers:
                counts.append(each.answers)
                steps += each.steps
        if not counts:
            return None
        answers = sum(counts) / len(counts), min(counts), max(counts)
        return cls(selected_by, answers, steps / len(counts))

    def text(self, noun: str) -> str:
        """Return it in words; `noun` is what is answered, `puzzle` or `test input`."""
        mean, least, most = self.answers
        span = f" ({least} to {most})" if least < most else ""
        chosen = f", selected by {self.selected_by}" if self.selected_by else ""
        return f"{mean:.1f} answers{span} and {self.steps:.1f} supervision steps per {noun}{chosen}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "selected_by": self.selected_by or None,
            "answers": dict(zip(("mean", "min", "max"), self.answers, strict=True)),
            "steps": self.steps,
        }


@dataclass(frozen=True)
class Breadth:
    """What several answers were worth.

    Attributes:
        chosen: score of the answers that were selected.
        plain: score without further samples and views.
        ceiling: score of the right one among all answers, the most that a rule can reach.
        most: largest number of answers to a test input, the K of pass@K.
    """

    chosen: Scored
    plain: Scored
    ceiling: Scored
    most: int

    @classmethod
    def of(cls, predictions: PredictionSet, chosen: Scored) -> Breadth:
        """Return what the predictions were worth, of which `chosen` is the score."""
        tasks, found = predictions.tasks, list(predictions)
        kind = kind_of(tasks)
        return cls(
            chosen,
            _score(tasks, found, [each.plain for each in found]),
            _score(tasks, found, [_best_first(kind, each) for each in found]),
            max((each.answers for each in found), default=0),
        )

    def rows(self) -> list[tuple[str, str, str, Rate]]:
        """Return name, title of the rate that counts, meaning and rate of each score."""
        key = headline_rate(self.chosen)
        # The rates of ARC are called pass@2 themselves.
        ceiling = f"any of {self.most}" if key[0].startswith("pass@") else f"pass@{self.most}"
        scores = {
            "selected": (self.chosen, "what was selected"),
            "plain": (self.plain, "without further samples and views"),
            ceiling: (
                self.ceiling,
                "any answer that was asked for is right: the ceiling of selection",
            ),
        }
        return [
            (name, rate_title(score, key), meaning, score.rates[key])
            for name, (score, meaning) in scores.items()
        ]

    def lines(self) -> list[str]:
        """Return a table of the scores."""
        rows = [
            [name, title, meaning, format_rate(rate), format_percent(rate.value)]
            for name, title, meaning, rate in self.rows()
        ]
        return align_columns(rows, left=3)

    def to_dict(self) -> dict[str, Any]:
        """Return the rates as plain JSON."""
        scores = {"selected": self.chosen, "plain": self.plain, "any": self.ceiling}
        return {
            name: {" ".join(key): rate.to_dict() for key, rate in score.rates.items()}
            for name, score in scores.items()
        }


def _score(
    tasks: TaskSet, found: Iterable[InputPrediction], attempts: Sequence[Sequence[Grid | None]]
) -> Scored:
    made = (
        replace(each, attempts=tuple(grids)) for each, grids in zip(found, attempts, strict=True)
    )
    return PredictionSet(tasks, made).score()


def _best_first(kind: PuzzleKind, prediction: InputPrediction) -> list[Grid]:
    """Return the answers, the right one first, or else a valid one.

    Runners-up and guesses among the attempts count, too, as they do in the score.
    """
    pair, grids = prediction.pair, [each.grid for each in prediction.candidates]
    grids += [grid for grid in prediction.attempts if grid is not None]
    best = [grid for grid in grids if pair.output is not None and same_grid(grid, pair.output)]
    if not best and kind.has_rule:
        best = [grid for grid in grids if kind.is_valid(pair.input, grid)]
    return [*best[:1], *grids]
