"""What `arc-trm train` and `arc-trm adapt` share."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from arc_trm.runs import Run, latest_run
from arc_trm.viz.progress import is_main_process

INTERRUPTED = 130  # exit status, as of a program that Ctrl-C ended


def resume_path(resume: Path) -> Path:
    """Return the run that --resume means."""
    return latest_run() if resume == Path("") else resume


def finish(run: Run, command: str, as_json: bool) -> None:
    """Print the run's folder; exit with a status of its own if it was interrupted."""
    status = INTERRUPTED if run.interrupted else 0
    if not is_main_process():
        sys.exit(status)
    if as_json:
        record = {"run": str(run.path), "step": run.step, "total_steps": run.total_steps}
        click.echo(json.dumps(record))
    elif not run.interrupted:
        click.echo(run.path)
    if run.interrupted:
        click.echo(
            f"stopped at step {run.step} and saved; resume with "
            f"`arc-trm {command} --resume {run.path}`",
            err=True,
        )
        sys.exit(status)
