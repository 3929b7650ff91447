"""`arc-trm report`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import data_option, path_option, predictions_argument, solutions_option


@click.command()
@predictions_argument
@solutions_option
@data_option("The tasks; default: what the predictions say.")
@path_option("--out", "Page to write; default: beside the predictions.")
def report(
    predictions: Path | None, solutions: Path | None, data: str | None, out: Path | None
) -> None:
    """Write a page to look at and send: scores, grids and votes.

    PREDICTIONS is a predictions.jsonl, a run folder, a submission, or a folder of ARC Prize's
    benchmarking; default: the latest run. The page is one file that loads nothing, so it can be
    opened from the disk and sent to others. A predictions.jsonl has votes and how predictions
    changed from step to step, a run also its training curve.

    \b
    Examples:
      arc-trm report
      arc-trm report predictions.jsonl --solutions arc-agi_evaluation_solutions.json
      arc-trm report theirs --data arc-agi-2/evaluation --out theirs.html
    """
    from arc_trm._version import __version__
    from arc_trm.io import atomic_write
    from arc_trm.pipeline import open_predictions
    from arc_trm.viz.report import build_report, report_page

    source = open_predictions(predictions, data, solutions)
    page = build_report(source)
    path = out or source.report_path
    with atomic_write(path) as file:
        file.write(report_page(page, __version__))
    click.echo(f"Wrote {path}: {page.facts[0]}")
