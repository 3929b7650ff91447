"""Trackers: callbacks that send a run's records to TensorBoard or Weights & Biases (W&B).

The keys are those of metrics.jsonl (docs/data.md). A tracker never ends a run: if it fails, a note
says so and training continues, and metrics.jsonl has all records in any case.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from arc_trm.callbacks import Callback, EndStatus, TrainingStart
from arc_trm.errors import UserError, one_line
from arc_trm.io import append, relative_path, write_error

TENSORBOARD_FOLDER = "tensorboard"
WANDB_LOG = Path("wandb", "arc-trm.jsonl")
"""File, in a run, of the id of its W&B run and of the steps that were sent."""
WANDB_PROJECT = "arc-trm"
WANDB_VERSION = (0, 31)
"""The first version with all settings that are used here."""
WANDB_TIMEOUT_S = 30.0
"""Seconds that W&B's server is waited for at the start of a run, and at its end."""


class TensorBoardCallback(Callback):
    """Writes a run's records to RUN/tensorboard, for `tensorboard --logdir runs`.

    A resumed run continues its curves: points of steps that are trained again are replaced.

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

        folder, step = training.folder / TENSORBOARD_FOLDER, training.step
        # Points of later steps come again; TensorBoard drops those that a killed run has left.
        purge_step = step + 1 if step else None
        self._writer = SummaryWriter(folder, purge_step=purge_step)
        text = json.dumps(training.config, indent=2).replace("\n", "\n    ")
        self._writer.add_text("config", f"    {text}", step)  # indented: a block of code
        self._writer.flush()
        shown = shlex.quote(str(relative_path(training.folder.absolute().parent)))
        training.note(f"curves are in {folder}: `tensorboard --logdir {shown}` draws them")

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if record is None or self._writer is None:
            return
        for name, value in _values(record).items():
            self._writer.add_scalar(name, value, int(record["step"]))
        self._writer.flush()  # a kill must not take points that the checkpoint says are done

    def end(self, status: EndStatus) -> None:
        if self._writer is not None:
            self._writer.close()


class WandbCallback(Callback):
    """Sends a run's records to Weights & Biases, through its own client.

    Its files lie in RUN/wandb. Without a login or a server it writes there only, to be sent later
    with `wandb sync`. A resumed run continues the same W&B run, and sends no record twice.

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
        self._log = training.folder / WANDB_LOG
        run_id, self._sent = _read_wandb_log(self._log) if training.step else (None, {})
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
            self._write_log({"id": options["id"]}, new=True)

    def progress(self, done: int, total: int, record: Mapping[str, float] | None = None) -> None:
        if record is None or self._run is None:
            return
        step, values = int(record["step"]), _values(record)
        kind = _kind(values)
        if step > self._sent.get(kind, -1):  # not sent before the run was killed
            self._run.log(values, step=step)
            self._write_log({"step": step, "kind": kind})

    def end(self, status: EndStatus) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "finished" else 1)

    def _write_log(self, line: Mapping[str, Any], new: bool = False) -> None:
        if new:
            self._log.parent.mkdir(exist_ok=True)
            self._log.unlink(missing_ok=True)
        append(self._log, f"{json.dumps(line)}\n".encode())


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
    try:
        if (folder / TENSORBOARD_FOLDER).is_dir():
            shutil.rmtree(folder / TENSORBOARD_FOLDER)
        (folder / WANDB_LOG).unlink(missing_ok=True)
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


def _kind(values: Mapping[str, float]) -> str:
    """Return `train` or `eval`, which the keys of a record begin with."""
    return next(iter(values), "").partition("/")[0]


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
    mode = options.get("mode") or os.environ.get("WANDB_MODE") or "online"
    reason = ""
    # Without a login W&B would ask for one, and an unattended run would wait for ever.
    if mode == "online" and not wandb.login(prompt=False, verify=False):
        mode, reason = "offline", "there is no login for W&B (`wandb login` makes one)"
    try:
        run = wandb.init(**{**options, "mode": mode})
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        reason = f"W&B cannot be reached ({one_line(str(error).splitlines()[0])})"
        run = wandb.init(**{**options, "mode": "offline"})
    if not run.offline:
        note(f"W&B shows the run at {run.url}")
        return run
    folder = shlex.quote(str(relative_path(Path(run.dir).absolute().parent)))
    stay = f"W&B's data stay in {folder}; `wandb sync {folder}` sends them"
    note(f"{reason}: {stay}" if reason else stay)
    return run


def _read_wandb_log(path: Path) -> tuple[str | None, dict[str, int]]:
    """Return the id of a run's W&B run, and the last step that was sent by kind of record.

    Lines that a kill has cut off or that somebody has changed are left out.
    """
    run_id, sent = None, dict[str, int]()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None, {}
    for line in lines:
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            values = json.loads(line)
            if "id" in values and re.fullmatch(r"[\w-]{1,64}", values["id"]):
                run_id = values["id"]
            elif "step" in values:
                sent[str(values["kind"])] = int(values["step"])
    return run_id, sent
