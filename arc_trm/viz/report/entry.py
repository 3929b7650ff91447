"""One set of predictions on a page."""

from __future__ import annotations

from dataclasses import dataclass

from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import PredictionSummary
from submission import Scored


@dataclass(frozen=True)
class Entry:
    """Predictions, who made them, and their score.

    Attributes:
        score: None if no test output is known.
        marks_guesses: whether a test input without a candidate is a guess; files of other
            solvers have attempts only.
    """

    name: str
    summary: PredictionSummary
    predictions: PredictionSet
    score: Scored | None
    marks_guesses: bool

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
            source.summary,
            source.predictions,
            source.score() if scorable else None,
            source.log is not None,
        )
