"""Where the predictions are that a user names: a file, a folder, or those made last in a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from arc_trm.data.loader import absolute_data_path
from arc_trm.errors import UserError, format_value, quote_path
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.io import json_value
from arc_trm.puzzles import KINDS, PuzzleKind
from arc_trm.runs import PREDICTIONS, SUBMISSION, Run, is_run, predictions_of
from arc_trm.tasks import DEFAULT_KIND
from submission.forms import TASK_ID

MAX_RECORD = 2**16
"""Bytes of a line in which the answers to a test output are looked for."""


class FoundPredictions(NamedTuple):
    """Predictions that were found.

    Attributes:
        path: of the file or folder.
        log: that it is, or that lies beside it; None without one.
        others: folders of other predictions in the same run, newest first.
    """

    path: Path
    log: PredictionLog | None
    others: tuple[Path, ...] = ()


def find_predictions(path: Path, prefer: Sequence[str], data: str | None) -> FoundPredictions:
    """Return the predictions in a file or folder, the last ones that were made in a run.

    Args:
        prefer: names of files in a folder, the preferred first.
        data: for which predictions are preferred, if a run has several; None is any.

    Raises:
        UserError: there are none, or a log is invalid.
    """
    in_folder = not is_run(path) and any((path / name).is_file() for name in prefer)
    if path.is_dir() and not in_folder:
        if folders := predictions_of(path):
            chosen = _latest_for(folders, data)
            return _find_file(chosen, prefer)._replace(
                others=tuple(each for each in folders if each != chosen)
            )
        if is_run(path):
            run = quote_path(path)
            raise UserError(
                f"{path} has no predictions yet: make them with `arc-trm predict {run}`; "
                f"`arc-trm show {run}` shows its training"
            )
    return _find_file(path, prefer)


def kind_of_log(log: PredictionLog) -> PuzzleKind:
    """Return the kind of puzzle that a log is for. Raises UserError if there is no such kind."""
    name = str(log.metadata.get("kind", DEFAULT_KIND))
    if name not in KINDS:
        raise UserError(
            f"{log.path} says that it is for puzzles of the kind {format_value(name)}, expected "
            f"one of {', '.join(KINDS)}: remove the file and predict again"
        )
    return KINDS[name]


def is_log(path: Path) -> bool:
    """Return whether a file is a log by its name, and no answers with one JSON object per line."""
    if path.suffix != ".jsonl" or not os.path.isfile(path):
        return False
    if path.name == PREDICTIONS:
        return True
    with suppress(ValueError, OSError), path.open("rb") as file:
        record = json_value(file.readline(MAX_RECORD))
        return not (isinstance(record, dict) and TASK_ID in record)
    return True


def _latest_for(folders: Sequence[Path], data: str | None) -> Path:
    """Return the first folder whose predictions are for some data, else the first one."""
    if data is not None and len(folders) > 1:
        names = Run(data).config.data.test if is_run(Path(data)) else [data]
        wanted = [absolute_data_path(name) for name in names]
        for folder in folders:
            with suppress(UserError):
                if PredictionLog(folder / PREDICTIONS).metadata.get("data") == wanted:
                    return folder
    return folders[0]


def _find_file(path: Path, prefer: Sequence[str]) -> FoundPredictions:
    found = [path / name for name in prefer if (path / name).is_file()] or [path]
    logs = [PredictionLog(each) for each in found if is_log(each)]
    if not logs and path.name == SUBMISSION and path.with_name(PREDICTIONS).is_file():
        logs = [PredictionLog(path.with_name(PREDICTIONS))]
    log = logs[0] if logs else None
    if log is None or log.path == found[0]:
        return FoundPredictions(found[0], log)
    try:
        writes_submission = kind_of_log(log).writes_submission
    except UserError:
        return FoundPredictions(found[0], None)
    # A submission beside a log of another kind is of another job.
    return FoundPredictions(found[0] if writes_submission else log.path, log)
