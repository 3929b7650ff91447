"""A training run from its first step to its last, through kills and restarts."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist

from arc_trm import runs
from arc_trm.checkpoint import save_config
from arc_trm.config import DataConfig, RunConfig, to_dict
from arc_trm.data.loader import absolute_data_path
from arc_trm.data.sampler import BatchSampler
from arc_trm.data.training_set import TrainingSet, build_training_set
from arc_trm.device import DTYPES, compiles, pick_dtype, process_group
from arc_trm.errors import UserError
from arc_trm.models import PuzzleModel, build_model
from arc_trm.puzzles import Board, of_vocab_size
from arc_trm.time_limit import TimeLimit, format_duration
from arc_trm.training.adapt import load_pretrained
from arc_trm.training.budget import (
    Prefetcher,
    estimate_steps,
    micro_batch,
    scale_schedule,
    total_steps,
)
from arc_trm.training.run_dir import RunWriter, seconds_spent
from arc_trm.training.trainer import Metrics, Trainer
from submission import write_json

CHECKPOINT_SHARE = 0.05  # of a time limit, between checkpoints; of the time, for writing them
DATA_FIELDS = ("train", "test", "optional_train")


@dataclass(frozen=True)
class Progress:
    """Where a run is: steps done of all, the latest record of metrics.jsonl."""

    step: int
    total: int
    record: dict[str, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """The run's folder, its last step, and whether it was stopped by a signal before the end.

    A time limit that is over is an end too.
    """

    run: Path
    step: int
    total: int
    interrupted: bool


class Reporter:
    """Told what happens; the command line draws it, the default keeps silent."""

    def note(self, sentence: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...


@contextmanager
def _agreement() -> Iterator[Callable[[bool, bool], tuple[bool, bool, bool]]]:
    """Asks (asked to stop, time is over, a checkpoint is due) of the latter two on this rank.

    What is true on one rank is true on all. Asked means by Ctrl-C or SIGTERM; a second Ctrl-C stops
    at once.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    group = None
    if dist.is_initialized() and dist.get_backend() != "gloo":
        group = dist.new_group(backend="gloo")  # from processor to processor: no GPU is waited for

    def agree(over: bool, due: bool) -> tuple[bool, bool, bool]:
        if not dist.is_initialized():
            return asked, over, due
        flags = torch.tensor([asked, over, due], dtype=torch.int32)
        dist.all_reduce(flags, group=group)  # all ranks must stop and save at the same step
        asked_anywhere, over_anywhere, due_anywhere = flags.bool().tolist()
        return asked_anywhere, over_anywhere, due_anywhere

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield agree
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    config: RunConfig,
    device: torch.device,
    folder: Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    started: float | None = None,
    compiled: bool | None = None,
) -> Outcome:
    """Train a run to its end, or until a signal asks to stop or its time limit is over.

    Args:
        config: of a new run, or of the run in `folder` that is resumed.
        device: where to compute.
        folder: of the run; None makes `runs/DATE-TIME-NAME`.
        resume: go on with the run in `folder`.
        reporter: is told notes and progress, on rank 0 alone.
        started: when the time of a run with a limit began (`time.monotonic`); None is now.
        compiled: use torch.compile; None is where it pays.

    Raises:
        UserError: config, data or checkpoint do not work; the loss is no longer a number.
        submission.WriteError: the disk is full or the folder cannot be written; earlier files stay.
    """
    reporter = reporter or Reporter()
    with process_group(device) as (rank, world):
        if rank:
            reporter = Reporter()
        if config.train.global_batch_size % world:
            raise UserError(
                f"train.global_batch_size ({config.train.global_batch_size}) must be a multiple "
                f"of the number of processes ({world})"
            )
        config = replace(config, dtype=pick_dtype(config.dtype, device))
        if not resume:
            config = replace(config, data=_lasting(config.data))
        learnt = _learnt(config, folder if resume else None)
        for note in learnt.notes:
            reporter.note(note)
        batches = BatchSampler(
            learnt.groups, config.train.global_batch_size, config.seed, (rank, world)
        )
        begun = resume and folder is not None and (folder / runs.CHECKPOINT).exists()
        model, generator = _model(config, device, len(learnt.names), begun)
        model.compiled = compiles(device, compiled)
        share = config.train.global_batch_size // world
        chunk = micro_batch(model, device, share)
        if chunk < min(share, model.cpu_micro_batch_size(config.model.length) or share):
            reporter.note(f"batches of {share} go through the network in parts of {chunk}")
        folder = folder if resume and folder else _created(config, folder, rank)
        clock = TimeLimit(config.adapt.time_limit if config.adapt else None, started)
        if begun:
            clock.started -= seconds_spent(folder)

        def opened(config: RunConfig, total: int) -> RunWriter:
            trainer = Trainer(model, config.train, generator, chunk)
            trainer.reserve(batches.canvases())
            marks = {"data": learnt.mark, "config": _unchangeable(config)}
            return RunWriter(folder, trainer, total, marks)

        save_seconds = 0.0
        if config.adapt:
            first = opened(replace(config, train=replace(config.train, total_steps=0)), 0)
            if not begun:
                if rank == 0:
                    save_config(folder, config.model, learnt.names)
                first.save(clock.spent)  # so that there are weights whatever comes
                save_seconds = first.save_seconds
            config = _planned(config, first, batches, clock, reporter)
            if rank == 0:
                write_json(folder / runs.CONFIG, to_dict(config))
        total = total_steps(config, batches)
        config = replace(config, train=replace(config.train, total_steps=total))
        run = opened(config, total)
        run.save_seconds = save_seconds
        if resume:
            run.load()
        if rank == 0:
            save_config(folder, config.model, learnt.names)
        domain = of_vocab_size(config.model.vocab_size)
        groups, puzzles = len(learnt.groups), sum(map(len, learnt.groups))
        what = (
            f"{groups} {domain.title} puzzles, {puzzles} with augmentations"
            if isinstance(domain, Board)
            else f"{groups} tasks, {puzzles} puzzles"
        )
        reporter.note(
            f"{what}, {total} steps of {config.train.global_batch_size}, "
            f"{run.trainer.values.numel():,} weights, {device.type} {config.dtype}"
            f"{f' × {world}' if world > 1 else ''}, in {folder}"
            f"{f', from step {run.trainer.steps_done} on' if resume else ''}"
        )
        return _loop(config, run, batches, device, clock, reporter)


