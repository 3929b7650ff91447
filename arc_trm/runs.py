"""Run folders: where they are and what is in them.

A run folder is a weight folder (`arc_trm.checkpoint`) with `run.json` (the resolved config),
`metrics.jsonl`, `checkpoint.safetensors` (all state), and later `submission.json` and
`predictions.jsonl`.
"""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path

from arc_trm.config import RunConfig, from_dict, to_dict
from arc_trm.errors import UserError
from submission import read_json, write_json

RUNS = Path("runs")
CONFIG, METRICS, CHECKPOINT = "run.json", "metrics.jsonl", "checkpoint.safetensors"
SUBMISSION, PREDICTIONS = "submission.json", "predictions.jsonl"


def create_run(config: RunConfig, folder: Path | None = None) -> Path:
    """Make the folder of a new run, `runs/DATE-TIME-NAME` if none is given, and its run.json."""
    if folder is None:
        folder = _fresh_folder(f"{datetime.now():%Y%m%d-%H%M%S}-{config.name}")
    elif (folder / CONFIG).exists():
        command = "adapt" if run_config(folder).adapt else "train"
        raise UserError(
            f"{folder} already holds a run: name another folder, or go on with "
            f"`arc-trm {command} --resume {folder}`"
        )
    else:
        _make(folder, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: name another folder for the run")
    write_json(folder / CONFIG, to_dict(config))
    return folder


def _make(folder: Path, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_dir():
            raise  # another run took the name first
        raise UserError(f"cannot make the run folder {folder}: {error.strerror}") from None


def _fresh_folder(name: str) -> Path:
    """A folder in `runs` that nobody had: runs may start in the same second."""
    for number in itertools.count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("there is always another number")


def is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def latest_run(folder: Path = RUNS) -> Path:
    """The run that was started last. Raises UserError when there is none."""
    runs = [path.parent for path in folder.glob(f"*/{CONFIG}")]
    if not runs:
        raise UserError(f"there is no run in {folder.resolve()}: train one with `arc-trm train`")
    return max(runs, key=lambda run: ((run / CONFIG).stat().st_mtime, run.name))


def run_config(run: Path) -> RunConfig:
    """The resolved config of a run. Raises UserError if it does not read."""
    if not is_run(run):
        raise UserError(f"{run} is not a run folder: it has no {CONFIG}")
    content = read_json(run / CONFIG)
    if not isinstance(content, dict):
        raise UserError(f"{run / CONFIG} does not hold a run's config")
    try:
        return from_dict(RunConfig, content)
    except UserError as error:
        raise UserError(
            f"{run / CONFIG} is not as it was written ({error}): bring it back"
        ) from None


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The records of metrics.jsonl; a last line cut short by a kill is left out."""
    path = run / METRICS
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
