"""What became of each task on the page: one outcome each, with a sign that needs no colour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from arc_trm.viz.figure import Outcome, TaskFigures


@dataclass(frozen=True)
class Mark:
    """How an outcome is shown.

    Attributes:
        style: class of the sign's colours.
    """

    key: str
    sign: str
    words: str
    style: str


VALID = Mark("valid", "≡", "valid, not as the known answer", "good outlined")
PARTLY = Mark("partly", "◐", "partly right", "bad outlined")
UNKNOWN = Mark("unknown", "?", "correct output not known", "unsure")

OUTCOMES = (
    Mark("right", "✓", "right", "good"),
    Mark("second", "2", "right at the second attempt", "good outlined"),
    VALID,
    Mark("close", "≈", "nearly right", "bad outlined"),
    PARTLY,
    Mark("wrong", "✗", "wrong", "bad"),
    Mark("guess", "○", "guess", "unsure"),
    UNKNOWN,
)
"""Outcomes of one set of predictions, in the order of the filter."""

CHANGES = (
    Mark("gained", "+", "gained", "good"),
    Mark("lost", "−", "lost", "bad"),
    Mark("both", "✓", "both right", "good outlined"),
    VALID,
    PARTLY,
    Mark("neither", "✗", "neither right", "bad outlined"),
    UNKNOWN,
)
"""Outcomes of two sets of predictions: what the second gained and lost."""

WRONG = ("close", "partly", "wrong", "guess", "lost", "neither")
"""Where the key for the next wrong task leads."""
CLOSE = ("second", "close", "gained")
"""Where the key for the next close call leads; of two sets of predictions, the next gained task."""


def outcome(figures: TaskFigures, task_id: str, guessed: Collection[tuple[str, int]]) -> str:
    """Return the key of the outcome of a task.

    Args:
        guessed: test inputs that are guesses, (task id, test index).
    """
    found = figures.outcome
    if found is Outcome.SOLVED:
        return "second" if figures.needs_several_attempts else "right"
    if found is Outcome.VALID:
        return "valid"
    if all((task_id, test) in guessed for test in range(len(figures.tests))):
        return "guess"
    if found is Outcome.UNKNOWN:
        return "unknown"
    if figures.is_close_call:
        return "close"
    return "partly" if found is Outcome.PARTLY else "wrong"


def change(
    task_id: str, both: Sequence[TaskFigures], gained: Collection[str], lost: Collection[str]
) -> str:
    """Return the key of what became of a task in a comparison.

    Args:
        gained, lost: tasks of which the second solves more or less than the first.
    """
    if task_id in gained:
        return "gained"
    if task_id in lost:
        return "lost"
    outcomes = {figures.outcome for figures in both}
    if outcomes == {Outcome.SOLVED}:
        return "both"
    if Outcome.VALID in outcomes:
        return "valid"
    if Outcome.PARTLY in outcomes:
        return "partly"
    return "unknown" if outcomes == {Outcome.UNKNOWN} else "neither"
