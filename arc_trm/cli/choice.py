"""Which tasks a command is about."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm import runs
from arc_trm.cli.output import is_main
from arc_trm.data.selection import overlap_notes, predicted_tasks
from arc_trm.data.sources import load_tasks
from arc_trm.errors import UserError
from arc_trm.tasks import TaskSet


def chosen_tasks(folder: Path, data_name: str | None, otherwise: str) -> TaskSet:
    """The tasks of DATA, with a warning where the run in `folder` learnt them; else the run's own.

    Raises UserError with the sentence `otherwise` if neither is given.
    """
    if data_name is None:
        if not runs.is_run(folder):
            raise UserError(otherwise)
        return predicted_tasks(runs.run_config(folder).data)
    tasks = load_tasks(data_name)
    if runs.is_run(folder) and is_main():
        for note in overlap_notes(runs.run_config(folder).data, tasks):
            click.echo(note, err=True)
    return tasks
