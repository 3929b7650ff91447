"""Compare scores of the same tasks: differences, confidence intervals, changed tasks, the spread.

`compare` compares two. `describe_scores` describes any number of them, for a person and as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from submission.errors import SubmissionError, format_names, format_path, pluralise
from submission.files import StrPath
from submission.scoring import (
    RateName,
    Scored,
    align_columns,
    format_percent,
    format_rate,
    nest,
    rate_title,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OTHER_SOLUTIONS = (
    "only scores against the same solutions can be compared: score them against the same tasks"
)
RESAMPLES = 10_000
CONFIDENCE = 0.95
INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
MAX_LISTED = 50
"""Gained or lost tasks that are all named; of more, only the first ones are."""
MAX_NAME = 14
"""Columns of a name in a table; longer ones are numbered, and named above the table."""

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
    `num_tasks` is the number of tasks that the deciding rate counts.
    """

    differences: Mapping[RateName, Difference]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    num_tasks: int

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

    def unchanged_notes(self, noun: str) -> list[str]:
        """Return what to make of intervals without a width, in sentences; [] if a task changed.

        Resamples of equal scores are equal, however few tasks there are. What n tasks without a
        change do show is that a share s of changes has a probability of (1 - s)^n at most.
        """
        if self.gained or self.lost:
            return []
        share = 1 - (1 - CONFIDENCE) ** (1 / self.num_tasks)
        return [
            f"No {noun} changed, and then such an interval says nothing.",
            f"At most {format_percent(share)} of {noun}s like these change, with "
            f"{100 * CONFIDENCE:.0f} % confidence.",
        ]

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
        raise SubmissionError(OTHER_SOLUTIONS)
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
            raise SubmissionError(OTHER_SOLUTIONS)
        changes[name] = solved[order] - before
        differences[name] = _difference(changes[name], total, generator, resamples)
    changed = list(zip(first.task_ids, changes[first.deciding], strict=True))
    return Comparison(
        differences,
        gained=tuple(task_id for task_id, change in changed if change > 0),
        lost=tuple(task_id for task_id, change in changed if change < 0),
        num_tasks=int(np.count_nonzero(counts[first.deciding][1])),
    )


def compare_to_first(names: Sequence[StrPath], scores: Sequence[Scored]) -> list[Comparison]:
    """Compare every score but the first with the first, by the same resamples each time.

    Args:
        names: the file or folder of each score.
        scores: at least two.

    Raises:
        SubmissionError: two of the scores cannot be compared; it names both.
    """
    import numpy as np

    first, *others = map(format_path, names)
    comparisons = []
    for other, score in zip(others, scores[1:], strict=True):
        try:
            comparisons.append(compare(scores[0], score, np.random.default_rng(0)))
        except SubmissionError as error:
            raise SubmissionError(f"{first} and {other}: {error}") from error
    return comparisons


def comparison_table(
    names: Sequence[str], scores: Sequence[Scored], comparison: Comparison
) -> list[str]:
    """Format a comparison of two named scores for a person.

    Returns:
        Lines with both rates, the difference and its interval, then the changed tasks.
    """
    (first, second), legend = _short_names(names)
    columns = [
        rate_title(each, (name,)) for name, each in zip((first, second), scores, strict=True)
    ]
    rows = [["", *columns, "difference", INTERVAL]]
    for name, difference in comparison.differences.items():
        rates = [each.rates[name] for each in scores]
        values = [f"{format_rate(rate)} {format_percent(rate.value)}" for rate in rates]
        rows.append(["  ".join(name), *values, *_points(difference)])
    noun, deciding = scores[0].noun, " ".join(scores[0].deciding)
    lines = [*legend, *align_columns(rows), *_bootstrap_notes(f"{second} minus {first}", scores[0])]
    for verb, task_ids in (("gained", comparison.gained), ("lost", comparison.lost)):
        line = f"{verb} {pluralise(len(task_ids), noun)} by {deciding}"
        lines.append(f"{line}: {format_names(task_ids, MAX_LISTED)}" if task_ids else line)
    lines.append(f"sign test on what changed: p = {comparison.p_value:.2g}")
    return [*lines, *comparison.unchanged_notes(noun)]


def spread(scores: Sequence[Scored]) -> tuple[dict[RateName, float], dict[RateName, float]]:
    """Return the mean of every rate over at least two scores, and its standard deviation (n - 1).

    The scores are of the same tasks, so this is the spread of what made them, such as seeds.
    """
    values = {name: [each.rates[name].value for each in scores] for name in scores[0].rates}
    means = {name: mean(each) for name, each in values.items()}
    return means, {name: stdev(each) for name, each in values.items()}


