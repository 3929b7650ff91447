"""The page: its contents and text are made here, its grids are drawn by the script in page.js."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from arc_trm.evaluation.leaderboard import PublishedResult, published_results, results_title
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.viz.curve import draw_curve
from arc_trm.viz.report.gallery import gallery
from arc_trm.viz.svg import printable
from submission import Rate, Scored
from submission.scoring import format_rate

FILTERS = {
    "all": "all",
    "solved": "solved",
    "several": "solved, but not in one attempt",
    "unsolved": "not or partly solved",
    "partly": "partly solved",
    "valid": "valid, but not as the known answer",
    "candidate": "not solved, but the correct answer got votes",
    "unknown": "correct output not known",
}
"""What the page can be filtered by."""


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        facts: sentences on the predictions, the first on how many there are.
        score: None if no test output is known.
        records: of a run's metrics.jsonl.
        results: published for the same tasks.
    """

    title: str
    facts: Sequence[str]
    predictions: PredictionSet
    score: Scored | None
    records: Sequence[Mapping[str, float]] = ()
    results: Sequence[PublishedResult] = ()


def build_report(source: PredictionSource) -> Report:
    """Return the contents of the report on predictions.

    Raises:
        UserError: predictions or tasks cannot be read, or do not fit together.
    """
    tasks = source.tasks
    # Without known outputs ARC predictions have no score; others are checked by the rule.
    scorable = tasks.has_known_outputs or not source.kind.writes_submission
    return Report(
        source.name,
        _facts(source),
        source.predictions,
        source.score() if scorable else None,
        source.run.metrics if source.run is not None else (),
        published_results(tasks),
    )


def _facts(source: PredictionSource) -> list[str]:
    """Return sentences on predictions; the first says how many there are."""
    tasks = source.tasks
    kind = kind_of(tasks)
    # A log marks guesses; other files do not.
    predicted = sum(
        bool(each.candidates) if source.log is not None else each.is_answered
        for each in source.predictions
    )
    total = f"{len(tasks)} {kind.noun}s"
    if kind.theme.numbered:
        total = f"{tasks.test_outputs} test inputs of {total}"
    names = ", ".join(source.data_names or [tasks.name])
    facts = [f"Predicted grids for {predicted} of {total}: {names}"]
    if kind.max_traces is not None and len(tasks) > kind.max_traces:
        facts.append(f"The first {kind.max_traces} {kind.noun}s are drawn below")
    if "started_at" in source.metadata:
        facts.append(f"Predicted since {source.metadata['started_at']}")
    return facts


def report_page(report: Report, version: str) -> str:
    """Return one HTML document that loads nothing: style, script and data are inside."""
    kind = kind_of(report.predictions.tasks)
    values = {
        "title": _escape(report.title),
        "facts": "".join(f'<p class="muted">{_escape(fact)}</p>' for fact in report.facts),
        "scores": _scores(report.score),
        "published": _published(report),
        "curve": _curve(report.records),
        "noun": kind.noun,
        "heading": f"{kind.noun}s".capitalize(),
        "id_label": "Number" if kind.numbered else f"{kind.noun.capitalize()} id",
        "outcomes": _outcome_options(kind),
        "digits_hidden": " hidden" if kind.theme.symbols else "",
        "version": _escape(version),
        # "<" could end the element that holds the data.
        "data": json.dumps(
            gallery(report.predictions), separators=(",", ":"), allow_nan=False
        ).replace("<", "\\u003c"),
        "css": _read_part("page.css"),
        "js": _read_part("page.js"),
    }
    return Template(_read_part("page.html")).substitute(values)


def _read_part(name: str) -> str:
    return resources.files("arc_trm.viz.report").joinpath(name).read_text("utf-8")


def _escape(text: str) -> str:
    return escape(printable(text))


def _outcome_options(kind: PuzzleKind) -> str:
    """Return the options of the filter, without outcomes that the kind of puzzle cannot have."""
    impossible = ("valid",) if kind.theme.numbered else ("several", "partly", "candidate")
    possible = {value: text for value, text in FILTERS.items() if value not in impossible}
    return "\n".join(f'<option value="{value}">{text}</option>' for value, text in possible.items())


def _scores(score: Scored | None) -> str:
    if score is None:
        return "<h2>Scores</h2><p>No test output of these tasks is known, so there is no score.</p>"
    rows = [
        _row(", ".join(name), [format_rate(rate), _percent(rate)], _bar(0, rate.value))
        for name, rate in score.rates.items()
    ]
    labels = {name[-1]: label for name, label in score.labels.items() if name in score.rates}
    sentences = [*score.notes, "; ".join(f"{name}: {label}" for name, label in labels.items())]
    notes = "".join(f'<p class="small muted">{_escape(each)}.</p>' for each in sentences)
    return f"<h2>Scores</h2>{_table('Scores', ['Score', 'Solved', 'Share', ''], rows)}{notes}"


def _published(report: Report) -> str:
    """Return the published results and the report's score for the same tasks."""
    score, results = report.score, report.results
    if not results or score is None or score.headline not in score.rates:
        return ""
    own, notes = score.rates[score.headline], [f"per {score.noun}", ""]
    rows = [_row("these predictions", [_percent(own)], _bar(0, own.value), notes, "own")]
    for each in results:
        low, high = each.percent[0] / 100, each.percent[-1] / 100
        bar = _bar(0 if low == high else low, high)
        rows.append(_row(each.system, [each.text], bar, [each.denominator, each.origin]))
    title = results_title(results)
    headings = ["System", "Score", "", "Denominator", "Source"]
    return f"<h2>{_escape(title)}</h2>{_table(title, headings, rows)}"


def _table(name: str, headings: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(
        f"<th scope='col'>{_escape(text)}</th>" if text else "<td class='bars'></td>"
        for text in headings
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_escape(name)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(
    heading: str, numbers: Iterable[str], bar: str, notes: Iterable[str] = (), style: str = ""
) -> str:
    cells = [f"<th scope='row'>{_escape(heading)}</th>"]
    cells += [f"<td class='number'>{_escape(number)}</td>" for number in numbers]
    cells += [f"<td class='bars'>{bar}</td>", *(f"<td>{_escape(note)}</td>" for note in notes)]
    return f"<tr class='{style}'>{''.join(cells)}</tr>"


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} %"


def _bar(start: float, end: float) -> str:
    """Return a bar from start to end of 0 to 1; its numbers are beside it."""
    style = f"left:{100 * start:.2f}%;width:{100 * (end - start):.2f}%"
    return f"<span class='bar' aria-hidden='true'><i style='{style}'></i></span>"


def _curve(records: Sequence[Mapping[str, float]]) -> str:
    if not records:
        return ""
    last = records[-1]
    description = f"Loss and exact accuracy over {last['step']:,.0f} steps"
    if "lm_loss" in last and "exact_accuracy" in last:
        accuracy = f"{100 * last['exact_accuracy']:.1f} %"
        description += f"; at the end {last['lm_loss']:.4g} and {accuracy}"
    return (
        f'<h2>Training</h2><div class="curve" tabindex="0" role="group" aria-label="Training">'
        f'<div role="img" aria-label="{_escape(description)}">{draw_curve(records, "").svg()}</div>'
        f"</div><p>{_escape(description)}.</p>"
    )
