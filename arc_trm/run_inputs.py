"""Resolve WEIGHTS and DATA to opened weights and loaded tasks, for all commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arc_trm.callbacks import Callback
from arc_trm.config import DataConfig
from arc_trm.data.files import exists
from arc_trm.data.leakage import named_leakage, run_leakage
from arc_trm.data.loader import load_tasks
from arc_trm.data.registry import find_manifest
from arc_trm.data.splits import predicted_tasks
from arc_trm.data.training_set import demonstrations_of, held_out_tasks
from arc_trm.errors import UserError, format_names
from arc_trm.file_kind import wrong_file
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.runs import Run, find_run, latest_run
from arc_trm.tasks import TaskSet

if TYPE_CHECKING:
    from arc_trm.checkpoint import WeightsDir

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class RunInputs:
    """What a job needs to know of its weights and tasks. `resolve` makes it.

    Attributes:
        weights: the folder of the weights, opened.
        run: the run in that folder, if it is one.
        tasks: what DATA means, or what the run predicts.
        data: the data settings that `tasks` come from.
        model_name: of the weights, for readers of the predictions.
        weights_name: path of the weights, or their name on the Hub.
        leaks: a sentence for each dataset whose test outputs the weights were trained on.
        too_large: a sentence if some tasks do not fit the canvas.
    """

    weights: WeightsDir
    run: Run | None
    tasks: TaskSet
    data: DataConfig
    model_name: str
    weights_name: str
    leaks: tuple[str, ...]
    too_large: tuple[str, ...]

    @property
    def kind(self) -> PuzzleKind:
        """The kind of the tasks."""
        return kind_of(self.tasks)

    @classmethod
    def resolve(
        cls,
        weights: PathLike | None = None,
        data: PathLike | None = None,
        skip_invalid: bool = False,
        callback: Callback | None = None,
        checkpoint: str | int | None = None,
        held_out: bool = False,
    ) -> RunInputs:
        """Find weights and load tasks, and check that they fit each other.

        Args:
            weights: a run, a weights folder, or `owner/name[@revision][:subfolder]` on the Hub;
                None is the latest run.
            data: DATA; None is what the run predicts.
            skip_invalid: leave out invalid tasks and rows, which a note lists.
            callback: hears notes, for example that tasks were trained on.
            checkpoint: which weights of a run, as `WeightsDir` takes it.
            held_out: whether settings are chosen by the tasks, so that they must be none that the
                run predicts or trains on; without DATA they are its puzzles for validation.

        Raises:
            UserError: weights or tasks cannot be found or read, or do not fit each other.
        """
        from arc_trm.checkpoint import WeightsDir

        callback = callback or Callback()
        folder = resolve_folder(weights, callback)
        if weights is None:
            callback.note(f"with the run that was made last, {folder}")
        run, opened = find_run(folder), WeightsDir(folder, checkpoint)
        _ = opened.config, opened.choice  # a folder without these weights is an error here
        if data is not None:
            tasks = load_tasks(data, skip_invalid).with_tests()
            settings = DataConfig(test=(os.fspath(data),), skip_invalid=skip_invalid)
        elif run is None:
            what = "held-out puzzles" if held_out else "the tasks to predict"
            raise UserError(f"{folder} is not a run, so name {what} with --data")
        elif skip_invalid:
            raise UserError(
                "--skip-invalid goes with --data; the data of a run has data.skip_invalid"
            )
        else:
            settings = run.config.data
            tasks = held_out_tasks(run.config) if held_out else predicted_tasks(settings)
        if not len(tasks) and held_out and data is None:
            raise UserError(
                f"{folder} has no puzzles for validation (data.validation, data.validation_puzzles)"
                ": name some with --data that it neither trained on nor predicts"
            )
        if not len(tasks):
            where = f"{os.fspath(data)} has" if data is not None else f"data.test of {folder} names"
            why = f" ({tasks.notes[-1]})" if tasks.notes else ""
            raise UserError(f"{where} no task to predict{why}: name some with --data")
        kind = kind_of(tasks)
        # Of numbered puzzles, training has compared the run's own data, which may be millions.
        leaks = find_leaks(run, opened, tasks) if data is not None or not kind.numbered else []
        if held_out:
            _check_held_out(run, tasks, leaks)
            for name in _missing_data(run, opened):
                callback.note(
                    f"{name} was trained on and is not here, so nobody knows whether {tasks.name} "
                    "shares puzzles with it"
                )
        for note in (*opened.notes, *leaks, *tasks.notes):
            callback.note(note)
        kind.check_model(opened.config, tasks)
        named = folder if weights is None else os.fspath(weights)
        too_large = kind.check_canvas(opened.config, tasks, f"the model in {named}")
        from_hub = weights is not None and Path(weights) != folder
        name = os.fspath(weights) if weights is not None and from_hub else folder.resolve().name
        weights_name = name if from_hub else os.path.abspath(folder)
        return cls(opened, run, tasks, settings, name, weights_name, tuple(leaks), tuple(too_large))


def _check_held_out(run: Run | None, tasks: TaskSet, leaks: Sequence[str]) -> None:
    """Raise UserError if tasks are no held-out ones: a run predicts them, or trained on them."""
    kind = kind_of(tasks)
    if leaks:
        raise UserError(f"{leaks[0]}: name held-out {kind.noun}s with --data")
    predicted = TaskSet("", {})
    if run is not None:
        with suppress(UserError):  # data that is gone cannot be compared
            predicted = predicted_tasks(run.config.data)
    if not len(predicted) or predicted.kind != tasks.kind:
        return
    if shared := kind.shared_tasks(tasks, predicted):
        raise UserError(
            f"{tasks.name} shares {len(shared)} of its {len(tasks)} {kind.noun}s with data.test of "
            f"the run, {predicted.name}, on which it is scored ({format_names(list(shared))}): "
            f"name held-out {kind.noun}s with --data"
        )


def _missing_data(run: Run | None, weights: WeightsDir) -> list[str]:
    """Return the names of training data with which other data cannot be compared."""
    if run is not None and run.config.adapt is None:
        named = run.config.data.train
        return [name for name in named if not find_manifest(name) and not exists(name)]
    # These names of files have no folder. Demonstrations have no test outputs to know.
    named = weights.training.trained_on
    outputs = [name for name in named if not name.endswith(demonstrations_of(""))]
    return [name for name in outputs if not find_manifest(name)]


def find_leaks(run: Run | None, weights: WeightsDir, tasks: TaskSet) -> list[str]:
    """Return a sentence for each dataset whose test outputs the weights, of a run, trained on."""
    leaks = run_leakage(run.config.data, tasks) if run else []
    if run is None or run.config.adapt is not None:  # data of the pretrained weights
        leaks += named_leakage(weights.training.trained_on, tasks)
    return list(dict.fromkeys(leaks))


def resolve_folder(weights: PathLike | None, callback: Callback | None = None) -> Path:
    """Return the local folder of WEIGHTS, downloaded if need be; None is the latest run.

    Raises:
        UserError: there are no such weights.
    """
    if weights is None:
        return latest_run()
    if os.path.exists(weights):  # Path.exists raises for names that are too long
        _check_weights(Path(weights))
        return Path(weights)
    from arc_trm.hub import resolve_weights  # local weights do without the Hub's client

    callback = callback or Callback()
    return resolve_weights(os.fspath(weights), callback.note, callback.stage)


def _check_weights(path: Path) -> None:
    """Raise UserError, which says what it is, if a path cannot be that of weights."""
    expected = "a run, a weights folder or a repository on the Hub"
    if error := wrong_file(path, "weights", expected):
        raise error
    if not path.is_dir():
        raise UserError(
            f"{path} is a file, expected {expected}: convert a weight file of the published "
            "trainer with `arc-trm convert`"
        )
