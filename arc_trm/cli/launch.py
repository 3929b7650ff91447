"""Several processes on one machine: start them as torchrun does, and print a mistake once."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import click

from arc_trm.errors import UserError
from arc_trm.time_limit import PROCESS_STARTED, STARTED
from submission.cli import print_note
from submission.process import BY_SIGNAL, STOPPED, end_with_parent
from submission.temporary import temporary_folder

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""The environment variable in which torchrun names the file for the error of a process."""
END_FILE = "ARC_TRM_END_FILE"
"""The environment variable in which `launch` names the file for how a stopped job ended."""
PROCESSES = ("gpu", "auto")
"""Values of --nproc-per-node besides numbers: a process per GPU, or per device."""

MAX_PROCESSES = 64
"""More processes than a machine has devices exhaust its memory."""


def check_processes(
    context: click.Context, option: click.Parameter, text: str | None
) -> str | None:
    """Return the value of --nproc-per-node. Raises BadParameter if it is invalid."""
    if text is None or text in PROCESSES:
        return text
    if text.isdecimal() and 0 < int(text[:9]) <= MAX_PROCESSES:
        return text
    raise click.BadParameter(
        f"{text[:20]!r} is no number of processes: write a number from 1 to {MAX_PROCESSES}, gpu "
        "(one per GPU) or auto."
    )


def launch(nproc_per_node: str, debug: bool, arguments: Sequence[str]) -> int:
    """Run `arc-trm ARGUMENTS` in several processes of torchrun, on this machine.

    Args:
        nproc_per_node: number of processes, `gpu` or `auto`.
        debug: show torch's own messages.
        arguments: a command with its arguments.

    Returns:
        The exit status: 0, or that of the process that failed first.

    Raises:
        UserError: there is no GPU to start processes for, or torchrun has started this process.
    """
    import torch
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from arc_trm.device import cpu_threads

    if "RANK" in os.environ:
        raise UserError("torchrun has started this process: leave out --nproc-per-node")
    if nproc_per_node == "gpu" and not torch.cuda.is_available():
        raise UserError("--nproc-per-node gpu: PyTorch finds no GPU; write a number of processes")
    number = torchrun.determine_local_world_size(nproc_per_node)
    # torch would give each process one thread, with a warning: they share what a single one has.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cpu_threads() // number)))
    if not debug:
        logging.disable(logging.ERROR)  # the process that fails says why, and this one its status
    options = ["--standalone", f"--nproc-per-node={number}"]
    with temporary_folder(gettempdir()) as folder:
        options += [f"--log-dir={folder}", "-m", "arc_trm", *arguments]
        end = folder / "end.txt"
        os.environ[END_FILE] = str(end)
        os.environ[STARTED] = str(PROCESS_STARTED)
        try:
            torchrun.run(torchrun.parse_args(options))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            _, first = error.get_first_failure()
            status = first.exitcode if first.exitcode >= 0 else BY_SIGNAL - first.exitcode
            sentence = _describe(first, number, arguments[0])
        except SignalException as error:
            status, sentence = BY_SIGNAL + error.sigval, STOPPED
        else:
            return 0
        if end.exists():
            sentence = end.read_text("utf-8")
    if sentence is not None:
        print_note(sentence)
    return status


def end_with_launcher() -> None:
    """Let the system send this process SIGTERM if `launch` has started it and is killed.

    Otherwise it would train on, unknown to the user. Only Linux can do this.
    """
    if END_FILE in os.environ:
        end_with_parent(signal.SIGTERM)


def launching_command() -> str:
    """Return `arc-trm`, with the option by which `launch` has started this job if it has."""
    if END_FILE not in os.environ:
        return "arc-trm"
    return _command(os.environ.get("LOCAL_WORLD_SIZE", "auto"))


def _command(processes: object) -> str:
    return f"arc-trm --nproc-per-node {processes}"


def print_end(sentence: str) -> None:
    """Print how this job was stopped, as its last word; `launch` does it for its processes."""
    path = os.environ.get(END_FILE)
    if path is None:
        print_note(sentence)
    else:
        Path(path).write_text(sentence, "utf-8")


def prints_mistakes() -> bool:
    """Return whether this process prints its mistake: of a torchrun job, local rank 0 does.

    If `launch` has started the job, that prints it.
    """
    return END_FILE not in os.environ and os.environ.get("LOCAL_RANK", "0") == "0"


def record_mistake(sentence: str) -> None:
    """Tell torchrun why this process fails, if torchrun has started it."""
    path = os.environ.get(ERROR_FILE)
    if path is not None:
        details = {"py_callstack": sentence, "timestamp": str(int(time.time()))}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": {"message": sentence, "extraInfo": details}}, file)


def _describe(failure: ProcessFailure, processes: int, command: str) -> str | None:
    """Return why a process failed; None if it has printed the traceback of a fault of ours."""
    if failure.exitcode > BY_SIGNAL:
        return STOPPED
    if failure.exitcode < 0:
        number = signal.Signals(-failure.exitcode)
        why = ", perhaps because the memory ran out" if number == signal.SIGKILL else ""
        advice = {
            "predict": "the same command continues with what it has predicted so far",
            "bench": "start it again",
        }.get(command, f"`{_command(processes)} {command} --resume` continues from the last save")
        return (
            f"Error: process {failure.local_rank + 1} of {processes} was ended by {number.name}"
            f"{why}: {advice}"
        )
    return f"Error: {failure.message['message']}" if isinstance(failure.message, dict) else None
