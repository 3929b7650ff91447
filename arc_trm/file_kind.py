"""What a file or folder is, for messages to users who named it in the place of another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

from arc_trm.errors import UserError, quote_path
from arc_trm.runs import METRICS, PREDICTIONS, RUN_CONFIG, SEAL, SUBMISSION, is_run
from arc_trm.runs.checkpoints import CHECKPOINTS_FOLDER
from arc_trm.runs.provenance import PROVENANCE
from submission import FormatError, parse_json, read_json, recognise
from submission.content import file_content, text_encoding
from submission.forms import is_answers_csv

Holds = Literal["tasks", "solutions", "predictions", "weights", "part"]
"""What a user may want with a file; a part belongs to the folder of a run, of weights or of
predictions."""

LOG_FORMAT = "arc-trm predictions"
"""How the format of a log of predictions begins, whatever its version."""
MAX_BYTES = 2**28
"""Size of the largest file that is read to tell what it is."""
PARTS = {
    RUN_CONFIG: "the config of a run",
    METRICS: "the metrics of a run",
    PROVENANCE: "what made a run",
    SEAL: "the seal of predictions",
    "config.json": "the config of a model",
    "puzzle_ids.json": "the puzzle ids of a weights folder",
}
ADVICE: dict[Holds, str] = {
    "tasks": "name tasks with --data",
    "solutions": "`arc-trm score` takes it after --solutions",
    "predictions": "`arc-trm score {quoted}` scores predictions",
    "weights": "`arc-trm predict {quoted}` predicts with it",
    "part": "name its folder, {folder}",
}


class FileKind(NamedTuple):
    """What a file or folder is, with its article, and what it holds."""

    title: str
    holds: Holds


ANSWERS_CSV = FileKind("a CSV file of answers", "predictions")


def file_kind(path: Path) -> FileKind | None:
    """Return what a file or folder is; None if nothing tells or it cannot be read."""
    if os.path.isdir(path):
        return _folder_kind(path)
    if path.name in PARTS:
        return FileKind(PARTS[path.name], "part")
    if path.suffix == ".safetensors":
        return FileKind("a file of tensors", "part")
    if path.suffix == ".csv":
        return ANSWERS_CSV if _is_answers_csv(path) else FileKind("a file of puzzles", "tasks")
    if path.suffix == ".jsonl":
        is_log = path.name == PREDICTIONS or _is_log(path)
        return FileKind("a log of predictions", "predictions") if is_log else None
    kind = recognise(_read_json(path))
    if kind is None:
        return None
    holds: Holds = "tasks"
    if kind in ("submission", "solutions"):
        holds = "predictions" if kind == "submission" else "solutions"
    return FileKind(f"a {kind} file", holds)


def wrong_file(path: Path, wanted: Holds, expected: str) -> UserError | None:
    """Return the error for a file or folder that holds something else than is wanted.

    Args:
        path: what the user named.
        wanted: what it should hold.
        expected: what was to be named, such as `a run`.

    Returns:
        None if it holds what is wanted or nothing tells what it is: what reads it says what is
        wrong with it.
    """
    kind = file_kind(path)
    if kind is None or kind.holds == wanted:
        return None
    advice = ADVICE[kind.holds].format(quoted=quote_path(path), folder=path.parent)
    if path.parent.name == CHECKPOINTS_FOLDER:
        run, name = quote_path(path.parent.parent), quote_path(path.stem)
        advice = f"name the run and the step, `arc-trm predict {run} --checkpoint {name}`"
    return UserError(f"{path} is {kind.title}, expected {expected}: {advice}")


def _folder_kind(folder: Path) -> FileKind | None:
    if is_run(folder):
        return FileKind("a run", "weights")
    if os.path.isfile(folder / "config.json"):
        return FileKind("a weights folder", "weights")
    if any(os.path.isfile(folder / name) for name in (PREDICTIONS, SUBMISSION)):
        return FileKind("a folder of predictions", "predictions")
    return None


def _is_answers_csv(path: Path) -> bool:
    """Return whether a file is the CSV file of Kaggle's ARC competition of 2020, as it begins."""
    try:
        head = file_content(path).head
    except FormatError:
        return False
    return is_answers_csv(head.decode(text_encoding(head), "ignore"))


def is_log_header(value: Any) -> bool:
    """Return whether parsed JSON is the first line of a log of predictions."""
    return isinstance(value, dict) and str(value.get("format")).startswith(LOG_FORMAT)


def _is_log(path: Path) -> bool:
    try:
        return is_log_header(parse_json(file_content(path).head.split(b"\n")[0], path))
    except FormatError:
        return False


def _read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it is no such file or too large."""
    try:
        # A device or pipe might never end.
        return read_json(path) if path.is_file() and path.stat().st_size <= MAX_BYTES else None
    except (FormatError, OSError, ValueError):
        return None
