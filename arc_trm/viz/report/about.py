"""Who made predictions: weights, training, data and settings, without places on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from arc_trm.errors import pluralise
from arc_trm.evaluation.summary import PredictionSummary
from arc_trm.puzzles import kind_of
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.markup import cell, row, table, text

TITLE = "Model and settings"
SAID_ABOVE = ("Predicted", "Guesses")
OWN_SETTINGS = ("supervision_steps", "augmentations")
"""Settings with an entry of their own; the others share one."""


def about(entries: Sequence[Entry]) -> str:
    """Return what is known of one set of predictions as a list, of two as a table.

    In the table, what differs stands out. The list leaves out what the top of the page says.
    """
    facts = [_facts(entry) for entry in entries]
    names = [name for name in facts[0] if any(each[name] for each in facts)]
    if len(facts) == 1:
        (only,) = facts
        known = [name for name in names if name not in SAID_ABOVE]
        if not known:
            return '<p class="muted">Model and settings are not known: the file has grids only.</p>'
        items = (f"<div><dt>{text(name)}</dt><dd>{_parts(only[name])}</dd></div>" for name in known)
        return f'<dl class="about">{"".join(items)}</dl>'
    rows = []
    for name in names:
        values = [each[name] for each in facts]
        style = "differs" if _differ(values) else ""
        rows.append(row(name, [cell(text(value or "not known")) for value in values], style))
    return table(TITLE, ["", "A", "B"], rows, "about")


def differing(entries: Sequence[Entry]) -> str:
    """Say which facts of two sets of predictions differ."""
    first, second = map(_facts, entries)
    names = [
        name.lower()
        for name in first
        if name != "Date" and _differ([first[name], second[name]])  # dates nearly always do
    ]
    return f"they differ in {', '.join(names)}" if names else "nothing known differs"


def _parts(value: str) -> str:
    """Return an enumeration that is rather wrapped between its parts than in a name."""
    return " ".join(f"<span>{text(part)}</span>" for part in value.replace(", ", ",\n").split("\n"))


def _differ(values: Sequence[str]) -> bool:
    """Return whether values differ; an unknown one may be equal to the other."""
    return all(values) and len(set(values)) > 1


def _facts(entry: Entry) -> dict[str, str]:
    """Return the facts by name; unknown ones are empty."""
    summary = entry.summary
    others = {key: each for key, each in summary.settings.items() if key not in OWN_SETTINGS}
    by = f"{summary.version}, code {summary.code}" if summary.code else summary.version
    return {
        "Weights": summary.model or "",
        "Preset": summary.preset_text,
        "Training": _training(summary),
        "Parameters": _parameters(summary.parameters),
        "Predicted": ", ".join(summary.data),
        "Trained on": _trained_on(entry),
        "Other settings": replace(summary, settings=others).settings_text,
        "Votes": summary.voters_text,
        "Asked": "" if summary.asked is None else summary.asked.text(summary.query_noun),
        "Supervision steps": str(summary.settings.get("supervision_steps", "")),
        "Augmentations": str(summary.settings.get("augmentations", "")),
        "Guesses": _guesses(entry),
        "Date": summary.date,
        "arc-trm": by or "",
    }


def _training(summary: PredictionSummary) -> str:
    parts = [summary.checkpoint_text] if summary.checkpoint_text else []
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


def _trained_on(entry: Entry) -> str:
    """Return the names of the data; of tasks to predict only demonstrations are trained on."""
    names = []
    for name in entry.summary.train_data:
        if name not in entry.summary.data:
            names.append(name)
        elif kind_of(entry.predictions.tasks).embeds_tasks:
            names.append(f"{name} (demonstrations)")
    return ", ".join(names)


def _guesses(entry: Entry) -> str:
    if entry.summary.guessed is None:
        return ""
    total = pluralise(entry.predictions.tasks.test_outputs, entry.summary.query_noun)
    return f"{len(entry.guessed):,} of {total}"
