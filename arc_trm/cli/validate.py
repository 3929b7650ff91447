"""`arc-trm validate`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arc_trm.cli.options import NAME, json_option
from arc_trm.errors import UserError, quote_path
from arc_trm.file_kind import PARTS
from arc_trm.runs import PREDICTIONS, SUBMISSION, is_run
from submission import Kind
from submission.cli import challenges_option, kind_option, print_validation

if TYPE_CHECKING:
    from arc_trm.evaluation.source import PredictionSource


@click.command()
@click.argument("file", type=NAME)
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
    name = Path(file).name
    if name in PARTS:
        raise UserError(f"{file} is {PARTS[name]}, which is no official file: name another")
    source = _open_own(Path(file))
    if source is None:
        print_validation(file, kind, challenges, as_json)
        return
    about, header = None, []
    with suppress(UserError):  # what is wrong with the file is said below
        if source.made_by is not None:
            about, header = source.summary.to_dict(), [*source.summary.lines(), ""]
    print_validation(source.path, kind, challenges, as_json, about, header)


def _open_own(path: Path) -> PredictionSource | None:
    """Return the submission that `arc-trm predict` wrote to a run or folder, None for other files.

    Raises:
        UserError: there is no submission, only a log.
    """
    from arc_trm.evaluation.finding import is_log
    from arc_trm.evaluation.source import PredictionSource

    isfile = os.path.isfile  # Path.is_file raises for names that are too long
    beside_log = path.name == SUBMISSION and isfile(path.with_name(PREDICTIONS))
    if not (is_log(path) or beside_log or is_run(path) or isfile(path / PREDICTIONS)):
        return None
    source = PredictionSource.open(path, prefer=(SUBMISSION, PREDICTIONS))
    source.kind.require_submission("validating", str(path))
    if source.log is None:
        return source
    log = quote_path(source.path)
    raise UserError(
        f"{source.path} is a log of predictions, which is no official file: score it with `arc-trm "
        f"score {log}`, or make a submission of it with `arc-trm export {log} "
        "--format submission --out submission.json`"
    )
