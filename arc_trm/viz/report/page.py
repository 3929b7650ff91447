"""The page: its contents and text are made here, its grids are drawn by the scripts beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from arc_trm.data.loader import public_data_name
from arc_trm.errors import UserError, pluralise
from arc_trm.evaluation.leaderboard import PublishedResult, published_results
from arc_trm.evaluation.scoring import score_sources
from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import atomic_write, file_name
from arc_trm.metric_keys import SHARES, has_key
from arc_trm.puzzles import kind_of
from arc_trm.viz.figure import CLOSE_WORDS
from arc_trm.viz.report.about import TITLE, about, differing
from arc_trm.viz.report.chart import training_section
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.gallery import gallery
from arc_trm.viz.report.guide import guide
from arc_trm.viz.report.headline import (
    breadth_table,
    comparison_table,
    difference,
    headline,
    rates_table,
)
from arc_trm.viz.report.markup import folded, text
from arc_trm.viz.report.published import published_section
from submission.comparison import Comparison, compare_to_first

GENERATOR = '<meta name="generator" content="arc-trm report">'
"""By which a page of ours is known, near its beginning."""
SCRIPTS = ("grids.js", "tasks.js", "overview.js")


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        facts: sentences on the predictions, the first on how many there are.
        entries: one set of predictions, or the two that are compared.
        comparison: of the second with the first; None of a single one.
        records: of a run's metrics.jsonl.
        best_metric: of the run, by which its best evaluation is marked.
        results: published for the same tasks.
        warnings: sentences on the score.
    """

    title: str
    facts: Sequence[str]
    entries: tuple[Entry, ...]
    comparison: Comparison | None = None
    records: Sequence[Mapping[str, float]] = ()
    best_metric: str = "auto"
    results: Sequence[PublishedResult] = ()
    warnings: Sequence[str] = ()


def build_report(source: PredictionSource, warnings: Sequence[str] = ()) -> Report:
    """Return the contents of the report on predictions.

    Args:
        source: the predictions.
        warnings: sentences on the score, for example that it is not on unseen tasks.

    Raises:
        UserError: predictions or tasks cannot be read, or do not fit together.
    """
    records = source.run.metrics if source.run is not None else ()
    best_metric = "auto"
    if source.run is not None and any(has_key(records, key) for key in SHARES):
        best_metric = source.run.config.train.best_metric
    return Report(
        source.name,
        _facts([source]),
        (Entry.of(source),),
        records=records,
        best_metric=best_metric,
        results=published_results(source.tasks),
        warnings=warnings,
    )


def build_comparison(
    first: PredictionSource, second: PredictionSource, warnings: Sequence[str] = ()
) -> Report:
    """Return the contents of the report on what a second set of predictions gained and lost.

    If only one of them names its tasks, these are the tasks of both.

    Raises:
        UserError: as in `build_report`, or the predictions are for different kinds of puzzle.
        SubmissionError: they are not scored against the same solutions, or none is known; it names
            both.
    """
    if first.names_tasks:
        second.sharing(first)
    else:
        first.sharing(second)
    scores = score_sources([first, second])
    (comparison,) = compare_to_first([first.label, second.label], scores)
    entries = Entry.of(first), Entry.of(second)
    title = f"{first.name} and {second.name}"
    return Report(title, _facts([first, second]), entries, comparison, warnings=warnings)


def _facts(sources: Sequence[PredictionSource]) -> list[str]:
    """Return sentences on one or two sets of predictions; the first says how many there are."""
    source = sources[-1]
    tasks = source.tasks
    kind = kind_of(tasks)
    total = pluralise(len(tasks), kind.noun)
    if kind.theme.numbered:
        total = f"{pluralise(tasks.test_outputs, 'test input')} of {total}"
    counts = " and ".join(str(_predicted(each)) for each in sources)
    names = ", ".join(source.data_names or [public_data_name(tasks.name)])
    facts = [f"Predicted grids for {counts} of {total}: {names}"]
    if kind.max_traces is not None and len(tasks) > kind.max_traces:
        facts.append(f"The first {kind.max_traces} {kind.noun}s are drawn below")
    return facts


def _predicted(source: PredictionSource) -> int:
    """Count the test inputs with a predicted grid; a log marks guesses, other files do not."""
    return sum(
        bool(each.candidates) if source.log is not None else each.is_answered
        for each in source.predictions
    )


