"""`arc-trm bench`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    WholeNumber,
    config_option,
    device_options,
    json_option,
    path_option,
    print_lines,
    set_option,
)
from arc_trm.config.schema import MAX_BATCH_SIZE
from arc_trm.errors import UserError

BENCHMARKS = ("train", "adapt", "predict", "data", "scaling", "files", "busy")


@click.command()
@click.argument("what", type=click.Choice(BENCHMARKS))
@click.option(
    "--preset",
    metavar="NAME",
    help="Named config to measure; default: arc-agi-1, of `adapt` adapt-arc-agi-2, of `busy` "
    "quickstart.",
)
@set_option
@click.option(
    "--batch-size",
    type=WholeNumber(1, MAX_BATCH_SIZE),
    metavar="N",
    help="Examples or queries in a step; default: the preset's.",
)
@device_options
@config_option
@path_option("--out", "Picture of `scaling`; default: scaling.svg.")
@json_option
def bench(
    what: str,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    batch_size: int | None,
    device: str,
    compiled: bool | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how fast this machine is: how long will my run take?

    Measures steps as a real run does them, against the rate of a large matrix product, and the cost
    of each part of a step; `scaling` draws how the time of a step grows. `adapt` measures both
    phases of adapting, and prediction, and computes both for the GPUs of Kaggle and an H100.
    `files` measures the commands that read large files, of 10 000 tasks, 419 000 predictions and a
    million Sudokus. `busy` measures training steps on the CPU alone and beside processes that keep
    all cores busy. The last line is one JSON object.

    \b
    Examples:
      arc-trm bench train
      arc-trm bench adapt --set 'data.test=["challenges.json"]'
      arc-trm bench predict --preset arc-agi-2 --set model.canvas=bucketed
      arc-trm bench scaling --out scaling.svg
      arc-trm bench files
      arc-trm bench busy --preset sudoku-quick
      arc-trm --nproc-per-node gpu bench train --preset arc-agi-1
    """
    from arc_trm.benchmarks import run_benchmark
    from arc_trm.config import load_config
    from arc_trm.viz.progress import is_main_process, show_progress

    default = {"adapt": "adapt-arc-agi-2", "busy": "quickstart"}.get(what, "arc-agi-1")
    settings = load_config(preset or default, config, overrides)
    if what == "files" and (preset or config or overrides):
        raise UserError("`bench files` measures no model: leave out --preset, --config and --set")
    if out is not None and what != "scaling":
        raise UserError(f"`bench {what}` writes no picture: leave out --out")
    picture = out or Path("scaling.svg")
    with show_progress("measuring") as callback:
        result = run_benchmark(what, settings, device, batch_size, compiled, picture, callback)
    if is_main_process():
        lines = [] if as_json else result.lines()
        print_lines(*lines, result.to_json())
