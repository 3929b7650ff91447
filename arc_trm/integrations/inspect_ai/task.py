"""The task: one sample per test input whose output is known."""

from __future__ import annotations

import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ModelName, get_model

from arc_trm import runs
from arc_trm.data.splits import overlap_notes, predicted_tasks
from arc_trm.errors import UserError
from arc_trm.evaluation.prediction_log import are_of
from arc_trm.evaluation.source import (
    about_answers,
    answered_tasks,
    find_answers,
    is_log,
    only_arc,
    read_results,
    tasks_of,
)
from arc_trm.integrations.inspect_ai.batching import logger
from arc_trm.integrations.inspect_ai.errors import told
from arc_trm.integrations.inspect_ai.scorers import two_attempts
from arc_trm.integrations.inspect_ai.solvers import as_name, latest_run, model_or_run, trm
from arc_trm.integrations.prompts import prompt
from arc_trm.tasks import TaskSet

DATA = "arc-agi-1/evaluation"


@task
def arc_agi(
    data: str | None = None,
    weights: str | None = None,
    predictions: str | None = None,
    attempts: int = 2,
    augmentations: int | None = None,
) -> Task:
    """ARC-AGI: the output grid of every test input, in one or two attempts.

    Args:
        data: dataset name, folder, challenges file or task file; None is what `weights` or
            `predictions` say they are for, else arc-agi-1/evaluation.
        weights: TRM answers out of this run, weight folder or Hub repository.
        predictions: the answers are in this file or folder.
        attempts: 1 or 2.
        augmentations: TRM's voters beside the task itself; None is all that were trained.

    With neither weights nor predictions the model answers; if that is none/none, the latest run.
    """
    with told():
        if attempts not in (1, 2):
            raise UserError(f"attempts is {attempts}: give 1 or 2")
        data, weights, predictions = map(as_name, (data, weights, predictions))
        said = weights is not None or predictions is not None
        ours = said or _model_api() == "none"
        if ours and not said:
            weights = latest_run()
        solver = (
            trm(weights, predictions, augmentations)
            if ours
            else model_or_run(attempts, augmentations)
        )
        tasks = _tasks(data, weights, predictions)
        samples = _samples(tasks)
    return Task(
        dataset=MemoryDataset(samples, name=tasks.name),
        solver=solver,
        scorer=two_attempts(attempts),
        # For TRM all samples wait at once, so that they are answered in few batches.
        config=GenerateConfig(max_connections=len(samples)) if ours else GenerateConfig(),
    )


def _model_api() -> str | None:
    """`none` if there is no model, None if it is not known yet which there is."""
    try:
        return ModelName(get_model()).api
    except ValueError:
        return None


def _tasks(data: str | None, weights: str | None, predictions: str | None) -> TaskSet:
    """The tasks of DATA, else those that the answers or the run are for, else DATA's default."""
    run = Path(weights) if weights is not None and runs.is_run(Path(weights)) else None
    answers = None if predictions is None else find_answers(Path(predictions))
    if data is None:
        if run is not None:
            return predicted_tasks(runs.run_config(run).data)
        if answers and ("data" in about_answers(answers) or runs.is_run(answers.parent)):
            return answered_tasks(answers)
    tasks = tasks_of(data if data is not None else DATA)
    if run is not None:
        for note in overlap_notes(runs.run_config(run).data, tasks):
            logger.warning(note)
    if answers and not (is_log(answers) and are_of(answers, tasks)):
        read_results(answers, tasks)  # refuses answers to other tasks
    return tasks


def _samples(tasks: TaskSet) -> list[Sample]:
    """Those of the ARC tasks whose outputs are all known. Raises UserError if there are none."""
    only_arc(tasks, "the plugin")
    samples = [
        Sample(
            id=f"{each.id}/{test + 1}",
            input=prompt(each, test),
            target=json.dumps(solution.tolist()),
            metadata={
                "task": each.id,
                "test": test,
                "test_inputs": [pair.input.tolist() for pair in each.test],
            },
        )
        for each in tasks
        for test, solution in enumerate(each.solutions or ())
    ]
    if not samples:
        raise UserError(f"no test output of {tasks.name!r} is known, so nothing can be scored")
    return samples
