"""`arc-trm report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from arc_trm.evaluation.scoring import PuzzleScore
    from arc_trm.evaluation.voting import PredictionSet
    from submission import Score


@click.command()
@click.argument("what", required=False, type=click.Path(path_type=Path))
@click.option(
    "--solutions",
    type=click.Path(path_type=Path),
    help="Official solutions file; default: what the tasks know.",
)
@click.option("--data", "data_name", metavar="DATA", help="The tasks; default: what WHAT says.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The page to write; default: report.html beside a run's answers, else NAME.html.",
)
def report(
    what: Path | None, solutions: Path | None, data_name: str | None, out: Path | None
) -> None:
    """Write a page to look at: scores, every grid, votes, and how answers changed.

    WHAT is a predictions.jsonl, a run folder, a submission, or a folder of ARC Prize's
    benchmarking; without it, the latest run. The page is one file that loads nothing, so it can be
    opened from the disk and sent to others. A predictions.jsonl has votes and steps, a run also its
    training curve.

    \b
    Examples:
      arc-trm report
      arc-trm report predictions.jsonl --solutions arc-agi_evaluation_solutions.json
      arc-trm report theirs --data arc-agi-2/evaluation --out theirs.html
    """
    from arc_trm import runs
    from arc_trm._version import __version__
    from arc_trm.cli.resolve import chosen_answers
    from arc_trm.evaluation.leaderboard import published_beside, published_for
    from arc_trm.evaluation.scoring import judged
    from arc_trm.evaluation.source import answered_tasks, only_arc, read_results
    from arc_trm.viz.report import Report, report_page
    from submission import atomic_write, read_solutions

    answers = chosen_answers(what if what is not None else runs.latest_run())
    tasks = answered_tasks(answers, data_name)
    if solutions is not None:
        only_arc(tasks, "--solutions")
        tasks = tasks.with_outputs(read_solutions(solutions))
    predictions, folder = read_results(answers, tasks), answers.parent
    score: Score | PuzzleScore | None
    if tasks.is_arc:
        known = tasks.known_solutions()
        score, published = predictions.score() if known else None, published_beside(known)
    else:
        score, published = judged(predictions), published_for(tasks)
    about = Report(
        *_described(answers, predictions, data_name),
        predictions,
        score,
        runs.read_metrics(folder) if runs.is_run(folder) else (),
        published,
    )
    if out is None:
        own = answers.name in (runs.PREDICTIONS, runs.SUBMISSION)
        out = folder / ("report.html" if own else f"{answers.resolve().stem}.html")
    with atomic_write(out) as file:
        file.write(report_page(about, __version__))
    click.echo(f"Wrote {out}: {about.facts[0]}")


def _described(
    answers: Path, predictions: PredictionSet, data_name: str | None
) -> tuple[str, list[str]]:
    """The title of a report and sentences below it; the first says what was answered."""
    from arc_trm import runs
    from arc_trm.evaluation.scoring import MAX_TRACES
    from arc_trm.evaluation.source import about_answers, is_log, named_data, public_name

    about, tasks = about_answers(answers), predictions.tasks
    name = answers.parent.resolve().name if runs.is_run(answers.parent) else answers.name
    answered = sum(
        bool(each.candidates)
        if is_log(answers)
        else any(grid is not None for grid in each.attempts)
        for each in predictions
    )
    data = [data_name] if data_name else named_data(answers) or [tasks.name]
    of = f"{tasks.test_outputs} test inputs of {len(tasks)} tasks"
    if not tasks.is_arc:
        of = f"{len(tasks)} puzzles"
    facts = [f"Answers to {answered} of {of}: " + ", ".join(map(public_name, data))]
    if not tasks.is_arc and len(tasks) > MAX_TRACES:
        facts.append(f"The first {MAX_TRACES} puzzles are drawn below")
    if "began" in about:
        facts.append(f"Predicted since {about['began']}")
    return str(about.get("model") or name), facts
