"""`arc-trm data identifiers`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from arc_trm.checkpoint.published_ids import rebuild_published_ids, write_published_ids
from arc_trm.cli.progress import bar
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError, suggestion
from arc_trm.evaluation.source import only_arc


@click.command("identifiers")
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    required=True,
    metavar="NAME=DATA",
    help="A subset and its tasks; repeat in the order of the published builder.",
)
@click.option("--test", metavar="NAME", help="The subset whose test pairs are predicted.")
@click.option(
    "--augmentations",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Wanted for each task.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=42,
    show_default=True,
    help="Of the published builder.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def identifiers_command(
    subsets: tuple[str, ...],
    test: str | None,
    augmentations: int,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Rebuild the identifiers.json of a published set: which row is which puzzle.

    The published builder draws the same numbers whichever subset is the test one, so --test changes
    nothing but is checked.

    \b
    Examples:
      arc-trm data identifiers --subset training=arc-agi-1/training \\
        --subset evaluation=arc-agi-1/evaluation --test evaluation --augmentations 10 \\
        --out identifiers.json
      arc-trm data identifiers --subset mine=my_challenges.json --out identifiers.json
    """
    named: dict[str, str] = {}
    for subset in subsets:
        name, equals, data = subset.partition("=")
        if not (name and equals and data):
            raise UserError(f"--subset takes NAME=DATA, got {subset!r}")
        if name in named:
            raise UserError(f"--subset names {name!r} twice")
        named[name] = data
    if test is not None and test not in named:
        raise UserError(f"--test {test!r} is no --subset{suggestion(test, named)}")
    if out.exists():
        raise UserError(f"{out} already exists: name another file, or remove it")
    if not out.absolute().parent.is_dir():
        raise UserError(f"the folder of {out} does not exist: make it first")
    tasks = [load_tasks(data) for data in named.values()]
    for each in tasks:
        only_arc(each, "numbering puzzles")
    with bar("augmenting tasks") as drawn:
        names = rebuild_published_ids(tasks, augmentations, seed, drawn.update)
    digest = write_published_ids(out, names)
    if as_json:
        click.echo(json.dumps({"file": str(out), "rows": len(names), "sha256": digest}))
    else:
        click.echo(f"{out}: {len(names):,} rows, SHA-256 {digest}")
