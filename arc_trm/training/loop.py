"""Runs: training from the first step to the last, through kills and restarts."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as dist

from arc_trm.callbacks import Callback, CallbackList, EndStatus, TrainingStart
from arc_trm.checkpoint import WeightsDir, save_config
from arc_trm.config import DataConfig, RunConfig, to_dict
from arc_trm.data.loader import absolute_data_path
from arc_trm.data.prefetch import Prefetcher
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.splits import Loaded
from arc_trm.data.training_set import TrainingSet, build_training_set
from arc_trm.device import DTYPES, compiles, pick_dtype, process_group
from arc_trm.errors import UserError
from arc_trm.evaluation.metrics import describe_evaluation, resolve_best_metric
from arc_trm.models import PuzzleModel, build_model, check_model_config
from arc_trm.runs import TRAINING_STATE, Run, RunLock, create_run, read_metrics, write_run_config
from arc_trm.runs.history import remember
from arc_trm.runs.provenance import record_end, record_start
from arc_trm.time_limit import TimeLimit, format_duration
from arc_trm.training.adapt import load_pretrained, training_facts
from arc_trm.training.budget import (
    estimate_steps,
    pick_micro_batch_size,
    scale_schedule,
    total_steps,
)
from arc_trm.training.evaluation import SAFETY, Evaluator
from arc_trm.training.losses import build_loss
from arc_trm.training.optim import OPTIMISERS
from arc_trm.training.run_dir import (
    RunWriter,
    fixed_settings,
    has_checkpoint,
    remove_leftovers,
    remove_training,
    seconds_spent,
)
from arc_trm.training.trainer import Metrics, Trainer, rank_batch_size, to_tensors

T = TypeVar("T")
CHECKPOINT_INTERVAL_SHARE = 0.05
"""Part of a time limit that a kill may cost."""
MAX_SAVE_SHARE = 0.05
"""Part of the time that a run with a time limit spends on checkpoints, at most."""
DATA_FIELDS = ("train", "test", "optional_train", "validation")


def train_run(
    config: RunConfig,
    device: torch.device,
    folder: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    started: float | None = None,
    compiled: bool | None = None,
    loaded: Loaded | None = None,
    restart: bool = False,
) -> Run:
    """Train a run to its end, or until a signal or its time limit ends it.

    Args:
        config: of a new run, or of the run in `folder` that is resumed.
        device: where to compute.
        folder: of the run; None makes `runs/DATE-TIME-NAME`.
        resume: resume the run in `folder`.
        callbacks: receive notes and progress, on rank 0 only.
        started: when the time limit started, a value of `time.monotonic`; None is now.
        compiled: use torch.compile; None is where it pays.
        loaded: datasets that are in memory already.
        restart: with `resume`, train the run again from step 0; weights and metrics are replaced.

    Returns:
        The run, with its last step, its planned steps, and whether a signal ended it.

    Raises:
        UserError: config, data or checkpoint are invalid, the checkpoint of a run that was trained
            is gone, or the loss is no longer finite.
        WriteError: the disk is full or the folder cannot be written; earlier files stay.
    """
    _check_config(config, resume)
    with process_group(device) as process, ExitStack() as stack:
        callback = CallbackList(callbacks if process[0] == 0 else ())
        found = False
        if resume and not restart:
            found = _on_first_rank(process, partial(has_checkpoint, folder or Path(), config))
        setup = _Setup(config, device, folder, resume, found, callback, compiled, process, loaded)
        lock = stack.enter_context(RunLock(setup.folder))
        _on_first_rank(process, lock.acquire)
        time_limit = TimeLimit(config.train.time_limit, started)
        if setup.has_checkpoint:
            time_limit.started -= seconds_spent(setup.folder)
        planned = config.adapt is not None or config.train.time_limit is not None
        if not planned:
            total_steps(setup.config, setup.sampler)  # raises an error before files are removed
        if resume:
            _on_first_rank(process, setup.clean)
        save_seconds = setup.plan(time_limit) if planned else 0.0
        writer = setup.open_writer(total_steps(setup.config, setup.sampler))
        writer.save_seconds = save_seconds
        if setup.has_checkpoint:
            writer.load()
        setup.save_config(writer)
        callback.note(setup.describe(writer))
        if writer.is_writer:
            record_start(setup.folder, writer.trainer.steps_done, device, process[1])
        if (evaluator := setup.evaluator) is not None:
            done = writer.trainer.steps_done
            records = [each for each in read_metrics(setup.folder) if each["step"] <= done]
            evaluator.begin(writer.trainer, records)
            callback.note(evaluator.describe())
        if resume:
            if writer.is_writer:
                remember("run", setup.folder)
            callback.note(_resume_note(setup, writer, restart))
        status: EndStatus = "failed"
        try:
            callback.start(setup.training_start(writer))
            interrupted, out_of_time = _TrainingLoop(setup, writer, time_limit).run()
            status = "interrupted" if interrupted else "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            callback.end(status)
        if writer.is_writer:
            remember("run", setup.folder)
            record_end(setup.folder, writer.trainer.steps_done, not interrupted)
        steps = writer.trainer.steps_done, writer.total_steps
        return Run(setup.folder, interrupted, *steps, out_of_time)


def _check_config(config: RunConfig, resume: bool) -> None:
    """Raise UserError if settings are unknown or contradict each other, before data is loaded."""
    check_model_config(config.model)
    train = config.train
    _ = build_loss(train), OPTIMISERS[train.optimiser]  # raise UserError if unknown
    # A resumed run has both: the number of steps was planned from the time limit.
    if train.time_limit is not None and train.total_steps is not None and not resume:
        raise UserError(
            "train.total_steps and train.time_limit both decide how long the run is: set one, "
            "or train.max_steps beside the time limit"
        )


class _Setup:
    """A run before its number of steps is known: its data, its model and its folder.

    Attributes:
        config: data paths absolute, dtype resolved; `plan` sets the schedule.
        generator: of the exploration draws.
        has_checkpoint: whether the weights come from the run's checkpoint, which is loaded later.
        evaluator: None for a run without evaluations.
        will_compile: whether the first step of each kind will be compiled.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        folder: Path | None,
        resume: bool,
        has_checkpoint: bool,
        callback: Callback,
        compiled: bool | None,
        process: tuple[int, int],
        loaded: Loaded | None,
    ) -> None:
        self.device, self.callback = device, callback
        rank, world_size = process
        batch_size = rank_batch_size(config.train, world_size)
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        if not resume:
            config = replace(config, data=_with_absolute_paths(config.data))
        resumed = folder if resume else None
        self.training_set = _load_training_set(config, resumed, loaded)
        best_metric = resolve_best_metric(config.train.best_metric, self.training_set.kind)
        config = replace(config, train=replace(config.train, best_metric=best_metric))
        self.config = config
        for note in self.training_set.notes:
            callback.note(note)
        global_batch_size = config.train.global_batch_size
        dataset = self.training_set.dataset
        self.sampler = BatchSampler(dataset, global_batch_size, config.seed, rank, world_size)
        self.has_checkpoint = has_checkpoint
        num_puzzles = len(self.training_set.puzzle_names)
        # A resumed run loads its weights from its checkpoint, so the pretrained ones may be gone.
        self.model, self.generator = initial_model(
            config, num_puzzles, device, compiled, pretrained=not self.has_checkpoint
        )
        OPTIMISERS[config.train.optimiser].check_model(self.model)
        self.will_compile = self.model.compiled
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
        self.folder = resumed or _on_first_rank(process, partial(create_run, config, folder))

    def open_writer(self, steps: int) -> RunWriter:
        """Return a writer of a run of `steps`, with a new trainer of the model."""
        train = replace(self.config.train, total_steps=steps)
        trainer = Trainer(self.model, train, self.generator, self.micro_batch_size)
        for seq_len in self.sampler.by_canvas_size():  # now: checkpoints keep their size
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
            resumed = self.folder if self.has_checkpoint else None
            facts = training_facts(
                self.config, self.training_set.trained_on, resumed, writer.total_steps or None
            )
            save_config(self.folder, self.config.model, self.training_set.puzzle_names, facts)

    def plan(self, time_limit: TimeLimit) -> float:
        """Plan the schedule and write it to run.json; return the seconds that a checkpoint takes.

        First the initial weights of a new run are saved, so that there are some whatever happens.
        """
        writer = self.open_writer(0)
        if not self.has_checkpoint:
            self.save_config(writer)
            writer.save(time_limit.spent)
        train, saving = self.config.train, writer.save_seconds
        if time_limit.limit is None or train.total_steps is not None:  # or planned before a kill
            steps = total_steps(self.config, self.sampler)
        else:
            self.callback.stage("planning", 0, None)
            slowdown = 1 + saving / checkpoint_interval(self.config, time_limit, saving)
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
            self.callback.note(f"in {steps} steps {' and '.join(changes)}")
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
        """Remove what a kill left, and without a checkpoint all that was trained."""
        remove_leftovers(self.folder)
        if not self.has_checkpoint:
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
        return (
            f"{self.training_set.summary}, {writer.total_steps} steps of "
            f"{self.config.train.global_batch_size}, {trainer.flat_params.numel():,} weights, "
            f"{self.device.type} {self.config.dtype}{processes}, in {self.folder}"
        )