def spread_table(
    names: Sequence[str], scores: Sequence[Scored], comparisons: Sequence[Comparison]
) -> list[str]:
    """Format three or more named scores for a person.

    Args:
        names: of the scores.
        scores: of the same tasks.
        comparisons: of every score but the first with the first.

    Returns:
        Lines with a table of the scores, their mean and standard deviation, then a table of the
        differences from the first and their intervals, then how many tasks changed.
    """
    short, legend = _short_names(names)
    first, rates = scores[0], scores[0].rates
    rows: list[list[str]] = _headings(list(rates))
    for name, score in zip(short, scores, strict=True):
        title = rate_title(score, (name,))
        rows.append([title, *(f"{100 * rate.value:.1f}" for rate in score.rates.values())])
    for name, values in zip(("mean", "deviation"), spread(scores), strict=True):
        rows.append([name, *(f"{100 * value:.1f}" for value in values.values())])
    rows.append(["total", *(str(rate.total) for rate in rates.values())])
    deciding, lines = " ".join(first.deciding), []
    for name, comparison in zip(short[1:], comparisons, strict=True):
        gained, lost = len(comparison.gained), len(comparison.lost)
        lines.append(
            f"{name}: gained {pluralise(gained, first.noun)}, lost {lost} by {deciding}; "
            f"sign test p = {comparison.p_value:.2g}"
        )
    return [
        *legend,
        *align_columns(rows),
        f"Percent of the total; deviation is the standard deviation (n - 1) of {len(scores)} "
        "scores.",
        "",
        *align_columns(_difference_rows(short, comparisons), left=2),
        *_bootstrap_notes(f"each minus {short[0]}", first),
        *lines,
        *next(filter(None, (each.unchanged_notes(first.noun) for each in comparisons)), []),
    ]


def describe_scores(
    names: Sequence[StrPath], scores: Sequence[Scored]
) -> tuple[dict[str, Any], list[str]]:
    """Describe scores as plain JSON and as lines for a person.

    One score is described alone, two with their comparison, three or more with their mean,
    standard deviation and the comparison of each with the first.

    Args:
        names: the file or folder of each score.
        scores: at least one score.

    Raises:
        SubmissionError: two of the scores cannot be compared; it names both.
    """
    if len(scores) == 1:
        return scores[0].to_dict(), scores[0].lines()
    files = list(map(format_path, names))
    comparisons = compare_to_first(names, scores)
    pairs = list(zip(files, scores, strict=True))
    described = [{"file": file, **score.to_dict()} for file, score in pairs]
    notes = [f"{file}: {note}" for file, score in pairs for note in score.notes]
    if len(scores) == 2:
        pair = {"first": described[0], "second": described[1]}
        difference = {"difference": comparisons[0].to_dict()}
        return pair | difference, [*notes, *comparison_table(files, scores, comparisons[0])]
    means, deviations = spread(scores)
    changes = zip(files[1:], comparisons, strict=True)
    record = {
        "scores": described,
        "mean": nest(means),
        "deviation": nest(deviations),
        "differences": [{"file": file, **each.to_dict()} for file, each in changes],
    }
    return record, [*notes, *spread_table(files, scores, comparisons)]


def _short_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names that fit a table of 80 columns, and lines that say what they stand for."""
    if max(map(len, names)) <= MAX_NAME:
        return list(names), []
    short = [f"#{number}" for number in range(1, len(names) + 1)]
    pairs = zip(short, names, strict=True)
    return short, [*align_columns([list(pair) for pair in pairs], left=2), ""]


def _headings(names: Sequence[RateName]) -> list[list[str]]:
    """Return the names of rates as rows of headings; what rates share stands once above them."""
    rows = []
    for level in range(len(names[0])):
        row = [""]
        for place, name in enumerate(names):
            repeated = place > 0 and name[: level + 1] == names[place - 1][: level + 1]
            row.append("" if repeated else name[level])
        rows.append(row)
    return rows


def _difference_rows(names: Sequence[str], comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Return a table: a line per score but the first and denominator, two columns per K."""
    rates = list(comparisons[0].differences)
    groups = list(dict.fromkeys(name[:-1] for name in rates))
    rows = [[f"minus {names[0]}", ""]]
    for group in groups:
        rows[0] += [" ".join(group) or "difference", INTERVAL]
    for score, comparison in zip(names[1:], comparisons, strict=True):
        for place, last in enumerate(dict.fromkeys(name[-1] for name in rates)):
            row = ["" if place else score, last]
            for group in groups:
                row += _points(comparison.differences[*group, last])
            rows.append(row)
    return rows


def _points(difference: Difference) -> tuple[str, str]:
    """Format a difference and its interval in points."""
    low, high = f"{100 * difference.low:+.1f}", f"{100 * difference.high:+.1f}"
    return f"{100 * difference.value:+.1f}", f"[{low}, {high}]"


def _bootstrap_notes(what: str, score: Scored) -> list[str]:
    tasks = pluralise(len(score.task_ids), score.noun)
    return [
        f"Differences are points of {what}.",
        f"Intervals are of a paired bootstrap over {tasks}.",
    ]


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
