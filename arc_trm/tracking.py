"""Trackers: callbacks that send a run's records to TensorBoard or Weights & Biases (W&B).

The keys are those of metrics.jsonl (docs/data.md). A tracker never ends a run: if it fails, a note
says so and training continues, and metrics.jsonl has all records in any case.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from arc_trm.callbacks import Callback, EndStatus, TrainingStart
from arc_trm.errors import UserError, one_line, quote_path
from arc_trm.io import atomic_write, check_ordinary, relative_path, write_error
from arc_trm.metric_keys import training_seconds

TENSORBOARD_FOLDER = "tensorboard"
WANDB_FOLDER = "wandb"
WANDB_ID = Path(WANDB_FOLDER, "run-id.txt")
"""File, in a run, of the id of its W&B run."""
WANDB_PROJECT = "arc-trm"
WANDB_VERSION = (0, 31)
"""The first version with all settings that are used here."""
WANDB_TIMEOUT_S = 30.0
"""Seconds that W&B's server is waited for at the start of a run, and at its end."""


class TensorBoardCallback(Callback):
    """Writes a run's records to RUN/tensorboard, for `tensorboard --logdir runs`.

    A resumed run writes all its points again, from metrics.jsonl, and TensorBoard drops the ones
    before: after a kill they may be wrong, and steps that were trained without the tracker have
    none. Their wall time is computed from the time of training, back from the resume.

    Raises:
        UserError: tensorboard is not installed.
    """

    may_fail = True

    def __init__(self) -> None:
        if _version("tensorboard") is None:
            raise UserError(
                "tracking by tensorboard needs a package that is not installed: "
                "`pip install 'arc-trm[track]'`"
            )
        self._writer: Any = None

    def start(self, training: TrainingStart) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = training.folder / TENSORBOARD_FOLDER
        self._writer = SummaryWriter(folder, purge_step=0)
        text = json.dumps(training.config, indent=2).replace("\n", "\n    ")
        self._writer.add_text("config", f"    {text}", training.step)  # indented: a block of code
        _, *seconds = training_seconds(training.records)
        now = time.time()
        for record, trained in zip(training.records, seconds, strict=True):
            self._add(record, now - seconds[-1] + trained)
        self._writer.flush()
        shown = quote_path(relative_path(training.folder.absolute().parent))
        training.note(f"curves are in {folder}: `tensorboard --logdir {shown}` draws them")

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if record is None or self._writer is None:
            return
        self._add(record)
        self._writer.flush()  # a kill must not take points of steps that are not trained again

    def _add(self, record: Mapping[str, float], at: float | None = None) -> None:
        for name, value in _values(record).items():
            self._writer.add_scalar(name, value, int(record["step"]), walltime=at)

    def end(self, status: EndStatus) -> None:
        if self._writer is not None:
            self._writer.close()


class WandbCallback(Callback):
    """Sends a run's records to Weights & Biases, through its own client.

    Its files lie in RUN/wandb. Without a login or a server it writes there only, to be sent later
    with `wandb sync`. A resumed run continues the same W&B run: no record is sent twice, and those
    that a kill has taken from W&B are sent from metrics.jsonl.

    Args:
        options: of `wandb.init`, in place of those chosen here, such as `project` (the environment
            variable WANDB_PROJECT, else `arc-trm`), `entity`, `tags` or `mode`.

    Raises:
        UserError: wandb is not installed, or too old.
    """

    may_fail = True

    def __init__(self, **options: Any) -> None:
        installed = _version("wandb")
        if installed is None or installed < WANDB_VERSION:
            found = "is not installed" if installed is None else "is too old"
            least = ".".join(map(str, WANDB_VERSION))
            raise UserError(
                f"tracking by wandb needs W&B's client, which {found}: `pip install "
                f"'wandb>={least}'`"
            )
        self._options = options
        self._run: Any = None

    def start(self, training: TrainingStart) -> None:
        id_path = training.folder / WANDB_ID
        run_id = _read_wandb_id(id_path)
        options = {
            "id": run_id or secrets.token_hex(8),
            "project": os.environ.get("WANDB_PROJECT") or WANDB_PROJECT,
            "name": os.environ.get("WANDB_NAME") or training.folder.absolute().name,
            "dir": str(training.folder),
            "resume": "allow",
            **self._options,
        }
        self._run = _open_wandb_run(options, training.note)
        self._run.config.update(dict(training.config), allow_val_change=True)
        if run_id != options["id"]:
            id_path.parent.mkdir(exist_ok=True)
            with atomic_write(id_path) as file:
                file.write(options["id"])
        # Of a run that continues online, W&B says its next step.
        self._last_step = self._run.step - 1
        if self._run.offline and run_id is not None:
            self._last_step = _last_wandb_step(id_path.parent, run_id)
        for record in training.records:
            self._add(record)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if record is not None and self._run is not None:
            self._add(record)

    def _add(self, record: Mapping[str, float]) -> None:
        if record["step"] > self._last_step:  # W&B does not have it from before a kill
            self._run.log(_values(record), step=int(record["step"]))

    def end(self, status: EndStatus) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "finished" else 1)


