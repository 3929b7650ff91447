"""Measure by how much commands pass their time limits on a busy machine.

    python records/day.py tasks day_challenges.json
    arc-trm train --set "data.test=['day_challenges.json']" --set data.augmentations=8 \\
        --set model.supervision_steps=8 --seed 0 --max-steps 3 --out RUN
    python records/time_limits.py RUN day_challenges.json --limits 20 40 60 --busy 2

`adapt` and `predict` run one after the other, each beside processes that only count. The time is
that of the whole process, as a shell sees it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from submission.scoring import align_columns

COUNT = "while True: pass"


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Let so many processes count in the block."""
    started = [subprocess.Popen([sys.executable, "-c", COUNT]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds_over(arguments: list[str], limit: float, folder: Path) -> tuple[float, str]:
    """Run a command with a time limit; return by how much it passed it, and its last note."""
    command = [sys.executable, "-m", "arc_trm", *arguments, "--time-limit", f"{limit:g}s"]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    over = time.monotonic() - started - limit
    notes = [line for line in done.stderr.splitlines() if "time limit" in line]
    return over, (notes or done.stderr.splitlines() or [""])[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("data")
    parser.add_argument("--limits", type=float, nargs="+", default=[20.0, 40.0, 60.0])
    parser.add_argument("--busy", type=int, default=2, help="Processes beside the command.")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = [["command", "limit", *(f"over {n}" for n in range(1, options.repeats + 1)), "load"]]
    with tempfile.TemporaryDirectory() as name, busy_processes(options.busy):
        folder = Path(name)
        for limit in options.limits:
            for what in ("adapt", "predict"):
                row = [what, f"{limit:g} s"]
                for repeat in range(options.repeats):
                    out = str(folder / f"{what}-{limit:g}-{repeat}")
                    arguments = [what, options.run, "--data", options.data, "--out", out]
                    if what == "adapt":
                        arguments += ["--set", "data.augmentations=8"]
                    over, note = seconds_over(arguments, limit, folder)
                    row.append(f"{over:+.1f} s")
                    print(what, f"{limit:g}", f"{over:+.2f}", note, flush=True)
                rows.append([*row, f"{os.getloadavg()[0]:.1f}"])
    print("\n".join(align_columns(rows)))


if __name__ == "__main__":
    main()
