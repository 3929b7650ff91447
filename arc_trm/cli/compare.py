"""`arc-trm compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from arc_trm.cli.options import PATH, json_option, output, path_option, print_lines


@click.command()
@click.argument("runs", nargs=-1, type=PATH, metavar="RUN RUN...")
@click.option(
    "--metric",
    metavar="KEY",
    help="Compare by this key of metrics.jsonl, such as eval/valid; default: see above.",
)
@click.option(
    "--x",
    type=click.Choice(("step", "seconds")),
    default="step",
    help="Draw the picture over steps or over the time of training.",
)
@path_option("--out", "Also write a picture of the curves, .svg or .png; default: print only.")
@json_option
def compare(
    runs: tuple[Path, ...],
    metric: str | None,
    x: Literal["step", "seconds"],
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare how runs went: what differs, and how good they became.

    RUN is a run folder; runs that still train can be compared, too. The metric is eval/pass_at_2
    or eval/exact of the evaluations while they trained, the best one of each run, or
    train/exact_of_halted if they were not evaluated; the picture has the loss, too.

    Runs that differ in nothing but the seed are taken together: their mean and range. Where the
    ranges of two settings overlap, there is no clear difference. All are compared with the first.
    Best values are of puzzles that chose them; `arc-trm score` says what weights are worth.

    \b
    Examples:
      arc-trm compare runs/before runs/after
      arc-trm compare runs/adam-* runs/muon-* --out curves.svg
      arc-trm compare runs/a runs/b --metric train/lm_loss --x seconds --out loss.png
    """
    from arc_trm.viz.compare import compare_runs
    from arc_trm.viz.svg import check_ending, save
    from arc_trm.viz.terminal import Terminal, show_comparison

    if out is not None:
        check_ending(out)
    comparison = compare_runs(runs, metric, x)
    if out is not None:
        save(comparison.draw(), out)
    if as_json:
        output(comparison.to_json(), [], as_json)
        return
    show_comparison(Terminal(), comparison)
    if out is not None:
        print_lines(f"Wrote {out}")
