"""Run folders: where they are and what is in them.

A run folder is a weights folder (`arc_trm.checkpoint`) with `run.json` (the resolved config),
`metrics.jsonl`, `checkpoint.safetensors` (the whole training state) and, after prediction,
`submission.json` and `predictions.jsonl`.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from functools import cached_property
from pathlib import Path

from arc_trm.config import RunConfig, read_config, to_dict
from arc_trm.display import Displayed
from arc_trm.errors import UserError
from arc_trm.io import write_json

RUNS = Path("runs")
RUN_CONFIG, METRICS, CHECKPOINT = "run.json", "metrics.jsonl", "checkpoint.safetensors"
SUBMISSION, PREDICTIONS = "submission.json", "predictions.jsonl"
FORMAT = "arc-trm run 2"


class Run(Displayed, os.PathLike[str]):
    """A run folder; each of its files is read once, when it is needed.

    Args:
        path: of the folder.
        interrupted: whether training was stopped by a signal before its end.
        step: the last training step; None reads it from the metrics.
        total_steps: planned steps; None reads them from the config.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        interrupted: bool = False,
        step: int | None = None,
        total_steps: int | None = None,
    ) -> None:
        self.path, self.interrupted = Path(path), interrupted
        self._step, self._total_steps = step, total_steps

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<Run {self.path}>"

    @cached_property
    def config(self) -> RunConfig:
        """The resolved config. Raises UserError if it is missing or damaged."""
        return read_config(self.path / RUN_CONFIG, "run folder", FORMAT, RunConfig)

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """The records of metrics.jsonl; a last line that a kill cut off is left out."""
        return read_metrics(self.path)

    @property
    def step(self) -> int:
        """The last training step that is known, 0 before the first one."""
        if self._step is not None:
            return self._step
        return int(self.metrics[-1]["step"]) if self.metrics else 0

    @property
    def total_steps(self) -> int | None:
        """Planned training steps; None if only the number of epochs is known."""
        return self.config.train.total_steps if self._total_steps is None else self._total_steps


def create_run(config: RunConfig, folder: Path | None = None) -> Path:
    """Make a new run's folder, `runs/DATE-TIME-NAME` unless one is named, and its run.json.

    Raises:
        UserError: the folder holds something, or cannot be made.
    """
    if folder is None:
        folder = _unique_folder(f"{datetime.now():%Y%m%d-%H%M%S}-{config.name}")
    elif is_run(folder):
        command = "adapt" if Run(folder).config.adapt else "train"
        raise UserError(
            f"{folder} already holds a run: name another folder, or resume it with "
            f"`arc-trm {command} --resume {folder}`"
        )
    else:
        make_folder(folder, "run folder")
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: name another folder for the run")
    write_run_config(folder, config)
    return folder


def write_run_config(folder: Path, config: RunConfig) -> None:
    """Write run.json."""
    write_json(folder / RUN_CONFIG, {"format": FORMAT, **to_dict(config)})


def make_folder(folder: Path, what: str, exist_ok: bool = True) -> None:
    """Make a folder and those above it. Raises UserError, which says `what` cannot be made.

    A folder that exists already is a FileExistsError unless `exist_ok`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            raise  # another run took the name first
        raise UserError(
            f"cannot make the {what} {folder}: {error.strerror}; name another"
        ) from None


def _unique_folder(name: str) -> Path:
    """Make a new folder in `runs`; other runs may start in the same second."""
    folder, number = RUNS / name, 1
    while True:
        try:
            make_folder(folder, "run folder", exist_ok=False)
            return folder
        except FileExistsError:
            number += 1
            folder = RUNS / f"{name}-{number}"


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return os.path.isfile(folder / RUN_CONFIG)


def find_run(folder: Path) -> Run | None:
    """Return the run in a folder, or None if the folder holds no run."""
    return Run(folder) if is_run(folder) else None


def latest_run(folder: Path = RUNS) -> Path:
    """Return the run that was started last. Raises UserError if `runs` holds no run."""
    runs = [path.parent for path in folder.glob(f"*/{RUN_CONFIG}")]
    if not runs:
        raise UserError(f"there is no run in {folder.resolve()}: train one with `arc-trm train`")
    return max(runs, key=lambda run: ((run / RUN_CONFIG).stat().st_mtime, run.name))


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the records of a run's metrics.jsonl; a last line that a kill cut off is left out."""
    path = folder / METRICS
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = {str(key): float(value) for key, value in json.loads(line).items()}
            records.append({**record, "step": int(record["step"])})
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            if number < len(lines):
                raise UserError(
                    f"{path}, line {number} is not an object of numbers with a step"
                ) from None
    return records
