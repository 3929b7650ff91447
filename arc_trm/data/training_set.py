"""The training data of a run, from tasks or from a prebuilt folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from arc_trm.config import DataConfig, ModelConfig, RunConfig
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.leakage import leakage_warnings, prebuilt_leakage, validation_leakage
from arc_trm.data.loader import public_data_name, recorded_name
from arc_trm.data.readers.prebuilt import compose_ids, open_prebuilt
from arc_trm.data.sampler import PuzzleGroup
from arc_trm.data.splits import (
    Loaded,
    load_test_sets,
    load_training_sets,
    load_validation_sets,
    select_predicted,
    select_validation,
    training_folder,
)
from arc_trm.errors import UserError, pluralise
from arc_trm.puzzles import KINDS, PuzzleKind, kind_of
from arc_trm.tasks import DEFAULT_KIND, TaskSet


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Training data, and sentences about it for the user."""

    dataset: Sequence[PuzzleGroup]
    """Groups of puzzles, from which batches are sampled."""
    puzzle_names: Sequence[str]
    """The name of every puzzle id, `<blank>` first."""
    fingerprint: str
    """SHA-256, which must be equal when the run is resumed."""
    kind: PuzzleKind
    validation: TaskSet
    """Tasks with known outputs that are predicted now and then while the run trains; maybe none."""
    notes: tuple[str, ...]
    trained_on: tuple[str, ...]
    """Names of the datasets without folders; see `demonstrations_of`."""

    @cached_property
    def augmentations(self) -> int:
        """Largest number of augmentations of a task or puzzle."""
        return max(map(len, self.dataset), default=1) - 1

    @property
    def summary(self) -> str:
        """The amount of data, in words."""
        return self.kind.training_summary(len(self.dataset), sum(map(len, self.dataset)))


def demonstrations_of(dataset: str) -> str:
    """Return how a dataset is called whose test outputs are not trained on."""
    return f"{dataset} (demonstrations)"


def build_training_set(config: RunConfig, loaded: Loaded | None = None) -> TrainingSet:
    """Load and check the data that `config.data` names; what is `loaded` is not loaded again.

    Raises:
        UserError: data is missing or invalid, or does not fit `config.model`.
    """
    folder = training_folder(config.data)
    return _from_folder(config, folder, loaded) if folder else _from_tasks(config, loaded)


def _from_tasks(config: RunConfig, loaded: Loaded | None) -> TrainingSet:
    data, model = config.data, config.model
    sets, notes = load_training_sets(data, loaded)
    notes += [note for tasks in sets for note in tasks.notes]
    test_sets = load_test_sets(data, loaded)
    predicted = select_predicted(test_sets, data)
    validation = select_validation(load_validation_sets(data, loaded), data)
    first = _first_of_one_kind(data, sets, predicted, validation)
    kind = kind_of(first)
    _check_vocab(model, kind, kind.side_of(first))
    tasks, held_out, task_notes = kind.training_tasks(sets, predicted, validation, data, model.side)
    kind.check_model(model, tasks)
    notes += kind.check_canvas(model, predicted)
    dataset = TaskDataset(
        tasks,
        data.augmentations,
        config.seed,
        model.side,
        model.canvas == "bucketed",
        data.random_translation,
        data.augmentation,
        model.puzzle_embedding == "composed",
    )
    # Numbered puzzles are compared after subsampling, which may separate what one file holds.
    trained = [tasks] if kind.numbered else sets
    for scored in [predicted] if kind.numbered else test_sets:
        notes += leakage_warnings(trained, scored, [predicted, validation])
    if len(validation):
        named = validation.renamed("data.validation")
        notes += leakage_warnings(trained, named, [predicted, validation])
    notes += validation_leakage(validation, predicted)
    if len(held_out):
        validation, removed = _without_shared(held_out, [tasks, predicted])
        if data.validation_puzzles and not len(validation):
            raise UserError(
                f"the {pluralise(len(held_out), kind.noun)} that data.validation_puzzles holds out "
                "are all in the training set or in data.test too: name other data in data.test, "
                "or puzzles for evaluation in data.validation"
            )
        notes += removed
    notes += task_notes
    names = list(dataset.puzzle_names())
    # Pairs, puzzles and their ids; run.json holds the other settings of the batches.
    settings = [tasks.fingerprint(), data.augmentation, str(data.augmentations), str(config.seed)]
    text = "\n".join([*settings, *names]).encode("utf-8", "surrogatepass")
    fingerprint = hashlib.sha256(text).hexdigest()
    trained_on = _trained_on(kind, sets, test_sets, validation, data)
    return TrainingSet(dataset, names, fingerprint, kind, validation, tuple(notes), trained_on)


def held_out_tasks(config: RunConfig) -> TaskSet:
    """Return the tasks that a run is evaluated on while it trains; maybe none.

    They are those of `data.validation`, or puzzles of its training data that it does not train on.

    Raises:
        UserError: data is missing or invalid.
    """
    data = config.data
    validation = select_validation(load_validation_sets(data), data)
    if len(validation) or training_folder(data):
        return validation
    sets, _ = load_training_sets(data)
    if not sets:
        return validation
    predicted = select_predicted(load_test_sets(data), data)
    kind, side = kind_of(sets[0]), config.model.side
    tasks, held_out, _ = kind.training_tasks(sets, predicted, validation, data, side)
    if len(held_out):
        held_out, _ = _without_shared(held_out, [tasks, predicted])
    return held_out.renamed(f"puzzles held out of {public_data_name(held_out.name)}")


