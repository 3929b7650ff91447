"""`arc-trm report`."""

from __future__ import annotations

from pathlib import Path

import click


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
    help="The page to write; default: report.html beside the answers.",
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
    from arc_trm import __version__, runs
    from arc_trm.cli.choice import chosen_answers
    from arc_trm.data.references import published_beside
    from arc_trm.report import Report, report_page
    from arc_trm.results import about_answers, answered_tasks, is_log, read_results
    from submission import atomic_write, read_solutions, score_ranked

    what = what if what is not None else runs.latest_run()
    answers = chosen_answers(what)
    tasks = answered_tasks(answers, data_name)
    if solutions is not None:
        tasks = tasks.with_outputs(read_solutions(solutions))
    predictions = read_results(answers, tasks)
    known = tasks.known_outputs()
    about = about_answers(answers)
    folder = answers.parent
    title = str(about.get("model") or (folder.resolve().name if runs.is_run(folder) else answers))
    answered = sum(
        bool(each.candidates)
        if is_log(answers)
        else any(grid is not None for grid in each.attempts)
        for each in predictions
    )
    facts = [
        f"Answers to {answered} of {tasks.test_outputs} test inputs of {len(tasks)} tasks: "
        f"{tasks.name}"
    ]
    if "began" in about:
        facts.append(f"Predicted since {about['began']}")
    page = report_page(
        Report(
            title,
            predictions,
            score_ranked(predictions.attempts(), known) if known else None,
            facts,
            runs.read_metrics(folder) if runs.is_run(folder) else (),
            published_beside(known),
        ),
        __version__,
    )
    out = out if out is not None else answers.parent / "report.html"
    with atomic_write(out) as file:
        file.write(page)
    click.echo(f"Wrote {out}: {facts[0]}")
