"""`arc-trm push`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arc_trm.cli.pull import Phases


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option(
    "--private", is_flag=True, help="Make a new repository private, refuse one that is not."
)
@click.option(
    "--licence", metavar="ID", help="Of the weights, as the Hub spells it: apache-2.0, mit, ..."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def push(run: Path, repository: str, private: bool, licence: str | None, as_json: bool) -> None:
    """Upload the weights of a run, with a model card, to the Hugging Face Hub.

    RUN is a run or weight folder. The card says what was learnt, how, and what it scores under all
    three denominators; a README.md in the folder is taken instead. Neither run.json nor any path of
    this machine is uploaded. Needs the token of an account that may write there, in HF_TOKEN or by
    `hf auth login`. Prints the page, and the reference that means this very commit.

    \b
    Examples:
      arc-trm push runs/arc2 owner/name --licence apache-2.0
      arc-trm push runs/arc2 owner/name --private
    """
    from arc_trm.hub import push as push_weights

    with Phases() as phases:
        pushed = push_weights(
            run,
            repository,
            licence=licence,
            private=private,
            note=phases.note,
            progress=phases.progress,
        )
    if as_json:
        click.echo(json.dumps({"url": pushed.url, "weights": str(pushed.reference)}))
    else:
        click.echo(f"{pushed.url}\n{pushed.reference}")
