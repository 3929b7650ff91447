"""Run folders: where they are and what is in them.

A run folder is a weights folder (`arc_trm.checkpoint`) with `run.json` (the resolved config),
`metrics.jsonl`, `training_state.safetensors` (all that resuming needs),
`checkpoints/STEP.safetensors` (weights of several steps) and, after prediction, a folder
`predictions/DATA-DIGEST` for each job, with `submission.json` and `predictions.jsonl`.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from arc_trm.config import RunConfig, read_config, to_dict
from arc_trm.display import Displayed
from arc_trm.errors import UserError, escape_controls, quote_path
from arc_trm.io import (
    check_ordinary,
    file_name,
    json_value,
    relative_path,
    remove_leftovers,
    write_json,
)
from arc_trm.runs.checkpoints import MAX_STEP, Checkpoint, list_checkpoints, weights_digest
from arc_trm.runs.history import Kind, recall, remember
from arc_trm.runs.lock import LOCK, FolderLock, is_locked
from arc_trm.runs.provenance import RunProvenance, read_provenance

RUNS = Path("runs")
RUN_CONFIG, METRICS, TRAINING_STATE = "run.json", "metrics.jsonl", "training_state.safetensors"
SUBMISSION, PREDICTIONS, SEAL = "submission.json", "predictions.jsonl", "seal.json"
PREDICTIONS_FOLDER = Path("predictions")
"""Folder, in a run or the current folder, that holds a folder for each prediction job."""
FORMAT = "arc-trm run 2"
MAX_METRICS = 2**28
"""Bytes of metrics.jsonl, 256 MiB: a million records, which take some gigabytes of memory."""
State = Literal["running", "complete", "interrupted"]


class Run(Displayed, os.PathLike[str]):
    """A run folder; each of its files is read once, when it is needed.

    Args:
        path: of the folder.
        stopped_by: number of the signal that stopped training before its end, None if none did.
        step: the last training step; None reads it from the metrics.
        total_steps: planned steps; None reads them from the config.
        out_of_time: whether the time limit left no time for a step, so that nothing was trained.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        stopped_by: int | None = None,
        step: int | None = None,
        total_steps: int | None = None,
        out_of_time: bool = False,
    ) -> None:
        self.path, self.stopped_by, self.out_of_time = Path(path), stopped_by, out_of_time
        self._step, self._total_steps = step, total_steps
        self._digests: dict[str | None, str | None] = {}

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<Run {escape_controls(str(self.path))}>"

    @cached_property
    def config(self) -> RunConfig:
        """The resolved config. Raises UserError if it is missing or damaged."""
        return read_config(self.path / RUN_CONFIG, "run folder", FORMAT, RunConfig)

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """The records of metrics.jsonl; a last line that a kill cut off is left out."""
        return read_metrics(self.path)

    @cached_property
    def checkpoints(self) -> list[Checkpoint]:
        """The weights of several steps that the run keeps; damaged files are left out."""
        return list_checkpoints(self.path, skip_damaged=True)

    @cached_property
    def provenance(self) -> RunProvenance:
        """What made the run."""
        return read_provenance(self.path)

    def weights_digest(self, checkpoint: str | None = None) -> str | None:
        """Return the digest of the weights that a name means, as `choose_checkpoint` says.

        None if there are none. It takes about a second per gigabyte at the first call.
        """
        if checkpoint not in self._digests:
            self._digests[checkpoint] = weights_digest(self.path, checkpoint)
        return self._digests[checkpoint]

    @property
    def interrupted(self) -> bool:
        """Whether a signal stopped training before its end."""
        return self.stopped_by is not None

    @property
    def state(self) -> State:
        """Whether a process trains the run now, or it has reached its end, or neither."""
        if is_locked(self.path):
            return "running"
        total = self.total_steps
        reached = total is not None and self.step >= total
        return "complete" if reached or self.provenance.complete else "interrupted"

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
        folder = _unique_folder(f"{datetime.now():%Y%m%d-%H%M%S}-{file_name(config.name)}")
    else:
        make_folder(folder, "run folder")
    with FolderLock() as lock:
        lock.acquire(folder)
        _check_no_run(folder)
        write_run_config(folder, config)
    remember("run", folder)
    return folder


