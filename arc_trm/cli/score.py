"""`arc-trm score`."""

from __future__ import annotations

from pathlib import Path

import click

from arc_trm.cli.options import (
    PATH,
    data_option,
    json_option,
    output,
    path_option,
    print_note,
    solutions_option,
)
from arc_trm.errors import UserError


@click.command()
@click.argument("predictions", nargs=-1, type=PATH, metavar="[PREDICTIONS]...")
@solutions_option
@data_option("Tasks whose outputs to score against; default: what the predictions say.")
@click.option(
    "--with-published",
    is_flag=True,
    help="Also show published results and, for Sudokus and mazes, scores of trivial answers.",
)
@path_option(
    "--seal",
    "Seal of these predictions, by `arc-trm predict --seal`; nothing is scored if anything changed "
    "since; default: none.",
)
@json_option
def score(
    predictions: tuple[Path, ...],
    solutions: Path | None,
    data: str | None,
    with_published: bool,
    seal: Path | None,
    as_json: bool,
) -> None:
    """Score predictions, and compare them with others.

    ARC has pass@1 and pass@2, each under its three denominators. Sudokus and mazes have exact
    (every cell as in the known answer) and valid (by the rule).

    PREDICTIONS is a submission.json, a predictions.jsonl, a run folder, or a folder of ARC Prize's
    benchmarking; default: those made last. Two of them are compared: the difference, its interval
    by a paired bootstrap, and the tasks gained and lost. Of three or more, such as the seeds of one
    experiment, also the mean and the standard deviation. A difference within the spread of seeds is
    no difference.

    \b
    Examples:
      arc-trm score
      arc-trm score submission.json --solutions arc-agi_evaluation_solutions.json
      arc-trm score runs/arc1 --data arc-agi-1/evaluation --with-published
      arc-trm score runs/before runs/after
      arc-trm score runs/seed0 runs/seed1 runs/seed2
    """
    from arc_trm.evaluation.scoring import (
        describe_context,
        describe_sources,
        open_sources,
        score_sources,
    )
    from arc_trm.evaluation.seal import describe_verification
    from submission import describe_scores

    if seal is not None and len(predictions) > 1:
        raise UserError("a seal is of one set of predictions: score them one by one with --seal")
    sources = open_sources(predictions, data, solutions)
    sealed, verified = ({}, []) if seal is None else describe_verification(seal, sources[0])
    record, lines = describe_scores([source.label for source in sources], score_sources(sources))
    about, headers = describe_sources(sources)
    if len(sources) == 1 and (breadth := sources[0].breadth) is not None:
        record, lines = {**record, "breadth": breadth.to_dict()}, [*lines, "", *breadth.lines()]
    record, lines = {"about": about, **sealed, **record}, [*headers, *verified, *lines]
    notes = [
        note for each in sources for note in (each.form_note, *each.scoring_notes, *each.leakage())
    ]
    for note in dict.fromkeys(filter(None, notes)):
        print_note(note)
    if with_published:
        context, more = describe_context(sources[0].scored_tasks)
        record, lines = record | context, [*lines, "", *more]
    output(record, lines, as_json)
