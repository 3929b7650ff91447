"""A training run from its first step to its last, through kills and restarts."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist

from arc_trm import runs
from arc_trm.checkpoint import read_tensors, save_config, save_weights, write_tensors
from arc_trm.config import DataConfig, RunConfig, to_dict
from arc_trm.data.batches import Batches
from arc_trm.data.learning import learning_set
from arc_trm.data.sources import lasting_name
from arc_trm.device import DTYPES, memory_bytes, pick_dtype, process_group
from arc_trm.errors import UserError
from arc_trm.model import RecursiveModel, build_model
from arc_trm.model.layers import swiglu_width
from arc_trm.train.trainer import METRICS, Trainer
from submission import atomic_write

DATA_FIELDS = ("train", "test", "extra")
RECORDS, MAX_STEPS = 1000, 50  # lines of metrics.jsonl in a run, at least; steps in one, at most


@dataclass(frozen=True)
class Progress:
    """Where a run is: steps done of all, the latest record of metrics.jsonl."""

    step: int
    total: int
    record: dict[str, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """The run's folder, its last step, and whether it was stopped by a signal before the end."""

    run: Path
    step: int
    total: int
    interrupted: bool


class Reporter:
    """Told what happens; the command line draws it, the default keeps silent."""

    def note(self, sentence: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...


def total_steps(config: RunConfig, batches: Batches) -> int:
    """train.total_steps or epochs · groups · mean pairs of one / global batch, the smaller."""
    limits = [] if config.train.total_steps is None else [config.train.total_steps]
    if config.epochs is not None:
        pairs = config.epochs * len(batches.groups) * batches.mean_pairs
        limits.append(max(1, int(pairs / config.train.global_batch_size)))
    if not limits:
        raise UserError("how long to train is not said: set epochs or train.total_steps")
    return min(limits)


def kept_bytes(model: RecursiveModel) -> int:
    """What a step keeps of a sequence for the backward pass, estimated from the model's shape."""
    config = model.config
    hidden = swiglu_width(config.hidden_size, config.expansion)
    # Numbers kept a position: half as many again as PyTorch's saved-tensor hooks count.
    layer = 14 * config.hidden_size + 6 * hidden
    return config.length * layer * model.layers_with_gradient * model.dtype.itemsize


def micro_batch(model: RecursiveModel, device: torch.device, share: int) -> int:
    """How many sequences fit through the network at once: the largest share of `share`.

    Half the device's memory may be taken by what is kept for the backward pass.
    """
    chunks = math.ceil(share * kept_bytes(model) / (memory_bytes(device) / 2))
    return math.ceil(share / chunks)


@contextmanager
def _stop_signals(device: torch.device) -> Iterator[Callable[[], bool]]:
    """A question that becomes true after Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    def stop() -> bool:
        if not dist.is_initialized():
            return asked
        flag = torch.tensor(float(asked), device=device)  # all ranks must stop at the same step
        dist.all_reduce(flag)
        return bool(flag.item())

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Run:
    """The folder of a run while it is being trained; all but rank 0 write nothing."""

    def __init__(self, folder: Path, trainer: Trainer, total: int, marks: dict[str, str]) -> None:
        self.folder, self.trainer, self.total, self.marks = folder, trainer, total, marks
        self.records_every = max(1, min(MAX_STEPS, total // RECORDS))
        self.sums = torch.zeros(len(METRICS), dtype=torch.float64)
        self.summed = 0
        self.records: list[dict[str, float]] = []

    @property
    def writes(self) -> bool:
        return self.trainer.rank == 0

    def save(self) -> None:
        """Metrics first, for those of steps after a checkpoint are dropped, missing ones lost."""
        state = self.trainer.state_dict()
        if not self.writes:
            return
        state |= {"metrics.sums": self.sums, "metrics.summed": torch.tensor(self.summed)}
        with atomic_write(self.folder / runs.METRICS) as file:
            file.writelines(json.dumps(record) + "\n" for record in self.records)
        write_tensors(self.folder / runs.CHECKPOINT, state, **self.marks)
        trainer = self.trainer
        table = trainer.model.puzzle_table
        config, step = trainer.model.config, trainer.steps_done
        save_weights(self.folder, config, trainer.averaged_state(), table, step)

    def load(self) -> None:
        """Go back to the last checkpoint; records that came after it are dropped.

        A run that was killed before its first checkpoint stays at its start.
        """
        path = self.folder / runs.CHECKPOINT
        if self.writes:
            for leftover in self.folder.glob(".*.tmp"):  # of a write that a kill cut short
                leftover.unlink()
        if not path.exists():
            return
        state, marks = read_tensors(path)
        if marks.get("data") != self.marks["data"]:
            raise UserError(
                f"the tasks are not those that the run in {self.folder} began with: bring back "
                f"its data and seed ({runs.CONFIG} names them) or start a new run"
            )
        if marks.get("config") != self.marks["config"]:
            raise UserError(
                f"{path} was made with {marks.get('config')}, but {runs.CONFIG} now says "
                f"{self.marks['config']}: change it back or start a new run"
            )
        try:
            self.trainer.load_state_dict(state)
            self.sums, self.summed = state["metrics.sums"], int(state["metrics.summed"])
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} is not a checkpoint of this run: {error}") from None
        done = self.trainer.steps_done
        self.records = [r for r in runs.read_metrics(self.folder) if r["step"] <= done]

    def count(self, metrics: dict[str, float], seconds: float) -> dict[str, float] | None:
        """Add a step's metrics; a record when its time has come. `seconds` since the last one."""
        self.sums += torch.tensor([metrics[name] for name in METRICS], dtype=torch.float64)
        self.summed += 1
        step, batch = self.trainer.steps_done, self.trainer.config.global_batch_size
        if step % self.records_every and step != self.total:
            return None
        sums = dict(zip(METRICS, self.sums.tolist(), strict=True))
        record: dict[str, float] = {"step": step, "loss": sums["loss"] / self.summed}
        losses = ["lm_loss", "halt_loss"]
        if self.trainer.model.learns_to_continue:
            losses.append("continue_loss")
        for name in losses:
            record[name] = sums[name] / self.summed / batch
        record["count"] = sums["count"]
        if sums["count"]:  # else there is nothing to take a mean of
            for name in ("accuracy", "exact_accuracy", "halt_accuracy", "steps"):
                record[name] = sums[name] / sums["count"]
        record["examples_per_second"] = self.summed * batch / seconds
        self.records.append(record)
        self.sums, self.summed = torch.zeros_like(self.sums), 0
        return record


def train(
    config: RunConfig,
    device: torch.device,
    folder: Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """Train a run to its end, or until a signal asks to stop.

    Args:
        config: of a new run, or of the run in `folder` that is resumed.
        device: where to compute.
        folder: of the run; None makes `runs/DATE-TIME-NAME`.
        resume: go on with the run in `folder`.
        reporter: is told notes and progress, on rank 0 alone.

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
        learnt = learning_set(config)
        for note in learnt.notes:
            reporter.note(note)
        batches = Batches(learnt.groups, config.train.global_batch_size, config.seed, (rank, world))
        total = total_steps(config, batches)
        config = replace(config, train=replace(config.train, total_steps=total))
        trainer = _trainer(config, device, len(learnt.names), reporter)
        if rank == 0 and not resume:
            folder = runs.create_run(config, folder)
        folder = folder or Path()  # of a new run it is of no use but to rank 0
        marks = {"data": learnt.mark, "config": _unchangeable(config)}
        run = _Run(folder, trainer, total, marks)
        if resume:
            run.load()
        if rank == 0:
            save_config(folder, config.model, learnt.names)
        reporter.note(
            f"{len(learnt.groups)} tasks, {sum(map(len, learnt.groups))} puzzles, {total} steps of "
            f"{config.train.global_batch_size}, {trainer.values.numel():,} weights, {device.type} "
            f"{config.dtype}{f' × {world}' if world > 1 else ''}, in {folder}"
        )
        return _loop(config, run, batches, device, reporter)


def _lasting(data: DataConfig) -> DataConfig:
    names = {field: tuple(map(lasting_name, getattr(data, field))) for field in DATA_FIELDS}
    return replace(data, **names)  # type: ignore[arg-type]


def _unchangeable(config: RunConfig) -> str:
    """The settings that a run keeps from its first step to its last, as JSON."""
    kept = {
        "model": to_dict(config.model),
        "dtype": config.dtype,
        "global_batch_size": config.train.global_batch_size,
    }
    return json.dumps(kept)


def _trainer(config: RunConfig, device: torch.device, rows: int, reporter: Reporter) -> Trainer:
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config.model, rows, DTYPES[config.dtype], generator).to(device)
    world = dist.get_world_size() if dist.is_initialized() else 1
    share = config.train.global_batch_size // world
    chunk = micro_batch(model, device, share)
    if chunk < share:
        reporter.note(f"batches of {share} go through the network in parts of {chunk}")
    return Trainer(model, config.train, generator, chunk)


def _loop(
    config: RunConfig, run: _Run, batches: Batches, device: torch.device, reporter: Reporter
) -> Outcome:
    trainer, total = run.trainer, run.total
    reporter.progress(Progress(trainer.steps_done, total))
    saved = recorded = time.monotonic()
    interrupted = False
    with _stop_signals(device) as stop:
        while trainer.steps_done < total and not (interrupted := stop()):
            batch = batches(trainer.steps_done)
            tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
            metrics = trainer.step(tensors)
            if not math.isfinite(metrics["loss"]):
                raise UserError(
                    f"the loss is {metrics['loss']} at step {trainer.steps_done}: start a new run "
                    f"with a lower train.lr; what {run.folder} holds is of an earlier step"
                )
            now = time.monotonic()
            record = run.count(metrics, now - recorded)
            if record is not None:
                recorded = now
            reporter.progress(Progress(trainer.steps_done, total, record))
            due = torch.tensor(float(now - saved >= config.checkpoint_every))
            if trainer.world > 1:
                due = due.to(device)
                dist.broadcast(due, 0)  # saving is a joint act, and clocks differ
            if due:
                run.save()
                saved = time.monotonic()
        run.save()
    return Outcome(run.folder, trainer.steps_done, total, interrupted)