TRACKERS: dict[str, Callable[[], Callback]] = {
    "tensorboard": TensorBoardCallback,
    "wandb": WandbCallback,
}
"""Trackers by the names that --track takes."""


def remove_tracked(folder: Path) -> None:
    """Remove what was tracked of a run that starts again from step 0.

    The W&B run that it had stays as it is: a new one follows.

    Raises:
        WriteError: the file system refuses.
    """
    curves = folder / TENSORBOARD_FOLDER
    try:
        if curves.is_symlink():
            curves.unlink()  # other runs may use the folder that it leads to
        elif curves.is_dir():
            shutil.rmtree(curves)
        (folder / WANDB_ID).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(folder, error) from None


def _version(package: str) -> tuple[int, ...] | None:
    """Return the first two numbers of a package's version; None if it is not installed."""
    try:
        return tuple(map(int, re.findall(r"\d+", metadata.version(package))[:2]))
    except metadata.PackageNotFoundError:
        return None


def _values(record: Mapping[str, float]) -> dict[str, float]:
    """Return what a record holds besides its step."""
    return {name: value for name, value in record.items() if name != "step"}


def _open_wandb_run(options: dict[str, Any], note: Callable[[str], None]) -> Any:
    """Start a W&B run, offline if need be, and say where its data go."""
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",  # the progress bar is no log
        init_timeout=WANDB_TIMEOUT_S,
        finish_timeout=WANDB_TIMEOUT_S,
    )
    options = {"settings": settings, **options}
    mode, reason = options.get("mode") or os.environ.get("WANDB_MODE") or "online", ""
    if mode == "online":
        try:
            # Without a login W&B would ask for one, and an unattended run would wait for ever.
            if wandb.login(prompt=False, verify=False):
                run = wandb.init(**{**options, "mode": mode})
                note(f"W&B shows the run at {run.url}")
                return run
            reason = "there is no login for W&B (`wandb login` makes one): "
        except wandb.errors.Error as error:
            reason = f"W&B cannot be used online ({one_line(str(error).splitlines()[0])}): "
            wandb.teardown()  # its process would say that the id is in use
        mode = "offline"
    run = wandb.init(**{**options, "mode": mode})
    if run.offline:
        folder = quote_path(relative_path(Path(run.dir).absolute().parent))
        note(f"{reason}W&B's data stay in {folder}; `wandb sync {folder}` sends them")
    return run


def _read_wandb_id(path: Path) -> str | None:
    """Return the id of a run's W&B run; None if there is none, or the file holds something else."""
    try:
        check_ordinary(path)
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[\w-]{1,64}", text) else None


def _last_wandb_step(folder: Path, run_id: str) -> int:
    """Return the last step that W&B's files in a folder have of a run, -1 without one.

    W&B writes them every 15 s or so, so a kill takes what was logged since.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    steps = [-1]
    for path in folder.glob(f"*/run-{run_id}.wandb"):
        with suppress(DecodeError, OSError):  # a damaged file says nothing from there on
            check_ordinary(path)
            histories = (each.history for each in read_wandb_file(path) if each.HasField("history"))
            steps += (history.step.num for history in histories)
    return max(steps)


def read_wandb_file(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file, which is a log in LevelDB's format, as protobufs."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    block, header, whole, last_part = 32768, 7, 1, 4
    data, parts, position = path.read_bytes(), b"", header  # the file's own header is as long
    while position + header <= len(data):
        if block - position % block < header:
            position += block - position % block  # the end of a block is padding
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += header
        parts += data[position : position + length]
        position += length
        if kind in (whole, last_part) and position <= len(data):
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""
