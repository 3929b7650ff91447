"""Leaks between datasets: tasks that are scored after their test outputs were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from arc_trm.config import DataConfig
from arc_trm.data.loader import absolute_data_path, find_tasks, prebuilt_folder, recorded_name
from arc_trm.data.readers.prebuilt import PrebuiltDataset, open_prebuilt
from arc_trm.data.registry import find_manifest, known_overlap
from arc_trm.data.splits import (
    load_test_sets,
    load_validation_sets,
    select_predicted,
    select_validation,
)
from arc_trm.errors import UserError, format_names, pluralise
from arc_trm.puzzles import kind_of
from arc_trm.tasks import TaskSet


def leakage_warnings(
    trained: Sequence[TaskSet], scored: TaskSet, unseen: Sequence[TaskSet] = ()
) -> list[str]:
    """Return a sentence for each training set that shares tasks with a set to be scored.

    Tasks that are `unseen` are left out if only their demonstrations are trained on.
    """
    warnings = []
    for tasks in trained:
        if tasks.kind == scored.kind:
            shared = kind_of(scored).shared_tasks(scored, tasks)
            warnings += _warning(scored, tasks.name, _trained_outputs(shared, unseen))
    return warnings


def validation_leakage(validation: TaskSet, predicted: TaskSet) -> list[str]:
    """Return a sentence if tasks that a run will be scored on are used for its validation."""
    if validation.kind != predicted.kind or not len(validation) or not len(predicted):
        return []
    kind = kind_of(predicted)
    shared = kind.shared_tasks(validation, predicted)
    if not shared:
        return []
    return [
        f"{pluralise(len(shared), kind.noun)} in data.validation are in data.test too: a score of "
        "weights that were chosen by an evaluation on them is too high"
    ]


def prebuilt_leakage(dataset: PrebuiltDataset, scored: TaskSet) -> list[str]:
    """Return a sentence if a prebuilt folder contains the test outputs of tasks to be scored.

    The outputs of ARC tasks show in the number of pairs: a task to predict has its demonstrations
    only.
    """
    if dataset.grid_puzzles is not None:
        return leakage_warnings([dataset.grid_puzzles.renamed(str(dataset.folder))], scored)
    trained = dataset.pairs_per_task()
    # Tasks without demonstrations are of another kind.
    shared = [task.id for task in scored if trained.get(task.id, 0) > len(task.train) > 0]
    return _warning(scored, str(dataset.folder), dict(zip(shared, shared, strict=True)))


def run_leakage(data: DataConfig, scored: TaskSet) -> list[str]:
    """Return a sentence for each dataset of a run that shares tasks with a set to be scored.

    Tasks that the run predicts or validates on are left out if only their demonstrations are
    trained on, and so are puzzles of its only training set that it holds out. If the files of a
    dataset are missing, its manifest decides; other missing data is skipped.
    """
    warnings: list[str] = []
    unseen = _unseen(data, scored)
    names = (*data.train, *data.optional_train)
    for name in names:
        with suppress(UserError):
            if folder := prebuilt_folder(name):
                warnings += prebuilt_leakage(open_prebuilt(folder), scored)
            elif tasks := _find_unless_loaded(name, data, scored):
                if len(names) == 1:
                    tasks = kind_of(tasks).trained_part(tasks, data)
                warnings += leakage_warnings([tasks], scored, unseen)
            elif find_manifest(name):
                known = known_overlap(recorded_name(scored), name)
                shared = {here: there for here, there in known.items() if here in scored}
                warnings += _warning(scored, name, _trained_outputs(shared, unseen))
    return warnings


def _find_unless_loaded(name: str, data: DataConfig, scored: TaskSet) -> TaskSet | None:
    if absolute_data_path(name) == absolute_data_path(scored.name):
        return scored.renamed(name)
    return find_tasks(name, data.skip_invalid)


def _unseen(data: DataConfig, scored: TaskSet) -> list[TaskSet]:
    """Return the tasks that a run predicts and validates on, unless they do not matter.

    They matter if the run trains on other data too, and only to kinds that embed tasks. Missing
    ones are left out.
    """
    found: list[TaskSet] = []
    if (data.train or data.optional_train) and kind_of(scored).embeds_tasks:
        loaded = {absolute_data_path(scored.name): scored}
        with suppress(UserError):
            found.append(select_predicted(load_test_sets(data, loaded), data))
        with suppress(UserError):
            found.append(select_validation(load_validation_sets(data, loaded), data))
    return found


def _trained_outputs(shared: Mapping[str, str], unseen: Sequence[TaskSet]) -> dict[str, str]:
    """Return the shared tasks whose test outputs are trained on.

    `shared` maps their ids to those in the training set. Of the `unseen` tasks of kinds that embed
    tasks, only demonstrations are trained on.
    """
    hidden = [tasks for tasks in unseen if kind_of(tasks).embeds_tasks]
    return {
        here: there for here, there in shared.items() if not any(there in tasks for tasks in hidden)
    }


def named_leakage(trained_on: Sequence[str], scored: TaskSet) -> list[str]:
    """Return a sentence for each known dataset of these names that shares tasks with `scored`.

    Names of files are left out: a file of that name may be another one by now.
    """
    known = tuple(name for name in trained_on if find_manifest(name))
    return run_leakage(DataConfig(train=known), scored)


def _warning(scored: TaskSet, trained: str, shared: Mapping[str, str]) -> list[str]:
    """Return a sentence on shared tasks; `shared` maps their ids to those in the training set."""
    if not shared:
        return []
    noun = kind_of(scored).noun
    named = [here if here == there else f"{here} as {there}" for here, there in shared.items()]
    return [
        f"{scored.name} shares {len(shared)} of its {len(scored)} {noun}s with {trained}, which "
        f"was trained on: a score on these is not one on unseen {noun}s ({format_names(named)})"
    ]
