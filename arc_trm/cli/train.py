"""`arc-trm train`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.running import finish, resume_option, resumed_run

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
@resume_option
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
    from arc_trm.config import load_config
    from arc_trm.errors import UserError

    folder = out
    if resume is not None:
        folder, config = resumed_run(resume, _CONFIGURING, adapts=False)
    else:
        if seed is not None:
            overrides = (*overrides, f"seed={seed}")
        config = load_config(preset, config_file, overrides)
        if config.adapt is not None:
            raise UserError(
                f"preset {preset!r} adapts weights: `arc-trm adapt --weights WEIGHTS --data DATA "
                f"--preset {preset}`"
            )
    finish(config, folder, resume is not None, device, as_json, "train")
