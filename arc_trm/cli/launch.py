"""Several processes on one machine: start them as torchrun does, and print a mistake once."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Sequence

import click

from arc_trm.errors import UserError
from submission.cli import print_note

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""The environment variable in which torchrun names the file for the error of a process."""
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
        f"{text[:20]!r} is no number of processes: write a number up to {MAX_PROCESSES}, gpu (one "
        "per GPU) or auto."
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

    if "RANK" in os.environ:
        raise UserError("torchrun has started this process: leave out --nproc-per-node")
    if nproc_per_node == "gpu" and not torch.cuda.is_available():
        raise UserError("--nproc-per-node gpu: PyTorch finds no GPU; write a number of processes")
    number = torchrun.determine_local_world_size(nproc_per_node)
    # torch would give each process one thread, with a warning: they share what a single one has.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // number)))
    if not debug:
        logging.disable(logging.ERROR)  # the process that fails says why, and this one its status
    options = ["--standalone", f"--nproc-per-node={number}", "-m", "arc_trm", *arguments]
    try:
        torchrun.run(torchrun.parse_args(options))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        sentences = {each.local_rank: _recorded(each.message) for each in error.failures.values()}
        sentence = sentences[first.local_rank]
        if sentence and sentence != sentences.get(0):  # the process of local rank 0 prints its own
            print_note(f"Error: {sentence}")
        return first.exitcode if first.exitcode >= 0 else 128 - first.exitcode
    except SignalException as error:  # SIGTERM interrupts a job as Ctrl-C does
        return 128 + (signal.SIGINT if error.sigval == signal.SIGTERM else error.sigval)
    return 0


def prints_mistakes() -> bool:
    """Return whether this process prints its mistake: of a torchrun job, local rank 0 does."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def record_mistake(sentence: str) -> None:
    """Tell torchrun why this process fails, if torchrun has started it."""
    path = os.environ.get(ERROR_FILE)
    if path is not None:
        details = {"py_callstack": sentence, "timestamp": str(int(time.time()))}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"message": {"message": sentence, "extraInfo": details}}, file)


def _recorded(message: object) -> str | None:
    """Return the sentence that `record_mistake` wrote; None if a process wrote none."""
    return str(message["message"]) if isinstance(message, dict) else None
