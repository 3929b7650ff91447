"""The pipeline as functions, which the command line calls: train, adapt, tune, predict, score.

All arguments but the first are the options of the command with the same name, with the same
defaults, and the same files are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from arc_trm.callbacks import Callback, CallbackList
from arc_trm.config import (
    AdaptConfig,
    Canvas,
    EmbeddingChoice,
    InitialState,
    RunConfig,
    inference_config,
    load_config,
    parse_override,
)
from arc_trm.config.schema import MAX_AUGMENTATIONS, MAX_BATCH_SIZE
from arc_trm.data.loader import absolute_data_path, load_tasks, public_data_name
from arc_trm.environment import environment_number
from arc_trm.errors import UserError, format_value, pluralise, quote_path
from arc_trm.evaluation.predictions import PredictionSet
from arc_trm.evaluation.seal import Seal, earlier_seal, seal_folder
from arc_trm.evaluation.selection import SelectionRule
from arc_trm.evaluation.source import PredictionSource, data_metadata
from arc_trm.io import file_name
from arc_trm.puzzles import kind_of
from arc_trm.run_inputs import PathLike, RunInputs, resolve_folder
from arc_trm.runs import PREDICTIONS_FOLDER, SEAL, Run, latest_predictions, predictions_of
from arc_trm.runs.checkpoints import CheckpointChoice
from arc_trm.tasks import TaskSet
from arc_trm.time_limit import TimeLimit
from submission import Scored

if TYPE_CHECKING:
    from arc_trm.checkpoint.embedding_fit import EmbeddingFit
    from arc_trm.inference import TuningResult

ADAPT_PRESET = "adapt-arc-agi-2"
TUNING_TIME = "10m"
"""Time limit of `tune_inference`."""
LENGTH_KEYS = ("epochs", "train.total_steps", "train.max_steps", "train.time_limit")
"""Config keys that --max-steps and --time-limit replace."""
DATA_KEYS = ("data.train", "data.optional_train", "data.test")
"""Config keys that --data replaces."""


def train(
    preset: str | None = None,
    *,
    data: PathLike | None = None,
    config: PathLike | None = None,
    overrides: Sequence[str] = (),
    max_steps: int | None = None,
    time_limit: str | float | TimeLimit | None = None,
    seed: int | None = None,
    out: PathLike | None = None,
    resume: PathLike | None = None,
    restart: bool = False,
    skip_invalid: bool = False,
    device: str = "auto",
    compiled: bool = False,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = False,
) -> Run:
    """Train a model from scratch, until its last step, a time limit or a signal.

    Args:
        preset: named config to start from; None is `quickstart`, or with `data` a small model that
            suits the data.
        data: DATA to train on in place of the preset's. Of ARC tasks only demonstrations are
            trained on; the test inputs are predicted later.
        config: TOML file that changes the preset.
        overrides: single settings, `KEY=VALUE`.
        max_steps: the most training steps; None is the preset's number, or with a time limit as
            many as it allows. The learning-rate schedule then ends with the last step; `adapt` and
            a time limit also shorten warm-up and weight average to fit.
        time_limit: `3h`, `90m`, `45s` or seconds from now; the schedule is planned to fit.
        seed: of everything random.
        out: folder of the run; None is `runs/DATE-TIME-NAME`.
        resume: a run to resume; all settings are those of the run.
        restart: with `resume`, train the run again from step 0; weights and metrics are replaced.
        skip_invalid: leave out invalid tasks and rows, which a note lists.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        compiled: use torch.compile, which delays the first steps.
        callbacks: hear notes and progress, and track (`arc_trm.tracking`; the option --track).
        show_progress: print notes and show a bar.

    Raises:
        UserError: settings, data or training state do not work, or the loss is no longer finite.
    """
    limit = TimeLimit.parse(time_limit)
    _check_restart(restart, resume)
    with _callback("training", "steps", callbacks, show_progress) as callback:
        if resume is not None:
            run = _find_run(resume, adapts=False)
            return _train(
                run.config, run.path, device, compiled, callback, limit, None, True, restart
            )
        settings = _with_options(overrides, seed, max_steps, limit, skip_invalid, data)
        loaded: dict[str, TaskSet] = {}
        start = preset or "quickstart"
        if data is not None:
            path, tasks = absolute_data_path(data), load_tasks(data, skip_invalid)
            loaded[path], kind = tasks, kind_of(tasks)
            settings = [*kind.data_settings(path), *settings]
            if preset is None:
                start, settings = kind.quick_preset, [*kind.model_settings(tasks), *settings]
        resolved = load_config(start, _path(config), settings)
        if resolved.adapt is not None:
            raise UserError(
                f"preset {format_value(preset)} adapts pretrained weights: use `arc-trm adapt "
                "WEIGHTS --data "
                f"DATA --preset {preset}`"
            )
        resolved = _limited(resolved, max_steps, limit)
        return _train(resolved, _path(out), device, compiled, callback, limit, loaded)


def adapt(
    weights: PathLike | None = None,
    data: PathLike | None = None,
    *,
    checkpoint: str | int | None = None,
    preset: str = ADAPT_PRESET,
    config: PathLike | None = None,
    overrides: Sequence[str] = (),
    max_steps: int | None = None,
    time_limit: str | float | TimeLimit | None = None,
    seed: int | None = None,
    skip_invalid: bool = False,
    out: PathLike | None = None,
    resume: PathLike | None = None,
    restart: bool = False,
    device: str = "auto",
    compiled: bool = False,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = False,
) -> Run:
    """Adapt pretrained weights to new tasks by their demonstrations.

    Every augmented task, of a composed puzzle embedding every task, gets a new puzzle embedding,
    the mean of the pretrained ones. The embedding is trained first, then all weights. Test outputs
    are never used.

    Args:
        weights: pretrained weights; None is the latest run.
        data: DATA, the new tasks.
        checkpoint: which weights of a run, as in `predict`.
        preset, config, overrides, max_steps, time_limit, seed, skip_invalid, out, resume, restart,
            device, compiled, callbacks, show_progress: as in `train`.

    Raises:
        UserError: weights, settings or data do not work.
    """
    limit = TimeLimit.parse(time_limit)
    _check_restart(restart, resume)
    with _callback("adapting", "steps", callbacks, show_progress) as callback:
        if resume is not None:
            run = _find_run(resume, adapts=True)
            return _train(
                run.config, run.path, device, compiled, callback, limit, None, True, restart
            )
        settings = _with_options(overrides, seed, max_steps, limit, skip_invalid)
        if data is None:
            raise UserError("name the tasks to adapt to with --data")
        if weights is None and environment_number("WORLD_SIZE", 1) > 1:
            # One of several processes might find the run that another has just made.
            raise UserError("name the WEIGHTS to adapt when several processes run")
        inputs = RunInputs.resolve(weights, data, skip_invalid, callback, checkpoint)
        if not inputs.kind.embeds_tasks:
            raise UserError(
                f"adapting needs demonstrations, but {inputs.tasks.name} holds "
                f"{inputs.kind.title}: train on it instead"
            )
        resolved = load_config(preset, _path(config), settings, inputs.weights.config)
        path = absolute_data_path(data)
        resolved = _with_inputs(resolved, path, inputs.weights.choice)
        resolved, loaded = _limited(resolved, max_steps, limit), {path: inputs.tasks}
        return _train(resolved, _path(out), device, compiled, callback, limit, loaded)


def tune_inference(
    weights: PathLike | None = None,
    data: PathLike | None = None,
    *,
    time_limit: str | float | TimeLimit | None = TUNING_TIME,
    augmentations: int | None = None,
    seed: int = 0,
    checkpoint: str | int | None = None,
    skip_invalid: bool = False,
    device: str = "auto",
    compiled: bool = False,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = False,
) -> TuningResult:
    """Try how weights are best asked on held-out puzzles, and make it their default.

    Tries noise, samples, supervision steps and views, and chooses the cheapest setting whose
    accuracy is within one standard error of the best one. Writes the choice into the weights folder
    as inference.json, whole or not at all, from where `predict` takes it. Ctrl-C and the time limit
    end the search, and what was measured until then decides.

    Args:
        weights: a run or a weights folder; None is the latest run.
        data: DATA, held-out puzzles with known outputs; None is the run's own for validation.
        time_limit: of the search; None tries everything on up to 10 000 puzzles.
        augmentations: that vote besides the task itself, as in `predict`.
        seed: of the choice of puzzles, of noise and of random starts.
        checkpoint, skip_invalid: as in `predict`.
        device, compiled, callbacks, show_progress: as in `train`.

    Raises:
        UserError: weights or data do not work, puzzles were trained on or are those that the run
            predicts, or there was no time to compare anything.
    """
    limit = TimeLimit.parse(time_limit)
    if augmentations is not None and augmentations < 0:
        raise UserError(f"augmentations must be at least 0, got {augmentations}")
    if seed < 0:
        raise UserError(f"seed must not be negative, got {seed}")
    with _callback("tuning", "settings", callbacks, show_progress) as callback:
        if weights is not None and not os.path.exists(weights):
            raise UserError(
                f"there is no folder {os.fspath(weights)}, into which the choice could be written: "
                "name a run or a weights folder; `arc-trm pull` copies one from the Hub"
            )
        inputs = RunInputs.resolve(weights, data, skip_invalid, callback, checkpoint, held_out=True)
        if not os.access(inputs.weights.folder, os.W_OK):
            raise UserError(
                f"{inputs.weights.folder} cannot be written, but the choice is stored there: copy "
                "the weights first"
            )
        for sentence in inputs.too_large:
            callback.note(sentence)
        if augmentations is None and inputs.run is not None:
            augmentations = inputs.run.config.data.vote_augmentations

        from arc_trm.checkpoint import INFERENCE_FILE, save_inference
        from arc_trm.inference import load_for_inference, tune

        folder = inputs.weights.folder
        digest = inputs.weights.choice.digest()
        loaded = load_for_inference(inputs.weights, inputs.tasks.ids, device, None, compiled)
        assert digest is not None  # the weights were read
        result = tune(loaded, inputs.tasks, limit, augmentations, seed, callback)
        save_inference(folder, result.choice(digest))
        return replace(result, file=folder / INFERENCE_FILE)


def fit_embedding(
    weights: PathLike | None = None,
    *,
    checkpoint: str | int | None = None,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = False,
) -> EmbeddingFit:
    """Measure how much of a table's variance tasks, symmetries and colours explain.

    Args:
        weights: a run, a weights folder, or `owner/name[@revision][:subfolder]` on the Hub; None is
            the latest run.
        checkpoint: which weights of a run, as in `predict`.
        callbacks, show_progress: as in `train`.

    Raises:
        UserError: there are no such weights, or they have no table of augmented tasks.
    """
    with _callback("fitting", "tasks", callbacks, show_progress) as callback:
        from arc_trm.checkpoint import WeightsDir
        from arc_trm.checkpoint.embedding_fit import fit_embedding

        found = WeightsDir(resolve_folder(weights, callback), checkpoint)
        for note in found.notes:
            callback.note(note)
        return fit_embedding(found, callback.progress)


def predict(
    weights: PathLike | None = None,
    data: PathLike | None = None,
    *,
    attempts: int | None = None,
    out: PathLike | None = None,
    time_limit: str | float | TimeLimit | None = None,
    augmentations: int | None = None,
    samples: int | None = None,
    noise: float | None = None,
    starts: InitialState | None = None,
    views: int | None = None,
    supervision_steps: int | None = None,
    early_exit: bool | None = None,
    select: str | SelectionRule | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    canvas: Canvas | None = None,
    checkpoint: str | int | None = None,
    puzzle_embedding: EmbeddingChoice = "trained",
    skip_invalid: bool = False,
    fresh: bool = False,
    seal: bool = False,
    device: str = "auto",
    compiled: bool = False,
    callbacks: Sequence[Callback] = (),
    show_progress: bool = False,
) -> PredictionSet:
    """Predict test inputs by the answers of all augmentations, samples and views.

    Writes predictions.jsonl, every prediction, and for ARC submission.json, which is valid as soon
    as the weights are loaded, and improves. Each job, which is weights, data, settings and code,
    has a folder of its own. The same call resumes an interrupted prediction.

    Args:
        weights: a run, a weights folder or a Hub repository; None is the latest run.
        data: DATA to predict; None is the run's own.
        attempts: answers per test input; None is what the kind of puzzle allows.
        out: folder of the files, made if need be, in which no other job has written; None is
            `predictions/DATA-DIGEST` in the run, or `predictions/MODEL-DATA-DIGEST` in the current
            folder if the weights are not a run's.
        time_limit: `3h`, `90m`, `45s` or seconds from now.
        augmentations: that vote besides the task itself; None is all that were trained, of a
            composed puzzle embedding as many.
        samples, noise, starts, views, supervision_steps, early_exit, select, seed: how the weights
            are asked, as the fields of `InferenceConfig` say it; `select` may also be a selection
            rule itself. If all are None, they are asked as `tune_inference` chose, or plainly.
        batch_size: queries that go through the model together; None suits their length.
        canvas: on which tasks are shown; None is as in training.
        checkpoint: which weights of a run: `best`, `last`, a step, or several steps with commas,
            whose weights are averaged. None is `best` if the run was evaluated while it was
            trained, and `last` otherwise.
        puzzle_embedding: `trained`, or what the puzzle embedding is replaced by to see what it
            contributes: `zero`, `shuffled` (the rows of other puzzles) or `mean` (of all rows).
        skip_invalid: leave out invalid tasks and rows, which a note lists.
        fresh: predict everything anew, in place of what the same job predicted before.
        seal: also write seal.json, by which `score` verifies that nothing has changed since.
        device, compiled, callbacks, show_progress: as in `train`.

    Returns:
        Predictions for all test inputs; `job` says how many are guesses.

    Raises:
        UserError: weights, data or files do not work.
    """
    for name, value, least, most in (
        ("augmentations", augmentations, 0, MAX_AUGMENTATIONS),
        ("batch_size", batch_size, 1, MAX_BATCH_SIZE),
    ):
        if value is not None and not least <= value <= most:
            raise UserError(f"{name} must be {least} to {most}, got {format_value(value)}")
    if canvas not in (None, *get_args(Canvas)):
        raise UserError(
            f"canvas must be one of {', '.join(get_args(Canvas))}, got {format_value(canvas)}"
        )
    if puzzle_embedding not in get_args(EmbeddingChoice):
        raise UserError(
            f"puzzle_embedding must be one of {', '.join(get_args(EmbeddingChoice))}, got "
            f"{format_value(puzzle_embedding)}"
        )
    rule = select if callable(select) else None
    chosen = inference_config(
        samples=samples,
        noise=noise,
        starts=starts,
        views=views,
        supervision_steps=supervision_steps,
        early_exit=early_exit,
        select=None if rule else select,
        seed=seed,
    )
    limit = TimeLimit.parse(time_limit)
    with _callback("predicting", "queries", callbacks, show_progress) as callback:
        inputs = RunInputs.resolve(weights, data, skip_invalid, callback, checkpoint)
        for sentence in inputs.too_large:
            callback.note(sentence)
        if canvas == "bucketed" and not inputs.kind.embeds_tasks:
            raise UserError(
                f"--canvas is for grids of many sizes, but {inputs.tasks.name} holds "
                f"{inputs.kind.title}: leave it out"
            )
        if puzzle_embedding in ("shuffled", "mean") and not inputs.kind.embeds_tasks:
            raise UserError(
                f"all puzzles of {inputs.kind.title} share one puzzle embedding, so "
                f"{puzzle_embedding} has no effect: use zero, or leave it out"
            )
        if attempts is not None and not 1 <= attempts <= inputs.kind.max_attempts:
            raise UserError(
                f"{inputs.tasks.name} holds {inputs.kind.title}, which gets at most "
                f"{pluralise(inputs.kind.max_attempts, 'attempt')}, not {attempts}"
            )
        if augmentations is None and inputs.run is not None:
            augmentations = inputs.run.config.data.vote_augmentations

        from arc_trm.checkpoint import INFERENCE_FILE
        from arc_trm.inference import (
            default_inference,
            inference_notes,
            load_for_inference,
            make_plan,
            predict_to_folder,
        )

        default = None
        if chosen is None and rule is None:
            default = default_inference(inputs.weights, inputs.tasks, callback.note)
        else:
            with suppress(UserError):  # a damaged choice does not matter here
                if (tuned := inputs.weights.inference) is not None:
                    callback.note(
                        "predicting as the options say, not as `arc-trm tune-inference` chose "
                        f"({tuned.inference})"
                    )
        loaded = load_for_inference(
            inputs.weights, inputs.tasks.ids, device, canvas, compiled, puzzle_embedding
        )
        for note in inference_notes(loaded, inputs.tasks, augmentations):
            callback.note(note)
        try:
            plan = make_plan(loaded, inputs.tasks, augmentations, chosen or default, attempts, rule)
        except UserError as error:
            if default is None:
                raise
            path = inputs.weights.folder / INFERENCE_FILE
            raise UserError(f"{path}, the default of these weights, fails: {error}") from None
        folder, others = _path(out), []
        if folder is None:
            base, name = _predictions_folder(inputs)
            folder, others = base / f"{name}-{plan.digest}", predictions_of(base)
        if seal:
            earlier_seal(folder)  # another file in its place is an error before the work
            weight_files = inputs.weights.file_digests()
        predictions = predict_to_folder(
            folder,
            plan,
            limit,
            batch_size,
            _metadata(inputs),
            others,
            fresh,
            progress=callback.progress,
            note=callback.note,
        )
        if seal:
            from arc_trm.viz.progress import is_main_process

            assert predictions.job is not None
            if is_main_process():
                seal_folder(folder, weight_files, callback.note)
            files = {**predictions.job.files, "seal": folder / SEAL}
            predictions.job = replace(predictions.job, files=files)
        return predictions


def score(
    predictions: PredictionSet | PredictionSource | PathLike | None = None,
    *,
    data: str | None = None,
    solutions: PathLike | None = None,
    seal: PathLike | None = None,
) -> Scored:
    """Score predictions: pass@1 and pass@2 for ARC, exact and valid answers for other puzzles.

    Args:
        predictions: in memory, or a path as in `PredictionSource.open`; None is those made last.
        data: DATA with the outputs to score against; None is what the predictions say.
        solutions: official solutions to score against.
        seal: a seal.json that `predict` wrote; nothing may have changed since.

    Raises:
        UserError: there are no predictions, or nothing to score them against, or something has
            changed since it was sealed.
    """
    if isinstance(predictions, PredictionSet | PredictionSource):
        if any(each is not None for each in (data, solutions, seal)):
            raise UserError(
                "seal, data and solutions go with the path of predictions: those in memory have "
                "their tasks, so leave them out"
            )
        return predictions.score()
    source = open_predictions(predictions, data, solutions)
    if seal is not None:
        Seal.read(Path(seal)).verify(source)
    return source.score()


def open_predictions(
    predictions: PathLike | None = None,
    data: str | None = None,
    solutions: PathLike | None = None,
    tasks: TaskSet | None = None,
    **options: Any,
) -> PredictionSource:
    """Open predictions as `PredictionSource.open` does; None is those that were made last."""
    path = latest_predictions() if predictions is None else predictions
    return PredictionSource.open(path, data, solutions, tasks, **options)


@contextmanager
def _callback(
    title: str, unit: str, callbacks: Sequence[Callback], show_progress: bool
) -> Iterator[Callback]:
    """Yield one callback for all; with `show_progress` one that prints is the last."""
    if not show_progress:
        yield CallbackList(callbacks)
        return
    from arc_trm.viz.progress import show_progress as show

    with show(title, unit) as console:
        yield CallbackList([*callbacks, console])


def _train(
    config: RunConfig,
    folder: Path | None,
    device: str,
    compiled: bool,
    callback: Callback,
    limit: TimeLimit,
    loaded: Mapping[str, TaskSet] | None = None,
    resume: bool = False,
    restart: bool = False,
) -> Run:
    from arc_trm.device import pick_device
    from arc_trm.training import train_run

    target = pick_device(device)
    return train_run(
        config, target, folder, resume, [callback], limit.started, compiled, loaded, restart
    )


def _check_restart(restart: bool, resume: PathLike | None) -> None:
    """Raise UserError if no run is named that should be trained again."""
    if restart and resume is None:
        raise UserError("--restart trains a run again from step 0: name the run with --resume RUN")


def _find_run(resume: PathLike, adapts: bool) -> Run:
    """Return the run to resume. Raises UserError if another command made it."""
    run = Run(resume)
    if (run.config.adapt is not None) != adapts:
        command = "train" if adapts else "adapt"
        raise UserError(
            f"{run.path} was made by `arc-trm {command}`: use `arc-trm {command} --resume "
            f"{quote_path(run.path)}`"
        )
    return run


def _with_options(
    overrides: Sequence[str],
    seed: int | None,
    max_steps: int | None,
    limit: TimeLimit,
    skip_invalid: bool = False,
    data: PathLike | None = None,
) -> list[str]:
    """Return the overrides with those of the options. Raises UserError if both set a key."""
    given = [parse_override(override) for override in overrides]
    for option, used, keys in (
        ("--seed", seed is not None, ("seed",)),
        ("--skip-invalid", skip_invalid, ("data.skip_invalid",)),
        ("--max-steps", max_steps is not None, LENGTH_KEYS),
        ("--time-limit", limit.limit is not None, LENGTH_KEYS),
        ("--data", data is not None, DATA_KEYS),
    ):
        for key in keys if used else ():
            if any(_has_key(each, key) for each in given):
                raise UserError(
                    f"{option} and `--set {key}` decide the same: leave one of them out"
                )
    settings = list(overrides)
    if seed is not None:
        settings.append(f"seed={seed}")
    if skip_invalid:
        settings.append("data.skip_invalid=true")
    return settings


def _has_key(settings: Any, key: str) -> bool:
    """Return whether nested settings have a key `a.b`."""
    first, _, rest = key.partition(".")
    found = isinstance(settings, Mapping) and first in settings
    return found and (not rest or _has_key(settings[first], rest))


def _limited(config: RunConfig, max_steps: int | None, limit: TimeLimit) -> RunConfig:
    """Return the config with these limits in place of its own, if any is given."""
    if max_steps is None and limit.limit is None:
        return config
    if limit.limit is None:
        train = replace(config.train, total_steps=max_steps, max_steps=None, time_limit=None)
    else:  # how many steps fit is planned later
        train = replace(config.train, total_steps=None, max_steps=max_steps, time_limit=limit.limit)
    return replace(config, epochs=None, train=train)


def _with_inputs(config: RunConfig, data: str, weights: CheckpointChoice) -> RunConfig:
    """Return the config of `adapt` with its inputs. Raises UserError if it names some itself."""
    assert config.adapt is not None
    for key, value, instead in (
        ("adapt.weights", config.adapt.weights, "WEIGHTS"),
        ("adapt.checkpoint", config.adapt.checkpoint, "--checkpoint"),
        ("data.train", config.data.train, "--data"),
        ("data.test", config.data.test, "--data"),
        ("data.optional_train", config.data.optional_train, "--data"),
    ):
        if value:
            raise UserError(f"{key} in the config would have no effect: use {instead}")
    return replace(
        config,
        data=replace(config.data, test=(data,)),
        adapt=AdaptConfig(str(weights.folder.resolve()), weights.steps),
    )


def _predictions_folder(inputs: RunInputs) -> tuple[Path, str]:
    """Return the folder that holds the predictions of weights, and a name for those of the data."""
    data = file_name(public_data_name(inputs.tasks.name).removesuffix(".json").removesuffix(".csv"))
    if inputs.run is not None:
        return inputs.run.path / PREDICTIONS_FOLDER, data
    return PREDICTIONS_FOLDER, f"{file_name(inputs.model_name)}-{data}"


def _metadata(inputs: RunInputs) -> Mapping[str, Any]:
    """Return what readers of the predictions want to know: of which model, tasks and time."""
    about = inputs.weights.description
    training = about.training
    digests = {} if inputs.kind.numbered else {each.id: each.test_digest() for each in inputs.tasks}
    facts = {
        "model": inputs.model_name,
        "weights": inputs.weights_name,
        "checkpoint": inputs.weights.choice.name,
        "step": about.step if about.step or training.total_steps is not None else None,
        "parameters": about.parameters,
        "preset": training.preset,
        "changed": list(training.changed),
        "total_steps": training.total_steps,
        "seed": training.seed,
        "train_data": list(dict.fromkeys((*training.trained_on, *training.adapted_to))),
    }
    return {
        **{name: fact for name, fact in facts.items() if fact is not None},
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **data_metadata(inputs.data),
        "kind": inputs.kind.name,
        "tasks": len(inputs.tasks),
        "test_inputs": inputs.tasks.test_outputs,
        "leaks": list(inputs.leaks),
        "weights_digest": inputs.weights.choice.digest(),
        "test_digests": digests,
    }


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)
