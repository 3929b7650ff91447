"""`arc-trm pull`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import NAME, json_option, output, path_option


@click.command()
@click.argument("weights", type=NAME, required=False, metavar="WEIGHTS")
@click.option("--list", "listing", is_flag=True, help="Show the published weights that are known.")
@path_option(
    "--out",
    "New folder to copy the weights into, for a Kaggle dataset for example; default: none.",
    "FOLDER",
)
@json_option
def pull(weights: str | None, listing: bool, out: Path | None, as_json: bool) -> None:
    """Download weights from the Hugging Face Hub.

    WEIGHTS is owner/name[@revision][:subfolder]. An interrupted download is resumed. Weights in the
    format of the published trainer are converted. Prints the folder, the name that means this very
    commit, and what the weights are for. Everything is kept in the Hub's own cache (HF_HOME), so
    that `arc-trm predict WEIGHTS` works without network afterwards. HF_TOKEN, HF_ENDPOINT and
    HF_HUB_OFFLINE are respected.

    \b
    Examples:
      arc-trm pull --list
      arc-trm pull arcprize/trm_arc_prize_verification:arc_v2_public
      arc-trm pull owner/name@v1.0 --out kaggle-weights
    """
    from arc_trm.checkpoint import WeightsDir
    from arc_trm.errors import UserError, format_value
    from arc_trm.hub import parse_repo_id, pull_weights
    from arc_trm.hub.known_weights import describe_known_weights, known_weights
    from arc_trm.viz.progress import show_progress

    if listing:
        if weights is not None or out is not None:
            raise UserError("--list shows all known weights: leave out WEIGHTS and --out")
        known = known_weights()
        listed = {"weights": [each.to_dict() for each in known]}
        output(listed, describe_known_weights(known), as_json)
        return
    if weights is None:
        raise UserError("name the WEIGHTS to download: `arc-trm pull --list` shows known ones")
    repo_id = parse_repo_id(weights)
    if repo_id is None:
        raise UserError(
            f"{format_value(weights)} names no repository on the Hugging Face Hub: write "
            "owner/name[@revision][:subfolder]; `arc-trm pull --list` shows known ones"
        )
    with show_progress("downloading") as callback:
        result = pull_weights(repo_id, out, note=callback.note, progress=callback.stage)
    about = WeightsDir(result.folder).description
    record = {
        "folder": str(result.folder),
        "weights": str(result.repo_id),
        "about": about.to_dict(),
    }
    output(record, [str(result.folder), str(result.repo_id), *about.lines()], as_json)
