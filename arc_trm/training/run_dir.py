"""The folder of a run while it is being trained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from arc_trm import runs
from arc_trm.checkpoint import read_tensors, save_weights, write_tensors
from arc_trm.errors import UserError
from arc_trm.training.trainer import METRICS, Trainer
from submission import atomic_write

RECORDS, MAX_STEPS = 1000, 50  # lines of metrics.jsonl in a run, at least; steps in one, at most


def seconds_spent(folder: Path) -> float:
    """The time that a run with a limit had taken at its last checkpoint."""
    state, _ = _read_checkpoint(folder / runs.CHECKPOINT)
    return float(state.get("spent", 0.0))


def _read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        return read_tensors(path)
    except UserError:
        raise UserError(
            f"{path} is damaged, so the run cannot go on; its weights are in the same folder, to "
            "predict with or to adapt anew"
        ) from None


class RunWriter:
    """The folder of a run while it is being trained; all but rank 0 write nothing."""

    def __init__(self, folder: Path, trainer: Trainer, total: int, marks: dict[str, str]) -> None:
        self.folder, self.trainer, self.total, self.marks = folder, trainer, total, marks
        self.records_every = max(1, min(MAX_STEPS, total // RECORDS))
        self.saved_step: int | None = None
        self.save_seconds = 0.0
        self.sums = torch.zeros(len(METRICS), dtype=torch.float64)
        self.summed = 0
        self.records: list[dict[str, float]] = []

    @property
    def writes(self) -> bool:
        return self.trainer.rank == 0

    def save(self, spent: float | None = None) -> None:
        """Metrics first, for those of steps after a checkpoint are dropped, missing ones lost.

        `spent` is the time in seconds that a run with a limit has taken so far.
        """
        started = time.monotonic()
        state = self.trainer.state_dict()
        if self.writes:
            self._write(state, spent)
        self.saved_step, self.save_seconds = self.trainer.steps_done, time.monotonic() - started

    def _write(self, state: dict[str, torch.Tensor], spent: float | None) -> None:
        state |= {"metrics.sums": self.sums, "metrics.summed": torch.tensor(self.summed)}
        if spent is not None:
            state["spent"] = torch.tensor(spent, dtype=torch.float64)
        with atomic_write(self.folder / runs.METRICS) as file:
            file.writelines(json.dumps(record) + "\n" for record in self.records)
        write_tensors(self.folder / runs.CHECKPOINT, state, **self.marks)
        trainer = self.trainer
        table = trainer.model.puzzle_embedding
        config, step = trainer.model.config, trainer.steps_done
        save_weights(self.folder, config, trainer.averaged_state(), table, step)

    def load(self) -> None:
        """Go back to the last checkpoint; records that came after it are dropped.

        A run that was killed before its first checkpoint stays at its start.
        """
        started = time.monotonic()
        path = self.folder / runs.CHECKPOINT
        if self.writes:
            for leftover in self.folder.glob(".*.tmp"):  # of a write that a kill cut short
                leftover.unlink()
        if not path.exists():
            return
        state, marks = _read_checkpoint(path)
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
        self.save_seconds = time.monotonic() - started  # about as long, until one is timed

    def count(
        self, step: int, metrics: Mapping[str, float], seconds: float
    ) -> dict[str, float] | None:
        """Add a step's metrics; a record when its time has come. `seconds` since the last one."""
        self.sums += torch.tensor([metrics[name] for name in METRICS], dtype=torch.float64)
        self.summed += 1
        batch = self.trainer.config.global_batch_size
        if step % self.records_every and step != self.total:
            return None
        sums = dict(zip(METRICS, self.sums.tolist(), strict=True))
        record: dict[str, float] = {"step": step, "loss": sums["loss"] / self.summed}
        losses = ["lm_loss", "halt_loss"]
        if self.trainer.model.has_continue_head:
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
