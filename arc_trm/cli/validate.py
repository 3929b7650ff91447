"""`arc-trm validate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import click

from arc_trm.cli.options import json_option
from arc_trm.errors import UserError
from arc_trm.runs import PREDICTIONS, SUBMISSION, is_run
from submission import Kind
from submission.cli import challenges_option, kind_option, print_validation


@click.command()
@click.argument("file")
@kind_option
@challenges_option
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
    isfile = os.path.isfile  # Path.is_file raises for names that are too long
    if not isfile(path / SUBMISSION):
        is_log = path.suffix == ".jsonl" and isfile(path)
        if is_log or is_run(path) or isfile(path / PREDICTIONS):
            _refuse_log(path)
    print_validation(file, kind, challenges, as_json)


def _refuse_log(path: Path) -> NoReturn:
    """Raise UserError for a log, a folder with a log but no submission, or a run with neither."""
    from arc_trm.pipeline import open_predictions

    source = open_predictions(path)
    source.kind.require_submission("validating", str(path))
    raise UserError(
        f"{source.path} is a log of predictions, which is no official file: score it with `arc-trm "
        f"score {source.path}`, or make a submission of it with `arc-trm export {source.path} "
        "--format submission --out submission.json`"
    )
