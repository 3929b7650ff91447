"""What `arc-trm train` and `arc-trm adapt` share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from arc_trm.cli.launch import launching_command, print_end
from arc_trm.cli.options import is_given, output, print_note
from arc_trm.errors import UserError, quote_path
from arc_trm.evaluation.metrics import best_evaluation, describe_evaluation
from arc_trm.runs import RUN_CONFIG, Run, latest_run
from arc_trm.tracking import TRACKERS
from arc_trm.viz.progress import is_main_process
from submission.process import BY_SIGNAL

NOTHING_TRAINED = 3  # exit status
GO_WITH_RESUME = ("resume", "restart", "track", "device", "compiled", "as_json")
"""Parameters that are no settings of a new run."""


def run_command(job: Callable[..., Run], settings: dict[str, Any], as_json: bool) -> None:
    """Train or adapt, print the run's folder and say which command comes next.

    The exit status is that of a signal if one interrupted the run, and 3 if its time limit left no
    time for a step; the run's files are written in both cases.

    Args:
        job: `pipeline.train` or `pipeline.adapt`.
        settings: its arguments, and `track`, the names of trackers.
        as_json: print a JSON object.
    """
    if settings["resume"] is not None:
        if settings["resume"] == Path(""):  # --resume without a value
            settings["resume"] = latest_run()
        _check_resume(settings["resume"])
    trackers = list(dict.fromkeys(settings.pop("track")))
    run = job(**settings, callbacks=[TRACKERS[name]() for name in trackers], show_progress=True)
    if is_main_process():
        if as_json or not run.interrupted:
            record = {"run": str(run.path), "step": run.step, "total_steps": run.total_steps}
            best = best_evaluation(run.metrics, run.config.train.best_metric)
            if best is not None:
                print_note(
                    f"best evaluation at step {best['step']:.0f}: {describe_evaluation(best)}"
                )
            output({**record, "best": best}, [str(run.path)], as_json)
        if run.interrupted:
            options = "".join(f" --track {name}" for name in trackers)
            program, folder = launching_command(), quote_path(run.path)
            command = f"{program} {job.__name__} --resume {folder}{options}"
            print_end(f"stopped at step {run.step} and saved; resume with `{command}`")
        elif not run.out_of_time:
            print_note(f"next: `{_next_command(run)}`")
    if run.stopped_by is not None:
        sys.exit(BY_SIGNAL + run.stopped_by)
    if run.out_of_time:
        sys.exit(NOTHING_TRAINED)


def _next_command(run: Run) -> str:
    """Return the command that predicts with a run, without --data if the run has test tasks."""
    data = "" if run.config.data.test else " --data DATA"
    return f"arc-trm predict {quote_path(run.path)}{data}"


def _check_resume(run: Path) -> None:
    """Raise UserError if what is for a new run is given together with --resume."""
    given = [
        "WEIGHTS" if each.name == "weights" else each.opts[-1]
        for each in click.get_current_context().command.params
        if each.name and each.name not in GO_WITH_RESUME and is_given(each.name)
    ]
    if given:
        raise UserError(
            f"--resume takes all from {run / RUN_CONFIG}, which can be edited: leave out "
            f"{', '.join(given)}"
        )
