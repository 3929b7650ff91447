"""Build the contents of a report from stored predictions."""

from __future__ import annotations

from arc_trm.evaluation.leaderboard import published_results
from arc_trm.evaluation.source import PredictionSource
from arc_trm.puzzles import kind_of
from arc_trm.viz.report.page import Report


def build_report(source: PredictionSource) -> Report:
    """Return the contents of the report on predictions.

    Raises:
        UserError: predictions or tasks cannot be read, or do not fit together.
    """
    tasks = source.tasks
    # Without known outputs ARC predictions have no score; others are checked by the rule.
    scorable = tasks.has_known_outputs or not source.kind.writes_submission
    return Report(
        source.name,
        _facts(source),
        source.predictions,
        source.score() if scorable else None,
        source.run.metrics if source.run is not None else (),
        published_results(tasks),
    )


def _facts(source: PredictionSource) -> list[str]:
    """Return sentences on predictions; the first says how many there are."""
    tasks = source.tasks
    kind = kind_of(tasks)
    # A log marks guesses; other files do not.
    predicted = sum(
        bool(each.candidates) if source.log is not None else each.is_answered
        for each in source.predictions
    )
    total = f"{len(tasks)} {kind.noun}s"
    if kind.theme.numbered:
        total = f"{tasks.test_outputs} test inputs of {total}"
    names = ", ".join(source.data_names or [tasks.name])
    facts = [f"Predictions for {predicted} of {total}: {names}"]
    if kind.max_traces is not None and len(tasks) > kind.max_traces:
        facts.append(f"The first {kind.max_traces} {kind.noun}s are drawn below")
    if "started_at" in source.metadata:
        facts.append(f"Predicted since {source.metadata['started_at']}")
    return facts
