"""`arc-trm convert-submission`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import PATH, json_option, path_option
from arc_trm.errors import UserError, quote_path
from arc_trm.evaluation.finding import is_log
from arc_trm.runs import check_free
from submission.cli import challenges_option, overwrite_option, print_conversion


@click.command()
@click.argument("file", type=PATH)
@path_option("--out", "The submission to write.", required=True)
@challenges_option
@overwrite_option
@json_option
def convert_submission(
    file: Path, out: Path, challenges: str | None, overwrite: bool, as_json: bool
) -> None:
    """Write answers in another form as a submission, and say what was changed.

    FILE has objects or lists in other places than a submission, bare grids, missing or further
    attempts, or one JSON object per line, or it is the CSV file of Kaggle's ARC competition of
    2020. Where it leaves a doubt, nothing is written. With --challenges the submission answers all
    of their tasks, and lists of grids are read by the number of test outputs.

    \b
    Examples:
      arc-trm convert-submission answers.csv --out submission.json
      arc-trm convert-submission grids.json --challenges challenges.json --out submission.json
    """
    if is_log(file):
        raise UserError(
            f"{file} is a log of predictions: make a submission of it with `arc-trm export "
            f"{quote_path(file)} --format submission --out submission.json`"
        )
    if overwrite:
        check_free(out.absolute().parent)  # `predict` may be writing that file
    print_conversion(file, out, challenges, overwrite, as_json)
