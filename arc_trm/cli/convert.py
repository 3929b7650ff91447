"""`arc-trm convert`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arc_trm.cli.progress import bar


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings of the published weights; default: all_config.yaml beside the file.",
)
@click.option(
    "--identifiers",
    "identifiers_file",
    type=click.Path(path_type=Path),
    help="identifiers.json of the set that the weights were trained on.",
)
@click.option(
    "--set",
    "set_name",
    metavar="NAME",
    help="The published set that the weights were trained on, whose identifiers are rebuilt.",
)
@click.option(
    "--to-published",
    is_flag=True,
    help="The other way: SOURCE is a run or weight folder, for published code to load.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(
    source: Path,
    out: Path,
    config: Path | None,
    identifiers_file: Path | None,
    set_name: str | None,
    to_published: bool,
    as_json: bool,
) -> None:
    """Make a weight folder out of a published weight file.

    SOURCE is what the published TRM or HRM trainer wrote (step_518071), OUT the folder to make.
    The file does not say which puzzle a row of its table is for: name the set it was trained on
    (arc1concept-aug1000, arc2concept-aug1000, arc1-aug10, ...) or give its identifiers.json.
    Without either the network alone is converted.

    \b
    Examples:
      arc-trm convert step_518071 weights --set arc1concept-aug1000
      arc-trm convert step_9000 weights --config all_config.yaml --identifiers identifiers.json
      arc-trm convert runs/arc2 for-published-code --to-published
    """
    from arc_trm.errors import UserError

    if to_published:
        if any(given is not None for given in (config, identifiers_file, set_name)):
            raise UserError("--to-published takes all from the folder: leave out the other options")
        _convert_back(source, out, as_json)
        return
    if identifiers_file is not None and set_name is not None:
        raise UserError("--identifiers and --set both name the rows: give one of them")

    from arc_trm import checkpoint
    from arc_trm.checkpoint.published_ids import published_ids, read_published_ids
    from arc_trm.io import check_new

    if not source.is_file():  # before minutes go into identifiers
        raise UserError(f"{source} is not a file: SOURCE is what the published trainer wrote")
    check_new(out)
    identifiers = read_published_ids(identifiers_file) if identifiers_file is not None else None
    if set_name is not None:
        with bar(f"naming the rows of {set_name}, tasks") as drawn:
            identifiers = published_ids(set_name, drawn.update)
    converted = checkpoint.convert(source, out, config=config, identifiers=identifiers)
    for note in converted.notes:
        click.echo(note, err=True)
    if as_json:
        told = {"folder": str(out), "rows": converted.rows, "named_rows": converted.named}
        click.echo(json.dumps(told))
    else:
        click.echo(f"{out}: {converted.named:,} of {converted.rows:,} puzzle rows")


def _convert_back(folder: Path, out: Path, as_json: bool) -> None:
    from arc_trm import checkpoint, runs

    run = runs.run_config(folder) if runs.is_run(folder) else None
    file = checkpoint.convert_back(folder, out, run)
    click.echo(json.dumps({"file": str(file)}) if as_json else str(file))
