"""`arc-trm data generate`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import PATH, add_options, json_option, output


@click.command("generate")
@click.argument("kind")
@add_options(
    click.option(
        "--count",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        help="Number of puzzles.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--side", type=int, help="Cells a side; default: 9, of a maze 30."),
    click.option("--min-rating", type=click.IntRange(0), help="Smallest difficulty; see above."),
    click.option("--max-rating", type=click.IntRange(0), help="Largest difficulty; default: any."),
    click.option(
        "--clues",
        type=click.IntRange(0),
        help="Digits of a Sudoku to leave; default: as few as possible.",
    ),
    click.option("--out", type=PATH, required=True, metavar="FILE", help="CSV file to write."),
    json_option,
)
def generate(
    kind: str,
    count: int,
    seed: int,
    side: int | None,
    min_rating: int | None,
    max_rating: int | None,
    clues: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Generate puzzles of a wanted difficulty from a seed, all different, with their answers.

    KIND is sudoku or maze. A Sudoku has one solution; its rating is the number of digits that a
    backtracking solver with naked and hidden singles has to guess. A maze is random; its rating is
    the steps of a shortest path from S to G. Without --side, --min-rating, --max-rating and --clues
    puzzles are hard: 10 guesses or 111 steps at least. With one of these, only the given ratings
    count.

    \b
    Examples:
      arc-trm data generate sudoku --out hard.csv
      arc-trm data generate sudoku --max-rating 0 --clues 36 --out easy.csv
      arc-trm data generate sudoku --side 6 --count 5000 --seed 1 --out train.csv
      arc-trm data generate maze --count 100 --out mazes.csv
    """
    from arc_trm.data.generated_file import generate_file
    from arc_trm.puzzles.generate import GeneratorConfig, hard_rating
    from arc_trm.viz.progress import show_progress

    if (side, min_rating, max_rating, clues) == (None, None, None, None):
        min_rating = hard_rating(kind)
    config = GeneratorConfig(kind, count, seed, side, min_rating or 0, max_rating, clues or 0)
    with show_progress("generating puzzles") as callback:
        facts = generate_file(config, out, callback.progress)
    output(facts.to_dict(), [facts.summary], as_json)
