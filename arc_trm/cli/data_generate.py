"""`arc-trm data generate` and `arc-trm data fetch`: Sudokus and mazes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from arc_trm.cli.progress import bar
from arc_trm.errors import UserError

HARD = {"sudoku": 10, "maze": 111}
"""The easiest rating unless told otherwise: what is hard."""


@click.command("generate")
@click.argument("kind", type=click.Choice(["sudoku", "maze"]))
@click.option("--count", type=click.IntRange(1), default=1000, show_default=True, help="Puzzles.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--side", type=int, help="Cells a side: 4, 6 or 9 (9), of a maze 2 to 30 (30).")
@click.option(
    "--easiest", type=click.IntRange(0), help="The least rating; see below for the default."
)
@click.option("--hardest", type=click.IntRange(0), help="The largest rating; default: any.")
@click.option(
    "--clues",
    type=click.IntRange(0),
    help="Of a Sudoku, take digits away until so many are left; default: as long as one can.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="CSV file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def generate_command(
    kind: str,
    count: int,
    seed: int,
    side: int | None,
    easiest: int | None,
    hardest: int | None,
    clues: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Make puzzles of a stated difficulty from a seed, all different, with their answers.

    A Sudoku has one solution; its rating is the number of digits that a backtracking solver with
    naked and hidden singles has to guess until it knows that, 0 where these suffice. A maze is
    random; its rating is the steps of a shortest path from S to G. Without --side, --easiest,
    --hardest and --clues puzzles are hard: 10 guesses or 111 steps at least; with one of them the
    ratings are those that are asked for, any if none is.

    \b
    Examples:
      arc-trm data generate sudoku --out hard.csv
      arc-trm data generate sudoku --hardest 0 --clues 36 --out easy.csv
      arc-trm data generate sudoku --side 6 --count 5000 --seed 1 --out train.csv
      arc-trm data generate maze --count 100 --out mazes.csv
    """
    from arc_trm.data.readers.csv import is_table, write_table
    from arc_trm.puzzles import BOARDS
    from arc_trm.puzzles.generate import Recipe, generated
    from submission.errors import pluralise

    if clues is not None and kind != "sudoku":
        raise UserError("--clues is for Sudokus: leave it out")
    if not is_table(out):
        raise UserError(f"{out}: the name of a file of puzzles ends in .csv")
    _check_free(out)
    folder = out.absolute().parent
    if not folder.is_dir():
        raise UserError(f"the folder of {out} does not exist: make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"nothing can be written into the folder of {out}: name another")
    if (side, easiest, hardest, clues) == (None, None, None, None):
        easiest = HARD[kind]
    recipe = Recipe(kind, count, seed, side, easiest or 0, hardest, clues or 0)
    with bar("making puzzles") as drawn:
        made = generated(recipe, drawn.update)
    ratings, cells = made.ratings, made.boards.side
    _check_free(out)  # for that took a while
    write_table(out, made.boards, f"arc-trm seed {seed}", ratings.tolist())
    unit = "guesses" if kind == "sudoku" else "steps"
    facts = {
        "file": str(out),
        "kind": kind,
        "count": len(made.boards),
        "side": cells,
        "rating": {
            "least": int(ratings.min()),
            "mean": float(ratings.mean()),
            "largest": int(ratings.max()),
        },
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{out}: {pluralise(count, f'{BOARDS[kind].title} puzzle')}, {cells}×{cells}, "
            f"{ratings.min()} to {ratings.max()} {unit}, {ratings.mean():.1f} on the mean"
        )


def _check_free(out: Path) -> None:
    if os.path.lexists(out):
        raise UserError(f"{out} already exists: name another file, or remove it")


@click.command("fetch")
@click.argument("what", metavar="DATA")
def fetch_command(what: str) -> None:
    """Fetch a dataset from the Hugging Face Hub into its cache, where its name finds it.

    DATA is the name of a dataset with files there, or of one of its splits. What broke off goes on
    where it was; what is there is checked again.

    \b
    Examples:
      arc-trm data fetch maze-hard
      arc-trm data fetch sudoku-extreme/test
    """
    from arc_trm.cli.pull import Phases
    from arc_trm.data.registry import find_manifest, unknown_name
    from arc_trm.hub import fetch_dataset

    found = find_manifest(what)
    if found is None:
        raise unknown_name(what)
    manifest, split = found
    with Phases() as phases:
        paths = fetch_dataset(manifest, manifest.chosen(split), phases.note, phases.progress)
    for path in paths:
        click.echo(path)
