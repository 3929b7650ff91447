"""What torch and torchrun need of us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LEAVES = """
import os
import torch
from arc_trm.device import process_group

with process_group(torch.device("cpu")) as (rank, world):
    import torch._dynamo  # as looking at weights does, which are compared on the meta device
names = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
left = [name for name in names if "gloo" in name]
os.write(1, f"left {rank} {world} {left}\\n".encode())  # at once, or both lines may mix
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_a_process_group_leaves_no_thread_that_could_outlive_python(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(LEAVES)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launcher, tmp_path / "leaves.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["left 0 2 []", "left 1 2 []"]
