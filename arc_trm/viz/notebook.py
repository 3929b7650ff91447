"""What notebooks show of objects: pictures and their description as HTML, without scripts.

Cards wrap as the page allows, and a picture that is wider than the page is scaled down.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from html import escape

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.puzzles import kind_of
from arc_trm.runs import Run
from arc_trm.tasks import Task, TaskSet
from arc_trm.viz.compare import RunComparison
from arc_trm.viz.curve import draw_run, run_title
from arc_trm.viz.figure import predicted_inputs, task_title, theme_of
from arc_trm.viz.images import (
    GAP,
    MAX_TASKS,
    card,
    prediction_content,
    task_contents,
    task_counts,
    thumbnail_contents,
)
from arc_trm.viz.svg import Drawing, printable
from arc_trm.viz.theme import INK, MUTED, PAPER

SCALED = "max-width: 100%; height: auto"
PAGE = f"background: {PAPER}; color: {INK}; padding: 20px; font: 15px sans-serif"
ROW = f"display: flex; flex-wrap: wrap; align-items: flex-start; gap: {GAP}px"


@singledispatch
def to_html(shown: object) -> str:
    """Return the HTML that a notebook shows of tasks, predictions or runs; of others their text."""
    return f"<pre>{escape(repr(shown))}</pre>"


@to_html.register
def _task_html(task: Task) -> str:
    parts = [_line(task_title(task), 22)]
    if counts := task_counts(task):
        parts.append(_line(counts, 13, MUTED))
    for heading, contents in task_contents(task).items():
        parts += [_line(heading, 15)] if heading else []
        parts.append(_row(contents))
    return _page(task_title(task), parts)


@to_html.register
def _tasks_html(tasks: TaskSet) -> str:
    return _set_html(f"{tasks.name}: {tasks.summary}", tasks, (), len(tasks))


@to_html.register
def _prediction_html(prediction: InputPrediction) -> str:
    title = task_title(prediction.task)
    name = theme_of(prediction.task).input_name(prediction.test + 1).lower()
    parts = [_line(title, 22), _row([prediction_content(prediction)])]
    return _page(f"{title}, {name}", parts)


@to_html.register
def _predictions_html(predictions: PredictionSet) -> str:
    """Show the attempts at the first tasks that were predicted; no guesses if there are votes."""
    tasks, predicted = predictions.tasks, predicted_inputs(predictions)
    shown = {each.task_id: each.task for each in predicted}
    title = f"{tasks.name}: attempts at {len(shown)} of {len(tasks)} {kind_of(tasks).noun}s"
    return _set_html(title, shown.values(), predicted, len(shown))


@to_html.register
def _run_html(run: Run) -> str:
    return _page(f"Curves of {run_title(run)}", [draw_run(run).svg(SCALED)])


@to_html.register
def _comparison_html(comparison: RunComparison) -> str:
    """Show the curves of runs, or with too many settings for a picture their values."""
    lines = [*map(comparison.describe_group, comparison.groups), *comparison.sentences()]
    parts = [_line(comparison.summary, 18), *(_line(line, 13) for line in lines)]
    if comparison.can_be_drawn:
        parts.append(comparison.draw().svg(SCALED))
    return _page(comparison.summary, parts)


def _set_html(
    title: str, tasks: Iterable[Task], predictions: Iterable[InputPrediction], count: int
) -> str:
    note = f"<p>The first {MAX_TASKS} of {count}.</p>" if count > MAX_TASKS else ""
    contents = thumbnail_contents(tasks, predictions)
    height = max((content.height for content in contents), default=0)
    return _page(title, [_line(title, 18), _row(contents, height)]) + note


def _page(description: str, parts: Iterable[str]) -> str:
    label = escape(printable(description), quote=True)
    return f'<div role="img" aria-label="{label}" style="{PAGE}">{"".join(parts)}</div>'


def _line(text: str, size: int, colour: str = INK) -> str:
    style = f"font-size: {size}px; color: {colour}; margin: 0 0 10px; overflow-wrap: anywhere"
    return f'<div style="{style}">{escape(printable(text))}</div>'


def _row(contents: Iterable[Drawing], height: float = 0) -> str:
    cards = "".join(card(content, height).svg(SCALED) for content in contents)
    return f'<div style="{ROW}; margin-bottom: 16px">{cards}</div>'