def report_page(report: Report, version: str) -> str:
    """Return one HTML document that loads nothing: style, scripts and data are inside."""
    kind = kind_of(report.entries[-1].predictions.tasks)
    data = gallery(report.entries, report.comparison)
    values = {
        "generator": GENERATOR,
        "title": text(report.title),
        "subject": f"Predictions for {kind.title} {kind.noun}s",
        "guide": guide(report.entries),
        "facts": "".join(f"<p>{text(fact)}</p>" for fact in report.facts),
        "results": _results(report),
        "sections": _sections(report),
        "warnings": "".join(f'<p class="warning">{text(each)}</p>' for each in report.warnings),
        "noun": kind.noun,
        "heading": (kind.noun if len(data["tasks"]) == 1 else f"{kind.noun}s").capitalize(),
        "given": " Shaded cells are given." if kind.theme.given else "",
        "id_label": "Number" if kind.numbered else f"{kind.noun.capitalize()} id",
        "outcomes": _outcomes(data),
        "digits_hidden": " hidden" if kind.theme.symbols else "",
        "demonstrations_hidden": "" if kind.theme.numbered else " hidden",
        "close": "close call" if report.comparison is None else "gained",
        "close_meaning": _close_meaning(data),
        "version": text(version),
        # "<" could end the element that holds the data.
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "css": _read_part("page.css"),
        "js": "\n".join(map(_read_part, SCRIPTS)),
    }
    return Template(_read_part("page.html")).substitute(values)


def write_report(report: Report, path: Path, version: str) -> None:
    """Write the page, whole or not at all, where nothing or an earlier page is.

    Raises:
        UserError: another file is there.
        WriteError: the file cannot be written.
    """
    _check_replaceable(path)
    with atomic_write(path) as file:
        file.write(report_page(report, version))


def comparison_path(first: PredictionSource, second: PredictionSource) -> Path:
    """Return the default path of a comparison: beside the second predictions, named by both.

    Models may share a name, so that a digest of both paths keeps comparisons apart.
    """
    names = "-and-".join(file_name(source.name) for source in (first, second))
    paths = "\n".join(str(source.path.resolve()) for source in (first, second))
    digest = hashlib.sha256(os.fsencode(paths)).hexdigest()[:8]
    return second.path.parent / f"comparison-{names}-{digest}.html"


def _check_replaceable(path: Path) -> None:
    """Raise UserError if a file is at `path` that is not an earlier page."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(1000)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if GENERATOR.encode() not in start:
        raise UserError(
            f"{path} is not an earlier report, so it is not replaced: name another file with --out"
        )


def _read_part(name: str) -> str:
    return resources.files("arc_trm.viz.report").joinpath(name).read_text("utf-8")


def _results(report: Report) -> str:
    """Return the cards with scores, their difference, and who made the predictions."""
    scores = [entry.score for entry in report.entries if entry.score is not None]
    makers = about(report.entries)
    if report.comparison is None:
        (entry,) = report.entries
        rates = "".join(
            f"<div>{rates_table(score)}{breadth_table(entry.breadth)}</div>" for score in scores
        )
        return (
            f'<section class="card{" two" if rates else ""}" aria-label="Score">{headline(entry)}'
            f"{rates}</section>"
            f'<section class="card" aria-label="{TITLE}">{makers}</section>'
        )
    first, second = report.entries
    cards = headline(first, "A"), headline(second, "B"), difference(scores, report.comparison)
    return (
        f'<section class="card" aria-label="Score"><div class="three">{"".join(cards)}</div>'
        f"{comparison_table(scores, report.comparison)}</section>"
        f"{folded(TITLE, differing(report.entries), makers)}"
    )


def _sections(report: Report) -> str:
    """Return what opens on demand."""
    published = published_section(report.entries[0].score, report.results)
    found = training_section(report.records, report.best_metric) + published
    return f'<div class="sections">{found}</div>' if found else ""


def _close_meaning(data: Mapping[str, Any]) -> str:
    """Return what a close call is, "" if the page has none."""
    marks = (mark for mark in data["outcomes"] if mark["key"] == "close")
    return "".join(f" {mark['words'].capitalize()} means {CLOSE_WORDS}." for mark in marks)


def _outcomes(data: Mapping[str, Any]) -> str:
    """Return how many tasks have each outcome and which, for readers without scripts."""
    ids: dict[str, list[str]] = {}
    for task in data["tasks"]:
        ids.setdefault(task["outcome"], []).append(task["id"])
    lines = []
    for mark in data["outcomes"]:
        found = ids[mark["key"]]
        what = f"{mark['sign']} {mark['words']} ({len(found)})"
        lines.append(f"<p>{text(what)}: {text(', '.join(found))}</p>")
    return "".join(lines)
