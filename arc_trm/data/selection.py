"""The tasks of a run: what is learnt from, what is predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from arc_trm.config import DataConfig
from arc_trm.data.sources import find_tasks, load_tasks, overlap_warnings
from arc_trm.errors import UserError
from arc_trm.tasks import Task, TaskSet


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

    Which tasks these are depends on demonstrations and test inputs alone.
    """
    sets = [load_tasks(name).smallest(data.max_side) for name in data.test]
    return TaskSet.of(", ".join(data.test), (task for tasks in sets for task in tasks))


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
    train_tasks = {task.id: task for tasks in train for task in tasks.smallest(data.max_side)}
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
