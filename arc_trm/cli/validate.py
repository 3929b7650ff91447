"""`arc-trm validate`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import json_option, output
from arc_trm.runs import PREDICTIONS, SUBMISSION
from submission import KINDS, Kind, check_path, read_challenges
from submission.cli import CommandError


@click.command()
@click.argument("file")
@click.option("--kind", type=click.Choice(KINDS), help="The expected kind; default: a guess.")
@click.option("--challenges", metavar="FILE", help="The tasks that FILE must match.")
@json_option
def validate(file: str, kind: Kind | None, challenges: str | None, as_json: bool) -> None:
    """List everything that is wrong with FILE, one problem a line.

    FILE is a single task, challenges, solutions, a submission, a folder that holds a
    submission.json, or an ARC Prize benchmarking folder. Pairs, rows, cells and test outputs are
    counted from 1.

    \b
    Example:
      arc-trm validate submission.json --challenges challenges.json
    """
    path = Path(file)
    log = path / PREDICTIONS if path.is_dir() and not (path / SUBMISSION).is_file() else path
    if log.suffix == ".jsonl" and log.is_file():
        from arc_trm.pipeline import open_predictions

        open_predictions(log).kind.require_submission("validating", file)
    result = check_path(file, kind, None if challenges is None else read_challenges(challenges))
    output(result.to_dict(), result.lines(), as_json)
    if result.problems:
        raise CommandError(result.summary)
