"""How many queries may be asked at once: what suits the device, and what a time limit leaves."""

from __future__ import annotations

from collections.abc import Callable

from arc_trm.time_limit import TimeLimit

FIRST_BATCH_SIZE = 1  # with a time limit, because the duration of a query is not known yet
MAX_BATCH_FRACTION = 0.01  # of the time limit, for the queries that are asked at once
FORGETTING = 0.9  # of the slowest time so far, per step, so that one slow step is forgotten


class Pace:
    """Decides how many queries are asked at once.

    With a time limit there are few at first, and more as long as asking them takes a small part of
    it. `halve` allows half as many.

    Args:
        time_limit: of the job.
        reserve: returns the seconds to keep for other things.
        limit: returns the most queries at once on a canvas of a side.
    """

    def __init__(
        self, time_limit: TimeLimit, reserve: Callable[[], float], limit: Callable[[int], int]
    ) -> None:
        self._time_limit, self._reserve, self._most = time_limit, reserve, limit
        self._share = 1.0  # of `limit`
        self._size = float(FIRST_BATCH_SIZE)
        self._seconds = 0.0  # of a query's step on a canvas of `_side`, at most; 0 is unknown
        self._side = 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit without the reserve; infinite without one."""
        return self._time_limit.left - self._reserve()

    def _limit(self, side: int) -> int:
        return max(1, int(self._share * self._most(side)))

    def halve(self, active: int, side: int) -> bool:
        """Allow half of `active` queries at once, on other canvases as much less than before.

        Returns:
            Whether that is less: one query cannot be halved, and nothing is halved twice.
        """
        if active == 1 or self._share < 1:
            return False
        self._share = min(1.0, active / self._most(side)) / 2
        return True

    def room(self, active: int, side: int, steps: int) -> int:
        """Return how many more queries may be asked besides `active` ones.

        They are on canvases of `side` and take so many supervision steps.
        """
        limit = self._limit(side)
        if self._time_limit.limit is None:
            return max(0, limit - active)
        self._change_side(side)
        size, left = min(self._size, limit), self.seconds_left
        if self._seconds:
            fitting = left / (steps * self._seconds)
            if fitting < 1:
                return 0  # it could not be answered in time
            size = min(size, fitting)
        if left <= 0:
            return 0
        return max(0, max(1, int(size)) - active)

    def _change_side(self, side: int) -> None:
        # The cost of a query grows at least as its cells, and at most as their square. Whether one
        # fits into the time is measured rather than feared: a step of one takes little time.
        if self._side and side != self._side:
            cells = (side / self._side) ** 2
            self._size = max(1.0, self._size / max(1.0, cells**2))
            self._seconds *= cells
        self._side = side

    def measure(self, active: int, steps: int, seconds: float) -> None:
        """Count one supervision step of `active` queries, which take at most `steps` of them."""
        if self._time_limit.limit is None:
            return
        self._seconds = max(FORGETTING * self._seconds, seconds / active)
        if 2 * seconds * steps < MAX_BATCH_FRACTION * self._time_limit.limit:
            self._size = max(self._size, 2 * active)
