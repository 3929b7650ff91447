"""`arc-trm data`: which datasets there are and what is in them."""

from __future__ import annotations

import click

from arc_trm.cli.data_fetch import fetch
from arc_trm.cli.data_generate import generate
from arc_trm.cli.data_identifiers import identifiers
from arc_trm.cli.data_show import list_datasets, show_dataset


@click.group()
def data() -> None:
    """List, show, fetch and generate data.

    DATA, in every command, is the name of a dataset (arc-agi-1) or of a split
    (arc-agi-1/training), a folder of task files or in the published trainer's format, a challenges
    file, whose solutions are found beside it, a single task file, or a CSV file of Sudokus or
    mazes. A folder with the name of a dataset is written ./arc-agi-1.

    \b
    Examples:
      arc-trm data list
      arc-trm data show arc-agi-1
      arc-trm data generate sudoku --out hard.csv
      arc-trm data identifiers --subset training=arc-agi-1/training --out identifiers.json
    """


for _command in (list_datasets, show_dataset, generate, fetch, identifiers):
    data.add_command(_command)
