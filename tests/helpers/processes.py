"""Finding the processes that torchrun started."""

from __future__ import annotations

from pathlib import Path

import pytest

finds_processes = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds processes in /proc"
)


def worker(rank: int, command: str, place: Path) -> int | None:
    """The process of this rank that runs an arc-trm command on files below `place`."""
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            b"RANK=%d" % rank in environment
            and command.encode() in arguments
            and any(bytes(place) in argument for argument in arguments)
        ):
            return int(folder.name)
    return None
