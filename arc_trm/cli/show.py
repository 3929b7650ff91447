"""`arc-trm show`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from arc_trm.cli.options import NAME, data_option, path_option, print_lines, print_note
from arc_trm.errors import UserError
from arc_trm.file_kind import file_kind


@click.command()
@click.argument("what", type=NAME, required=False)
@data_option("Where to look for the task; default: see above.")
@path_option(
    "--predictions",
    "Show the attempts in this predictions.jsonl, submission, run or folder of ARC Prize's "
    "benchmarking; default: see above.",
)
@click.option("--trace", is_flag=True, help="Show how the prediction changed from step to step.")
@path_option(
    "--out",
    "Write a picture, .svg or .png, of the task or the curves, or .gif with --trace; default: "
    "print.",
)
def show(
    what: str | None, data: str | None, predictions: Path | None, trace: bool, out: Path | None
) -> None:
    """Show a task with its predictions, or how a run went.

    WHAT is the id of a task, the number of a Sudoku or maze, or a run folder; default: the latest
    run, with its curves and examples of its predictions: a right one, a close call and a wrong one,
    or the most and the least certain one if no output is known.

    The curves are the loss, and the share of exact answers: of training examples that halted, and
    of validation puzzles where the run was evaluated, the best evaluation marked. While a run
    trains they are those so far. `arc-trm compare` shows several runs together, `arc-trm runs show
    RUN` what made a run.

    A task is looked for in the data of the predictions, then of the latest run, then in arc-agi-1
    and arc-agi-2, and shown with the predictions made last unless others are named. Cells are
    coloured where the terminal can, and digits elsewhere or where NO_COLOR is set. Wrong cells of
    an attempt are marked in both.

    With --trace, --out writes an animation as .gif or .svg, a frame a step, or all steps side by
    side as .png. Steps that change nothing share a frame.

    \b
    Examples:
      arc-trm show
      arc-trm show runs/my-run --out curves.svg
      arc-trm show 007bbfb7
      arc-trm show 007bbfb7 --out task.svg
      arc-trm show 007bbfb7 --trace
      arc-trm show 007bbfb7 --trace --out trace.gif
    """
    from arc_trm.viz.show import show_run_in, show_task_in

    if what is None or os.path.isdir(what):
        if data or predictions or trace:
            raise UserError("--data, --predictions and --trace go with a task: name one")
        show_run_in(Path(what) if what else None, out)
    elif os.path.isfile(what):
        raise UserError(
            f"{what} is a file, expected a task id or a run folder: name a task, and the file with "
            f"{_option_for(Path(what))}"
        )
    elif note := show_task_in(what, data, predictions, trace, out):
        print_note(note)
    if out is not None:
        print_lines(f"Wrote {out}")


def _option_for(path: Path) -> str:
    """Return the option that takes a file, `--data FILE` or `--predictions FILE`."""
    kind = file_kind(path)
    return f"{'--data' if kind and kind.holds == 'tasks' else '--predictions'} {path}"
