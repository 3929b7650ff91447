"""The confidence interval of a rate over tasks."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from submission.comparison import CONFIDENCE
from submission.scoring import Rate


def wilson_interval(rate: Rate) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a rate, by Wilson's score interval (1927).

    It holds for few tasks and for rates of 0 and 1, where a bootstrap's interval is a point. It is
    made for tasks that are solved or not. Where tasks count by the share of their solved outputs,
    it is at least as wide as needed: no other outcomes between 0 and 1 with the same mean vary as
    much as 0 and 1.

    Args:
        rate: `total` is the number of tasks, which are taken as independent.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    mean, tasks = rate.value, rate.total
    scale = 1 + z**2 / tasks
    middle = (mean + z**2 / (2 * tasks)) / scale
    half = z / scale * sqrt(mean * (1 - mean) / tasks + z**2 / (4 * tasks**2))
    return max(0.0, middle - half), min(1.0, middle + half)
