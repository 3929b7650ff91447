"""`arc-trm data identifiers`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import WholeNumber, json_option, output, path_option
from arc_trm.errors import UserError, format_value
from arc_trm.io import check_new_file


@click.command("identifiers")
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    required=True,
    metavar="NAME=DATA",
    help="A subset and its tasks; repeat in the order of the published builder.",
)
@click.option(
    "--augmentations",
    type=WholeNumber(0, 100_000),
    metavar="N",
    default=1000,
    help="Augmentations per task.",
)
@click.option(
    "--seed",
    type=WholeNumber(0, 2**32 - 1),
    metavar="N",
    default=42,
    help="Random seed; the published builder has 42.",
)
@path_option("--out", "File to write.", required=True)
@json_option
def identifiers(
    subsets: tuple[str, ...], augmentations: int, seed: int, out: Path, as_json: bool
) -> None:
    """Rebuild the puzzle ids of a published dataset.

    They say which puzzle has which row of a published puzzle embedding, as an identifiers.json.

    \b
    Examples:
      arc-trm data identifiers --subset training=arc-agi-1/training \\
        --subset evaluation=arc-agi-1/evaluation --augmentations 10 --out identifiers.json
      arc-trm data identifiers --subset mine=my_challenges.json --out identifiers.json
    """
    from arc_trm.checkpoint.published_ids import rebuild_published_ids, write_published_ids
    from arc_trm.data.loader import load_tasks
    from arc_trm.puzzles import kind_of
    from arc_trm.viz.progress import show_progress

    check_new_file(out)
    tasks = [load_tasks(data) for data in _parse_subsets(subsets).values()]
    for each in tasks:
        if not kind_of(each).embeds_tasks:
            raise UserError(
                f"{each.name} holds {kind_of(each).title}, without puzzle ids of its own: "
                "name ARC tasks"
            )
    with show_progress("augmenting tasks") as callback:
        names = rebuild_published_ids(tasks, augmentations, seed, callback.progress)
    digest = write_published_ids(out, names)
    record = {"file": str(out), "puzzle_ids": len(names), "sha256": digest}
    output(record, [f"{out}: {len(names):,} puzzle ids, SHA-256 {digest}"], as_json)


def _parse_subsets(subsets: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for subset in subsets:
        name, equals, data = subset.partition("=")
        if not (name and equals and data):
            raise UserError(f"--subset takes NAME=DATA, got {format_value(subset)}")
        if name in named:
            raise UserError(f"--subset names {format_value(name)} twice")
        named[name] = data
    return named
