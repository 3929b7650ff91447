"""`arc-trm predict`."""

from __future__ import annotations

import math
import sys
from typing import Any, get_args

import click

from arc_trm.cli.options import (
    GUESSES,
    WholeNumber,
    checkpoint_option,
    data_option,
    device_options,
    inference_options,
    is_given,
    json_option,
    output,
    path_option,
    print_note,
    skip_invalid_option,
    time_limit_option,
    weights_argument,
)
from arc_trm.config import EmbeddingChoice
from arc_trm.config.schema import MAX_AUGMENTATIONS, MAX_BATCH_SIZE
from arc_trm.errors import quote_path


class _Share(click.FloatRange):
    """A number from 0 to 1; click lets one pass that is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        share = super().convert(value, param, ctx)
        if math.isnan(share):
            self.fail(f"{value} is not in the range 0<=x<=1.", param, ctx)
        return share


@click.command()
@weights_argument
@data_option("Tasks to predict; default: the run's own.")
@click.option(
    "--attempts",
    default=2,
    type=WholeNumber(1, 2),
    metavar="N",
    help="Attempts per ARC test input; 1 repeats the first, as the file holds two.",
)
@click.option(
    "--augmentations",
    type=WholeNumber(0, MAX_AUGMENTATIONS),
    metavar="N",
    help="Number that vote, besides the task itself; default: all that were trained. A composed "
    "puzzle embedding takes more than those, up to 10,000.",
)
@inference_options
@time_limit_option
@skip_invalid_option
@click.option(
    "--batch-size",
    type=WholeNumber(1, MAX_BATCH_SIZE),
    metavar="N",
    help="Augmented test inputs per batch; default: what suits the device.",
)
@click.option(
    "--canvas",
    type=click.Choice(["full", "bucketed"]),
    help="Full, or the smallest that fits each task; default: as in training.",
)
@checkpoint_option
@click.option(
    "--puzzle-embedding",
    type=click.Choice(get_args(EmbeddingChoice)),
    default="trained",
    help="Predict with another puzzle embedding, to see what it contributes.",
)
@path_option(
    "--out", "Folder for the files; default: predictions/DATA-DIGEST in the run.", "FOLDER"
)
@click.option("--fresh", is_flag=True, help="Predict everything anew, as after a changed library.")
@click.option(
    "--seal",
    is_flag=True,
    help="Also write seal.json, with digests of everything; `score --seal` verifies them.",
)
@click.option(
    "--max-guesses",
    type=_Share(0, 1),
    metavar="SHARE",
    help="Exit with status 3 if more than this share of the test inputs are guesses; default: if "
    "all are.",
)
@device_options
@json_option
def predict(attempts: int, max_guesses: float | None, as_json: bool, **options: Any) -> None:
    """Predict test inputs by all augmentations, samples and views.

    With several samples or views, a Sudoku or maze is asked again only while its answer is
    doubtful: it breaks the rule, or no copy that gave it halts. Without an option from --samples
    to --seed, weights are asked as `arc-trm tune-inference` chose, or once.

    Writes predictions.jsonl, every prediction, and for ARC submission.json, the official file,
    which is valid as soon as the weights are loaded, and improves. Other weights, data, settings or
    code get a folder of their own. The same command resumes. --seal prints a SHA-256 to publish
    before the answers are known. WEIGHTS is a run, a weights folder or
    a repository on the Hugging Face Hub, owner/name[@revision][:subfolder]; default: the latest
    run.

    The exit status is 3 if the files were written but all test inputs are guesses.

    \b
    Examples:
      arc-trm predict --attempts 2
      arc-trm predict runs/arc2 --data arc-agi_test_challenges.json --out .
      arc-trm predict arcprize/trm_arc_prize_verification:arc_v1_public \\
          --data arc-agi-1/evaluation
      arc-trm predict runs/sudoku --views 16
      arc-trm predict runs/maze --views 8 --samples 4 --noise 0.3
      arc-trm --nproc-per-node gpu predict W --data C --time-limit 2h --out .
    """
    from arc_trm import pipeline
    from arc_trm.evaluation.summary import summarise_job
    from arc_trm.viz.progress import is_main_process

    options["attempts"] = attempts if is_given("attempts") else None  # the kind's number
    predictions = pipeline.predict(**options, show_progress=True)
    job, tasks = predictions.job, predictions.tasks
    assert job is not None
    if not is_main_process():
        return
    for sentence in job.notes(tasks):
        print_note(sentence)
    summary = summarise_job(predictions)
    if summary.asked is not None:
        print_note(f"asked {summary.asked.text(summary.query_noun)}")
    about = summary.to_dict()
    lines = list(map(str, job.files.values()))
    output({**job.to_dict(tasks), "about": about}, lines, as_json)
    score = f"arc-trm score {quote_path(job.files['predictions'].parent)}"
    if "seal" in job.files:
        score += f" --seal {quote_path(job.files['seal'])}"
    print_note(f"next: `{score}`")
    if job.guessed_too_much(tasks, max_guesses):
        sys.exit(GUESSES)
