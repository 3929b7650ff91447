"""`arc-trm export`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from submission import Provenance


@click.command()
@click.argument("what", required=False, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(["arcprize", "submission"]),
    help="arcprize: a folder for ARC Prize's benchmarking; submission: the official file.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder or file to write."
)
@click.option("--data", "data_name", metavar="DATA", help="The tasks; default: what WHAT says.")
@click.option("--model", help="Name of the model in the metadata; default: that of the weights.")
def export(
    what: Path | None, kind: str, out: Path, data_name: str | None, model: str | None
) -> None:
    """Write answers in the format of another tool.

    WHAT is a predictions.jsonl, a submission, a run folder, or a folder of ARC Prize's
    benchmarking; without it, the latest run. A folder for the benchmarking gets a TASK.json for
    every task, answered or not, and nothing else, so that its scorer gives the score that
    `arc-trm score` labels per task.

    \b
    Examples:
      arc-trm export predictions.jsonl --format arcprize --out attempts
      arc-trm export attempts --format submission --out submission.json
    """
    from arc_trm import runs
    from arc_trm.cli.resolve import chosen_answers
    from arc_trm.errors import UserError
    from arc_trm.evaluation.source import answered_tasks, is_log, only_arc, read_results
    from submission import (
        FormatError,
        Ranked,
        read_ranked,
        to_submission,
        write_arcprize,
        write_json,
    )
    from submission.errors import pluralise

    if model is not None and kind == "submission":
        raise UserError("--model is for the metadata of a folder, which a submission has not")
    answers = chosen_answers(what if what is not None else runs.latest_run())
    ranked: Ranked
    if is_log(answers) or data_name is not None:
        tasks = answered_tasks(answers, data_name)
        only_arc(tasks, f"--format {kind}")
        ranked = read_results(answers, tasks).attempts()
    else:
        ranked = read_ranked(answers)
    try:
        if kind == "arcprize":
            write_arcprize(out, ranked, _provenance(answers, model))
        else:
            write_json(out, to_submission(ranked))
    except FormatError as error:
        raise FormatError(error.problems, answers) from None
    outputs = pluralise(sum(map(len, ranked.values())), "test output")
    silent = sum(not any(grids) for task in ranked.values() for grids in task)
    note = f", {silent} of them unanswered" if silent else ""
    click.echo(f"Wrote {out}: {pluralise(len(ranked), 'task')} with {outputs}{note}")
    if answers.is_dir() and data_name is None:
        click.echo(
            f"{answers} does not say how many tasks and test outputs there are: --data does",
            err=True,
        )


def _provenance(answers: Path, model: str | None) -> Provenance:
    """Whose answers these are; a file that does not say since when is of its last change."""
    from arc_trm import runs
    from arc_trm.evaluation.source import about_answers, is_log, named_data, public_name
    from submission import Provenance

    about = about_answers(answers)
    ended = datetime.fromtimestamp(answers.stat().st_mtime, UTC)
    try:
        began = datetime.fromisoformat(str(about.get("began"))).astimezone(UTC)
    except (ValueError, OverflowError):
        began = ended
    of_run = runs.is_run(answers.parent)
    place = answers.resolve()
    name = place.parent.name if of_run else place.name if answers.is_dir() else place.stem
    data = [public_name(each) for each in named_data(answers)]
    return Provenance(
        model or str(about.get("model") or name),
        "arc-trm" if of_run or is_log(answers) else "unknown",
        min(began, ended),
        ended,
        {"data": data} if data else {},
    )
