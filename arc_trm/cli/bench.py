"""`arc-trm bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
from arc_trm.errors import UserError, format_value

if TYPE_CHECKING:
    from arc_trm.benchmarks import Setting

BENCHMARKS = ("train", "adapt", "predict", "data", "scaling", "kernels", "files", "busy")


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
    help="Examples or queries in a step; default: the preset's, or less on a CPU or Apple GPU.",
)
@click.option(
    "--with",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Of `train` and `predict`: compare with this change, a key of --set, compile or "
    "batch_size; can be repeated; default: no comparison.",
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
    changes: tuple[str, ...],
    device: str,
    compiled: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how fast this machine is: how long will my run take?

    `train` and `predict` measure steps as a real run does them, against the rate of a large matrix
    product, and the cost of each part of a step. With --with, two settings take blocks of steps by
    turns, and the ratio of their rates is printed with its spread. `scaling` draws how the time of
    a step grows. `adapt` measures both phases of adapting, and prediction, and computes both for
    the GPUs of Kaggle and an H100. `data` measures how many training examples a second one process
    makes, and all the processes that a run on a GPU would have here. `files` measures the commands
    that read large files, of 10 000 tasks, 416 000 predictions and a million Sudokus. `kernels`
    measures single operations of a block by the kernels that this machine uses and by PyTorch.
    `busy` measures training steps on the CPU alone and beside processes that keep all cores busy.
    The last line is one JSON object.

    \b
    Examples:
      arc-trm bench train
      arc-trm bench train --with model.canvas=bucketed
      arc-trm bench predict --batch-size 64 --with batch_size=128 --with compile=true
      arc-trm bench adapt --set 'data.test=["challenges.json"]'
      arc-trm bench predict --preset arc-agi-2 --set model.canvas=bucketed
      arc-trm bench scaling --out scaling.svg
      arc-trm bench data --preset sudoku-gpu
      arc-trm bench kernels --preset sudoku-gpu
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
    other = _changed(preset or default, config, overrides, batch_size, compiled, changes)
    if out is not None and what != "scaling":
        raise UserError(f"`bench {what}` writes no picture: leave out --out")
    picture = out or Path("scaling.svg")
    with show_progress("measuring") as console:
        callback = console if is_main_process() else None
        result = run_benchmark(
            what, settings, device, batch_size, compiled, picture, callback, other
        )
    if is_main_process():
        lines = [] if as_json else result.lines()
        print_lines(*lines, result.to_json())


def _changed(
    preset: str,
    config: Path | None,
    overrides: tuple[str, ...],
    batch_size: int | None,
    compiled: bool,
    changes: tuple[str, ...],
) -> Setting | None:
    """Return the settings with the changes of --with, None without any."""
    from arc_trm.benchmarks import Setting
    from arc_trm.config import load_config

    if not changes:
        return None
    keys, changed = [], set[str]()
    for change in changes:
        key, equals, value = change.partition("=")
        if not (key.strip() and equals):
            raise UserError(f"--with takes KEY=VALUE, got {format_value(change)}")
        if key in changed:
            raise UserError(
                f"--with changes {format_value(key)} twice, but two settings are compared: "
                "leave one out"
            )
        changed.add(key)
        if key == "batch_size":
            if not (value.isascii() and value.isdecimal() and len(value) < 10) or not (
                1 <= int(value) <= MAX_BATCH_SIZE
            ):
                raise UserError(
                    f"--with {format_value(change)} is no batch size: write batch_size=N with a "
                    f"whole number from 1 to {MAX_BATCH_SIZE}"
                )
            batch_size = int(value)
        elif key == "compile":
            if value not in ("true", "false"):
                raise UserError(
                    f"--with {format_value(change)} is neither: write compile=true or compile=false"
                )
            compiled = value == "true"
        else:
            keys.append(change)
    settings = load_config(preset, config, (*overrides, *keys))
    return Setting(" ".join(changes), settings, batch_size, compiled)
