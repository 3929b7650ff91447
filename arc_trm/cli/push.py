"""`arc-trm push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arc_trm.cli.options import NAME, PATH, checkpoint_option, json_option, output


@click.command()
@click.argument("weights", type=PATH)
@click.argument("repository", type=NAME, metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make a new repository private, refuse a public one.")
@click.option(
    "--licence",
    metavar="ID",
    help="Of the weights, as the Hub spells it: apache-2.0, mit, ...; default: none is stated.",
)
@checkpoint_option
@json_option
def push(weights: Path, repository: str, as_json: bool, **options: Any) -> None:
    """Upload weights, with a model card, to the Hugging Face Hub.

    WEIGHTS is a run or weights folder. The card says on what it was trained, how, and what it
    scores; a README.md in the folder is used instead. Neither run.json nor any path of this machine
    is uploaded. Needs the token of an account that may write there, in HF_TOKEN or by
    `hf auth login`. Prints the page, and the name that means this very commit.

    \b
    Examples:
      arc-trm push runs/arc2 owner/name --licence apache-2.0
      arc-trm push runs/arc2 owner/name --private
    """
    from arc_trm.hub import push_weights
    from arc_trm.viz.progress import show_progress

    with show_progress("uploading") as callback:
        result = push_weights(
            weights, repository, **options, note=callback.note, progress=callback.stage
        )
    record = {"url": result.url, "weights": str(result.repo_id)}
    output(record, [result.url, str(result.repo_id)], as_json)
