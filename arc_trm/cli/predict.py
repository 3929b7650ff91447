"""`arc-trm predict`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from arc_trm.cli.options import device_options, given
from arc_trm.cli.progress import bar, is_main
from arc_trm.time_limit import STARTED, TimeLimit, format_duration, parse_duration
from submission import Challenges, SubmissionError, read_submission, write_submission

if TYPE_CHECKING:
    from arc_trm.config import Canvas

DEFAULT = ParameterSource.DEFAULT


@click.command()
@click.argument("weights", required=False)
@click.option("--data", "data_name", metavar="DATA", help="Default: the run's own test inputs.")
@click.option(
    "--attempts",
    default=2,
    show_default=True,
    type=click.IntRange(2, 2),
    help="Answers per test input; the official format holds two.",
)
@click.option(
    "--augmentations",
    type=click.IntRange(0),
    help="Voters beside the task itself; default: all that were trained.",
)
@click.option("--time-limit", metavar="TIME", help="3h, 90m, 45s: as many answers as fit.")
@click.option("--skip-invalid", is_flag=True, help="Leave out bad rows of a CSV file of puzzles.")
@click.option("--batch-size", type=click.IntRange(1), help="Questions asked at once.")
@click.option(
    "--supervision-steps", type=click.IntRange(1), help="Refinements; default: the model's."
)
@click.option(
    "--canvas",
    type=click.Choice(["full", "fit"]),
    help="What tasks are seen on; default: as the weights were trained.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the two files; default: the run's."
)
@given(*device_options())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def predict(
    weights: str | None,
    data_name: str | None,
    attempts: int,
    augmentations: int | None,
    time_limit: str | None,
    skip_invalid: bool,
    batch_size: int | None,
    supervision_steps: int | None,
    canvas: Canvas | None,
    out: Path | None,
    device: str,
    compiled: bool | None,
    as_json: bool,
) -> None:
    """Answer test inputs with the votes of all augmentations.

    Writes submission.json, the official format, whole from the first seconds on and better with
    every round of augmentations, and predictions.jsonl, every answer; a further call goes on from
    it. Sudokus and mazes get one answer each, in predictions.jsonl alone. WEIGHTS is a run or
    weight folder, or a repository on the Hugging Face Hub, owner/name[@revision][:subfolder];
    without it, the latest run.

    \b
    Examples:
      arc-trm predict --attempts 2
      arc-trm predict runs/arc2 --data arc-agi_test_challenges.json --out .
      arc-trm predict arcprize/trm_arc_prize_verification:arc_v1_public \\
          --data arc-agi-1/evaluation
      torchrun --nproc-per-node 4 -m arc_trm predict W --data C --time-limit 2h --out .
    """
    from arc_trm import runs
    from arc_trm.cli.pull import weight_folder
    from arc_trm.cli.resolve import chosen_tasks
    from arc_trm.data.splits import check_model_fits
    from arc_trm.errors import UserError
    from arc_trm.evaluation.source import only_arc
    from arc_trm.evaluation.voting import to_submission
    from arc_trm.puzzles import DOMAINS

    folder = weight_folder(weights) if weights is not None else runs.latest_run()
    if skip_invalid and data_name is None:
        raise UserError("--skip-invalid goes with --data; a run's own data has data.skip_invalid")
    tasks = chosen_tasks(folder, data_name, skip_invalid)
    if not len(tasks):
        raise UserError(f"there is no task to predict in {tasks.name!r}: name some with --data")
    for note in tasks.notes if is_main() else ():
        click.echo(note, err=True)
    submits = tasks.is_arc
    if not submits and click.get_current_context().get_parameter_source("attempts") is not DEFAULT:
        raise UserError(
            f"{tasks.name} holds {DOMAINS[tasks.domain].title}, which gets one answer each: "
            "--attempts is for ARC"
        )
    if canvas is not None:
        only_arc(tasks, "--canvas")
    out = out if out is not None else folder if runs.is_run(folder) else Path()
    if not out.is_dir():
        raise UserError(f"the folder {out} for the predictions does not exist: make it first")

    from arc_trm.checkpoint import read_model_config

    clock = TimeLimit(None if time_limit is None else parse_duration(time_limit), STARTED)
    # A folder without weights, or with those of another kind, is a mistake that leaves nothing.
    check_model_fits(read_model_config(folder), tasks)
    # Something valid before all else.
    if submits and is_main():
        challenges = {task.id: task.to_json(solutions=False) for task in tasks}
        if not _is_there(out / runs.SUBMISSION, challenges):
            write_submission(out / runs.SUBMISSION, to_submission((), tasks), challenges)

    from arc_trm.inference import load_for_inference, predict_into, voters

    loaded = load_for_inference(folder, tasks.tasks, device, canvas, compiled)
    with bar("predicting") as drawn:
        outcome = predict_into(
            *(out, loaded, tasks, clock),
            *(voters(folder, augmentations), batch_size, supervision_steps),
            {**_about(folder, weights, data_name, skip_invalid), "kind": tasks.domain},
            *(drawn.update, drawn.note),
        )
    if not is_main():
        return
    guessed = outcome.guessed
    if outcome.answered < outcome.wanted:
        click.echo(
            f"the time limit of {format_duration(clock.limit or 0)} ended it after "
            f"{outcome.answered} of {outcome.wanted} answers; the same command goes on from there",
            err=True,
        )
    if guessed:
        first = guessed[0]
        click.echo(
            f"{len(guessed)} of {tasks.test_outputs} test inputs are guesses: first task "
            f"{first.task}, test input {first.test + 1}: {first.reason}"
            if submits
            else f"{len(guessed)} of {len(tasks)} puzzles have no answer: first {first.task}: "
            f"{first.reason}",
            err=True,
        )
    files = {"submission": out / runs.SUBMISSION} if submits else {}
    files["predictions"] = out / runs.PREDICTIONS
    if as_json:
        counts = {
            "tasks": len(tasks),
            "test_inputs": tasks.test_outputs,
            "answered": outcome.answered,
            "wanted": outcome.wanted,
            "guessed": len(guessed),
        }
        click.echo(json.dumps(counts | {name: str(path) for name, path in files.items()}))
    elif submits:
        click.echo(f"{len(tasks)} tasks, {tasks.test_outputs} test inputs: {files['submission']}")
    else:
        click.echo(f"{len(tasks)} puzzles: {files['predictions']}")


def _about(
    folder: Path, weights: str | None, data_name: str | None, skip_invalid: bool
) -> dict[str, Any]:
    """What readers of the answers want to know: whose they are, of which tasks, since when."""
    from arc_trm import runs
    from arc_trm.config import DataConfig
    from arc_trm.evaluation.source import about_data

    named = DataConfig(test=(data_name,), skip_invalid=skip_invalid) if data_name else None
    data = named or runs.run_config(folder).data
    return {
        "model": weights
        if weights is not None and not Path(weights).exists()
        else folder.resolve().name,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        **about_data(data),
    }


def _is_there(path: Path, challenges: Challenges) -> bool:
    """Whether there is a valid submission already, which guesses are not to replace."""
    try:
        read_submission(path, challenges)
    except SubmissionError:
        return False
    return True
