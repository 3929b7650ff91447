"""What charts in the terminal hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

DOTS = range(0x2801, 0x2900)
"""Braille characters with at least one dot."""


def check_charts(lines: Sequence[str]) -> None:
    """Check that the charts of the run of `make_run` fall and rise with its metrics."""
    charts: list[list[str]] = [[]]
    for line in lines:
        if "┤" in line or "│" in line:
            charts[-1].append(line)
        elif charts[-1]:
            charts.append([])
    loss, accuracy, _ = charts
    assert [line.split()[0] for line in loss if "┤" in line] == ["4", "3", "2", "1", "0"]
    assert accuracy[0].startswith("60 % ┤") and accuracy[-1].startswith(" 0 % ┤")

    def middle(row: str) -> float:
        """Return the mean column of the dots in a row, -1 if there are none."""
        columns = [n for n, c in enumerate(row) if ord(c) in DOTS]
        return sum(columns) / len(columns) if columns else -1

    falling = [middle(row) for row in loss if middle(row) >= 0]
    rising = [middle(row) for row in accuracy if middle(row) >= 0]
    assert len(falling) >= 5 and falling == sorted(falling)
    assert len(rising) >= 5 and rising == sorted(rising, reverse=True)
    assert len([line for line in lines if re.fullmatch(r" +1 +step 20", line)]) == 2
