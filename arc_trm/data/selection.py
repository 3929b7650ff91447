"""The tasks of a run: what is learnt from, what is predicted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from arc_trm.config import DataConfig
from arc_trm.data.built import Built, open_built
from arc_trm.data.sources import (
    built_folder,
    find_tasks,
    load_tasks,
    overlap_sentence,
    overlap_warnings,
)
from arc_trm.errors import UserError
from arc_trm.tasks import Task, TaskSet
from submission import SubmissionError


@dataclass(frozen=True)
class Selection:
    """`learnt` holds only pairs that may be learnt from; `predicted` what is to be predicted.

    `notes` are sentences that a person should see before the run starts.
    """

    learnt: tuple[Task, ...]
    predicted: TaskSet
    notes: tuple[str, ...]


def predicted_tasks(data: DataConfig) -> TaskSet:
    """The tasks of the sets in `data.test` that fit `data.max_side`, in order.

    Which tasks these are depends on demonstrations and test inputs alone. Raises UserError if two
    sets disagree about a task.
    """
    found: dict[str, Task] = {}
    for name in data.test:
        for task in load_tasks(name).smallest(data.max_side):
            inputs, before = _test_inputs(task), found.get(task.id)
            if before is not None and inputs != _test_inputs(before):
                raise UserError(
                    f"the sets of data.test ({', '.join(data.test)}) hold different tasks under "
                    f"the id {task.id!r}, and an answer can be for one only"
                )
            found[task.id] = task
    return TaskSet(", ".join(data.test), found)


def _test_inputs(task: Task) -> list[list[list[int]]]:
    return [pair.input.tolist() for pair in task.test]


def learnt_folder(data: DataConfig) -> Path | None:
    """The folder in the published trainer's format that is learnt from; None if tasks are.

    Raises UserError if there is such a folder and anything else.
    """
    learnt = (*data.train, *data.extra)
    built = [name for name in learnt if built_folder(name)]
    if not built:
        return None
    if len(learnt) > 1 or not data.train:
        raise UserError(
            f"{built[0]} is in the published trainer's format and can only be learnt from alone, "
            f"but data.train is {list(data.train)} and data.extra {list(data.extra)}: add "
            f'`--set "data.train=[{built[0]!r}]" --set "data.extra=[]"`'
        )
    return built_folder(built[0])


def overlap_notes(data: DataConfig, predicted: TaskSet) -> list[str]:
    """Warnings if tasks that a run learnt from with their outputs are now predicted or scored."""
    notes = []
    for name in (*data.train, *data.extra):
        try:
            if folder := built_folder(name):
                notes += built_overlaps(open_built(folder), [predicted])
            else:
                notes += overlap_warnings([find_tasks(name) or name], [predicted])
        except (UserError, SubmissionError):
            continue  # the files may be long gone
    return notes


def built_overlaps(built: Built, predicted: Iterable[TaskSet]) -> list[str]:
    """One sentence for every set that has tasks whose test outputs `built` was made of too.

    They are seen in the number of pairs: a task to be predicted has its demonstrations only.
    """
    learnt = built.pairs_of_tasks()
    warnings = []
    for tasks in predicted:
        shared = [task.id for task in tasks if learnt.get(task.id, 0) > len(task.train)]
        if shared:
            warnings.append(
                overlap_sentence(tasks, str(built.folder), dict(zip(shared, shared, strict=True)))
            )
    return warnings


def _fitting(task: Task, side: int) -> Task:
    train, test = (
        tuple(pair for pair in pairs if all(max(grid.shape) <= side for grid in pair.grids))
        for pairs in (task.train, task.test)
    )
    return replace(task, train=train, test=test)


def select(data: DataConfig, side: int) -> Selection:
    """Load the sets of a run and say what is left out.

    Args:
        side: of the canvas; pairs with a larger grid cannot be learnt from.

    Raises UserError when there is nothing to learn from.
    """
    notes = []
    train = [load_tasks(name) for name in data.train]
    for name in data.extra:
        found = find_tasks(name)
        if found is None:
            notes.append(f"{name} is left out: its files were not found")
        else:
            train.append(found)
    notes += overlap_warnings(train, [load_tasks(name) for name in data.test])
    predicted = predicted_tasks(data)
    all_train = [task for tasks in train for task in tasks.smallest(data.max_side)]
    train_tasks = {task.id: task for task in all_train}
    if len(train_tasks) < len(all_train):
        notes.append(
            f"{len(all_train) - len(train_tasks)} tasks are in more than one set of data.train: "
            "each is learnt once, as in the last of them"
        )
    shared = [task_id for task_id in train_tasks if task_id in predicted]
    if shared:
        notes.append(
            f"{len(shared)} tasks to be predicted are in data.train too (first {shared[0]}): "
            "only their demonstrations are learnt"
        )
    learnt = [_fitting(task, side) for task in train_tasks.values() if task.id not in predicted]
    learnt += [_fitting(task.without_solutions(), side) for task in predicted]
    if not any(pair.output is not None for task in learnt for pair in (*task.train, *task.test)):
        raise UserError(
            f"there is no pair to learn from: data.train is {list(data.train)}, data.test is "
            f"{list(data.test)}, data.max_side is {data.max_side}, the canvas {side}×{side}"
        )
    return Selection(tuple(learnt), predicted, tuple(notes))
