"""The datasets that a run trains on and the tasks that it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from arc_trm.config import DataConfig
from arc_trm.data.loader import absolute_data_path, find_tasks, load_tasks, prebuilt_folder
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, kind_of
from arc_trm.tasks import TaskSet

Loaded = Mapping[str, TaskSet]
"""Datasets in memory, by name or absolute path."""


def load_test_sets(data: DataConfig, loaded: Loaded | None = None) -> list[TaskSet]:
    """Load the datasets of `data.test`. Raises UserError if they are of different kinds."""
    sets = [_load(name, data, loaded) for name in data.test]
    _check_one_kind(sets)
    return sets


def predicted_tasks(data: DataConfig) -> TaskSet:
    """Load the tasks with test inputs that a run predicts, whatever their test outputs.

    Raises:
        UserError: data is missing or invalid, or the datasets do not fit together.
    """
    return select_predicted(load_test_sets(data), data).with_tests()


def select_predicted(sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
    """Return the tasks of the loaded `data.test` sets that a run predicts."""
    return kind_of(sets[0]).predicted_tasks(sets, data) if sets else TaskSet("", {})


def load_validation_sets(data: DataConfig, loaded: Loaded | None = None) -> list[TaskSet]:
    """Load the datasets of `data.validation`. Raises UserError if they are of different kinds."""
    sets = [_load(name, data, loaded) for name in data.validation]
    _check_one_kind(sets)
    return sets


def select_validation(sets: Sequence[TaskSet], data: DataConfig) -> TaskSet:
    """Return the tasks of the loaded `data.validation` sets that a run is evaluated on."""
    return kind_of(sets[0]).validation_tasks(sets, data) if sets else TaskSet("", {})


def load_training_sets(
    data: DataConfig, loaded: Loaded | None = None
) -> tuple[list[TaskSet], list[str]]:
    """Load the datasets of `data.train` and those of `data.optional_train` that exist.

    Returns:
        The datasets, and notes on the missing ones.

    Raises:
        UserError: they are of different kinds.
    """
    sets, notes = [_load(name, data, loaded) for name in data.train], []
    for name in data.optional_train:
        if (found := find_tasks(name, data.skip_invalid)) is not None:
            sets.append(found)
        else:
            notes.append(f"{name} is left out: its files were not found")
    _check_one_kind(sets)
    return sets, notes


def training_folder(data: DataConfig) -> Path | None:
    """Return the folder in the published trainer's format that a run trains on, or None.

    Raises:
        UserError: the run trains on such a folder and on another dataset.
    """
    names = (*data.train, *data.optional_train)
    folders = [name for name in names if prebuilt_folder(name)]
    if not folders:
        return None
    if len(names) > 1 or not data.train:
        raise UserError(
            f"{folders[0]} is in the published trainer's format and must be the only training "
            f"data, but data.train is {list(data.train)} and data.optional_train "
            f'{list(data.optional_train)}: add `--set "data.train=[{folders[0]!r}]" --set '
            '"data.optional_train=[]"`'
        )
    return prebuilt_folder(folders[0])


def _load(name: str, data: DataConfig, loaded: Loaded | None) -> TaskSet:
    found = (loaded or {}).get(absolute_data_path(name))
    return load_tasks(name, data.skip_invalid) if found is None else found


def _check_one_kind(sets: Sequence[TaskSet]) -> None:
    for tasks in sets:
        if tasks.kind != sets[0].kind:
            raise UserError(
                f"{sets[0].name} holds {KINDS[sets[0].kind].title}, but {tasks.name} "
                f"{KINDS[tasks.kind].title}: name data of one kind of puzzle"
            )
