"""The task: one sample per test input whose output is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ModelName, get_model

from arc_trm.config import inference_config
from arc_trm.data.loader import load_tasks
from arc_trm.data.splits import predicted_tasks
from arc_trm.errors import UserError, format_name
from arc_trm.evaluation.source import PredictionSource
from arc_trm.integrations.inspect_ai.batching import WeightsSource, logger
from arc_trm.integrations.inspect_ai.errors import translate_errors
from arc_trm.integrations.inspect_ai.scorers import two_attempts
from arc_trm.integrations.inspect_ai.solvers import (
    as_name,
    latest_run_name,
    model_or_run,
    trm,
)
from arc_trm.integrations.prompts import prompt
from arc_trm.puzzles import kind_of
from arc_trm.run_inputs import find_leaks, resolve_folder
from arc_trm.runs import Run, find_run, is_run
from arc_trm.tasks import TaskSet

DEFAULT_DATA = "arc-agi-1/evaluation"


@task
def arc_agi(
    data: str | None = None,
    weights: str | None = None,
    predictions: str | None = None,
    attempts: int = 2,
    augmentations: int | None = None,
    samples: int | None = None,
    noise: float | None = None,
    starts: str | None = None,
    supervision_steps: int | None = None,
    early_exit: bool | None = None,
    select: str | None = None,
    seed: int | None = None,
) -> Task:
    """Build the task of ARC-AGI: predict the output of every test input in one or two attempts.

    Without weights and predictions the language model is used, or the latest run for `none/none`.
    If TRM answers with weights, the metadata of the log have a seal of weights, tasks and settings.

    Args:
        data: dataset name, folder, challenges file or task file; None is what `weights` or
            `predictions` say they are for, else arc-agi-1/evaluation.
        weights: a run, weights folder or Hub repository with which TRM answers.
        predictions: a file or folder with stored predictions.
        attempts: 1 or 2.
        augmentations: of TRM that vote besides the task itself; None is all that were trained.
        samples, noise, starts, supervision_steps, early_exit, select, seed: how TRM is asked, as
            for the solver `trm`.
    """
    with translate_errors():
        if attempts not in (1, 2):
            raise UserError(f"attempts is {attempts}: use 1 or 2")
        data, weights, predictions = map(as_name, (data, weights, predictions))
        settings: dict[str, Any] = {
            "samples": samples,
            "noise": noise,
            "starts": starts,
            "supervision_steps": supervision_steps,
            "early_exit": early_exit,
            "select": select,
            "seed": seed,
        }
        # A wrong value is an error even if a language model answers.
        config = inference_config(**settings)
        is_trm = weights is not None or predictions is not None
        if not is_trm and _model_api() == "none":
            is_trm, weights = True, latest_run_name()
            if weights is not None:
                logger.warning(f"no weights are named, so the run made last answers: {weights}")
        if is_trm:
            solver = trm(weights, predictions, augmentations, **settings)
        else:
            solver = model_or_run(attempts, augmentations, settings)
        tasks = _find_tasks(data, weights, predictions)
        dataset = _samples(tasks)
        metadata = None
        if weights is not None:
            seal = WeightsSource(weights, augmentations, config).seal(tasks)
            metadata = {"seal": seal.to_dict()}
    return Task(
        dataset=MemoryDataset(dataset, name=tasks.name),
        solver=solver,
        scorer=two_attempts(attempts),
        metadata=metadata,
        # For TRM all samples wait at once, so that they are answered in a few batches.
        config=GenerateConfig(max_connections=len(dataset)) if is_trm else GenerateConfig(),
    )


def _model_api() -> str | None:
    """Return `none` if there is no model, None if it is not known yet."""
    try:
        return ModelName(get_model()).api
    except ValueError:
        return None


def _find_tasks(data: str | None, weights: str | None, predictions: str | None) -> TaskSet:
    """Return the tasks of DATA, or those of the predictions or the run, or the default ones."""
    if predictions is not None:
        source = PredictionSource.open(predictions, data)
        if data is None and not source.names_tasks:
            source = PredictionSource.open(predictions, DEFAULT_DATA)
        if not (source.log is not None and source.log.matches_tasks(source.tasks)):
            assert source.predictions  # raises for predictions of other tasks
        for warning in source.leakage():
            logger.warning(warning)
        return source.tasks
    run = find_run(Path(weights)) if weights is not None else None
    if data is None and run is not None:
        tasks = predicted_tasks(run.config.data)
    else:
        name = data if data is not None else DEFAULT_DATA
        tasks = predicted_tasks(Run(name).config.data) if is_run(Path(name)) else load_tasks(name)
    tasks = tasks.with_tests()
    if weights is not None:
        from arc_trm.checkpoint import WeightsDir

        folder = resolve_folder(weights)
        for warning in find_leaks(find_run(folder), WeightsDir(folder), tasks):
            logger.warning(warning)
    return tasks


def _samples(tasks: TaskSet) -> list[Sample]:
    """Return a sample for each test input of the tasks whose outputs are all known."""
    kind_of(tasks).require_submission("the plugin", tasks.name)
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
        raise UserError(
            f"no test output of {format_name(tasks.name)} is known, so nothing can be scored"
        )
    return samples
