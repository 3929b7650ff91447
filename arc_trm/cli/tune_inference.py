"""`arc-trm tune-inference`."""

from __future__ import annotations

import sys
from typing import Any

import click

from arc_trm.cli.options import (
    WholeNumber,
    checkpoint_option,
    data_option,
    device_options,
    json_option,
    output,
    print_note,
    skip_invalid_option,
    time_limit_option_with,
    weights_argument,
)
from arc_trm.config.schema import MAX_AUGMENTATIONS, MAX_INT
from arc_trm.errors import quote_path
from arc_trm.pipeline import TUNING_TIME
from arc_trm.runs import is_run
from submission.process import BY_SIGNAL


@click.command("tune-inference")
@weights_argument
@data_option("Held-out puzzles with known outputs; default: the run's own for validation.")
@time_limit_option_with(TUNING_TIME)
@click.option(
    "--augmentations",
    type=WholeNumber(0, MAX_AUGMENTATIONS),
    metavar="N",
    help="Number that vote, besides the task itself; default: all that were trained.",
)
@click.option(
    "--seed",
    type=WholeNumber(0, MAX_INT),
    default=0,
    metavar="N",
    help="Seed of the choice of puzzles and of noise.",
)
@checkpoint_option
@skip_invalid_option
@device_options
@json_option
def tune_inference(as_json: bool, **options: Any) -> None:
    """Find good settings for predicting, and make them the default.

    Tries supervision steps, noise, samples and views on held-out puzzles, all settings on the same
    random ones, as many as the time allows. The cheapest setting whose accuracy is within one
    standard error of the best one is written into the weights folder as inference.json. `predict`
    without an option from --samples to --seed then uses it.

    Puzzles that were trained on, or that the run predicts, are refused: a score on puzzles by which
    settings were chosen is too high. WEIGHTS is a run or a weights folder; default: the latest run.

    Ctrl-C or the time limit ends the search, and what was measured until then decides.

    \b
    Examples:
      arc-trm tune-inference
      arc-trm tune-inference runs/sudoku --data validation.csv
      arc-trm tune-inference runs/sudoku --data validation.csv --time-limit 1h
    """
    from arc_trm import pipeline

    result = pipeline.tune_inference(**options, show_progress=True)
    for sentence in result.notes():
        print_note(sentence)
    lines = [*result.lines(), "", f"chosen: {result.reason}", str(result.file)]
    output(result.to_dict(), lines, as_json)
    assert result.file is not None
    folder = result.file.parent
    data = "" if is_run(folder) else " --data DATA"
    print_note(f"next: `arc-trm predict {quote_path(folder)}{data}` uses this setting")
    if result.stopped_by is not None:
        sys.exit(BY_SIGNAL + result.stopped_by)
