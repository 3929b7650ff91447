"""`arc-trm score`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("what", required=False, type=click.Path(path_type=Path))
@click.option(
    "--solutions", type=click.Path(path_type=Path), help="Official solutions file to score with."
)
@click.option(
    "--data", "data_name", metavar="DATA", help="Tasks whose known outputs to score with."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def score(what: Path | None, solutions: Path | None, data_name: str | None, as_json: bool) -> None:
    """Score a submission: pass@1 and pass@2, each under its three denominators.

    WHAT is a submission.json or a run folder; without it, the latest run.

    \b
    Examples:
      arc-trm score
      arc-trm score submission.json --solutions arc-agi_evaluation_solutions.json
      arc-trm score submission.json --data arc-agi-1/evaluation
    """
    from arc_trm import runs
    from arc_trm.cli.choice import chosen_tasks
    from arc_trm.errors import UserError
    from submission import read_solutions, read_submission, score_table
    from submission import score as score_submission

    what = what if what is not None else runs.latest_run()
    file = what / runs.SUBMISSION if what.is_dir() else what
    if what.is_dir() and not file.exists():
        raise UserError(f"{what} has no {runs.SUBMISSION} yet: make it with `arc-trm predict`")
    if solutions is not None and data_name is not None:
        raise UserError("--solutions and --data both say what is right: give one of them")
    if solutions is not None:
        known = read_solutions(solutions)
    else:
        otherwise = f"say what {file} is scored against with --solutions or --data"
        tasks = chosen_tasks(what, data_name, otherwise)
        known = {
            task.id: [grid.tolist() for grid in task.solutions]
            for task in tasks
            if task.solutions is not None
        }
        if not known:
            raise UserError(f"no test output of {tasks.name!r} is known, so nothing can be scored")
    submission = read_submission(file)
    if not submission.keys() & known.keys():
        raise UserError(f"{file} answers none of the {len(known)} tasks it is scored against")
    result = score_submission(submission, known)
    click.echo(json.dumps(result.to_dict()) if as_json else score_table(result))
