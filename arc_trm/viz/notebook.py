"""What notebooks show of tasks and predictions: a picture and its description, without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from html import escape
from typing import Protocol

from arc_trm.viz.figure import (
    MOST_TASKS,
    Attempts,
    Grid,
    Task,
    task_picture,
    tasks_picture,
)
from arc_trm.viz.svg import Scene, printable
from arc_trm.viz.theme import LOOKS


class Answered(Protocol):
    """What is shown of an `arc_trm.evaluation.voting.InputPrediction`."""

    @property
    def task(self) -> str: ...
    @property
    def test(self) -> int: ...
    @property
    def attempts(self) -> Sequence[Grid | None]: ...
    @property
    def candidates(self) -> Sequence[object]: ...


class Tasks(Sized, Protocol):
    """What is shown of an `arc_trm.tasks.TaskSet`."""

    @property
    def name(self) -> str: ...
    def __getitem__(self, task_id: str, /) -> Task: ...


def task_html(task: Task) -> str:
    """A task with its demonstrations and tests."""
    return _html(task_picture(task), f"{LOOKS[task.domain].task} {task.id}")


def tasks_html(title: str, tasks: Iterable[Task], number: int) -> str:
    """The first of so many tasks under a title, which says what they are."""
    return _html(tasks_picture(title, tasks), title) + _more(number)


def predictions_html(tasks: Tasks, predictions: Iterable[Answered]) -> str:
    """The attempts at the first tasks that were answered; where there are votes, no guesses."""
    answered = list(predictions)
    attempts: dict[str, dict[int, Sequence[Grid | None]]] = {}
    for each in [each for each in answered if each.candidates] or answered:
        attempts.setdefault(each.task, {})[each.test] = each.attempts
    title = f"{tasks.name}: attempts at {len(attempts)} of {len(tasks)} tasks"
    shown: Mapping[str, Attempts] = attempts
    picture = tasks_picture(title, (tasks[task_id] for task_id in attempts), shown)
    return _html(picture, title) + _more(len(attempts))


def _html(picture: Scene, description: str) -> str:
    label = escape(printable(description), quote=True)
    style = "max-width: 100%; overflow: auto"
    return f'<div role="img" aria-label="{label}" style="{style}">{picture.svg()}</div>'


def _more(number: int) -> str:
    return f"<p>The first {MOST_TASKS} of {number}.</p>" if number > MOST_TASKS else ""
