"""Measure how long recipes take to reach the target of a track, several seeds each.

    python records/measure.py TRACK RECIPE [RECIPE ...] [--seeds N]
    python records/measure.py TRACK                       # the table of what was measured

Each RECIPE is a folder `records/TRACK/RECIPE` with a `config.toml`. Its seeds are trained and
scored on the track's held-out puzzles, one run after the other. The recipes take turns, so that a
change of the machine's speed meets all of them alike. `log.jsonl` in the folder gets a line for
every run, `seed-N.txt` what the training printed.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arc_trm.errors import UserError, suggestion
from arc_trm.runs.provenance import read_provenance

Run = dict[str, Any]
"""What was measured of one run, and with what."""
RECORDS = Path(__file__).parent
PRESET = "sudoku-gpu"
"""Preset whose settings a config.toml changes; it names all that matter, see tests/records."""
MADE_BY = ("cpu", "version", "commit", "changed", "source_digest", "python", "torch", "numpy")
"""What a log says of the code and the machine."""
T_95 = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132, 6: 2.015, 7: 1.943, 8: 1.895, 9: 1.860, 10: 1.833}
"""One-sided 95 % quantiles of Student's t distribution for so many seeds."""


@dataclass(frozen=True)
class Track:
    """Puzzles, and the share of exact answers that a recipe has to reach, if there is one."""

    name: str
    train: str
    test: str
    target: float = math.nan

    @property
    def overrides(self) -> list[str]:
        """The settings that a recipe may not choose."""
        return [f"data.train=['{self.train}']", f"data.test=['{self.test}']"]


def read_track(name: str) -> Track:
    """Read a track from tracks.toml."""
    tracks = tomllib.loads((RECORDS / "tracks.toml").read_text("utf-8"))
    if name not in tracks:
        raise UserError(f"there is no track {name!r}{suggestion(name, tracks)}")
    return Track(name, **tracks[name])


def find_recipe(track: Track, name: str) -> Path:
    """Return the folder of a recipe."""
    folder = RECORDS / track.name / name
    if not (folder / "config.toml").exists():
        raise UserError(f"{folder} has no config.toml: write one")
    return folder


def read_runs(path: Path, *keys: str) -> list[Run]:
    """Return the runs in a log; of those with equal values under all `keys`, the last one."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    runs = list(map(json.loads, lines))
    if not keys:
        return runs
    last = {tuple(run[key] for key in keys): run for run in runs}
    return [last[key] for key in sorted(last)]


def append(path: Path, run: Run) -> None:
    """Add a run to a log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def arc_trm(*arguments: str, log: Path | None = None) -> str:
    """Run a command of arc-trm and return what it prints; what it reports goes to `log`."""
    command = [sys.executable, "-m", "arc_trm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if log is not None:
        log.write_text(done.stderr, "utf-8")
    if done.returncode:
        raise UserError(f"`arc-trm {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def train_and_score(
    track: Track, recipe: Path, seed: int, settings: Sequence[str] = (), log: Path | None = None
) -> Run:
    """Train a recipe and score its last weights on the held-out puzzles of a track."""
    with tempfile.TemporaryDirectory() as scratch:
        run = str(Path(scratch) / "run")
        chosen = [part for each in (*track.overrides, *settings) for part in ("--set", each)]
        config = str(recipe / "config.toml")
        options = ["--preset", PRESET, "--config", config, "--seed", str(seed), "--out", run]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        arc_trm("train", *options, *chosen, log=log)
        seconds = time.monotonic() - started
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        arc_trm("predict", run, "--checkpoint", "last")
        exact = json.loads(arc_trm("score", run, "--json"))["exact"]
        made_by = read_provenance(Path(run))[-1]
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "exact": exact["solved"],
        "of": exact["total"],
        "date": time.strftime("%Y-%m-%d"),
        **{key: made_by[key] for key in MADE_BY},
    }


def reaches(runs: Sequence[Run], target: float) -> bool:
    """Return whether the mean share of exact answers is at least `target`, 95 times in 100."""
    shares = [run["exact"] / run["of"] for run in runs]
    if len(shares) not in T_95:
        return False
    error = statistics.stdev(shares) / math.sqrt(len(shares))
    return bool(statistics.fmean(shares) - T_95[len(shares)] * error >= target)


def is_faster(runs: Sequence[Run], others: Sequence[Run]) -> bool:
    """Return whether every run is faster than every other one: by chance 1 of 252 with 5 and 5."""
    return bool(max(run["seconds"] for run in runs) < min(run["seconds"] for run in others))


def table(track: Track) -> str:
    """Return the table of a track: the recipes that were measured, in the order of their names."""
    folders = sorted(path.parent for path in (RECORDS / track.name).glob("*/log.jsonl"))
    logs = {each.name: read_runs(each / "log.jsonl", "seed") for each in folders}
    lines = [
        "| recipe | seeds | exact | seconds | times as fast as `published` | "
        f"reaches {100 * track.target:g} % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    published = logs.get("published")
    for name, runs in logs.items():
        exact = [run["exact"] for run in runs]
        seconds = [run["seconds"] for run in runs]
        ratio = ""
        if published and name != "published":
            baseline = statistics.fmean(run["seconds"] for run in published)
            ratio = f"{baseline / statistics.fmean(seconds):.1f}"
            if not is_faster(runs, published):
                ratio += ", ranges overlap"
        lines.append(
            f"| `{name}` | {len(runs)} | {statistics.fmean(exact):.1f} of {runs[0]['of']} "
            f"({min(exact)} to {max(exact)}) | {statistics.fmean(seconds):.1f} "
            f"({min(seconds):.1f} to {max(seconds):.1f}) | {ratio or '1'} | "
            f"{'yes' if reaches(runs, track.target) else 'no'} |"
        )
    return "\n".join(lines)


def add_seeds(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the option `--seeds`."""
    parser.add_argument(
        "--seeds",
        type=int,
        default=default,
        choices=range(1, max(T_95) + 1),
        metavar="N",
        help=f"seeds 0 to N - 1, default {default}, at most {max(T_95)}",
    )


def run_script(main: Callable[[], None]) -> None:
    """Call `main`; a UserError ends the process with its sentence and status 2."""
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def main() -> None:
    """Measure what the command line names, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    add_seeds(parser, 5)
    arguments = parser.parse_args()
    track = read_track(arguments.track)
    if math.isnan(track.target):
        raise UserError(f"{track.name} has no target in tracks.toml: add one, or use ablate.py")
    folders = [find_recipe(track, recipe) for recipe in arguments.recipes]
    for seed in range(arguments.seeds):
        for folder in folders:
            run = train_and_score(track, folder, seed, log=folder / f"seed-{seed}.txt")
            append(folder / "log.jsonl", run)
            print(
                f"{folder.name}, seed {seed}: {run['seconds']} s, {run['exact']} exact", flush=True
            )
    print(table(track))


if __name__ == "__main__":
    run_script(main)
