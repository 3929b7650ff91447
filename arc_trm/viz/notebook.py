"""What notebooks show of objects: a picture and its description as HTML, without scripts."""

from __future__ import annotations

from functools import singledispatch
from html import escape

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.puzzles import kind_of
from arc_trm.runs import Run
from arc_trm.tasks import Task, TaskSet
from arc_trm.viz.curve import draw_run, run_title
from arc_trm.viz.figure import predicted_inputs, task_title, theme_of
from arc_trm.viz.images import MAX_TASKS, draw_prediction, draw_task, draw_tasks
from arc_trm.viz.svg import Drawing, printable


@singledispatch
def to_html(shown: object) -> str:
    """Return the HTML that a notebook shows of tasks, predictions or runs; of others their text."""
    return f"<pre>{escape(repr(shown))}</pre>"


@to_html.register
def _task_html(task: Task) -> str:
    return _picture(draw_task(task), task_title(task))


@to_html.register
def _tasks_html(tasks: TaskSet) -> str:
    title = f"{tasks.name}: {tasks.summary}"
    return _picture(draw_tasks(title, tasks), title) + _limit_note(len(tasks))


@to_html.register
def _prediction_html(prediction: InputPrediction) -> str:
    task = prediction.task
    name = theme_of(task).input_name(prediction.test + 1).lower()
    return _picture(draw_prediction(prediction), f"{task_title(task)}, {name}")


@to_html.register
def _predictions_html(predictions: PredictionSet) -> str:
    """Show the attempts at the first tasks that were predicted; no guesses if there are votes."""
    tasks, predicted = predictions.tasks, predicted_inputs(predictions)
    shown = {each.task_id: each.task for each in predicted}
    title = f"{tasks.name}: attempts at {len(shown)} of {len(tasks)} {kind_of(tasks).noun}s"
    return _picture(draw_tasks(title, shown.values(), predicted), title) + _limit_note(len(shown))


@to_html.register
def _run_html(run: Run) -> str:
    return _picture(draw_run(run), f"Training curve of {run_title(run)}")


def _picture(drawing: Drawing, description: str) -> str:
    label = escape(printable(description), quote=True)
    style = "max-width: 100%; overflow: auto"
    return f'<div role="img" aria-label="{label}" style="{style}">{drawing.svg()}</div>'


def _limit_note(count: int) -> str:
    return f"<p>The first {MAX_TASKS} of {count}.</p>" if count > MAX_TASKS else ""
