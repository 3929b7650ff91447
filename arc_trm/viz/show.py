"""What `arc-trm show` shows: a run, or a task with its predictions, printed or as a picture."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from arc_trm.config import DataConfig
from arc_trm.data.loader import load_tasks
from arc_trm.errors import UserError, format_value
from arc_trm.evaluation.prediction_log import read_predictions
from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import format_rows
from arc_trm.puzzles import kind_of
from arc_trm.runs import Run, latest_predictions, latest_run, predictions_of
from arc_trm.tasks import TaskSet
from arc_trm.viz.animation import animate_trace
from arc_trm.viz.curve import draw_run
from arc_trm.viz.images import draw_task, draw_trace
from arc_trm.viz.svg import ANIMATION_ENDING, Drawing, Picture, check_ending, save
from arc_trm.viz.terminal import Terminal, show_run, show_task

FALLBACKS = ("arc-agi-1", "arc-agi-2")
CLOSE = 0.85  # similarity of ids that differ in one of eight digits; more is no misspelling
SHOWN = ("data", "settings", "asked", "voters", "guesses", "started", "outdated")
"""What is said of a run's predictions besides their path."""
TRACE_ENDINGS = (*Drawing.endings, ANIMATION_ENDING)
MAX_COMPARED = 5000  # ids of a dataset that a misspelt one is compared with


def show_run_in(folder: Path | None, out: Path | None) -> None:
    """Print a run's curves and some of its predictions, or write a picture of the curves.

    Args:
        folder: of the run; None is the latest run.
        out: picture to write; None prints.

    Raises:
        UserError: there is no such run, or `out` has no ending of a picture.
    """
    if out is not None:
        check_ending(out)
    run = Run(folder or latest_run())
    if out is not None:
        save(draw_run(run), out)
        return
    predictions, score, origin, about = None, None, "", []
    if folders := predictions_of(run.path):
        source = PredictionSource.open(folders[0])
        count = len(folders)
        origin = f"{source.path}" + (f", the last of {count} in the run" if count > 1 else "")
        voted = (each for each in source.predictions if each.candidates)
        predictions, summary = PredictionSet(source.tasks, voted), source.summary
        if source.tasks.has_known_outputs or not source.kind.writes_submission:
            score, summary = source.score(), source.scored_summary
        about = format_rows({name: text for name, text in summary.rows().items() if name in SHOWN})
    show_run(Terminal(), run, predictions, score, origin, about)


def show_task_in(
    task_id: str, data: str | None, predictions: Path | None, trace: bool, out: Path | None
) -> str | None:
    """Print a task with its predictions, or write a picture of them.

    Args:
        task_id: id of the task, or number of the puzzle.
        data: where to look; None is the predictions' data, the latest run's and ARC-AGI.
        predictions: where to read them; None is those made last.
        trace: show how the predictions changed.
        out: picture to write, of a trace also an animation; None prints.

    Returns:
        A sentence on predictions in another form than a submission, if they are.

    Raises:
        UserError: there is no such task, there are no such predictions, or `out` has no ending of
            a picture.
    """
    if out is not None:
        check_ending(out, TRACE_ENDINGS if trace else Drawing.endings)
    source = _open_source(predictions)
    tasks = _find_task_set(task_id, data, source)
    found = _find_predictions(task_id, tasks, source, predictions is not None)
    kind, task = kind_of(tasks), tasks[task_id]
    if predictions is not None and not found:
        raise UserError(f"{predictions} has no prediction for {kind.noun} {format_value(task_id)}")
    if trace and not any(each.trace for each in found):
        stored = "the unaugmented task"
        if kind.max_traces is not None:
            stored = f"the first {kind.max_traces} {kind.noun}s"
        raise UserError(
            f"there is no trace of {kind.noun} {format_value(task_id)} to show: `arc-trm "
            "predict` stores that "
            f"of {stored}; predict it, or name its predictions.jsonl with --predictions"
        )
    if out is not None:
        picture: Picture = draw_task(task, found)
        if trace:
            picture = draw_trace(found) if out.suffix.lower() == ".png" else animate_trace(found)
        save(picture, out)
    else:
        origin = str(source.path) if source is not None and found else ""
        show_task(Terminal(), task, found, trace, tasks.name if kind.numbered else "", origin)
    return source.form_note if source is not None and found else None


def _open_source(predictions: Path | None) -> PredictionSource | None:
    if predictions is not None:
        return PredictionSource.open(predictions)
    with suppress(UserError):
        return PredictionSource.open(latest_predictions())
    return None


def _find_task_set(task_id: str, data: str | None, source: PredictionSource | None) -> TaskSet:
    """Return the first task set that has the task. Raises UserError with close ids otherwise."""
    known: dict[str, None] = {}
    names = []
    for position, tasks in enumerate(_task_sets(data, source)):
        numbered = kind_of(tasks).numbered
        # Numbers mean other puzzles in other sets, so only the first set is looked into.
        if task_id in tasks and (position == 0 or not numbered):
            return tasks
        if position == 0 and numbered and task_id.isdecimal():
            raise UserError(
                f"there is no puzzle {format_value(task_id)} in {tasks.name}: name other data "
                "with --data"
            )
        names.append(tasks.name)
        known |= dict.fromkeys(islice(tasks.ids, MAX_COMPARED))
    close = difflib.get_close_matches(task_id, known, n=3, cutoff=CLOSE)
    hint = f"; did you mean {' or '.join(map(format_value, close))}?" if close else ""
    raise UserError(
        f"no run folder and no task {format_value(task_id)} in "
        f"{', '.join(dict.fromkeys(names))}{hint}"
    )


def _task_sets(data: str | None, source: PredictionSource | None) -> Iterator[TaskSet]:
    """Yield where a task is looked for; data of the latest run may be gone, which is skipped."""
    if data is not None:
        yield load_tasks(data)
        return
    settings = DataConfig()
    with suppress(UserError):
        settings = Run(latest_run()).config.data
    if source is not None:
        with suppress(UserError):
            yield source.tasks
    for name in dict.fromkeys([*settings.test, *settings.train, *FALLBACKS]):
        with suppress(UserError):
            yield load_tasks(name, settings.skip_invalid)


def _find_predictions(
    task_id: str, tasks: TaskSet, source: PredictionSource | None, required: bool
) -> list[InputPrediction]:
    """Return the predictions for a task, without guesses where there are none."""
    if source is None:
        return []
    only = tasks.select([task_id])
    if source.log is None:
        found = source.load(only)
    else:
        other = source.kind.name != tasks.kind
        if not other and source.kind.numbered:
            other = source.log.matches_tasks(tasks) is False
        if other:
            if required:
                source.load(tasks)  # raises an error that says what does not fit
            return []
        found = read_predictions(source.log, only)
    return [each for each in found if each.attempts or each.trace]
