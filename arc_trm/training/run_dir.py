"""The folder of a run while it is trained: metrics, training state and weights."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from arc_trm import runs
from arc_trm.checkpoint import (
    EMBEDDING_FILE,
    NETWORK_FILE,
    NEXT_EMBEDDING_FILE,
    KeptCheckpoints,
    read_tensors,
    save_weights,
    write_tensors,
)
from arc_trm.config import RunConfig, compare_settings, to_dict
from arc_trm.config.compare import Change
from arc_trm.errors import UserError, format_name, quote_path
from arc_trm.io import append, atomic_write, json_value, write_error
from arc_trm.metric_keys import EVAL, SECONDS, TRAIN, training_seconds
from arc_trm.runs.provenance import PROVENANCE
from arc_trm.tracking import remove_tracked
from arc_trm.training.trainer import LOSS_NAMES, METRICS, Trainer, check_like
from submission.errors import format_value

MIN_RECORDS = 1000
"""Records in the metrics.jsonl of a long run, at least."""
MAX_STEPS_PER_RECORD = 50
METRICS_INTERVAL_S = 2.0
"""Seconds between additions to metrics.jsonl while a run trains, at least."""
MAX_NAMED_CHANGES = 4
OF_HALTED = {
    "accuracy": "cell_accuracy_of_halted",
    "exact_accuracy": "exact_of_halted",
    "halt_accuracy": "halt_accuracy_of_halted",
    "steps": "steps_of_halted",
}
"""Names in records of the means over the examples that halted, by those of `METRICS`."""
WEIGHT_FILES = (NETWORK_FILE, EMBEDDING_FILE, NEXT_EMBEDDING_FILE)
TRAINED_FILES = (runs.TRAINING_STATE, PROVENANCE, *WEIGHT_FILES, runs.METRICS)
"""Files that training writes, in the order in which `remove_training` removes them."""


def fixed_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings on which the tensors of a training state depend, as plain values.

    The others may be changed in run.json before a run is resumed.
    """
    train = {
        "global_batch_size": config.train.global_batch_size,
        "optimiser": config.train.optimiser,
    }
    return {"model": to_dict(config.model), "dtype": config.dtype, "train": train}


def has_training_state(folder: Path, config: RunConfig) -> bool:
    """Return whether a run has a training state; without one it has saved nothing yet.

    Raises:
        UserError: the run has weights, but its training state is gone. Nothing is changed.
    """
    if os.path.lexists(folder / runs.TRAINING_STATE):
        return True
    found = [name for name in WEIGHT_FILES if os.path.lexists(folder / name)]
    if not found:
        return False
    job = "train" if config.adapt is None else "adapt"
    command = f"arc-trm {job} --resume {quote_path(folder)} --restart"
    raise UserError(
        f"{folder} was trained, but it has no {runs.TRAINING_STATE} to resume from: copy that file "
        f"back, or start again from step 0 with `{command}`, which replaces {' and '.join(found)}"
    )


def remove_training(folder: Path) -> None:
    """Remove weights, metrics, checkpoints and curves of a run that starts again.

    Raises:
        WriteError: the file system refuses.
    """
    # The training state first: without it, a kill in between leaves a run that is not resumed.
    for name in TRAINED_FILES:
        _remove(folder / name)
    KeptCheckpoints(folder).clear()
    remove_tracked(folder)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from None


def seconds_spent(folder: Path) -> float:
    """Return the seconds that a run with a time limit had taken at its last save."""
    path = folder / runs.TRAINING_STATE
    state, _ = _read_state(path)
    try:
        return _number(state, "spent", torch.float64) if "spent" in state else 0.0
    except ValueError as error:
        raise UserError(f"{path} is not the training state of this run: {error}") from None


def _number(state: Mapping[str, torch.Tensor], name: str, dtype: torch.dtype) -> float:
    """Return a number from 0 on of a training state. Raises ValueError if it is anything else."""
    check_like(name, state[name], torch.tensor(0, dtype=dtype))
    value = float(state[name])
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}")
    return value


def _read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        return read_tensors(path)
    except UserError:
        raise UserError(
            f"{path} is damaged, so the run cannot be resumed: predict with the weights in the "
            "same folder, or start a new run"
        ) from None


