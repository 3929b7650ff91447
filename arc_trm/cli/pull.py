"""`arc-trm pull`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import click

from arc_trm.cli.progress import Bar, bar


@click.command()
@click.argument("weights")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New folder to copy the weights into, for a Kaggle dataset for example.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def pull(weights: str, out: Path | None, as_json: bool) -> None:
    """Fetch weights from the Hugging Face Hub; what broke off before goes on where it was.

    WEIGHTS is owner/name[@revision][:subfolder]. Weights in the format of the published trainer are
    converted. Prints the folder, and the reference that means this very commit for good.
    Everything is kept in the Hub's own cache (HF_HOME), so that `arc-trm predict WEIGHTS` works
    without network afterwards. HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.

    \b
    Examples:
      arc-trm pull arcprize/trm_arc_prize_verification:arc_v1_public
      arc-trm pull owner/name@v1.0 --out kaggle-weights
    """
    from arc_trm.errors import UserError
    from arc_trm.hub import parse
    from arc_trm.hub import pull as pull_weights

    reference = parse(weights)
    if reference is None:
        raise UserError(
            f"{weights!r} names no repository on the Hugging Face Hub: write "
            "owner/name[@revision][:subfolder]"
        )
    with Phases() as phases:
        pulled = pull_weights(reference, out, note=phases.note, progress=phases.progress)
    if as_json:
        told = {"folder": str(pulled.folder), "weights": str(pulled.reference)}
        click.echo(json.dumps(told))
    else:
        click.echo(f"{pulled.folder}\n{pulled.reference}")


def weight_folder(weights: str) -> Path:
    """The local folder of WEIGHTS, pulled if it is a Hub reference; says which commit it is."""
    folder = Path(weights)
    if folder.exists():  # without what the Hub needs
        return folder
    from arc_trm.hub import resolve

    with Phases() as phases:
        return resolve(weights, note=phases.note, progress=phases.progress)


class Phases(ExitStack):
    """Draws a bar for each thing that is being done, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._what, self._done = "", 0
        self._bar: Bar | None = None

    def progress(self, what: str, done: int, total: int) -> None:
        if self._bar is None or what != self._what:
            self.close()
            self._what = what
            self._bar = self.enter_context(bar(what, in_bytes=what != "naming rows"))
        elif done == self._done:
            return  # a plain line that says the whole is done comes once
        self._done = done
        self._bar.update(done, total)

    def note(self, sentence: str) -> None:
        if self._bar is not None:
            self._bar.note(sentence)  # which would be drawn over otherwise
        else:
            click.echo(sentence, err=True)
