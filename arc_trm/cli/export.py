"""`arc-trm export`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    data_option,
    path_option,
    predictions_argument,
    print_lines,
    print_note,
)
from submission.cli import overwrite_option


@click.command()
@predictions_argument
@click.option(
    "--format",
    "file_format",
    required=True,
    type=click.Choice(["arcprize", "submission"]),
    help="arcprize: a folder for ARC Prize's benchmarking; submission: the official file.",
)
@path_option("--out", "The folder or file to write.", "PATH", required=True)
@overwrite_option
@data_option("The tasks; default: what the predictions say.")
@click.option(
    "--model", metavar="NAME", help="Name of the model in the metadata; default: of the weights."
)
def export(
    predictions: Path | None,
    file_format: str,
    out: Path,
    overwrite: bool,
    data: str | None,
    model: str | None,
) -> None:
    """Write predictions in the format of another tool.

    PREDICTIONS is a predictions.jsonl, a submission, a run folder, or a folder of ARC Prize's
    benchmarking; default: those made last. A folder for the benchmarking gets a TASK.json for every
    task, answered or not, and nothing else, so that its scorer gives the score that `arc-trm score`
    labels per task.

    \b
    Examples:
      arc-trm export predictions.jsonl --format arcprize --out attempts
      arc-trm export attempts --format submission --out submission.json
    """
    from arc_trm.errors import UserError, pluralise
    from arc_trm.evaluation.export import export_predictions
    from arc_trm.pipeline import open_predictions

    if model is not None and file_format == "submission":
        raise UserError("--model is for the metadata of a folder, which a submission has not")
    source = open_predictions(predictions, data)
    ranked = export_predictions(source, file_format, out, model, overwrite)
    outputs = pluralise(sum(map(len, ranked.values())), "test output")
    unanswered = sum(not any(grids) for task in ranked.values() for grids in task)
    note = f", {unanswered} of them unanswered" if unanswered else ""
    if source.form_note is not None:
        print_note(source.form_note)
    print_lines(f"Wrote {out}: {pluralise(len(ranked), 'task')} with {outputs}{note}")
    if source.path.is_dir() and data is None:
        print_note(
            f"{source.path} does not say how many tasks and test outputs there are: name the tasks "
            "with --data, so that unanswered ones are written, too"
        )