class RunWriter:
    """Writes the folder of a run; under torchrun only rank 0 writes.

    Args:
        folder: of the run.
        trainer: whose state is saved.
        total_steps: planned steps, which decide how often a record is made.
        fingerprints: `data` and `config`, which must be the same when the run is resumed, and
            `validation`, which must be the same if it was not empty and is not.

    Attributes:
        keeps_at_saves: whether weights are kept at each save, as those of a run without evaluation.
        seconds: that the steps until the last record took, before a resume, too.
        saved_step: of the last save by this process, None before the first.
        resumed_step: at which a resume would start, None before the first save.
        save_seconds: how long the last save took.
    """

    def __init__(
        self, folder: Path, trainer: Trainer, total_steps: int, fingerprints: dict[str, str]
    ) -> None:
        self.folder, self.trainer, self.total_steps = folder, trainer, total_steps
        self.fingerprints = fingerprints
        self.steps_per_record = max(1, min(MAX_STEPS_PER_RECORD, total_steps // MIN_RECORDS))
        self.keeps_at_saves = True
        self.seconds = 0.0
        self.saved_step: int | None = None
        self.resumed_step: int | None = None
        self.save_seconds = 0.0
        self.sums = torch.zeros(len(METRICS), dtype=torch.float64)
        self.summed_steps, self.summed_seconds = 0, 0.0
        self._unwritten: list[dict[str, float]] = []
        self._written_at = time.monotonic()

    @property
    def is_writer(self) -> bool:
        """Whether this process writes."""
        return self.trainer.rank == 0

    def save(self, spent: float | None = None) -> None:
        """Save metrics, training state and weights. All ranks must call it together.

        Args:
            spent: seconds that a run with a time limit has taken so far.
        """
        started = time.monotonic()
        trainer, model, folder = self.trainer, self.trainer.model, self.folder
        state = trainer.state_dict()
        if self.is_writer:
            state["metrics.sums"] = self.sums
            state["metrics.summed_steps"] = torch.tensor(self.summed_steps)
            state["metrics.summed_seconds"] = torch.tensor(self.summed_seconds, dtype=torch.float64)
            if spent is not None:
                state["spent"] = torch.tensor(spent, dtype=torch.float64)
            # Metrics first: later records can be dropped, lost ones cannot be remade.
            self.write_records(sync=True)
            write_tensors(folder / runs.TRAINING_STATE, state, self.fingerprints)
            self.resumed_step = trainer.steps_done
            network, embedding = trainer.averaged_state(), trainer.averaged_embedding
            save_weights(folder, model.config, network, embedding, trainer.steps_done)
            if not self.keeps_at_saves:
                kept = KeptCheckpoints(folder)
                kept.prune(trainer.config.keep_checkpoints, trainer.steps_done)
            elif trainer.steps_done:
                self._keep(network, {}, None)
        self.saved_step, self.save_seconds = trainer.steps_done, time.monotonic() - started

    def _keep(
        self, network: Mapping[str, torch.Tensor], metrics: Mapping[str, float], best_by: str | None
    ) -> None:
        trainer, model = self.trainer, self.trainer.model
        KeptCheckpoints(self.folder).keep(
            trainer.steps_done,
            network,
            model.config,
            metrics,
            best_by,
            trainer.config.keep_checkpoints,
            trainer.averaged_embedding,
            self.resumed_step,
        )

    def load(self) -> None:
        """Restore the training state and drop records and weights of the steps after it.

        Raises:
            UserError: it is damaged or from other data or settings. Nothing is changed.
        """
        started = time.monotonic()
        path = self.folder / runs.TRAINING_STATE
        state, fingerprints = _read_state(path)
        if fingerprints.get("data") != self.fingerprints["data"]:
            raise UserError(
                f"the tasks are not those that the run in {self.folder} began with: bring back "
                f"its data, and the settings of data and the seed in {runs.RUN_CONFIG}, or start a "
                "new run"
            )
        self._check_settings(path, fingerprints.get("config", ""))
        before, now = (each.get("validation") for each in (fingerprints, self.fingerprints))
        if before and not now:  # evaluation is off, but may be turned on again later
            self.fingerprints["validation"] = before
        if before and now and before != now:
            raise UserError(
                f"the tasks for validation are not those that the run in {self.folder} was "
                f"evaluated on: bring them back ({runs.RUN_CONFIG} names them in data.validation), "
                "turn evaluation off there with train.eval_time_share = 0, or start a new run"
            )
        try:
            check_like("metrics.sums", state["metrics.sums"], self.sums)
            summed_steps = _number(state, "metrics.summed_steps", torch.int64)
            summed_seconds = _number(state, "metrics.summed_seconds", torch.float64)
            self.trainer.load_state_dict(state)
            self.sums = state["metrics.sums"]
            self.summed_steps, self.summed_seconds = int(summed_steps), summed_seconds
        except KeyError as error:
            raise UserError(
                f"{path} has no {error}, so it is not the training state of this run, or another "
                "version of arc-trm wrote it: resume with that version, or start a new run"
            ) from None
        except ValueError as error:
            raise UserError(f"{path} is not the training state of this run: {error}") from None
        self._drop_later_records()
        self.resumed_step = self.trainer.steps_done
        if self.is_writer:
            KeptCheckpoints(self.folder).drop_after(self.trainer.steps_done)
        self.save_seconds = time.monotonic() - started  # about as long, until one is timed

    def _check_settings(self, path: Path, text: str) -> None:
        """Raise UserError if fixed settings differ from those in the training state's metadata."""
        try:
            before = json_value(text)
            changes = compare_settings(before, json_value(self.fingerprints["config"]))
        except (ValueError, AttributeError, RecursionError):
            raise UserError(
                f"{path} is not the training state of this run: it lacks settings"
            ) from None
        if changes.unknown:
            raise UserError(
                f"{_describe_before(changes.unknown)} when {path} was written, but this version of "
                "arc-trm has no such setting: resume with the version that wrote it, or start a "
                "new run"
            )
        if changes.changed:
            now = _join([format_value(each.now) for each in changes.changed])
            raise UserError(
                f"{_describe_before(changes.changed)} when {path} was written, {runs.RUN_CONFIG} "
                f"now says {now}: change it back or start a new run"
            )

    def _drop_later_records(self) -> None:
        """Rewrite metrics.jsonl if it has records that will be made again, or a line cut off."""
        path, done = self.folder / runs.METRICS, self.trainer.steps_done
        records = [each for each in runs.read_metrics(self.folder) if each["step"] <= done]
        text = "".join(map(_to_line, records))
        if self.is_writer and path.exists() and path.read_text("utf-8") != text:
            with atomic_write(path) as file:
                file.write(text)
        self.seconds = training_seconds(records)[-1]

    def write_records(self, sync: bool = False) -> None:
        """Append the records that wait to metrics.jsonl, whole lines only.

        Args:
            sync: wait until the file is on the disk.

        Raises:
            WriteError: the file system refuses. The file is as before.
        """
        data = "".join(map(_to_line, self._unwritten)).encode()
        if self.is_writer and (data or sync):
            append(self.folder / runs.METRICS, data, sync)
        self._unwritten.clear()
        self._written_at = time.monotonic()

    def log_step(
        self, step: int, metrics: Mapping[str, float], seconds: float
    ) -> dict[str, float] | None:
        """Add the metrics of a step that took `seconds`.

        Returns:
            A record of the steps since the last one if it is due, else None.
        """
        self.sums += torch.tensor([metrics[name] for name in METRICS], dtype=torch.float64)
        self.summed_steps += 1
        self.summed_seconds += seconds
        record = None
        if self._is_record_due(step):
            self.seconds += self.summed_seconds
            record = self._make_record(step)
            self._unwritten.append(record)
            self.sums, self.summed_steps, self.summed_seconds = torch.zeros_like(self.sums), 0, 0.0
        if self._unwritten and time.monotonic() - self._written_at >= METRICS_INTERVAL_S:
            self.write_records()
        return record

    def log_evaluation(self, record: dict[str, float]) -> None:
        """Add the record of an evaluation, and keep the weights that it is of to choose from later.

        Raises:
            WriteError: the file system refuses; earlier weights stay.
        """
        self._unwritten.append(record)
        if self.is_writer:
            metrics = {name: value for name, value in record.items() if name != "step"}
            best_by = EVAL + self.trainer.config.best_metric
            self._keep(self.trainer.averaged_state(), metrics, best_by)

    def _is_record_due(self, step: int) -> bool:
        """Return whether a record ends with this step: also with 1, 2, 4, ... of the first steps.

        So there is something to see soon even if steps take long.
        """
        every = self.steps_per_record
        is_early = step < every and step.bit_count() == 1
        return step % every == 0 or step == self.total_steps or is_early

    def _make_record(self, step: int) -> dict[str, float]:
        """Return the means of the steps since the last record; docs/data.md lists the keys."""
        steps, batch_size = self.summed_steps, self.trainer.config.global_batch_size
        sums = dict(zip(METRICS, self.sums.tolist(), strict=True))
        values = {"loss": sums["loss"] / steps}
        for name in LOSS_NAMES:
            if name != "continue_loss" or self.trainer.model.has_continue_head:
                values[name] = sums[name] / steps / batch_size
        halted = sums["count"]
        values |= {"halted": halted, "halted_share": halted / steps / batch_size}
        if halted:
            values |= {new: sums[name] / halted for name, new in OF_HALTED.items()}
        values["grad_norm"] = sums["grad_norm"] / steps
        values |= self.trainer.learning_rates(step)
        values["examples_per_second"] = steps * batch_size / self.summed_seconds
        named = {TRAIN + name: value for name, value in values.items()}
        return {"step": step, **named, SECONDS: self.seconds}


def _to_line(record: Mapping[str, float]) -> str:
    return json.dumps(record) + "\n"


def _describe_before(changes: Sequence[Change]) -> str:
    """Return `model.mixer was "mlp" and model.num_heads was 2`."""
    return _join([f"{format_name(each.key)} was {format_value(each.before)}" for each in changes])


def _join(items: Sequence[str]) -> str:
    """Return `a, b and c`; of many items only the first ones."""
    if len(items) > MAX_NAMED_CHANGES:
        items = [*items[:MAX_NAMED_CHANGES], "so on"]
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
