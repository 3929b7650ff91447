"""The training data of a run, from tasks or from a prebuilt folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arc_trm.config import RunConfig
from arc_trm.data.dataset import TaskDataset
from arc_trm.data.leakage import leakage_warnings, prebuilt_leakage
from arc_trm.data.loader import public_data_name
from arc_trm.data.readers.prebuilt import open_prebuilt
from arc_trm.data.sampler import PuzzleGroup
from arc_trm.data.splits import (
    Loaded,
    load_test_sets,
    load_training_sets,
    select_predicted,
    training_folder,
)
from arc_trm.errors import UserError
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
    notes: tuple[str, ...]
    trained_on: tuple[str, ...]
    """Names of the datasets without folders; see `demonstrations_of`."""

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
    kind = KINDS[sets[0].kind if sets else test_sets[0].kind if test_sets else DEFAULT_KIND]
    if test_sets and predicted.kind != kind.name:
        key = "train" if data.train else "optional_train"
        raise UserError(
            f"data.test holds {kind_of(predicted).title}, but data.{key} "
            f"{list(getattr(data, key))} {kind.title}: name data of one kind in both"
        )
    if model.vocab_size != kind.vocab_size:
        raise UserError(
            f"model.vocab_size is {model.vocab_size}, but {kind.title} has {kind.vocab_size} "
            f"tokens: add `--set model.vocab_size={kind.vocab_size}`"
        )
    tasks, task_notes = kind.training_tasks(sets, predicted, data, model.side)
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
    )
    # Numbered puzzles are compared after subsampling, which may separate what one file holds.
    for scored in [predicted] if kind.numbered else test_sets:
        notes += leakage_warnings([tasks] if kind.numbered else sets, scored, predicted)
    notes += task_notes
    names = list(dataset.puzzle_names())
    # Pairs, puzzles and their ids; run.json holds the other settings of the batches.
    settings = [tasks.fingerprint(), data.augmentation, str(data.augmentations), str(config.seed)]
    text = "\n".join([*settings, *names]).encode("utf-8", "surrogatepass")
    fingerprint = hashlib.sha256(text).hexdigest()
    return TrainingSet(
        dataset, names, fingerprint, kind, tuple(notes), _trained_on(kind, sets, test_sets)
    )


def _trained_on(
    kind: PuzzleKind, sets: Sequence[TaskSet], test_sets: Sequence[TaskSet]
) -> tuple[str, ...]:
    predicted = {tasks.name for tasks in test_sets} if kind.embeds_tasks else set()
    names = [public_data_name(tasks.name) for tasks in sets if tasks.name not in predicted]
    names += [demonstrations_of(public_data_name(name)) for name in sorted(predicted)]
    return tuple(dict.fromkeys(names))


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
    if data.test:
        kind_of(predicted).check_model(model, predicted)
        notes += prebuilt_leakage(dataset, predicted)
    kind = KINDS[puzzles.kind if puzzles is not None else DEFAULT_KIND]
    trained_on = (public_data_name(str(folder)),)
    return TrainingSet(
        dataset, dataset.names, dataset.fingerprint(), kind, tuple(notes), trained_on
    )
