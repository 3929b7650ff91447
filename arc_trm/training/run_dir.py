"""The folder of a run while it is trained: metrics, checkpoints and weights."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from arc_trm import runs
from arc_trm.checkpoint import read_tensors, save_weights, write_tensors
from arc_trm.errors import UserError
from arc_trm.io import atomic_write
from arc_trm.training.trainer import HALTED_NAMES, LOSS_NAMES, METRICS, Trainer

MIN_RECORDS = 1000
"""Records in the metrics.jsonl of a long run, at least."""
MAX_STEPS_PER_RECORD = 50


def seconds_spent(folder: Path) -> float:
    """Return the seconds that a run with a time limit had taken at its last checkpoint."""
    state, _ = _read_checkpoint(folder / runs.CHECKPOINT)
    return float(state.get("spent", 0.0))


def _read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
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
        fingerprints: `data` and `config`, which must be the same when the run is resumed.

    Attributes:
        saved_step: of the last checkpoint, None before the first.
        save_seconds: how long the last checkpoint took.
    """

    def __init__(
        self, folder: Path, trainer: Trainer, total_steps: int, fingerprints: dict[str, str]
    ) -> None:
        self.folder, self.trainer, self.total_steps = folder, trainer, total_steps
        self.fingerprints = fingerprints
        self.steps_per_record = max(1, min(MAX_STEPS_PER_RECORD, total_steps // MIN_RECORDS))
        self.saved_step: int | None = None
        self.save_seconds = 0.0
        self.sums = torch.zeros(len(METRICS), dtype=torch.float64)
        self.summed_steps = 0
        self.records: list[dict[str, float]] = []

    @property
    def is_writer(self) -> bool:
        """Whether this process writes."""
        return self.trainer.rank == 0

    def save(self, spent: float | None = None) -> None:
        """Save metrics, checkpoint and weights. All ranks must call it together.

        Args:
            spent: seconds that a run with a time limit has taken so far.
        """
        started = time.monotonic()
        trainer, model, folder = self.trainer, self.trainer.model, self.folder
        state = trainer.state_dict()
        if self.is_writer:
            state["metrics.sums"] = self.sums
            state["metrics.summed_steps"] = torch.tensor(self.summed_steps)
            if spent is not None:
                state["spent"] = torch.tensor(spent, dtype=torch.float64)
            # Metrics first: later records can be dropped, lost ones cannot be remade.
            with atomic_write(folder / runs.METRICS) as file:
                file.writelines(json.dumps(record) + "\n" for record in self.records)
            write_tensors(folder / runs.CHECKPOINT, state, self.fingerprints)
            network = trainer.averaged_state()
            save_weights(folder, model.config, network, model.puzzle_embedding, trainer.steps_done)
        self.saved_step, self.save_seconds = trainer.steps_done, time.monotonic() - started

    def load(self) -> None:
        """Restore the last checkpoint and drop the records that came after it.

        A run that was killed before its first checkpoint stays at its start.

        Raises:
            UserError: the checkpoint is damaged or from other data or settings.
        """
        started = time.monotonic()
        path = self.folder / runs.CHECKPOINT
        if self.is_writer:
            for leftover in self.folder.glob(".*.tmp"):  # of a write that a kill cut short
                if leftover.is_file():
                    leftover.unlink()
        if not os.path.lexists(path):
            return
        state, fingerprints = _read_checkpoint(path)
        if fingerprints.get("data") != self.fingerprints["data"]:
            raise UserError(
                f"the tasks are not those that the run in {self.folder} began with: bring back "
                f"its data and seed ({runs.RUN_CONFIG} names them) or start a new run"
            )
        if fingerprints.get("config") != self.fingerprints["config"]:
            raise UserError(
                f"{path} was made with {fingerprints.get('config')}, but {runs.RUN_CONFIG} now "
                f"says {self.fingerprints['config']}: change it back or start a new run"
            )
        try:
            self.trainer.load_state_dict(state)
            self.sums = state["metrics.sums"]
            self.summed_steps = int(state["metrics.summed_steps"])
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} is not a checkpoint of this run: {error}") from None
        done = self.trainer.steps_done
        self.records = [r for r in runs.read_metrics(self.folder) if r["step"] <= done]
        self.save_seconds = time.monotonic() - started  # about as long, until one is timed

    def log_step(
        self, step: int, metrics: Mapping[str, float], seconds: float
    ) -> dict[str, float] | None:
        """Add the metrics of a step; `seconds` have passed since the last record.

        Returns:
            A record of the steps since the last one if it is due, else None.
        """
        self.sums += torch.tensor([metrics[name] for name in METRICS], dtype=torch.float64)
        self.summed_steps += 1
        if step % self.steps_per_record and step != self.total_steps:
            return None
        record = self._make_record(step, seconds)
        self.records.append(record)
        self.sums, self.summed_steps = torch.zeros_like(self.sums), 0
        return record

    def _make_record(self, step: int, seconds: float) -> dict[str, float]:
        """Return mean losses per example, and the mean of the rest per example that halted."""
        batch_size = self.trainer.config.global_batch_size
        sums = dict(zip(METRICS, self.sums.tolist(), strict=True))
        record: dict[str, float] = {"step": step, "loss": sums["loss"] / self.summed_steps}
        for name in LOSS_NAMES:
            if name != "continue_loss" or self.trainer.model.has_continue_head:
                record[name] = sums[name] / self.summed_steps / batch_size
        record["count"] = sums["count"]
        if sums["count"]:
            for name in HALTED_NAMES:
                record[name] = sums[name] / sums["count"]
        record["examples_per_second"] = self.summed_steps * batch_size / seconds
        return record
