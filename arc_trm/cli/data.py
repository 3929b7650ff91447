"""`arc-trm data`: which datasets there are and what is in them."""

from __future__ import annotations

import click

from arc_trm.cli.data_convert import check, convert_data
from arc_trm.cli.data_generate import generate
from arc_trm.cli.data_identifiers import identifiers
from arc_trm.cli.data_show import list_datasets, show_dataset
from arc_trm.cli.options import NAME
from submission.cli import OrderedGroup, print_lines


@click.group(cls=OrderedGroup)
def data() -> None:
    """List, show, check, convert, fetch and generate data.

    DATA, in every command, is the name of a dataset (arc-agi-1) or of a split
    (arc-agi-1/training), or the path of a file, an archive (.zip, .tar.gz) or a folder, which is
    searched at any depth. What is in a file decides how it is read: tasks as JSON, JSON lines or
    Parquet, challenges with their solutions beside them, Sudokus and mazes as CSV or text, each
    also packed (.gz, .zst); a folder may be one in the published trainer's format. A folder with
    the name of a dataset is written ./arc-agi-1.

    \b
    Examples:
      arc-trm data list
      arc-trm data show arc-agi-1
      arc-trm data check my_challenges.json
      arc-trm data convert tasks.zip --out my_challenges.json
      arc-trm data generate sudoku --out hard.csv
      arc-trm data fetch sudoku-extreme
    """


@click.command("fetch")
@click.argument("what", type=NAME, metavar="DATA")
def fetch(what: str) -> None:
    """Download a dataset from the Hugging Face Hub.

    DATA is the name of a dataset with files there, or of one of its splits. The files go into the
    Hub's cache, where the name finds them. A download that broke off is resumed; files in the cache
    are checked again.

    \b
    Examples:
      arc-trm data fetch maze-hard
      arc-trm data fetch sudoku-extreme/test
    """
    from arc_trm.data.registry import find_manifest, unknown_name
    from arc_trm.hub import fetch_dataset
    from arc_trm.viz.progress import show_progress

    found = find_manifest(what)
    if found is None:
        raise unknown_name(what)
    manifest, split = found
    with show_progress("downloading") as callback:
        paths = fetch_dataset(manifest, manifest.chosen(split), callback.note, callback.stage)
    print_lines(*map(str, paths))


for _command in (list_datasets, show_dataset, check, convert_data, fetch, generate, identifiers):
    data.add_command(_command)
