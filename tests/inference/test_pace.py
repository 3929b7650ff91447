"""How many queries are asked at once under a time limit."""

from __future__ import annotations

import pytest

from arc_trm.inference.pace import Pace
from arc_trm.time_limit import TimeLimit


@pytest.mark.parametrize("side", [9, 12, 30])
def test_a_larger_canvas_is_no_lack_of_time(side: int) -> None:
    """The batch is smaller there, but one query is asked as long as there is time for it."""
    pace = Pace(TimeLimit(3600.0), lambda: 0.0, lambda _: 100)
    assert pace.room(0, 8, 16) == 1
    pace.measure(1, 16, 0.02)
    assert pace.room(0, side, 16) == 1


def test_a_query_that_does_not_fit_is_not_asked() -> None:
    pace = Pace(TimeLimit(10.0), lambda: 0.0, lambda _: 100)
    assert pace.room(0, 10, 16) == 1
    pace.measure(1, 16, 0.2)  # 3.2 s for a query
    assert pace.room(0, 10, 16) == 1
    assert pace.room(0, 30, 16) == 0  # 29 s at least
    assert pace.room(0, 10, 16) == 1
