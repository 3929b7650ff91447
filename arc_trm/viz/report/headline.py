"""The top of the page: the rate that counts with its interval, the others, and who made them."""

from __future__ import annotations

from collections.abc import Sequence

from arc_trm.errors import pluralise
from arc_trm.evaluation.breadth import Breadth
from arc_trm.evaluation.interval import wilson_interval
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.markup import cell, points, row, table, text
from arc_trm.viz.series import ticks
from submission import Rate, Scored
from submission.comparison import Comparison
from submission.scoring import format_percent, format_rate, headline_rate, rate_title

SCALE = ("0", "50", "100 %")


def headline(entry: Entry, letter: str = "") -> str:
    """Return the rate that counts, in large type, with its interval and number of tasks.

    Args:
        letter: of predictions that are compared, `A` or `B`.
    """
    title = (
        f'<p class="name"><b class="letter">{letter}</b> {text(entry.name)}</p>' if letter else ""
    )
    if entry.score is None:
        return (
            f'<div class="headline">{title}<p class="big none-known">No score</p>'
            f"<p>No test output of these tasks is known.</p>{_guesses(entry)}</div>"
        )
    name = headline_rate(entry.score)
    rate, noun = entry.score.rates[name], entry.score.noun
    low, high = wilson_interval(rate)
    solved, _, total = format_rate(rate).partition("/")
    count = f"{solved} of {pluralise(int(total), noun)}"
    parts = ""
    if not solved.isdigit() and not letter:
        parts = f'<p class="note">A {noun} with several test inputs counts in parts.</p>'
    return (
        f'<div class="headline">{title}<h2>{text(rate_title(entry.score, name))}</h2>'
        f'<p class="big">{format_percent(rate.value)}</p>{_whisker(low, rate.value, high, SCALE)}'
        f"<p>95 % Wilson interval {100 * low:.1f} to {format_percent(high)}, {count}</p>{parts}"
        f"{_guesses(entry)}</div>"
    )


def _whisker(low: float, value: float, high: float, labels: Sequence[str]) -> str:
    """Return an interval on a line from 0 to 1, with labels at its ends and its middle."""
    interval = f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"
    written = "".join(f"<span>{text(label)}</span>" for label in labels)
    return (
        f'<div class="whisker" aria-hidden="true"><i style="{interval}"></i>'
        f'<b style="left:{100 * value:.2f}%"></b>{written}</div>'
    )


def _guesses(entry: Entry) -> str:
    """Return how many test inputs are guesses, "" if none are."""
    guesses, total = len(entry.guessed), entry.predictions.tasks.test_outputs
    if not guesses:
        return ""
    count = pluralise(total, entry.summary.query_noun)
    number = f"All {count}" if guesses == total > 1 else f"{guesses} of {count}"
    solved = entry.summary.solved_guesses
    right = f" {solved} of them {'is' if solved == 1 else 'are'} right." if solved else ""
    are = "is a guess" if guesses == 1 else "are guesses"
    message = f"{number} {are}: no grid was predicted.{right}"
    return f'<p class="warning">{text(message)}</p>'


def rates_table(score: Scored) -> str:
    """Return all rates: a line for each denominator, a column for each number of attempts.

    The line of the rate that counts comes first.
    """
    names = list(score.rates)
    columns = list(dict.fromkeys(name[:-1] for name in names))
    lines = list(dict.fromkeys(name[-1] for name in names))
    lines.sort(key=lambda line: line != headline_rate(score)[-1])
    rows = []
    for line in lines:
        found = [(*column, line) for column in columns]
        cells = [cell(_rate(score.rates[name]), "number") for name in found]
        rows.append(row(line, cells, note=score.labels[found[0]]))
    share = rate_title(score, ("Share",))
    headings = ["", *(rate_title(score, column) if column else share for column in columns)]
    notes = "".join(f'<p class="note">{text(note)}.</p>' for note in score.notes)
    return table("All rates", headings, rows, "quiet") + notes


def breadth_table(breadth: Breadth | None) -> str:
    """Return the scores of what was selected, of the plain answers and of any answer.

    It is "" if there was one answer to each test input.
    """
    if breadth is None:
        return ""
    rows = [
        row(name, [cell(_rate(rate), "number")], note=f"{title}: {meaning}")
        for name, title, meaning, rate in breadth.rows()
    ]
    return table("Several answers", ["Answers", "Score"], rows, "quiet")


def _rate(rate: Rate) -> str:
    return f'{format_percent(rate.value)} <span class="muted">{format_rate(rate)}</span>'


def comparison_table(scores: Sequence[Scored], comparison: Comparison) -> str:
    """Return all rates of both, that counts first, with the differences and their intervals."""
    first, second = scores
    counting = headline_rate(first)
    rows = []
    for name in sorted(comparison.differences, key=lambda name: name != counting):
        difference = comparison.differences[name]
        ends = f"{points(difference.low)} to {points(difference.high)}"
        cells = [cell(_rate(each.rates[name]), "number") for each in (first, second)]
        change = f'{points(difference.value)} <span class="muted">{ends}</span>'
        cells.append(cell(change, "number"))
        style = "own" if name == counting else ""
        rows.append(row(" ".join(name), cells, style))
    sides = [rate_title(each, (letter,)) for letter, each in zip("AB", scores, strict=True)]
    headings = ["", *sides, "B − A in points, 95 % interval"]
    return table("All rates", headings, rows, "quiet")


def difference(scores: Sequence[Scored], comparison: Comparison) -> str:
    """Return the difference of the rates that count, in large type, with its interval."""
    first = scores[0]
    name, noun = headline_rate(first), first.noun
    found = comparison.differences[name]
    gained, lost = len(comparison.gained), len(comparison.lost)
    if not found.low <= 0 <= found.high:
        verdict = "It excludes 0."
    else:
        apart = f"It includes 0: these {noun}s do not tell the two apart."
        verdict = " ".join(comparison.unchanged_notes(noun) or [apart])
    end = ticks(0, max(0.1, abs(found.low), abs(found.high)), 2)[-1]  # of a scale around 0
    low, value, high = ((each / end + 1) / 2 for each in (found.low, found.value, found.high))
    whisker = _whisker(low, value, high, [f"−{100 * end:g}", "0", f"+{100 * end:g}"])
    return (
        '<div class="headline"><p class="name">Difference, B − A</p>'
        f"<h2>{text(' '.join(name))}</h2>"
        f'<p class="big">{points(found.value)}<small> points</small></p>{whisker}'
        f"<p>95 % bootstrap interval {points(found.low)} to {points(found.high)}. "
        f"{text(verdict)}</p>"
        f"<p>{pluralise(gained, noun)} gained, {lost} lost by {text(' '.join(first.deciding))}; "
        f"sign test p = {comparison.p_value:.2g}</p></div>"
    )
