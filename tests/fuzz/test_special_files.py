"""Pipes, devices, sockets and folders in the place of files: every reader refuses them at once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import reads_or_refuses
from paths import GOLDEN

import submission as sub
from arc_trm.config import InferenceChoice, RunConfig, load_config, read_config
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.prebuilt import open_prebuilt
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.seal import Seal
from arc_trm.evaluation.source import PredictionSource
from arc_trm.file_kind import file_kind
from arc_trm.hub.known_weights import read_known_weights
from arc_trm.io import file_digest, read_toml
from arc_trm.runs import METRICS, Run
from arc_trm.runs.checkpoints import list_checkpoints
from arc_trm.runs.history import index_path, recall
from arc_trm.runs.provenance import read_provenance
from arc_trm.tracking import _read_wandb_id
from submission.answers import read_ranked

SECONDS = 20.0  # a test on a busy machine passes, and one that waits for a pipe fails


def place(special: Path, path: Path) -> Path:
    """Let a path lead to a special file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(special)
    return path


def read_prebuilt(special: Path, folder: Path) -> None:
    built = Path(shutil.copytree(GOLDEN / "arc/built", folder / "built"))
    for name in ("identifiers.json", "train/all__inputs.npy"):
        (built / name).unlink()
        place(special, built / name)
        open_prebuilt(built)


READERS: dict[str, Callable[[Path, Path], Any]] = {
    "config": lambda path, _: load_config(file=path),
    "TOML": lambda path, _: read_toml(path),
    "known weights": lambda path, _: read_known_weights(path),
    "run.json": lambda path, folder: read_config(
        place(path, folder / "run.json"), "run", "x", RunConfig
    ),
    "inference.json": lambda path, _: read_config(path, "folder", "x", InferenceChoice),
    "tasks": lambda path, _: load_tasks(path),
    "tasks by a link": lambda path, folder: load_tasks(place(path, folder / "t.json")),
    "official files": lambda path, _: sub.read_any(path),
    "answers": lambda path, _: read_ranked(path),
    "attempts": lambda path, folder: sub.read_arcprize(place(path, folder / "a/b.json").parent),
    "predictions": lambda path, _: PredictionSource.open(path),
    "log": lambda path, _: PredictionLog(path).header,
    "metrics": lambda path, folder: Run(place(path, folder / METRICS).parent).metrics,
    "provenance": lambda path, folder: read_provenance(
        place(path, folder / "provenance.json").parent
    ),
    "checkpoints": lambda path, folder: list_checkpoints(
        place(path, folder / "checkpoints/1.safetensors").parent.parent
    ),
    "seal": lambda path, _: Seal.read(path),
    "digest": lambda path, _: file_digest(path),
    "kind": lambda path, _: file_kind(path),
    "index": lambda path, _: (place(path, index_path()), recall("run")),
    "W&B": lambda path, _: _read_wandb_id(path),
    "prebuilt": read_prebuilt,
}


@pytest.fixture(scope="module", params=["pipe", "zero", "socket", "folder"])
def special(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp(request.param)
    match request.param:
        case "pipe":
            os.mkfifo(folder / "pipe.json")
            yield folder / "pipe.json"
        case "zero":
            yield Path("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(folder / "s"))
                yield folder / "s"
        case _:
            yield folder


@pytest.mark.parametrize("reader", READERS)
def test_special_files_are_refused_at_once(special: Path, tmp_path: Path, reader: str) -> None:
    def waits(*_: object) -> None:
        raise AssertionError("the reader waits")

    before = signal.signal(signal.SIGALRM, waits)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        reads_or_refuses(lambda: READERS[reader](special, tmp_path))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
