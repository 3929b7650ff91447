"""`arc-trm runs`: which runs there are, what made them and what they hold."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from arc_trm.cli.options import PATH, json_option, output, print_note
from submission.cli import OrderedGroup

MAX_RUNS = 20
"""Runs that are listed by default."""


@click.group(cls=OrderedGroup)
def runs() -> None:
    """List runs, and show what made one and what it holds.

    `arc-trm show RUN` shows how a run went: its curve, and examples of its predictions.

    \b
    Examples:
      arc-trm runs list
      arc-trm runs show runs/arc2
    """


@click.command("list")
@click.option("--all", "list_all", is_flag=True, help=f"List all; default: the last {MAX_RUNS}.")
@json_option
def list_command(list_all: bool, as_json: bool) -> None:
    """List runs, the one that was started or resumed last first.

    Those in `runs` in the current folder are listed, and all others of this user that are still
    where they were made. A run is complete if it has reached its last step, or its time limit.

    BEST is the best evaluation while the run was trained, with its step. EXACT OF HALTED is of
    training examples, a running mean, so it says nothing about unseen puzzles. A terminal shows
    what fits its width; written to a file or a pipe, lines are whole.

    \b
    Examples:
      arc-trm runs list
      arc-trm runs list --json
    """
    from arc_trm.viz.run_summary import COLUMNS, format_table, list_runs

    found, total = list_runs(None if list_all else MAX_RUNS)
    lines = format_table([COLUMNS, *(each.row() for each in found)]) if found else []
    if total > len(found):
        lines.append(f"and {total - len(found)} earlier ones: --all lists them")
    if not total:
        lines = ["there are no runs yet: `arc-trm train` makes one"]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
    output({"runs": [each.to_dict() for each in found], "total": total}, lines, as_json)
    for each in found:
        if each.problem:
            print_note(each.problem)


@click.command("show")
@click.argument("run", required=False, type=PATH, metavar="[RUN]")
@json_option
def show_command(run: Path | None, as_json: bool) -> None:
    """Show what made a run and what it holds; default: the latest run.

    Prints its preset and what was changed in it, the code, versions, machine and command line that
    trained it, its checkpoints with their evaluations, its predictions, and its files.
    `arc-trm show RUN` draws its curve.

    \b
    Examples:
      arc-trm runs show
      arc-trm runs show runs/arc2 --json
    """
    from arc_trm.runs import latest_run
    from arc_trm.viz.run_summary import describe_run

    record, lines = describe_run(latest_run() if run is None else run)
    output(record, lines, as_json)


for _command in (list_command, show_command):
    runs.add_command(_command)