def _check_vocab(model: ModelConfig, kind: PuzzleKind, side: int) -> None:
    """Raise UserError unless a model has the tokens of puzzles with that side."""
    needed = kind.vocab_size(side)
    if model.vocab_size == needed:
        return
    preset = ""
    if needed == kind.vocab_size(kind.default_side):
        preset = f"use a preset for {kind.title} such as {kind.quick_preset}, or "
    raise UserError(
        f"model.vocab_size is {model.vocab_size}, but {kind.title} has {needed} tokens: {preset}"
        f"add `--set model.vocab_size={needed}`"
    )


def _first_of_one_kind(
    data: DataConfig, sets: Sequence[TaskSet], predicted: TaskSet, validation: TaskSet
) -> TaskSet:
    """Return the first data of a run. Raises UserError if there are several kinds."""
    keys = "train" if data.train else "optional_train" if sets else "test"
    named = [
        *sets[:1],
        *([predicted] if data.test else []),
        *([validation] if data.validation else []),
    ]
    first = named[0] if named else TaskSet("", {})
    kind = kind_of(first)
    for key, tasks in (("test", predicted), ("validation", validation)):
        if getattr(data, key) and tasks.kind != kind.name:
            raise UserError(
                f"data.{key} holds {kind_of(tasks).title}, but data.{keys} "
                f"{list(getattr(data, keys))} {kind.title}: name data of one kind in both"
            )
    return first


def _without_shared(held_out: TaskSet, others: Sequence[TaskSet]) -> tuple[TaskSet, list[str]]:
    """Return the puzzles held out that no other set has too, and a note on those left out."""
    kind, shared = kind_of(held_out), set[str]()
    for tasks in others:
        if len(tasks):
            shared |= kind.shared_tasks(held_out, tasks).keys()
    if not shared:
        return held_out, []
    note = (
        f"{pluralise(len(shared), kind.noun)} of the {len(held_out)} held out for validation are "
        "left out, because the training set or data.test has them too"
    )
    return held_out.select(each for each in held_out.ids if each not in shared), [note]


def _trained_on(
    kind: PuzzleKind,
    sets: Sequence[TaskSet],
    test_sets: Sequence[TaskSet],
    validation: TaskSet,
    data: DataConfig,
) -> tuple[str, ...]:
    names = [tasks.name for tasks in sets]
    predicted = set[str]()
    if kind.embeds_tasks:
        predicted = {tasks.name for tasks in test_sets}
        if len(validation):
            # A part of a set may be validated on while the outputs of the others are trained on.
            whole = {
                tasks.name
                for tasks in sets
                if all(task.id in validation for task in tasks.filter_by_size(data.max_grid_size))
            }
            predicted |= {name for name in data.validation if name in whole or name not in names}
    recorded = {tasks.name: recorded_name(tasks) for tasks in (*sets, *test_sets)}
    trained = [recorded[name] for name in names if name not in predicted]
    trained += [
        demonstrations_of(recorded.get(name) or public_data_name(name))
        for name in sorted(predicted)
    ]
    return tuple(dict.fromkeys(trained))


def _from_folder(config: RunConfig, folder: Path, loaded: Loaded | None) -> TrainingSet:
    dataset, data, model = open_prebuilt(folder), config.data, config.model
    for key in ("seq_len", "vocab_size"):
        value, chosen = getattr(dataset, key), getattr(model, key)
        if value != chosen:
            raise UserError(
                f"{folder} has a {key} of {value}, but model.{key} is {chosen}: add "
                f"`--set model.{key}={value}`"
            )
    notes = [
        f"the examples of {folder} are used as they were built: data.augmentations, "
        "data.random_translation, data.max_grid_size and data.train_puzzles have no effect on them"
    ]
    if model.canvas == "bucketed":
        notes.append(f"the examples of {folder} are on the full canvas whatever model.canvas says")
    puzzles = dataset.grid_puzzles  # validates them
    predicted = select_predicted(load_test_sets(data, loaded), data)
    validation = select_validation(load_validation_sets(data, loaded), data)
    if data.validation_puzzles and not data.validation:
        raise UserError(
            f"data.validation_puzzles can hold out no example of {folder}, which is used as it was "
            "built: name a dataset in data.validation"
        )
    for key, tasks in (("test", predicted), ("validation", validation)):
        if getattr(data, key):
            kind_of(tasks).check_model(model, tasks)
            notes += prebuilt_leakage(dataset, tasks)
    notes += validation_leakage(validation, predicted)
    kind = KINDS[puzzles.kind if puzzles is not None else DEFAULT_KIND]
    groups: Sequence[PuzzleGroup] = dataset
    names = dataset.names
    if model.puzzle_embedding == "composed":
        kind.check_embedding(model)
        groups, names = compose_ids(dataset)
    trained_on = (public_data_name(str(folder)),)
    fingerprint = dataset.fingerprint()
    return TrainingSet(groups, names, fingerprint, kind, validation, tuple(notes), trained_on)
