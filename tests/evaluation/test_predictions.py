"""The sentences in which a prediction job tells what it lacks."""

from __future__ import annotations

import numpy as np
import pytest

from arc_trm.evaluation.predictions import PredictionJob, Skipped
from arc_trm.tasks import Pair, PuzzleArray, Task, TaskSet, as_grid

GRIDS = np.ones((2, 4, 4), np.uint8)
PAIR = Pair(as_grid([[1]]))
ARC = TaskSet.from_tasks("some", [Task("a", (PAIR,), (PAIR,)), Task("b", (PAIR,), (PAIR,))])
SUDOKUS = PuzzleArray("some", "sudoku", GRIDS, GRIDS)


@pytest.mark.parametrize(
    ("tasks", "task_id", "where"),
    [
        (ARC, "b", "first task b, test input 1: there was no time for it"),
        (SUDOKUS, "1", "first puzzle 1: there was no time for it"),
    ],
)
def test_only_kinds_with_several_test_inputs_number_them(
    tasks: TaskSet, task_id: str, where: str
) -> None:
    job = PredictionJob(1, 2, (Skipped(task_id, 0, "there was no time for it"),), time_limit=5.0)
    ended, missing = job.notes(tasks)
    assert "1 of 2 queries" in ended
    assert missing == f"1 of 2 test inputs has no predicted grid: {where}"
