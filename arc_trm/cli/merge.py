"""`arc-trm merge`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arc_trm.cli.options import (
    GUESSES,
    PATH,
    data_option,
    json_option,
    output,
    path_option,
    print_note,
)
from arc_trm.errors import pluralise
from submission.cli import overwrite_option, vote_weights_option


@click.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@path_option("--out", "The submission to write.", required=True)
@vote_weights_option
@overwrite_option
@data_option("The tasks of a predictions.jsonl; default: its own.")
@json_option
def merge(
    files: tuple[Path, ...],
    out: Path,
    vote_weights: list[float] | None,
    overwrite: bool,
    data: str | None,
    as_json: bool,
) -> None:
    """Merge predictions into one submission by ranked votes.

    All predictions are for the same tasks. Each of FILES is a predictions.jsonl, a submission, a
    run folder, or a folder of ARC Prize's benchmarking. A file gives its weight to its best
    candidate, half of it to the second, a third to the third and so on. The candidates of a
    predictions.jsonl are the grids that were voted for, those of other files their attempts. The
    two grids with the most votes become the attempts; of equals the first one named wins. If there
    are fewer, attempts of the files are used, which may be guesses. The tasks are those of the
    first file. The exit status is 3 if the file was written but no test input has a vote.

    \b
    Examples:
      arc-trm merge runs/a runs/b --out submission.json
      arc-trm merge a/predictions.jsonl theirs.json --vote-weights 2,1 --out submission.json
    """
    from arc_trm.evaluation.source import PredictionSource
    from arc_trm.pipeline import open_predictions
    from arc_trm.runs import check_output
    from submission import Ranked, count_outputs, merge_files
    from submission.ensemble import check_vote_weights

    check_vote_weights(vote_weights, len(files))
    check_output(out, overwrite)
    ranked: list[Ranked] = []
    fallback: list[Ranked] = []
    sources: list[PredictionSource] = []
    for file in files:
        source = open_predictions(file, data)
        source.kind.require_submission("merging", str(file))
        if source.log is not None and (logs := [each for each in sources if each.log is not None]):
            source.sharing(logs[0])
        first = count_outputs(ranked[0]) if ranked else None
        ranked.append(source.candidates(first))
        fallback.append(source.attempts(first))
        sources.append(source)
    summary, notes = merge_files(out, files, ranked, vote_weights, fallback, overwrite)
    notes = [*filter(None, [source.form_note for source in sources]), *notes]
    for note in notes:
        print_note(note)
    about = [source.summary for source in sources]
    lines = [line for each in about for line in (*each.lines(), "")]
    counts = count_outputs(ranked[0])
    inputs = [(task, test) for task, count in counts.items() for test in range(count)]
    voted = [any(each[task][test] for each in ranked if task in each) for task, test in inputs]
    if guesses := voted.count(False):
        lines.append(f"{guesses} of {pluralise(len(voted), 'test input')} have no vote: guesses")
    described = [each.to_dict() for each in about]
    merged = {"file": str(out), "notes": notes, "guesses": guesses, "about": described}
    output(merged, [*lines, summary], as_json)
    if not any(voted):
        sys.exit(GUESSES)
