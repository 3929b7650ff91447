"""What the report says became of a task."""

from __future__ import annotations

import pytest

from arc_trm.tasks import as_grid
from arc_trm.viz.figure import GridFigure, PairFigures, TaskFigures, Verdict
from arc_trm.viz.report.outcomes import CHANGES, change

GRID = as_grid([[1]])
RIGHT, VALID, WRONG = Verdict.CORRECT, Verdict.VALID, Verdict.WRONG


def figures(*verdicts: Verdict | None) -> TaskFigures:
    """A task with one attempt at each test input."""
    tests = [PairFigures(GridFigure("", GRID, GRID), (attempt(each),)) for each in verdicts]
    return TaskFigures("task", (), tuple(tests))


def attempt(verdict: Verdict | None) -> GridFigure:
    return GridFigure("Attempt 1", GRID, GRID, verdict)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([RIGHT], [RIGHT], "both right"),
        ([WRONG], [WRONG], "neither right"),
        ([VALID], [VALID], "valid, not as the known answer"),
        ([VALID], [WRONG], "valid, not as the known answer"),
        ([RIGHT, WRONG], [WRONG, RIGHT], "partly right"),
        ([RIGHT, None], [RIGHT, None], "partly right"),
        ([None], [None], "correct output not known"),
        ([None, WRONG], [None, WRONG], "neither right"),
    ],
)
def test_a_task_that_is_neither_gained_nor_lost_says_how_right_it_is(
    first: list[Verdict | None], second: list[Verdict | None], expected: str
) -> None:
    words = {mark.key: mark.words for mark in CHANGES}
    pairs = (first, second), (second, first)
    for pair in pairs:
        assert words[change("task", [figures(*each) for each in pair], (), ())] == expected


def test_what_was_gained_or_lost_comes_first() -> None:
    both = [figures(VALID), figures(RIGHT)]
    assert change("task", both, ["task"], []) == "gained"
    assert change("task", both[::-1], [], ["task"]) == "lost"
