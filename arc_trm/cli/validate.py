"""`arc-trm validate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arc_trm.runs import PREDICTIONS, SUBMISSION
from submission import KINDS, Kind, check_path, read_challenges
from submission.cli import CommandError


@click.command()
@click.argument("file")
@click.option("--kind", type=click.Choice(KINDS), help="The expected kind; default: a guess.")
@click.option("--challenges", metavar="FILE", help="The tasks that FILE must match.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all problems.")
def validate(file: str, kind: Kind | None, challenges: str | None, as_json: bool) -> None:
    """List everything that is wrong with FILE, one problem a line.

    FILE is a single task, challenges, solutions, a submission, a folder that holds a
    submission.json, or an ARC Prize benchmarking folder. Pairs, rows, cells and test outputs are
    counted from 1.

    \b
    Example:
      arc-trm validate submission.json --challenges challenges.json
    """
    from arc_trm.errors import UserError
    from arc_trm.evaluation.source import is_log, kind_of
    from arc_trm.puzzles import ARC, DOMAINS

    path = Path(file)
    log = path / PREDICTIONS if path.is_dir() and not (path / SUBMISSION).is_file() else path
    if is_log(log) and log.is_file() and (found := kind_of(log)) != ARC.name:
        raise UserError(
            f"validating is for ARC, but {file} answers {DOMAINS[found].title}: `arc-trm score` "
            "says how many of these are valid"
        )
    result = check_path(file, kind, None if challenges is None else read_challenges(challenges))
    click.echo(json.dumps(result.to_dict()) if as_json else "\n".join(result.lines()))
    if result.problems:
        raise CommandError(result.summary)
