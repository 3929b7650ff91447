"""What a run needs before its first step: data, model, folder and plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as dist

from arc_trm.callbacks import Callback, TrainingStart
from arc_trm.checkpoint import KeptCheckpoints, WeightsDir, save_config
from arc_trm.config import DataConfig, RunConfig, to_dict
from arc_trm.data.loader import absolute_data_path
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.splits import Loaded
from arc_trm.data.training_set import TrainingSet, build_training_set
from arc_trm.device import DTYPES, pick_dtype, require_compiler
from arc_trm.errors import UserError
from arc_trm.evaluation.metrics import resolve_best_metric
from arc_trm.io import remove_leftovers
from arc_trm.models import PuzzleModel, build_model
from arc_trm.models.layers import block_class
from arc_trm.runs import create_run, read_metrics, write_run_config
from arc_trm.runs.history import remember
from arc_trm.runs.provenance import record_start
from arc_trm.time_limit import TimeLimit
from arc_trm.training.adapt import load_pretrained, training_facts
from arc_trm.training.budget import (
    check_memory,
    estimate_steps,
    pick_micro_batch_size,
    save_interval,
    scale_schedule,
    total_steps,
)
from arc_trm.training.evaluation import Evaluator
from arc_trm.training.optim import OPTIMISERS
from arc_trm.training.run_dir import (
    RunWriter,
    fixed_settings,
    remove_training,
    seconds_spent,
)
from arc_trm.training.trainer import Trainer, rank_batch_size

T = TypeVar("T")
DATA_FIELDS = ("train", "test", "optional_train", "validation")


class RunSetup:
    """A run before its number of steps is known: its data, its model and its folder.

    Attributes:
        config: data paths absolute, dtype resolved; `plan` sets the schedule.
        generator: of the exploration draws.
        has_training_state: whether the weights come from it, which is loaded later.
        evaluator: None for a run without evaluations.
        will_compile: whether the first step of each kind will be compiled.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        folder: Path | None,
        resume: bool,
        has_training_state: bool,
        callback: Callback,
        compiled: bool,
        process: tuple[int, int],
        loaded: Loaded | None,
    ) -> None:
        self.device, self.callback, self.resume = device, callback, resume
        self.process = rank, world_size = process
        batch_size = rank_batch_size(config.train, world_size)
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        if not resume:
            config = replace(config, data=_with_absolute_paths(config.data))
        resumed = folder if resume else None
        self.training_set = _load_training_set(config, resumed, loaded)
        block_class(config.model).check_kind(self.training_set.kind)
        best_metric = resolve_best_metric(config.train.best_metric, self.training_set.kind)
        config = replace(config, train=replace(config.train, best_metric=best_metric))
        self.config = config
        for note in self.training_set.notes:
            callback.note(note)
        global_batch_size = config.train.global_batch_size
        dataset = self.training_set.dataset
        self.sampler = BatchSampler(dataset, global_batch_size, config.seed, rank, world_size)
        self.has_training_state = has_training_state
        num_puzzles = len(self.training_set.puzzle_names)
        # A resumed run has its weights in its training state: the pretrained ones may be gone.
        self.model, self.generator = initial_model(
            config, num_puzzles, device, compiled, pretrained=not self.has_training_state
        )
        OPTIMISERS[config.train.optimiser].check_model(self.model)
        self.will_compile = self.model.compiled
        trained, predicted = config.train.supervision_steps, config.model.supervision_steps
        if trained is not None and trained > predicted:
            callback.note(
                f"train.supervision_steps is {trained}, but predictions and evaluations take "
                f"model.supervision_steps: {predicted}"
            )
        if advice := self.model.speed_advice():
            callback.note(advice)
        self.micro_batch_size = pick_micro_batch_size(self.model, device, batch_size)
        fastest = self.model.cpu_micro_batch_size(self.model.state_length()) or batch_size
        if self.micro_batch_size < min(batch_size, fastest):
            callback.note(
                f"batches of {batch_size} go through the network in parts of "
                f"{self.micro_batch_size}, because the memory holds no more"
            )
        self.evaluator = None
        if len(self.training_set.validation) and config.train.eval_time_share:
            self.evaluator = Evaluator(self.model, self.training_set, config)
            for note in self.evaluator.notes:
                callback.note(note)
        elif config.train.early_stopping_patience is not None:
            raise UserError(
                "train.early_stopping_patience needs evaluations, but this run has none: set "
                "data.validation or data.validation_puzzles, and train.eval_time_share above 0"
            )
        self.folder = resumed or on_first_rank(process, partial(create_run, config, folder))

    def begin(self, time_limit: TimeLimit, restart: bool) -> RunWriter:
        """Plan the run, and return a writer that is at its first step or at its last save.

        Args:
            time_limit: of the run; the time before its last save is taken off.
            restart: whether a run is trained again from step 0, for the user.
        """
        if self.has_training_state:
            time_limit.started -= seconds_spent(self.folder)
        planned = self.config.adapt is not None or time_limit.limit is not None
        if not planned:
            total_steps(self.config, self.sampler)  # raises an error before files are removed
        if self.resume:
            on_first_rank(self.process, self.clean)
        save_seconds = self.plan(time_limit) if planned else 0.0
        writer = self.open_writer(total_steps(self.config, self.sampler))
        writer.save_seconds = save_seconds
        if self.has_training_state:
            writer.load()
        self.save_config(writer)
        self.callback.note(self.describe(writer))
        done, world_size = writer.trainer.steps_done, self.process[1]
        if writer.is_writer:
            record_start(self.folder, done, self.device, world_size)
        if self.evaluator is not None:
            records = [each for each in read_metrics(self.folder) if each["step"] <= done]
            self.evaluator.begin(writer.trainer, records)
            self.callback.note(self.evaluator.describe())
        if self.resume:
            if writer.is_writer:
                remember("run", self.folder)
            self.callback.note(self.describe_resume(writer, restart))
        return writer

    def open_writer(self, steps: int) -> RunWriter:
        """Return a writer of a run of `steps`, with a new trainer of the model."""
        train = replace(self.config.train, total_steps=steps)
        trainer = Trainer(
            self.model, train, self.generator, self.micro_batch_size, self.callback.note
        )
        for seq_len in self.sampler.by_canvas_size():  # now, so that all saves have the same size
            trainer.get_carry(seq_len)
        settings = json.dumps(fixed_settings(self.config))
        fingerprints = {"data": self.training_set.fingerprint, "config": settings}
        if self.evaluator is not None:
            fingerprints["validation"] = self.evaluator.tasks.fingerprint()
        writer = RunWriter(self.folder, trainer, steps, fingerprints)
        writer.keeps_at_saves = self.evaluator is None
        return writer

    def save_config(self, writer: RunWriter) -> None:
        """Write the config and the puzzle names of the weights."""
        if writer.is_writer:
            resumed = self.folder if self.has_training_state else None
            facts = training_facts(
                self.config, self.training_set, resumed, writer.total_steps or None
            )
            save_config(self.folder, self.config.model, self.training_set.puzzle_names, facts)

    def plan(self, time_limit: TimeLimit) -> float:
        """Plan the schedule and write it to run.json; return the seconds that a save takes.

        First the initial weights of a new run are saved, so that there are some whatever happens.
        """
        writer = self.open_writer(0)
        if not self.has_training_state:
            self.save_config(writer)
            writer.save(time_limit.spent)
        train, saving = self.config.train, writer.save_seconds
        if time_limit.limit is None or train.total_steps is not None:  # or planned before a kill
            steps = total_steps(self.config, self.sampler)
        else:
            self.callback.stage("planning", 0, None)
            slowdown = 1 + saving / save_interval(self.config, time_limit, saving)
            evaluation_share, evaluation_seconds = self._plan_evaluations(writer)
            training_share = (1 - evaluation_share) / slowdown
            steps = estimate_steps(
                self.model,
                train,
                self.sampler,
                self.micro_batch_size,
                lambda: (time_limit.left - 2 * saving) * training_share,
                evaluation_seconds,
            )
            steps = steps if train.max_steps is None else min(steps, train.max_steps)
            self.will_compile = False  # measuring has compiled them
        planned = scale_schedule(train, steps)
        changes = [
            f"{name} is {new:.4g} instead of {old:.4g}"
            for name, new, old in (
                ("the warm-up", planned.warmup_steps, train.warmup_steps),
                ("the decay of the weight average", planned.ema_decay, train.ema_decay),
            )
            if new != old
        ]
        if steps and changes:
            self.callback.note(f"in {steps:,} steps {' and '.join(changes)}")
        self.config = replace(self.config, epochs=None, train=planned)
        if writer.is_writer:
            write_run_config(self.folder, self.config)
        return saving

    def _plan_evaluations(self, writer: RunWriter) -> tuple[float, float]:
        """Return the share of the time that evaluations take, and else their seconds per step."""
        if self.evaluator is None:
            return 0.0, 0.0
        self.evaluator.begin(writer.trainer, ())
        train = self.config.train
        if train.eval_interval is None or self.evaluator.puzzles is None:
            return train.eval_time_share, 0.0
        return 0.0, self.evaluator.measure() / train.eval_interval

    def clean(self) -> None:
        """Remove what a kill left, and without a training state all that was trained."""
        remove_leftovers(self.folder)
        KeptCheckpoints(self.folder).remove_leftovers()
        if not self.has_training_state:
            remove_training(self.folder)

    def training_start(self, writer: RunWriter) -> TrainingStart:
        """Return what callbacks are told when the steps start."""
        done, total = writer.trainer.steps_done, writer.total_steps
        settings, records = to_dict(self.config), read_metrics(self.folder)
        return TrainingStart(self.folder, settings, done, total, records, self.callback.note)

    def describe(self, writer: RunWriter) -> str:
        """Return the note with which a run starts."""
        trainer = writer.trainer
        processes = f" × {trainer.world_size}" if trainer.world_size > 1 else ""
        noun = "step" if writer.total_steps == 1 else "steps"
        return (
            f"{self.training_set.summary}, {writer.total_steps:,} {noun} of "
            f"{self.config.train.global_batch_size}, {trainer.flat_params.numel():,} weights, "
            f"{self.device.type} {self.config.dtype}{processes}, in {self.folder}"
        )

    def describe_resume(self, writer: RunWriter, restart: bool) -> str:
        """Return from which step a run in an earlier folder is trained."""
        folder, done = self.folder, writer.trainer.steps_done
        if restart:
            return f"{folder} starts again from step 0"
        if not self.has_training_state:
            return f"{folder} was ended before its first save, so it starts from step 0"
        if self.evaluator is not None and self.evaluator.is_stopped:
            return f"{folder} is complete: early stopping ended it at step {done}"
        if done >= writer.total_steps and self.config.train.time_limit is None:
            return f"{folder} is complete: nothing is left to train after step {done}"
        return f"{folder} resumes at step {done}"


