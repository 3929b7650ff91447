"""`arc-trm score`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("what", required=False, type=click.Path(path_type=Path))
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option(
    "--solutions", type=click.Path(path_type=Path), help="Official solutions file to score with."
)
@click.option(
    "--data", "data_name", metavar="DATA", help="Tasks whose known outputs to score with."
)
@click.option(
    "--references",
    is_flag=True,
    help="Also show published results; of puzzles also what copying and guessing give.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def score(
    what: Path | None,
    other: Path | None,
    solutions: Path | None,
    data_name: str | None,
    references: bool,
    as_json: bool,
) -> None:
    """Score answers: pass@1 and pass@2, each under its three denominators.

    Of Sudokus and mazes: exact (every cell as in the known answer) and valid (by the rule).

    WHAT is a submission.json, a predictions.jsonl, a run folder, or a folder of ARC Prize's
    benchmarking; without it, the latest run. With OTHER, also how far that differs from WHAT: an
    interval by a paired bootstrap, and the tasks gained and lost.

    \b
    Examples:
      arc-trm score
      arc-trm score submission.json --solutions arc-agi_evaluation_solutions.json
      arc-trm score runs/arc1 --data arc-agi-1/evaluation --references
      arc-trm score runs/before runs/after
    """
    from arc_trm import runs
    from arc_trm.cli.resolve import chosen_answers, right_outputs
    from arc_trm.errors import UserError
    from arc_trm.evaluation.leaderboard import published_beside, references_table
    from arc_trm.evaluation.source import kind_of, read_ranked
    from arc_trm.puzzles import ARC, DOMAINS
    from submission import count_outputs, describe_scores, score_file

    named = [each for each in (what, other) if each is not None] or [runs.latest_run()]
    files = [chosen_answers(each, (runs.SUBMISSION, runs.PREDICTIONS)) for each in named]
    kinds = [kind_of(file) for file in files]
    if len(set(kinds)) > 1:
        here, there = (DOMAINS[kind].title for kind in kinds)
        raise UserError(f"{named[0]} answers {here}, but {named[1]} {there}: compare one kind")
    if kinds[0] != ARC.name:
        told, lines = _boards(named, files, solutions, data_name, references)
        click.echo(json.dumps(told) if as_json else "\n".join(lines))
        return
    known = right_outputs(named, solutions, data_name)
    scores = []
    for file in files:
        answers = read_ranked(file, count_outputs(known), data_name)
        scores.append(score_file(answers, known, file))
    told, lines = describe_scores(named, scores)
    if references:
        beside = published_beside(known)
        told["references"] = [each.to_dict() for each in beside]
        lines += ["", *references_table(beside)]
    click.echo(json.dumps(told) if as_json else "\n".join(lines))


def _boards(
    named: Sequence[Path],
    files: Sequence[Path],
    solutions: Path | None,
    data_name: str | None,
    references: bool,
) -> tuple[dict[str, Any], list[str]]:
    """What to print of answers to Sudokus or mazes: as JSON, and as lines for a person."""
    import numpy as np

    from arc_trm.errors import UserError
    from arc_trm.evaluation.leaderboard import published_for, references_table
    from arc_trm.evaluation.scoring import baseline_lines, baselines, judged
    from arc_trm.evaluation.source import answered_tasks, read_results
    from submission import describe_scores
    from submission.scoring import nest

    if solutions is not None:
        raise UserError("--solutions is for ARC: name puzzles with their answers with --data")
    tasks = answered_tasks(files[0], data_name)
    told, lines = describe_scores(named, [judged(read_results(file, tasks)) for file in files])
    if references:
        beside = baselines(tasks, np.random.default_rng(0))
        published = published_for(tasks)
        told["references"] = [each.to_dict() for each in published]
        told["baselines"] = {
            what: nest({name: rate.to_dict() for name, rate in each.rates.items()})
            for what, each in beside.items()
        }
        lines += ["", *baseline_lines(beside), *references_table(published)]
    return told, lines
