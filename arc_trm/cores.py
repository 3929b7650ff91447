"""The cores that this process may use, and how long its threads wait for each other."""

from __future__ import annotations

import os
import time
from pathlib import Path, PurePosixPath

SPIN_COUNT = 10_000
"""Turns of a loop in which a thread of GNU's OpenMP waits for the others before it sleeps, if it
has a core for itself."""
SET_BY_USER = bool({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys())
"""Whether the user has said how threads wait."""
SYSTEM = Path("/proc/stat")
FREE_SHARE = 0.75
"""Threads sleep at once if a smaller share of as many cores is free; on many cores something always
runs."""
LOOKS, LOOK_SECONDS = 3, 0.003
"""How often to look which processes run, and the time between: short jobs do not count."""
PROCESS_GROUPS = Path("/proc/self/cgroup")
CONTROLLERS = Path("/sys/fs/cgroup")


def limit_spinning() -> None:
    """Let threads that wait for each other sleep soon, or at once where others use the cores.

    By default they spin for 300,000 turns. Beside other work, one of them often has no core for
    that long, and the others then spin instead of giving it theirs. No result depends on it.
    The OpenMP library reads the variable when it is loaded, so call this before torch is imported.
    What the user has set stays.
    """
    if not SET_BY_USER:
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT if _cores_are_free() else 0)


def _cores_are_free() -> bool:
    """Return whether others leave enough cores at one of `LOOKS` looks; the first may suffice."""
    most = (os.cpu_count() or 1) - FREE_SHARE * usable_cores()
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_SECONDS)
        if _others_running() <= most:
            return True
    return False


def _others_running() -> int:
    """Return how many other threads run on this machine or wait for a core; 0 if unknown."""
    try:
        words = SYSTEM.read_text("utf-8").split()
        return max(0, int(words[words.index("procs_running") + 1]) - 1)  # one is this process
    except (OSError, ValueError, IndexError):
        return 0


def visible_cores() -> int:
    """Return the number of cores on which this process may run, by its affinity."""
    affinity = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def usable_cores() -> int:
    """Return how many cores this process may keep busy: in a container, at most its quota."""
    return max(1, min(visible_cores(), int(_quota())))


def _quota() -> float:
    """Return the seconds of CPU a second that Linux's control groups allow, or a large number."""
    quota = 2.0**30
    try:
        lines = PROCESS_GROUPS.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return quota
    for line in lines:
        _, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        if names == "":  # version 2 has one hierarchy, version 1 one for each controller
            quota = min(quota, *_quotas(CONTROLLERS, group, "cpu.max"))
        elif "cpu" in names.split(","):
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota = min(quota, *_quotas(CONTROLLERS / "cpu", group, *files))
    return quota


def _quotas(root: Path, group: str, *files: str) -> list[float]:
    """Return the quotas of a group and of those above it: each of them limits it."""
    path = PurePosixPath(group.lstrip("/"))
    found = [2.0**30]
    # A container may see the name of its group outside, but finds its files at the root.
    for folder in (path, *path.parents):
        try:
            words = " ".join((root / folder / file).read_text("utf-8") for file in files).split()
            allowed, period = map(float, words)
        except (OSError, ValueError):  # no such group, or no limit, which is written `max`
            continue
        if allowed > 0 and period > 0:  # version 1 writes -1 for no limit
            found.append(allowed / period)
    return found
