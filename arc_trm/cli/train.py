"""`arc-trm train`."""

from __future__ import annotations

from typing import Any

import click

from arc_trm.cli.options import NAME, data_option, json_option, run_options, skip_invalid_option
from arc_trm.cli.run_command import run_command


@click.command()
@click.option(
    "--preset", type=NAME, metavar="NAME", help="Named config to start from; default: quickstart."
)
@data_option("Train on these tasks; default: the preset's.")
@run_options
@skip_invalid_option
@json_option
def train(as_json: bool, **settings: Any) -> None:
    """Train a model. Without arguments: 25 real ARC tasks on a CPU, in minutes.

    With --data and no --preset the model is a small one that suits the data. Of ARC tasks only the
    demonstrations are trained on. `arc-trm presets` lists what else there is.

    \b
    Examples:
      arc-trm train
      arc-trm train --data challenges.json --max-steps 500 --time-limit 20m
      arc-trm train --preset arc-agi-1 --set train.global_batch_size=64
      arc-trm train --resume
      arc-trm --nproc-per-node gpu train --preset arc-agi-2 --out runs/arc2
    """
    from arc_trm import pipeline

    run_command(pipeline.train, settings, as_json)
