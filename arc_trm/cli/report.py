"""`arc-trm report`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    PATH,
    data_option,
    path_option,
    predictions_argument,
    print_lines,
    print_note,
    solutions_option,
)

TRAINED_ON = "Some of these tasks were trained on: this is not a score on unseen tasks."
OUTDATED = "The run {} has other weights by now: a training curve on this page may be theirs."


@click.command()
@predictions_argument
@click.argument("other", required=False, type=PATH)
@solutions_option
@data_option("The tasks; default: what the predictions say.")
@path_option("--out", "Page to write; default: beside the predictions, of two beside OTHER.")
def report(
    predictions: Path | None,
    other: Path | None,
    solutions: Path | None,
    data: str | None,
    out: Path | None,
) -> None:
    """Write a page to look at and send: scores, grids and votes.

    PREDICTIONS is a predictions.jsonl, a run folder, a submission, or a folder of ARC Prize's
    benchmarking; default: those made last. With OTHER, the page shows what OTHER gained and lost.
    The page is one file that loads nothing and names no folder of this machine. A predictions.jsonl
    has votes and how predictions changed from step to step, a run also its curves. An
    earlier page is replaced; any other file is kept.

    \b
    Examples:
      arc-trm report
      arc-trm report runs/before runs/after
      arc-trm report predictions.jsonl --solutions arc-agi_evaluation_solutions.json
      arc-trm report theirs --data arc-agi-2/evaluation --out theirs.html
    """
    from arc_trm._version import __version__
    from arc_trm.errors import format_name
    from arc_trm.pipeline import open_predictions
    from arc_trm.viz.report import (
        build_comparison,
        build_report,
        comparison_path,
        write_report,
    )

    first = open_predictions(predictions, data, solutions)
    second = None if other is None else open_predictions(other, data, solutions)
    path = out or (first.report_path if second is None else comparison_path(first, second))
    sources = [first] if second is None else [first, second]
    notes = [note for source in sources for note in source.scoring_notes]
    leaks = [leak for source in sources for leak in source.leakage()]
    for note in dict.fromkeys([*notes, *leaks]):
        print_note(note)
    warnings = [TRAINED_ON] if leaks else []
    outdated = [
        OUTDATED.format(format_name(each.name)) for each in sources if each.summary.outdated
    ]
    for note in outdated:
        print_note(note)
    warnings += [*outdated, *filter(None, [source.version_note for source in sources])]
    if second is None:
        page = build_report(first, warnings)
    else:
        page = build_comparison(first, second, warnings)
    for form in filter(None, [source.form_note for source in sources]):
        print_note(form)
    write_report(page, path, __version__)
    names = " and ".join(str(source.path) for source in sources)
    print_lines(f"Wrote {path} about {names}: {page.facts[0]}")
