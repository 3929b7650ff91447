"""One set of predictions on a page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from arc_trm.evaluation.breadth import Breadth
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import PredictionSummary
from submission import Scored


@dataclass(frozen=True)
class Entry:
    """Predictions, who made them, and their score, which is None if no test output is known.

    `breadth` is what several answers to each test input were worth, None if there was one.
    """

    name: str
    summary: PredictionSummary
    predictions: PredictionSet
    score: Scored | None
    breadth: Breadth | None = None

    @classmethod
    def of(cls, source: PredictionSource) -> Entry:
        """Read the predictions of a source.

        Raises:
            UserError: predictions or tasks cannot be read, or do not fit together.
        """
        # Without known outputs ARC predictions have no score; others are checked by the rule.
        scorable = source.tasks.has_known_outputs or not source.kind.writes_submission
        return cls(
            source.name,
            source.scored_summary if scorable else source.summary,
            source.predictions,
            source.score() if scorable else None,
            source.breadth if scorable else None,
        )

    @cached_property
    def guessed(self) -> frozenset[tuple[str, int]]:
        """The test inputs without a candidate, (task id, test index); those that are known."""
        return frozenset(self.summary.guessed or ())
