"""`arc-trm adapt`."""

from __future__ import annotations

from typing import Any

import click

from arc_trm.cli.options import (
    NAME,
    checkpoint_option,
    data_option,
    json_option,
    run_options,
    skip_invalid_option,
    weights_argument,
)
from arc_trm.cli.run_command import run_command


@click.command()
@weights_argument
@data_option("Tasks to adapt to; no default, needed for a new run.")
@click.option(
    "--preset",
    type=NAME,
    metavar="NAME",
    default="adapt-arc-agi-2",
    help="Named config to start from: adapt-arc-agi-2 or adapt-long.",
)
@run_options
@checkpoint_option
@skip_invalid_option
@json_option
def adapt(as_json: bool, **settings: Any) -> None:
    """Adapt pretrained weights to new tasks by their demonstrations.

    Every augmented task (a task, if the puzzle embedding is composed) gets a new puzzle embedding,
    the mean of the pretrained ones. The embedding is trained first, then all weights. Test outputs
    are never used. The run folder holds valid weights from the start. WEIGHTS is a run, a weights
    folder or a Hub repository; default: the latest run.

    \b
    Examples:
      arc-trm adapt weights --data arc-agi_test_challenges.json --time-limit 3h
      arc-trm adapt weights --data challenges.json --preset adapt-long --out runs/new
      arc-trm adapt --resume runs/new
      arc-trm --nproc-per-node gpu adapt W --data C --out runs/new
    """
    from arc_trm import pipeline

    run_command(pipeline.adapt, settings, as_json)