def _resume_note(setup: _Setup, writer: RunWriter, restart: bool) -> str:
    """Return from which step a run in an earlier folder is trained."""
    folder, done = setup.folder, writer.trainer.steps_done
    if restart:
        return f"{folder} starts again from step 0"
    if not setup.has_checkpoint:
        return f"{folder} was ended before its first checkpoint, so it starts from step 0"
    if setup.evaluator is not None and setup.evaluator.is_stopped:
        return f"{folder} is complete: early stopping ended it at step {done}"
    if done >= writer.total_steps and setup.config.train.time_limit is None:
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
            f"the training data of {resumed} cannot be loaded as before ({error}): bring it back"
        ) from None


def initial_model(
    config: RunConfig,
    num_puzzles: int,
    device: torch.device,
    compiled: bool | None,
    pretrained: bool,
) -> tuple[PuzzleModel, torch.Generator]:
    """Build the model that a run starts from, and the generator of its exploration draws.

    Weights are fresh unless `pretrained` and the run adapts some.
    """
    generator = torch.Generator().manual_seed(config.seed)
    dtype = DTYPES[config.dtype]
    if pretrained and config.adapt is not None:
        weights = WeightsDir(config.adapt.weights, config.adapt.checkpoint)
        model = load_pretrained(weights, config.model, num_puzzles, dtype)
    else:
        model = build_model(config.model, num_puzzles, dtype, generator)
    model = model.to(device)
    model.compiled = compiles(device, compiled)
    return model, generator


