"""Who made predictions: weights, training, data and settings, without places on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from arc_trm.data.loader import public_data_name
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.viz.report.markup import cell, row, table, text


def about(summaries: Sequence[PredictionSummary]) -> str:
    """Return what is known of one set of predictions as a list, of two as a table.

    In the table, what differs stands out.
    """
    facts = [_facts(summary) for summary in summaries]
    names = [name for name in facts[0] if any(each[name] for each in facts)]
    if len(facts) == 1:
        (only,) = facts
        items = (f"<div><dt>{text(name)}</dt><dd>{text(only[name])}</dd></div>" for name in names)
        return f'<dl class="about">{"".join(items)}</dl>'
    rows = []
    for name in names:
        values = [each[name] for each in facts]
        style = "differs" if len(set(values)) > 1 else ""
        rows.append(row(name, [cell(text(value or "not known")) for value in values], style))
    return table("Who made them", ["", "A", "B"], rows, "about")


def differing(summaries: Sequence[PredictionSummary]) -> str:
    """Say which facts of two sets of predictions differ."""
    first, second = map(_facts, summaries)
    names = [name.lower() for name in first if first[name] != second[name]]
    return f"they differ in {', '.join(names)}" if names else "nothing known differs"


def _facts(summary: PredictionSummary) -> dict[str, str]:
    """Return the known facts by name; unknown ones are "" ."""
    settings = summary.settings
    return {
        "Weights": summary.model or "",
        "Preset": summary.preset or "",
        "Training": _training(summary),
        "Parameters": _parameters(summary.parameters),
        "Trained on": _names(summary.train_data),
        "Predicted": _names(summary.data),
        "Voters per test input": _voters(summary),
        "Supervision steps": str(settings.get("supervision_steps", "")),
        "Guesses": _guesses(summary),
        "Date": date_in_words(summary.started_at),
        "arc-trm": summary.version or "",
    }


def _names(data: Sequence[str] | None) -> str:
    return ", ".join(map(public_data_name, data or ()))


def _training(summary: PredictionSummary) -> str:
    parts = []
    if summary.step is not None:
        total = f" of {summary.total_steps:,}" if summary.total_steps else ""
        parts.append(f"{summary.step:,}{total} steps")
    if summary.seed is not None:
        parts.append(f"seed {summary.seed}")
    return ", ".join(parts)


def _parameters(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"


def _voters(summary: PredictionSummary) -> str:
    if summary.voters is None:
        return ""
    mean, low, high = summary.voters
    return f"{mean:g}" if low == high else f"{mean:.1f} on the mean, {low:,} to {high:,}"


def _guesses(summary: PredictionSummary) -> str:
    if summary.guessed is None:
        return ""
    total = f" of {summary.test_inputs:,} test inputs" if summary.test_inputs else ""
    return f"{len(summary.guessed):,}{total}"


def date_in_words(moment: datetime | None) -> str:
    """Return `26 November 2026`."""
    return f"{moment.day} {moment:%B} {moment.year}" if moment is not None else ""
