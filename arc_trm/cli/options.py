"""What the commands that make a run have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from arc_trm import runs
from arc_trm.cli.progress import Bar, bar, is_main
from arc_trm.errors import UserError
from arc_trm.time_limit import STARTED

if TYPE_CHECKING:
    from arc_trm.config import RunConfig

LATEST = Path("")
Command = Callable[..., Any]

# Options of both commands that make a new run's config, and the names of their parameters.
CONFIGURING = {
    "--preset": "preset",
    "--config": "config_file",
    "--set": "overrides",
    "--seed": "seed",
    "--out": "out",
}


def device_options() -> tuple[Callable[[Command], Command], ...]:
    """Where to compute, and how."""
    return (
        click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu."),
        click.option(
            "--compile/--no-compile",
            "compiled",
            default=None,
            help="Use torch.compile; default: on GPUs that it was made for.",
        ),
    )


def given(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Gives a command options, in this order."""

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def run_options(preset: str) -> Callable[[Command], Command]:
    """Gives a command the options of a run; `preset` is what it starts of unless told otherwise."""
    path = click.Path(path_type=Path)
    return given(
        click.option(
            "--preset", default=preset, show_default=True, help="Named config to start of."
        ),
        click.option(
            "--config", "config_file", type=path, help="TOML file that changes the preset."
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting."
        ),
        click.option("--seed", type=click.IntRange(0), help="The same as --set seed=N."),
        click.option("--out", type=path, help="Run folder; default runs/DATE-NAME."),
        click.option(
            "--resume",
            type=path,
            is_flag=False,
            flag_value="",
            help="Go on with this run, or with the latest one if no folder is named.",
        ),
        *device_options(),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object instead of the path."
        ),
    )


def resumed_run(
    resume: Path, adapts: bool, more: dict[str, str] | None = None
) -> tuple[Path, RunConfig]:
    """The run that --resume means and its config.

    Raises UserError if one of CONFIGURING or of `more` options, which make a new run, was given
    too, or the run is of the other command.
    """
    context = click.get_current_context()
    given = [
        option
        for option, name in {**(more or {}), **CONFIGURING}.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UserError(
            f"--resume goes on with the config in the run folder: leave out {', '.join(given)}"
        )
    folder = resume if resume != LATEST else runs.latest_run()
    config = runs.run_config(folder)
    if (config.adapt is not None) != adapts:
        other = "adapt" if config.adapt is not None else "train"
        raise UserError(f"{folder} is a run of the other kind: `arc-trm {other} --resume {folder}`")
    return folder, config


def finish(
    config: RunConfig,
    folder: Path | None,
    resume: bool,
    device: str,
    compiled: bool | None,
    as_json: bool,
    command: str,
) -> None:
    """Train to the end, draw the progress, say what came of it; exits if it was interrupted."""
    from arc_trm.device import pick_device
    from arc_trm.training.loop import Progress, Reporter, train

    class Drawn(Reporter):
        def __init__(self, drawn: Bar) -> None:
            self.note = drawn.note  # type: ignore[method-assign]
            self.bar = drawn

        def progress(self, progress: Progress) -> None:
            status = None
            if progress.record is not None:
                record = progress.record
                status = f"loss {record['lm_loss']:.3f}"
                if "exact_accuracy" in record:
                    status += f", exact {record['exact_accuracy']:.1%}"
            self.bar.update(progress.step, progress.total, status)

    with bar(f"{command}ing") as drawn:
        place = pick_device(device)
        outcome = train(config, place, folder, resume, Drawn(drawn), STARTED, compiled)
    if not is_main():
        sys.exit(130 if outcome.interrupted else 0)
    if as_json:
        told = {"run": str(outcome.run), "step": outcome.step, "total_steps": outcome.total}
        click.echo(json.dumps(told))
    elif not outcome.interrupted:
        click.echo(outcome.run)
    if outcome.interrupted:
        click.echo(
            f"stopped at step {outcome.step}, saved; go on with "
            f"`arc-trm {command} --resume {outcome.run}`",
            err=True,
        )
        sys.exit(130)