def _learnt(config: RunConfig, resumed: Path | None) -> TrainingSet:
    """What is learnt from; of a run that goes on it was there before."""
    try:
        return build_training_set(config)
    except UserError as error:
        if resumed is None:
            raise
        raise UserError(
            f"what {resumed} learns from is not there any more as it was ({error}): bring it back"
        ) from None


def _created(config: RunConfig, folder: Path | None, rank: int) -> Path:
    """The folder of a new run, which rank 0 makes; if it cannot, all leave, none waits for it."""
    outcome: list[Path | UserError | None] = [None]
    if rank == 0:
        try:
            outcome = [runs.create_run(config, folder)]
        except UserError as error:
            outcome = [error]
    if dist.is_initialized():
        dist.broadcast_object_list(outcome)
    (made,) = outcome
    if not isinstance(made, Path):
        assert made is not None
        raise made
    return made


def interval(config: RunConfig, clock: TimeLimit, saving: float) -> float:
    """Seconds between checkpoints, so that a kill does not cost much of a short time limit either.

    `saving` is how many one takes.
    """
    if clock.limit is None:
        return config.train.checkpoint_interval_s
    share = max(CHECKPOINT_SHARE * clock.limit, saving / CHECKPOINT_SHARE)
    return min(config.train.checkpoint_interval_s, share)


def _planned(
    config: RunConfig, first: RunWriter, batches: BatchSampler, clock: TimeLimit, reporter: Reporter
) -> RunConfig:
    """The config with the number of steps of an adaptation and a schedule in proportion to it."""
    train = config.train
    if clock.limit is None or train.total_steps is not None:  # or planned before a kill
        steps = total_steps(config, batches)
    else:
        saving = first.save_seconds

        def seconds() -> float:  # the last checkpoint and those on the way take their time too
            return (clock.left - 2 * saving) / (1 + saving / interval(config, clock, saving))

        model, chunk = first.trainer.model, first.trainer.micro_batch
        steps = estimate_steps(model, train, batches, chunk, seconds)
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
        reporter.note(f"in {steps} steps {' and '.join(changes)}")
    return replace(config, epochs=None, train=planned)


