"""Running `arc-trm` in this process, and programs in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from arc_trm.cli import main

TOO_LONG = 200  # seconds: a test that hangs fails, and one on a busy machine does not


def one_thread() -> dict[str, str]:
    """The environment of processes that share this machine's cores with others."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run_cli(*arguments: object) -> Result:
    """Run `arc-trm` in this process.

    What it prints is in `stdout` and `stderr` of the result. An exception that would show users a
    traceback is raised.
    """
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def torchrun_command(*arguments: object, processes: int = 2) -> list[str]:
    """The command line that runs a program under torchrun, on a port that is free.

    Args:
        arguments: the program's path, or `-m` and a module, and what follows.
        processes: how many there are.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *launcher, *map(str, arguments)]


def run_torchrun(
    *arguments: object, processes: int = 2, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program under torchrun to its end; the arguments are those of `torchrun_command`."""
    return subprocess.run(
        torchrun_command(*arguments, processes=processes),
        env=one_thread(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=TOO_LONG,
    )
