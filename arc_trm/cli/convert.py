"""`arc-trm convert`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    PATH,
    checkpoint_option,
    json_option,
    output,
    path_option,
    print_note,
)
from arc_trm.errors import UserError


@click.command()
@click.argument("source", type=PATH)
@click.argument("out", type=PATH)
@path_option(
    "--arch-config",
    "Settings of the published weights; default: all_config.yaml beside the file.",
)
@path_option(
    "--identifiers",
    "identifiers.json of the dataset that the weights were trained on; with --to-published of the "
    "rows to compose; default: none.",
)
@click.option(
    "--published-set",
    metavar="NAME",
    help="The published dataset that the weights were trained on, whose ids are rebuilt; default: "
    "none.",
)
@click.option(
    "--to-published",
    is_flag=True,
    help="The other way: SOURCE is a run or weights folder, for published code to load.",
)
@checkpoint_option
@json_option
def convert(
    source: Path,
    out: Path,
    arch_config: Path | None,
    identifiers: Path | None,
    published_set: str | None,
    to_published: bool,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Convert a published weight file to a weights folder.

    SOURCE is what the published TRM or HRM trainer wrote (step_518071), OUT the folder to make. The
    file does not say which puzzle has which id: name the dataset that it was trained on
    (arc1concept-aug1000, arc2concept-aug1000, arc1-aug10, ...) or its identifiers.json. Without
    either the network alone is converted.

    \b
    Examples:
      arc-trm convert step_518071 weights --published-set arc1concept-aug1000
      arc-trm convert step_9000 weights --arch-config all_config.yaml --identifiers identifiers.json
      arc-trm convert runs/arc2 for-published-code --to-published
      arc-trm convert runs/plain table --to-published --identifiers identifiers.json
    """
    from arc_trm.checkpoint import WeightsDir, check_published_file, convert_from_published
    from arc_trm.checkpoint.published_ids import published_ids, read_published_ids
    from arc_trm.io import check_new
    from arc_trm.viz.progress import show_progress

    if to_published:
        if arch_config is not None or published_set is not None:
            raise UserError(
                "--to-published takes all from the folder, but for the --identifiers of a composed "
                "puzzle embedding: leave out the other options"
            )
        _to_published(source, out, checkpoint, identifiers, as_json)
        return
    if checkpoint is not None:
        raise UserError("--checkpoint goes with --to-published: a published file has one step")
    if identifiers is not None and published_set is not None:
        raise UserError("--identifiers and --published-set exclude each other: leave one out")
    check_published_file(source)  # before minutes go into identifiers
    check_new(out)
    ids = read_published_ids(identifiers) if identifiers is not None else None
    if published_set is not None:
        with show_progress(f"naming the puzzle ids of {published_set}, tasks") as callback:
            ids = published_ids(published_set, callback.progress)
    result = convert_from_published(source, out, arch_config=arch_config, ids=ids)
    for note in result.notes:
        print_note(note)
    about = WeightsDir(out).description
    record = {
        "folder": str(out),
        "puzzle_ids": result.num_puzzles,
        "named": result.num_named,
        "about": about.to_dict(),
    }
    line = f"{out}: {result.num_named:,} of {result.num_puzzles:,} puzzle embeddings"
    output(record, [line, *about.lines()], as_json)


def _to_published(
    folder: Path, out: Path, checkpoint: str | None, identifiers: Path | None, as_json: bool
) -> None:
    from arc_trm.checkpoint import convert_to_published
    from arc_trm.runs import find_run

    run, note = find_run(folder), print_note
    config = run.config if run else None
    file = str(convert_to_published(folder, out, config, note, checkpoint, identifiers))
    output({"file": file}, [file], as_json)
