"""`arc-trm train`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import finish, resumed_run, run_options


@click.command()
@click.option("--skip-invalid", is_flag=True, help="Leave out bad rows of CSV files of puzzles.")
@run_options("quickstart")
def train(
    skip_invalid: bool,
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
    """Train a model. Without arguments: 25 real ARC tasks on a CPU, in minutes.

    \b
    Examples:
      arc-trm train
      arc-trm train --preset arc-agi-1 --set train.global_batch_size=64
      arc-trm train --preset sudoku-quick
      arc-trm train --resume
      torchrun --nproc-per-node 4 -m arc_trm train --preset arc-agi-2 --out runs/arc2
    """
    from arc_trm.config import load_config
    from arc_trm.errors import UserError

    folder = out
    if resume is not None:
        folder, config = resumed_run(resume, adapts=False, more={"--skip-invalid": "skip_invalid"})
    else:
        if seed is not None:
            overrides = (*overrides, f"seed={seed}")
        if skip_invalid:
            overrides = (*overrides, "data.skip_invalid=true")
        config = load_config(preset, config_file, overrides)
        if config.adapt is not None:
            raise UserError(
                f"preset {preset!r} adapts weights: `arc-trm adapt --weights WEIGHTS --data DATA "
                f"--preset {preset}`"
            )
    finish(config, folder, resume is not None, device, compiled, as_json, "train")
