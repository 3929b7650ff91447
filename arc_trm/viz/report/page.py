"""The page itself: its text is made here, its grids are drawn by the script in page.js."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from arc_trm.evaluation.leaderboard import ATTEMPTS, Reference
from arc_trm.evaluation.scoring import PuzzleScore
from arc_trm.evaluation.voting import PredictionSet
from arc_trm.viz import curve_picture
from arc_trm.viz.report.gallery import gallery
from arc_trm.viz.svg import printable
from submission import DENOMINATORS, Score
from submission.scoring import format_rate


@dataclass(frozen=True)
class Report:
    """What a page is about.

    `title` names the answers; `facts` are sentences about them. `score` is None where no test
    output is known. `records` are those of a run's metrics.jsonl. `references` are results
    published for the same tasks.
    """

    title: str
    facts: Sequence[str]
    predictions: PredictionSet
    score: Score | PuzzleScore | None
    records: Sequence[Mapping[str, float]] = ()
    references: Sequence[Reference] = ()


def report_page(report: Report, version: str) -> str:
    """The page as one HTML document that loads nothing: style, script and data are inside."""
    values = {
        "title": _text(report.title),
        "facts": "".join(f'<p class="muted">{_text(fact)}</p>' for fact in report.facts),
        "scores": _scores(report.score),
        "references": _references(report),
        "curve": _curve(report),
        "version": _text(version),
        # A text in it must not end the element that holds it.
        "data": json.dumps(
            gallery(report.predictions, report.score), separators=(",", ":"), allow_nan=False
        ).replace("<", "\\u003c"),
        "css": _part("page.css"),
        "js": _part("page.js"),
    }
    return Template(_part("page.html")).substitute(values)


def _part(name: str) -> str:
    return resources.files("arc_trm.viz.report").joinpath(name).read_text("utf-8")


def _text(text: str) -> str:
    return escape(printable(text))


def _scores(score: Score | PuzzleScore | None) -> str:
    if score is None:
        return "<h2>Scores</h2><p>No test output of these tasks is known, so there is no score.</p>"
    if isinstance(score, PuzzleScore):
        sentences = score.explained
    else:
        used = "; ".join(f"{name}: {label}" for name, label in DENOMINATORS.items())
        sentences = [*score.notes, f"Denominators: {used}"]
    rows = [
        _row(
            f"<th scope='row'>{', '.join(name)}</th>",
            f"<td class='number'>{format_rate(rate)}</td>",
            f"<td class='number'>{100 * rate.value:.1f} %</td>",
            f"<td class='bars'>{_bar(0, rate.value)}</td>",
        )
        for name, rate in score.rates.items()
    ]
    notes = "".join(f'<p class="small muted">{_text(each)}.</p>' for each in sentences)
    return f"<h2>Scores</h2>{_table('Scores', ['Score', 'Solved', 'Share', ''], rows)}{notes}"


def _references(report: Report) -> str:
    if report.score is None or not report.references:
        return ""
    own = report.score.rates.get(report.score.headline)
    if own is None:  # no answer is known
        return ""
    first = report.references[0]
    boards = isinstance(report.score, PuzzleScore)
    denominator = "per puzzle" if boards else "per task"
    rows = [
        _row(
            "<th scope='row'>these answers</th>",
            f"<td class='number'>{100 * own.value:.1f} %</td>",
            f"<td class='bars'>{_bar(0, own.value)}</td><td>{denominator}</td><td></td>",
            kind="own",
        )
    ]
    for each in report.references:
        low, high = each.percent[0] / 100, each.percent[-1] / 100
        source = each.source + (f"; {each.note}" if each.note else "")
        rows.append(
            _row(
                f"<th scope='row'>{_text(each.system)}</th>",
                f"<td class='number'>{_text(each.shown)}</td>",
                f"<td class='bars'>{_bar(0 if low == high else low, high)}</td>",
                f"<td>{_text(each.denominator)}</td><td>{_text(source)}</td>",
            )
        )
    title = f"Published for {first.dataset}, {first.tasks} " + (
        "puzzles, exact" if boards else f"tasks, in {ATTEMPTS} attempts"
    )
    headings = ["System", "Score", "", "Denominator", "Source"]
    return f"<h2>{_text(title)}</h2>{_table(title, headings, rows)}"


def _table(name: str, headings: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(
        f"<th scope='col'>{_text(text)}</th>" if text else "<td class='bars'></td>"
        for text in headings
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(name)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(*cells: str, kind: str = "") -> str:
    return f"<tr class='{kind}'>{''.join(cells)}</tr>"


def _bar(start: float, end: float) -> str:
    """A bar from start to end of 0 to 1; its numbers are beside it."""
    style = f"left:{100 * start:.2f}%;width:{100 * (end - start):.2f}%"
    return f"<span class='bar' aria-hidden='true'><i style='{style}'></i></span>"


def _curve(report: Report) -> str:
    if not report.records:
        return ""
    last = report.records[-1]
    said = f"Loss and exact accuracy over {last['step']:,.0f} steps"
    if "lm_loss" in last and "exact_accuracy" in last:
        said += f"; at the end {last['lm_loss']:.4g} and {100 * last['exact_accuracy']:.1f} %"
    picture = curve_picture(report.records, "").svg()
    return (
        f'<h2>Training</h2><div class="curve" tabindex="0" role="group" aria-label="Training">'
        f'<div role="img" aria-label="{_text(said)}">{picture}</div></div>'
        f"<p>{_text(said)}.</p>"
    )
