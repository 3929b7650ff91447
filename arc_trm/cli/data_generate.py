"""`arc-trm data generate`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import WholeNumber, json_option, output, path_option


@click.command("generate")
@click.argument("kind")
@click.option(
    "--count",
    type=WholeNumber(1, 100_000_000),
    metavar="N",
    default=1000,
    help="Number of puzzles.",
)
@click.option(
    "--seed", type=WholeNumber(0), metavar="N", default=0, help="Seed of everything random."
)
@click.option(
    "--side",
    type=int,
    metavar="N",
    help="Cells a side: 4, 6, 9 or 16, of a maze 2 to 30; default: 9, of a maze 30.",
)
@click.option(
    "--min-rating",
    type=WholeNumber(0),
    metavar="N",
    help="Smallest difficulty; default: any, or hard if none of these is given.",
)
@click.option(
    "--max-rating", type=WholeNumber(0), metavar="N", help="Largest difficulty; default: any."
)
@click.option(
    "--clues",
    type=WholeNumber(0),
    metavar="N",
    help="Digits of a Sudoku to leave; default: as few as possible.",
)
@path_option("--out", "CSV file to write.", required=True)
@json_option
def generate(
    kind: str, count: int, seed: int, out: Path, as_json: bool, **limits: int | None
) -> None:
    """Generate puzzles of a wanted difficulty from a seed.

    KIND is sudoku or maze. All puzzles are different and come with their answers. A Sudoku has one
    solution; its rating is the number of digits that a backtracking solver with naked and hidden
    singles has to guess. A maze is random; its rating is the steps of a shortest path from S to G.
    Without --side, --min-rating, --max-rating and --clues puzzles are hard: 10 guesses or 111 steps
    at least. With one of these, only the given ratings count.

    \b
    Examples:
      arc-trm data generate sudoku --out hard.csv
      arc-trm data generate sudoku --max-rating 0 --clues 36 --out easy.csv
      arc-trm data generate sudoku --side 6 --count 5000 --seed 1 --out train.csv
      arc-trm data generate sudoku --side 16 --clues 140 --out large.csv
      arc-trm data generate maze --count 100 --out mazes.csv
    """
    from arc_trm.data.generated_file import generate_file
    from arc_trm.puzzles.generate import GeneratorConfig, generator_kind
    from arc_trm.viz.progress import show_progress

    given = {name: value for name, value in limits.items() if value is not None}
    ratings = given or {"min_rating": generator_kind(kind).hard_rating}
    config = GeneratorConfig(kind, count, seed, **ratings)
    with show_progress("generating puzzles") as callback:
        facts = generate_file(config, out, callback.progress)
    output(facts.to_dict(), [facts.summary], as_json)
