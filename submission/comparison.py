"""Compare two scores of the same tasks: the difference, its confidence interval, changed tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import TYPE_CHECKING, Any

from submission.errors import SubmissionError, format_names, format_path, pluralise
from submission.files import StrPath
from submission.scoring import RateName, Scored, format_rate, nest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 10_000
CONFIDENCE = 0.95
MAX_LISTED = 50
"""Gained or lost tasks that are all named; of more, only the first ones are."""

_CHUNK = 1000  # resamples at once


@dataclass(frozen=True)
class Difference:
    """The second rate minus the first, between -1 and 1, and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How a second score differs from a first.

    The second score solves more of the tasks `gained` and less of `lost`, by the deciding rate.
    """

    differences: Mapping[RateName, Difference]
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def p_value(self) -> float:
        """The exact two-sided sign test on gained and lost tasks.

        The probability that fair coin tosses split as many tasks at least as unevenly. It also
        holds for few tasks, for which a bootstrap's percentile interval is too narrow.
        """
        changed, fewer = len(self.gained) + len(self.lost), min(len(self.gained), len(self.lost))
        term = tail = 1.0  # P(k losses) and P(at most k losses), as multiples of P(fewer losses)
        for k in range(fewer, 0, -1):
            term *= k / (changed - k + 1)
            tail += term
        return min(1.0, 2 * tail * (comb(changed, fewer) / (1 << changed)))

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON: the differences nested along the names of their rates."""
        return {
            **nest({name: asdict(each) for name, each in self.differences.items()}),
            "gained": list(self.gained),
            "lost": list(self.lost),
            "p_value": self.p_value,
        }


def compare(
    first: Scored, second: Scored, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Comparison:
    """Compare two scores by a paired bootstrap over tasks.

    Tasks are drawn with replacement, each with both scores and all its outputs, because outputs of
    one task are not independent. The interval is the middle `CONFIDENCE` of the differences of the
    resamples (percentile interval, Efron 1979).

    Raises:
        SubmissionError: the solutions or the rates differ, or no right answer is known.
    """
    import numpy as np

    places = {task_id: place for place, task_id in enumerate(second.task_ids)}
    if places.keys() != set(first.task_ids):
        raise SubmissionError("only scores against the same solutions can be compared")
    if list(first.rates) != list(second.rates):
        one, other = (", ".join(map(" ".join, each.rates)) for each in (first, second))
        raise SubmissionError(
            f"only scores with the same rates can be compared, but one has {one}, the other {other}"
        )
    if first.deciding not in first.rates:
        raise SubmissionError(
            f"the right answer to no {first.noun} is known, so the scores cannot be compared: "
            "score against known answers"
        )
    order = np.array([places[task_id] for task_id in first.task_ids])
    counts, changes, differences = first.counts(), {}, {}
    for name, (solved, other_total) in second.counts().items():
        before, total = counts[name]
        if not np.array_equal(total, other_total[order]):
            raise SubmissionError("only scores against the same solutions can be compared")
        changes[name] = solved[order] - before
        differences[name] = _difference(changes[name], total, generator, resamples)
    changed = list(zip(first.task_ids, changes[first.deciding], strict=True))
    return Comparison(
        differences,
        gained=tuple(task_id for task_id, change in changed if change > 0),
        lost=tuple(task_id for task_id, change in changed if change < 0),
    )


def comparison_table(
    names: tuple[str, str], scores: Sequence[Scored], comparison: Comparison
) -> str:
    """Format a comparison of two named scores for a person.

    Returns:
        Lines with both rates, the difference and its interval, then the changed tasks.
    """
    first, second = names
    rows = [["", first, second, "difference", f"{CONFIDENCE:.0%} interval"]]
    for name, difference in comparison.differences.items():
        rates = [each.rates[name] for each in scores]
        values = [f"{format_rate(rate)} {100 * rate.value:.1f} %" for rate in rates]
        change, low, high = (
            f"{100 * end:+.1f}" for end in (difference.value, difference.low, difference.high)
        )
        rows.append(["  ".join(name), *values, change, f"[{low}, {high}]"])
    noun, deciding = scores[0].noun, " ".join(scores[0].deciding)
    lines = [
        *_aligned(rows),
        f"Differences are points of {second} minus {first}; the intervals are of a paired "
        f"bootstrap over {pluralise(len(scores[0].task_ids), noun)}.",
    ]
    for verb, task_ids in (("gained", comparison.gained), ("lost", comparison.lost)):
        line = f"{verb} {pluralise(len(task_ids), noun)} by {deciding}"
        lines.append(f"{line}: {format_names(task_ids, MAX_LISTED)}" if task_ids else line)
    lines.append(f"sign test on what changed: p = {comparison.p_value:.2g}")
    return "\n".join(lines)


def describe_scores(
    names: Sequence[StrPath], scores: Sequence[Scored]
) -> tuple[dict[str, Any], list[str]]:
    """Describe one score, or two and their comparison, as plain JSON and as lines for a person.

    Args:
        names: the file or folder of each score.
        scores: one or two scores.
    """
    if len(scores) == 1:
        return scores[0].to_dict(), scores[0].lines()
    import numpy as np

    first, second = scores
    before, after = map(format_path, names)
    comparison = compare(first, second, np.random.default_rng(0))
    described = {
        "first": {"file": before, **first.to_dict()},
        "second": {"file": after, **second.to_dict()},
        "difference": comparison.to_dict(),
    }
    notes = [f"{before}: {note}" for note in first.notes]
    notes += [f"{after}: {note}" for note in second.notes]
    return described, [*notes, comparison_table((before, after), scores, comparison)]


def _difference(
    change: npt.NDArray[np.float64],
    total: npt.NDArray[np.float64],
    generator: np.random.Generator,
    resamples: int,
) -> Difference:
    """Bootstrap sum(change) / sum(total), (tasks,) each, over the tasks that count.

    Tasks with equal change and total are drawn as one group: only the number of draws of each group
    matters, so hundreds of thousands of puzzles cost no more than a few groups.
    """
    import numpy as np

    rows = np.stack([change, total], axis=1)[total > 0]
    groups, first, sizes = np.unique(rows, axis=0, return_index=True, return_counts=True)
    # In the order of the tasks, so that swapping the scores mirrors the interval.
    order = np.argsort(first)
    groups, sizes = groups[order], sizes[order]
    sampled = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.multinomial(len(rows), sizes / len(rows), size) @ groups  # (size, 2)
        sampled.append(drawn[:, 0] / drawn[:, 1])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(sampled), [tail, 1 - tail])
    return Difference(float(change.sum() / total.sum()), float(low), float(high))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of a table: the first to the left, the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows]
