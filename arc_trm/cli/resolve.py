"""Which tasks a command is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from arc_trm import runs
from arc_trm.cli.progress import is_main
from arc_trm.data.loader import load_tasks
from arc_trm.data.splits import overlap_notes, predicted_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.source import answered_tasks, find_answers, is_log, only_arc, tasks_of
from arc_trm.runs import PREDICTIONS, SUBMISSION
from arc_trm.tasks import TaskSet
from submission import Solutions, read_solutions

LARGE = 50e6  # bytes of answers that take seconds to read


def chosen_answers(what: Path, kinds: Sequence[str] = (PREDICTIONS, SUBMISSION)) -> Path:
    """`results.find_answers`, with a word to who will have to wait for them to be read."""
    if not what.exists():
        raise UserError(
            f"{what} does not exist: name a predictions.jsonl, a submission, a run or a folder"
        )
    answers = find_answers(what, kinds)
    size = answers.stat().st_size if answers.is_file() else 0
    if size > LARGE:
        click.echo(f"reading {size / 1e6:.0f} MB of answers in {answers}", err=True)
    return answers


def chosen_tasks(folder: Path, data_name: str | None, skip_invalid: bool = False) -> TaskSet:
    """`data_tasks`; without DATA, what the run in `folder` predicts.

    Raises UserError if there is neither.
    """
    if data_name is None:
        if not runs.is_run(folder):
            raise UserError(f"{folder} is no run, so say what to predict with --data")
        return predicted_tasks(runs.run_config(folder).data)
    return data_tasks(folder, data_name, skip_invalid)


def data_tasks(folder: Path, data_name: str, skip_invalid: bool = False) -> TaskSet:
    """The tasks of DATA, with a warning where the run in `folder`, if it is one, learnt them."""
    tasks = load_tasks(data_name, skip_invalid)
    if runs.is_run(folder) and is_main():
        for note in overlap_notes(runs.run_config(folder).data, tasks):
            click.echo(note, err=True)
    return tasks


def right_outputs(
    named: Sequence[Path], solutions: Path | None, data_name: str | None
) -> Solutions:
    """What answers are scored against: official solutions, or known outputs of DATA.

    With neither, those of the tasks that the first of the answers that name any are for. Raises
    UserError if nothing is known.
    """
    if solutions is not None:
        if data_name is not None and not any(is_log(find_answers(each)) for each in named):
            raise UserError("--solutions and --data both say what is right: give one of them")
        return read_solutions(solutions)
    if data_name is not None:
        of_run = runs.is_run(Path(data_name))
        tasks = tasks_of(data_name) if of_run else data_tasks(named[0], data_name)
    else:
        naming = [each for each in named if runs.is_run(each) or is_log(find_answers(each))]
        if not naming:
            raise UserError(
                f"say what {find_answers(named[0])} is scored against with --solutions or --data"
            )
        tasks = answered_tasks(find_answers(naming[0]))
    only_arc(tasks, f"what {named[0]} holds")
    known = tasks.known_solutions()
    if not known:
        raise UserError(f"no test output of {tasks.name!r} is known, so nothing can be scored")
    return known
