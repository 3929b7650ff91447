"""`arc-trm adapt`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from arc_trm.cli.options import finish, resumed_run, run_options

# What makes a new run beside the options of all runs, and the names of their parameters.
_CONFIGURING = {
    "--weights": "weights",
    "--data": "data_name",
    "--steps": "steps",
    "--time-limit": "time_limit",
}


@click.command()
@click.option("--weights", metavar="WEIGHTS", help="Pretrained weights; default: the latest run.")
@click.option("--data", "data_name", metavar="DATA", help="The new tasks.")
@click.option("--steps", type=click.IntRange(0), help="Training steps; default: the preset's.")
@click.option("--time-limit", metavar="TIME", help="3h, 90m, 45s: as many steps as fit.")
@run_options("adapt-arc-agi-2")
def adapt(
    weights: str | None,
    data_name: str | None,
    steps: int | None,
    time_limit: str | None,
    preset: str,
    config_file: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    out: Path | None,
    resume: Path | None,
    device: str,
    compiled: bool | None,
    as_json: bool,
) -> None:
    """Adapt pretrained weights to new tasks by their demonstrations.

    Every (task, augmentation) gets a new row, the mean of the pretrained ones; the rows learn
    first, then all weights. Test outputs are never looked at. The run folder holds weights from the
    start on.

    \b
    Examples:
      arc-trm adapt --weights weights --data arc-agi_test_challenges.json --time-limit 3h
      arc-trm adapt --weights weights --data challenges.json --preset adapt-long --out runs/new
      arc-trm adapt --resume runs/new
      torchrun --nproc-per-node 4 -m arc_trm adapt --weights W --data C --out runs/new
    """
    from arc_trm.config import load_config
    from arc_trm.errors import UserError

    folder = out
    if resume is not None:
        folder, config = resumed_run(resume, adapts=True, more=_CONFIGURING)
    else:
        if data_name is None:
            raise UserError("say which tasks to adapt to with --data")
        if weights is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # One of several processes might find the run that another has just made.
            raise UserError("say whose weights to adapt with --weights when several processes run")
        if steps is not None and time_limit is not None:
            raise UserError("--steps and --time-limit both say how long: leave one out")
        if seed is not None:
            overrides = (*overrides, f"seed={seed}")
        from arc_trm import runs
        from arc_trm.checkpoint import read_model_config
        from arc_trm.cli.pull import weight_folder
        from arc_trm.cli.resolve import data_tasks
        from arc_trm.data.splits import check_model_fits
        from arc_trm.evaluation.source import only_arc
        from arc_trm.time_limit import parse_duration

        limit = None if time_limit is None else parse_duration(time_limit)
        source = weight_folder(weights) if weights is not None else runs.latest_run()
        config = load_config(preset, config_file, overrides, read_model_config(source))
        assert config.adapt is not None
        for part, key, option in (
            (config.adapt, "weights", "--weights"),
            *((config.data, key, "--data") for key in ("train", "test", "optional_train")),
        ):
            if getattr(part, key):
                raise UserError(f"{key!r} in the config would not count: say it with {option}")
        if limit is None and steps is None:
            limit = config.adapt.time_limit
        tasks = data_tasks(source, data_name)  # says which of them were learnt before
        only_arc(tasks, "adapting to demonstrations")
        check_model_fits(read_model_config(source), tasks)
        if not len(tasks):
            raise UserError(f"there is no task to adapt to in {data_name!r}")
        config = replace(
            config,
            data=replace(config.data, train=(), optional_train=(), test=(data_name,)),
            adapt=replace(config.adapt, weights=str(source.resolve()), time_limit=limit),
        )
        if steps is not None or limit is not None:
            config = replace(config, epochs=None, train=replace(config.train, total_steps=steps))
    finish(config, folder, resume is not None, device, compiled, as_json, "adapt")
