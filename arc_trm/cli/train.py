"""`arc-trm train`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from arc_trm.cli.output import Bar, bar

LATEST = Path("")
# Options that make a new run's config, and the names of their parameters.
_CONFIGURING = {
    "--preset": "preset",
    "--config": "config_file",
    "--set": "overrides",
    "--seed": "seed",
    "--out": "out",
}


@click.command()
@click.option("--preset", default="quickstart", show_default=True, help="Named config to start of.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML file that changes the preset.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--seed", type=click.IntRange(0), help="The same as --set seed=N.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/DATE-NAME.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value="",
    help="Go on with this run, or with the latest one if no folder is named.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the path.")
def train(
    preset: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    resume: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Train a model. Without arguments: 25 real ARC tasks on a CPU, in minutes.

    \b
    Examples:
      arc-trm train
      arc-trm train --preset arc-agi-1 --set train.global_batch_size=64
      arc-trm train --resume
      torchrun --nproc-per-node 4 -m arc_trm train --preset arc-agi-2 --out runs/arc2
    """
    from arc_trm import runs
    from arc_trm.config import load_config
    from arc_trm.errors import UserError

    folder = out
    if resume is not None:
        context = click.get_current_context()
        given = [
            option
            for option, name in _CONFIGURING.items()
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        if given:
            raise UserError(
                f"--resume goes on with the config in the run folder: leave out {', '.join(given)}"
            )
        folder = resume if resume != LATEST else runs.latest_run()
        config = runs.run_config(folder)
    else:
        if seed is not None:
            overrides = (*overrides, f"seed={seed}")
        config = load_config(preset, config_file, overrides)

    from arc_trm.device import pick_device
    from arc_trm.train.job import Progress, Reporter
    from arc_trm.train.job import train as run_training

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

    with bar("training") as drawn:
        outcome = run_training(
            config, pick_device(device), folder, resume is not None, Drawn(drawn)
        )
    if as_json:
        told = {"run": str(outcome.run), "step": outcome.step, "total_steps": outcome.total}
        click.echo(json.dumps(told))
    elif not outcome.interrupted:
        click.echo(outcome.run)
    if outcome.interrupted:
        click.echo(
            f"stopped at step {outcome.step} of {outcome.total}, saved; go on with "
            f"`arc-trm train --resume {outcome.run}`",
            err=True,
        )
        sys.exit(130)