def _with_absolute_paths(data: DataConfig) -> DataConfig:
    """Return the settings with paths that mean the same wherever the run is resumed."""
    names = {field: tuple(map(absolute_data_path, getattr(data, field))) for field in DATA_FIELDS}
    return replace(data, **names)  # type: ignore[arg-type]


def _load_training_set(
    config: RunConfig, resumed: Path | None, loaded: Loaded | None
) -> TrainingSet:
    try:
        return build_training_set(config, loaded)
    except UserError as error:
        if resumed is None:
            raise
        raise UserError(
            f"the data of {resumed} cannot be loaded as before ({error}): bring it back"
        ) from None


def initial_model(
    config: RunConfig,
    num_puzzles: int,
    device: torch.device,
    compiled: bool,
    pretrained: bool,
) -> tuple[PuzzleModel, torch.Generator]:
    """Build the model that a run starts from, and the generator of its exploration draws.

    Weights are fresh unless `pretrained` and the run adapts some.

    Raises:
        UserError: the memory cannot hold the model, or the pretrained weights are invalid.
    """
    check_memory(config, num_puzzles, device)
    if compiled:
        require_compiler(device)
    generator = torch.Generator().manual_seed(config.seed)
    dtype = DTYPES[config.dtype]
    if pretrained and config.adapt is not None:
        weights = WeightsDir(config.adapt.weights, config.adapt.checkpoint)
        model = load_pretrained(weights, config.model, num_puzzles, dtype)
    else:
        model = build_model(config.model, num_puzzles, dtype, generator)
    model = model.to(device)
    model.compiled = compiled
    return model, generator


def on_first_rank(process: tuple[int, int], action: Callable[[], T]) -> T:
    """Return what `action` returns on rank 0; a UserError there is raised on all ranks."""
    outcome: list[T | UserError | None] = [None]
    if process[0] == 0:
        try:
            outcome = [action()]
        except UserError as error:
            outcome = [error]
    if dist.is_initialized():
        dist.broadcast_object_list(outcome)
    (result,) = outcome
    if isinstance(result, UserError):
        raise result
    return cast(T, result)