def _check_no_run(folder: Path) -> None:
    """Raise UserError if a folder holds anything but its lock and what a kill left."""
    if is_run(folder):
        command = "adapt" if Run(folder).config.adapt else "train"
        raise UserError(
            f"{folder} already holds a run: name another folder, or resume it with "
            f"`arc-trm {command} --resume {quote_path(folder)}`"
        )
    remove_leftovers(folder)
    if set(os.listdir(folder)) - {LOCK}:
        raise UserError(f"{folder} is not empty: name another folder for the run")


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


def latest_run() -> Path:
    """Return the run that was started or resumed last, in `runs` or by the index of `history`.

    Raises:
        UserError: there is no run.
    """
    if found := _sorted_by_time(run_times()):
        return found[0]
    raise UserError(
        f"there is no run in {RUNS.resolve()}, and none is known elsewhere: train one with "
        "`arc-trm train`"
    )


def latest_predictions() -> Path:
    """Return the folder of the predictions that were made last.

    They are looked for in the runs in `runs`, in the current folder, and by the index of `history`.

    Raises:
        UserError: there are none, or a later run has none.
    """
    folders = [path.parent for path in RUNS.glob(f"*/{PREDICTIONS_FOLDER}/*/{PREDICTIONS}")]
    folders += [path.parent for path in PREDICTIONS_FOLDER.glob(f"*/{PREDICTIONS}")]
    found = _latest_times([*folders, Path()], PREDICTIONS, _recall("predictions"))
    runs = run_times()
    run = next(iter(_sorted_by_time(runs)), None)
    if not found:
        command = "`arc-trm train` and `arc-trm predict`" if run is None else "`arc-trm predict`"
        raise UserError(f"there are no predictions yet: make some with {command}")
    latest = _sorted_by_time(found)[0]
    if run is not None and runs[run] > found[latest] and not predictions_of(run):
        raise UserError(
            f"{run}, the latest run, has no predictions yet: make them with `arc-trm predict "
            f"{quote_path(run)}`, or name the last ones that there are, {latest}"
        )
    return latest


def predictions_of(folder: Path) -> list[Path]:
    """Return the folders of the predictions in a run, or in its folder for them, newest first."""
    base = folder / PREDICTIONS_FOLDER if is_run(folder) else folder
    folders = [log.parent for log in base.glob(f"*/{PREDICTIONS}")]
    times = recall("predictions")
    absolute = {each: Path(os.path.abspath(each)) for each in folders}
    known = {each: times[path] for each, path in absolute.items() if path in times}
    return _sorted_by_time(_latest_times(folders, PREDICTIONS, known))


def _sorted_by_time(times: dict[Path, float]) -> list[Path]:
    """Return folders, the latest first; of the same time, by their names."""
    return sorted(times, key=lambda folder: (times[folder], folder.name), reverse=True)


def run_times() -> dict[Path, float]:
    """Map the runs in `runs` and in the index of `history` to when they were made, Unix times."""
    runs = [path.parent for path in RUNS.glob(f"*/{RUN_CONFIG}")]
    return _latest_times(runs, RUN_CONFIG, _recall("run"))


def _recall(kind: Kind) -> dict[Path, float]:
    """Return what `recall` does, with paths that are short below the current folder."""
    return {relative_path(folder): time for folder, time in recall(kind).items()}


def _latest_times(folders: list[Path], file: str, recalled: dict[Path, float]) -> dict[Path, float]:
    """Map folders that hold a file to when it was made, by the index or else by the file's time."""
    times = {}
    for folder, recalled_time in {**dict.fromkeys(folders, 0.0), **recalled}.items():
        try:
            changed = (folder / file).stat().st_mtime
        except (OSError, ValueError):
            continue  # it is gone
        times[folder] = recalled_time or changed
    return times


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the records of a run's metrics.jsonl; a last line that a kill cut off is left out."""
    path = folder / METRICS
    try:
        check_ordinary(path)
        if path.stat().st_size > MAX_METRICS:
            raise UserError(f"{path} is larger than {MAX_METRICS >> 20} MiB: name another run")
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = {str(key): float(value) for key, value in json_value(line, nan=True).items()}
            step = int(record["step"])
            if abs(step) > MAX_STEP:
                raise ValueError
            records.append({**record, "step": step})
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
            if number < len(lines):
                raise UserError(
                    f"{path}, line {number} is not an object of numbers with a step"
                ) from None
    return records
