"""Two scores on the same tasks: how far apart, how surely, and on which tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING, Any

from submission.errors import SubmissionError, counted, shown_name
from submission.scoring import LABELS, Rate, Score, fraction, key

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 10_000
CONFIDENCE = 0.95
_CHUNK = 1000  # resamples at once


@dataclass(frozen=True)
class Difference:
    """Second minus first, as rates 0 to 1, with the ends of its `CONFIDENCE` interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """As plain JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Comparison:
    """What the second of two scores has that the first has not.

    `differences` maps K and the name of a denominator to a difference. `gained` and `lost` are the
    tasks of which the second solves more, or fewer, outputs at the largest K.
    """

    differences: Mapping[int, Mapping[str, Difference]]
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def p_value(self) -> float:
        """How often a fair coin splits as many tasks as unevenly into gained and lost.

        The exact two-sided sign test. It holds for few tasks, too, for which the percentiles of a
        bootstrap are too narrow.
        """
        number, fewer = len(self.gained) + len(self.lost), min(len(self.gained), len(self.lost))
        ways = sum(comb(number, k) for k in range(fewer + 1))
        return min(1.0, float(Fraction(2 * ways, 2**number)))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, with the keys `pass@1` and so on."""
        return {
            **{
                f"pass@{k}": {key(name): each.to_dict() for name, each in named.items()}
                for k, named in self.differences.items()
            },
            "gained": list(self.gained),
            "lost": list(self.lost),
            "p_value": self.p_value,
        }


def compare(
    first: Score, second: Score, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Comparison:
    """The differences between two scores against the same solutions, by a paired bootstrap.

    Tasks are drawn with replacement, each with both scores and all its outputs, for the outputs of
    a task stand or fall together; the interval holds the middle `CONFIDENCE` of the differences
    seen (Efron 1979, percentiles). Raises SubmissionError if the tasks or Ks differ.
    """
    import numpy as np

    outputs = {task_id: len(task) for task_id, task in first.tasks.items()}
    if outputs != {task_id: len(task) for task_id, task in second.tasks.items()}:
        raise SubmissionError("only scores against the same solutions can be compared")
    ks = list(first.pass_at)
    if ks != list(second.pass_at):
        raise SubmissionError(f"only scores for the same K can be compared, not {ks}")
    total = np.array(list(outputs.values()), dtype=np.float64)  # (tasks,)
    before, after = (_solved(each, list(outputs)) for each in (first, second))  # (K, tasks)
    solved_all = (after == total) * 1.0 - (before == total)
    changes = np.stack([after - before, (after - before) / total, solved_all], 1)
    weights = np.stack([total, np.ones_like(total), np.ones_like(total)])  # (3, tasks)
    low, high = _interval(changes, weights, generator, resamples)  # (K, 3)
    value = changes.sum(-1) / weights.sum(-1)
    differences = {
        k: {
            name: Difference(*map(float, (value[place, n], low[place, n], high[place, n])))
            for n, name in enumerate(LABELS)
        }
        for place, k in enumerate(ks)
    }
    change = after[-1] - before[-1]
    tasks = np.array(list(outputs), dtype=object)
    return Comparison(differences, tuple(tasks[change > 0]), tuple(tasks[change < 0]))


def comparison_table(
    names: tuple[str, str], scores: Sequence[Score], comparison: Comparison
) -> str:
    """As a person reads it: both scores, the difference and its interval, then the tasks."""
    first, second = names
    columns = [["", first, second, "difference", f"{CONFIDENCE:.0%} interval"]]
    for k, named in comparison.differences.items():
        for name, difference in named.items():
            rates = [_rate(each.pass_at[k].named[name]) for each in scores]
            interval = f"[{_points(difference.low)}, {_points(difference.high)}]"
            columns.append([f"pass@{k}  {name}", *rates, _points(difference.value), interval])
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in columns
    ]
    largest = max(comparison.differences)
    lines.append(
        f"Differences are points of {second} minus {first}; the intervals are of a paired "
        f"bootstrap over {counted(len(scores[0].tasks), 'task')}."
    )
    for verb, task_ids in (("gained", comparison.gained), ("lost", comparison.lost)):
        named_tasks = ": " + ", ".join(map(shown_name, task_ids)) if task_ids else ""
        lines.append(f"{verb} {counted(len(task_ids), 'task')} at pass@{largest}{named_tasks}")
    lines.append(f"sign test on what changed: p = {comparison.p_value:.2g}")
    return "\n".join(lines)


def _solved(score: Score, task_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """(K, tasks): how many outputs of each task are solved."""
    import numpy as np

    return np.array(
        [
            [sum(hits[place] for hits in score.tasks[task_id]) for task_id in task_ids]
            for place in range(len(score.pass_at))
        ],
        dtype=np.float64,
    )


def _interval(
    changes: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    generator: np.random.Generator,
    resamples: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The ends for sum(changes) / sum(weights) over tasks: (K, 3, tasks), (3, tasks) -> (K, 3)."""
    import numpy as np

    seen, tasks = [], changes.shape[-1]
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.multinomial(tasks, np.full(tasks, 1 / tasks), size)  # (size, tasks)
        seen.append((changes @ drawn.T) / (weights @ drawn.T))  # (K, 3, size)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(seen, -1), [tail, 1 - tail], axis=-1)
    return low, high


def _rate(rate: Rate) -> str:
    return f"{fraction(rate)} {100 * rate.value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
