"""`arc-trm merge`."""

from __future__ import annotations

from pathlib import Path

import click

from submission.cli import number_list


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="FILE", help="The submission to write.")
@click.option(
    "--vote-weights",
    type=number_list,
    metavar="NUMBERS",
    help="One weight per file, such as 2,1,1; default: 1 each.",
)
@click.option(
    "--data",
    "data_name",
    metavar="DATA",
    help="The tasks of a predictions.jsonl; default: its own.",
)
def merge(
    files: tuple[Path, ...], out: str, vote_weights: list[float] | None, data_name: str | None
) -> None:
    """Merge answers to the same tasks into one submission by ranked votes.

    Each of FILES is a predictions.jsonl, a submission, a run folder, or a folder of ARC Prize's
    benchmarking. It gives its weight (1 unless told) to its best candidate, half of it to the
    second, a third to the third and so on; a predictions.jsonl has those that were voted for, the
    others their attempts. The two grids with the most votes become the attempts; of equals, the
    one named first wins, and where there are fewer, attempts of the files stand in. Tasks are those
    of the first file.

    \b
    Examples:
      arc-trm merge runs/a runs/b --out submission.json
      arc-trm merge a/predictions.jsonl theirs.json --vote-weights 2,1 --out submission.json
    """
    from arc_trm.cli.resolve import chosen_answers
    from arc_trm.evaluation.source import read_votes
    from submission import Ranked, count_outputs, merge_files

    ranked: list[Ranked] = []
    fallback: list[Ranked] = []
    for file in files:
        counts = count_outputs(ranked[0]) if ranked else {}
        voted, attempts = read_votes(chosen_answers(file), counts, data_name)
        ranked.append(voted)
        fallback.append(attempts)
    merged = merge_files(out, files, ranked, vote_weights, fallback)
    for note in merged.notes:
        click.echo(note, err=True)
    click.echo(merged.summary)