def _lasting(data: DataConfig) -> DataConfig:
    names = {field: tuple(map(absolute_data_path, getattr(data, field))) for field in DATA_FIELDS}
    return replace(data, **names)  # type: ignore[arg-type]


def _unchangeable(config: RunConfig) -> str:
    """The settings that a run keeps from its first step to its last, as JSON."""
    kept = {
        "model": to_dict(config.model),
        "dtype": config.dtype,
        "global_batch_size": config.train.global_batch_size,
    }
    return json.dumps(kept)


def _model(
    config: RunConfig, device: torch.device, rows: int, begun: bool
) -> tuple[PuzzleModel, torch.Generator]:
    """What a run begins with, and the generator of its further draws.

    A run that has `begun` finds its weights in its checkpoint, not where they came from.
    """
    generator = torch.Generator().manual_seed(config.seed)
    dtype = DTYPES[config.dtype]
    if config.adapt is None or begun:
        model = build_model(config.model, rows, dtype, generator)
    else:
        model = load_pretrained(Path(config.adapt.weights), config.model, rows, dtype)
    return model.to(device), generator


def _loop(
    config: RunConfig,
    run: RunWriter,
    batches: BatchSampler,
    device: torch.device,
    clock: TimeLimit,
    reporter: Reporter,
) -> Outcome:
    trainer, total = run.trainer, run.total
    now = saved = recorded = time.monotonic()
    longest: defaultdict[int, float] = defaultdict(float)  # seconds of a step, by its canvas
    # A GPU has the next step to do before the metrics of the last one are read.
    lag = 1 if device.type == "cuda" else 0
    unread: deque[tuple[int, Metrics]] = deque()

    def read(left: int = 0) -> None:
        """Count what steps have said, all but the last `left`."""
        nonlocal recorded
        while len(unread) > left:
            step, metrics = unread.popleft()
            if not math.isfinite(metrics["loss"]):
                raise UserError(
                    f"the loss is {metrics['loss']} at step {step}: start a new run with a lower "
                    f"train.lr; what {run.folder} holds is of an earlier step"
                )
            now = time.monotonic()
            record = run.count(step, metrics, now - recorded)
            if record is not None:
                recorded = now
            tell(step, record)

    def save() -> None:
        read()
        run.save(None if clock.limit is None else clock.spent)

    def tell(done: int, record: dict[str, float] | None = None) -> None:
        expected = total
        if done >= total and clock.limit is not None and longest:  # beyond the plan
            expected = done + int(max(0.0, clock.left) / max(longest.values()))
        reporter.progress(Progress(done, max(done, expected), record))

    tell(trainer.steps_done)
    ahead = Prefetcher(batches, device)
    with _agreement() as agree, closing(ahead):
        while True:
            over = clock.left < max(longest.values(), default=0.0) + 1.5 * run.save_seconds
            due = now - saved >= interval(config, clock, run.save_seconds)
            interrupted, over, due = agree(over, due)
            # The plan shapes the schedule; where steps are faster, all of the time is used.
            planned = trainer.steps_done < total or (total > 0 and clock.limit is not None)
            if interrupted or over or not planned:
                break
            if due:
                save()
                saved = time.monotonic()
            started = time.monotonic()
            batch = ahead(trainer.steps_done)
            metrics = trainer.step(batch)
            unread.append((trainer.steps_done, metrics))
            read(lag)
            now = time.monotonic()
            cells = batch["inputs"].shape[1]
            longest[cells] = max(0.9 * longest[cells], now - started)
        if run.saved_step != trainer.steps_done:
            save()
    if clock.limit is not None and not interrupted:
        limit = f"the time limit of {format_duration(clock.limit)}"
        reporter.note(
            f"{limit} ended the run after {trainer.steps_done} steps; {total} were planned"
            if trainer.steps_done
            else f"{limit} leaves no time for a step after the start-up: nothing was learnt, and "
            f"{run.folder} holds the weights with new rows alone"
        )
    return Outcome(run.folder, trainer.steps_done, total, interrupted)
