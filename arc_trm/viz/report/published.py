"""Published results beside the rate of the report, on a scale that shows the differences."""

from __future__ import annotations

from collections.abc import Sequence

from arc_trm.evaluation.interval import wilson_interval
from arc_trm.evaluation.leaderboard import PublishedResult, results_title
from arc_trm.viz.report.markup import bar, cell, folded, points, row, table, text
from arc_trm.viz.series import ticks
from submission import Scored
from submission.scoring import format_percent, headline_rate, rate_title


def published_section(score: Scored | None, results: Sequence[PublishedResult]) -> str:
    """Return published results with their differences to a score; "" if there are none."""
    if not results or score is None or score.headline not in score.rates:
        return ""
    rate = score.rates[headline_rate(score)]
    low, high = wilson_interval(rate)
    ends = [100 * high, *(each.percent[-1] for each in results)]
    scale = ticks(0, max(ends), 4)[-1] / 100
    own = f"per {score.noun}, this page; 95 % interval {100 * low:.1f} to {format_percent(high)}"
    rows = [
        row(
            rate_title(score, ("these predictions",)),
            _cells(0, rate.value / scale, format_percent(rate.value), ""),
            "own",
            own,
        )
    ]
    for each in results:
        least, most = each.percent[0] / 100, each.percent[-1] / 100
        start = 0 if least == most else least / scale
        changes = dict.fromkeys(points(rate.value - end) for end in (least, most))
        cells = _cells(start, most / scale, each.text, " to ".join(changes))
        rows.append(row(each.system, cells, note=f"{_denominator(each)}, {each.origin}"))
    title = results_title(results)
    headings = ["System", f"0 to {100 * scale:g} %", "Score", "Difference"]
    first = results[0]
    change = points(rate.value - first.percent[-1] / 100)
    meaning = f"{title}. Differences are points of these predictions minus the published result."
    shown = table(title, headings, rows, "published")
    return folded(
        "Published results",
        f"{change} points to {first.system}",
        f"<p>{text(meaning)}</p>{shown}",
    )


def _denominator(result: PublishedResult) -> str:
    unknown = result.denominator == "not known"
    return "denominator not known" if unknown else result.denominator


def _cells(start: float, end: float, share: str, difference: str) -> list[str]:
    """Return a bar from start to end of its scale, the score and the difference."""
    numbers = [cell(text(each), "number") for each in (share, difference)]
    return [cell(bar(start, end), "bars"), *numbers]