def _on_first_rank(process: tuple[int, int], action: Callable[[], T]) -> T:
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


def checkpoint_interval(config: RunConfig, time_limit: TimeLimit, save_seconds: float) -> float:
    """Return the seconds between checkpoints; a kill costs little of a short time limit, too."""
    interval = config.train.checkpoint_interval_s
    if time_limit.limit is None:
        return interval
    share = max(CHECKPOINT_INTERVAL_SHARE * time_limit.limit, save_seconds / MAX_SAVE_SHARE)
    return min(interval, share)


@contextmanager
def sync_stop_flags() -> Iterator[Callable[..., list[bool]]]:
    """Yield a function that makes all ranks stop, save and evaluate at the same step.

    The function takes what is true on this rank: whether the time is over, whether a checkpoint is
    due and so on. It returns whether a signal interrupts the run and then the same things, of which
    what is true on one rank is true on all. Ctrl-C and SIGTERM interrupt; a second Ctrl-C raises
    KeyboardInterrupt at once.
    """
    interrupted = False

    def handle_signal(number: int, frame: object) -> None:
        nonlocal interrupted
        if interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        interrupted = True

    group = None
    if dist.is_initialized() and dist.get_backend() != "gloo":
        group = dist.new_group(backend="gloo")  # between CPUs: no GPU has to be waited for

    def sync(*flags: bool) -> list[bool]:
        shared = torch.tensor([interrupted, *flags], dtype=torch.int32)
        if dist.is_initialized():
            dist.all_reduce(shared, group=group)
        return shared.bool().tolist()

    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, handle_signal) for number in signals}
    try:
        yield sync
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _TrainingLoop:
    """Takes the steps of a run, logs them and saves checkpoints."""

    def __init__(self, setup: _Setup, writer: RunWriter, time_limit: TimeLimit) -> None:
        self.config, self.sampler, self.device = setup.config, setup.sampler, setup.device
        self.writer, self.time_limit, self.callback = writer, time_limit, setup.callback
        self.evaluator = setup.evaluator
        self.trainer, self.total_steps = writer.trainer, writer.total_steps
        limit = setup.config.train.max_steps
        self.max_steps = math.inf if limit is None else limit
        # A GPU is given its next step before the metrics of the previous one are read.
        self.max_unread = 1 if setup.device.type == "cuda" else 0
        self.unread: deque[tuple[int, Metrics]] = deque()
        self.step_seconds: defaultdict[int, float] = defaultdict(float)  # long steps, by S
        self.will_compile = setup.will_compile
        self.kinds: set[tuple[int, bool]] = set()  # of steps that were done
        self.step_ended_at = self.saved_at = self.recorded_at = time.monotonic()

    def run(self) -> tuple[bool, bool]:
        """Train to the end.

        Returns:
            Whether a signal ended the run before, and whether there was no time for a single step.
        """
        self._report_progress(self.trainer.steps_done)
        prefetcher = Prefetcher(lambda step: to_tensors(self.sampler(step), self.device))
        with sync_stop_flags() as sync, closing(prefetcher):
            while True:
                interrupted, over, checkpoint_due, evaluation_due = sync(
                    self._is_over(), self._is_checkpoint_due(), self._is_evaluation_due()
                )
                ended = over or not self._has_steps()
                if (evaluation_due or ended) and not interrupted:
                    self._evaluate()
                if interrupted or ended or self._is_stopped():
                    break
                if checkpoint_due:
                    self._save()
                    self.saved_at = time.monotonic()
                self._step(prefetcher)
            if self.writer.saved_step != self.trainer.steps_done:
                self._save()
        done, limit = self.trainer.steps_done, self.time_limit.limit
        if self.evaluator is not None and self._is_stopped() and not interrupted:
            self.callback.note(self.evaluator.describe_stop())
            return False, False
        if limit is None or interrupted or done >= self.max_steps:
            return interrupted, False
        self.callback.note(self._end_note(limit))
        return interrupted, done == 0

    def _has_steps(self) -> bool:
        """Return whether steps remain. A run with a time limit continues until the limit."""
        has_limit = self.time_limit.limit is not None and self.total_steps > 0
        return self.trainer.steps_done < (self.max_steps if has_limit else self.total_steps)

    def _is_over(self) -> bool:
        """Return whether no time is left for one more step, an evaluation and a checkpoint."""
        needed = max(self.step_seconds.values(), default=0.0)
        if self.evaluator is not None:
            needed += SAFETY * self.evaluator.expected_seconds
        return self._seconds_to_spare() < needed

    def _seconds_to_spare(self) -> float:
        """Return the time that is left before the last checkpoint."""
        return self.time_limit.left - 1.5 * self.writer.save_seconds

    def _is_checkpoint_due(self) -> bool:
        interval = checkpoint_interval(self.config, self.time_limit, self.writer.save_seconds)
        return self.step_ended_at - self.saved_at >= interval

    def _is_evaluation_due(self) -> bool:
        return self.evaluator is not None and self.evaluator.due(self.trainer.steps_done)

    def _is_stopped(self) -> bool:
        return self.evaluator is not None and self.evaluator.is_stopped

    def _evaluate(self) -> None:
        """Evaluate the weights of this step, unless they were, and report it."""
        evaluator, step = self.evaluator, self.trainer.steps_done
        if evaluator is None or step == 0 or evaluator.is_done(step):
            return
        self._log_steps()
        self.callback.stage("evaluating", 0, evaluator.puzzles, in_bytes=False)
        started = time.monotonic()
        metrics = evaluator.evaluate(self._seconds_to_spare())
        self.recorded_at += time.monotonic() - started  # the rate is that of training
        if metrics is None:
            self.callback.note(f"the time limit leaves no time to evaluate step {step}")
            return
        record = self.writer.log_eval(step, metrics)
        evaluator.records.append(record)
        self.writer.keep(metrics, evaluator.best_by)
        self.callback.note(f"step {step}: {describe_evaluation(record)}")
        self._report_progress(step, record)

    def _step(self, prefetcher: Prefetcher[dict[str, torch.Tensor]]) -> None:
        started = time.monotonic()
        batch = prefetcher(self.trainer.steps_done)
        self._announce_compiling(batch["inputs"].shape[1])
        metrics = self.trainer.step(batch)
        self.unread.append((self.trainer.steps_done, metrics))
        self._log_steps(self.max_unread)
        self.step_ended_at = time.monotonic()
        seq_len = batch["inputs"].shape[1]
        seconds = self.step_ended_at - started
        self.step_seconds[seq_len] = max(0.9 * self.step_seconds[seq_len], seconds)
        if self.evaluator is not None:
            self.evaluator.add_step(seconds)

    def _announce_compiling(self, seq_len: int) -> None:
        """Say that the next step will be compiled, if it will be."""
        kind = seq_len, self.trainer.steps_done < self.trainer.embedding_only_steps
        if self.will_compile and kind not in self.kinds:
            self.callback.stage("compiling", 0, None)
        self.kinds.add(kind)

    def _log_steps(self, max_unread: int = 0) -> None:
        """Read and log the metrics of all but the last `max_unread` steps."""
        while len(self.unread) > max_unread:
            step, metrics = self.unread.popleft()
            if not math.isfinite(metrics["loss"]):
                self.writer.write_records()
                folder, weights = self.writer.folder, "no weights were saved"
                if (folder / TRAINING_STATE).exists():
                    weights = f"the weights in {folder} are of an earlier step"
                raise UserError(
                    f"the loss is {metrics['loss']} at step {step}: start a new run with a lower "
                    f"train.lr; {weights}"
                )
            now = time.monotonic()
            record = self.writer.log_step(step, metrics, now - self.recorded_at)
            if record is not None:
                self.recorded_at = now
            self._report_progress(step, record)

    def _save(self) -> None:
        self._log_steps()
        self.writer.save(None if self.time_limit.limit is None else self.time_limit.spent)

    def _report_progress(self, step: int, record: dict[str, float] | None = None) -> None:
        expected = self.total_steps
        beyond_plan = step >= expected and self.time_limit.limit is not None
        if beyond_plan and self.step_seconds:
            left = max(0.0, self.time_limit.left)
            more = int(left / max(self.step_seconds.values()))
            expected = int(min(step + more, self.max_steps))
        self.callback.progress(step, max(step, expected), record)

    def _end_note(self, limit: float) -> str:
        name = f"the time limit of {format_duration(limit)}"
        if self.trainer.steps_done:
            return (
                f"{name} ended the run after {self.trainer.steps_done} steps; {self.total_steps} "
                "were planned"
            )
        holds = f"nothing was trained, and {self.writer.folder} holds the initial weights"
        return (
            f"{name} leaves no time for a step of {self.config.train.global_batch_size} examples "
            f"after the start-up: {holds}; start a new run with a longer --time-limit, or with "
            "shorter steps by a smaller `--set train.global_batch_size`"
        )
