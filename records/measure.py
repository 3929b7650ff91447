"""Measure how long recipes take to reach the target of a track, several seeds each.

    python records/measure.py TRACK RECIPE [RECIPE ...] [--seeds N]
    python records/measure.py TRACK                       # the table of what was measured

TRACK is one of tracks.toml. Each RECIPE is a folder `records/TRACK/RECIPE` with a `config.toml`.
Its seeds are trained and scored on the track's test puzzles, one run after the other. The
recipes take turns, so that a change of the machine's speed meets all of them alike. `log.jsonl` in
the folder gets a line for every run, `seed-N.txt` what the training printed. Of a seed the last
line counts, and of a config that was changed since no line.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import resource
import signal
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

from arc_trm.cli.options import GUESSES
from arc_trm.errors import UserError, suggestion
from arc_trm.runs import FolderLock
from arc_trm.runs.provenance import read_provenance

Run = dict[str, Any]
"""What was measured of one run, and with what."""
NUMBERS = ("exact", "of", "seconds", "cpu_seconds")
"""What tables need of a run."""
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
    tracks = read_toml(RECORDS / "tracks.toml")
    if name not in tracks:
        raise UserError(f"there is no track {name!r}{suggestion(name, tracks)}")
    try:
        return Track(name, **tracks[name])
    except TypeError:
        raise UserError(
            f"tracks.toml: {name} has {', '.join(tracks[name])}, expected train, test and maybe "
            "target"
        ) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises UserError if it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not TOML ({error}): mend it") from None


def find_recipe(track: Track, name: str) -> Path:
    """Return the folder of a recipe."""
    folder = RECORDS / track.name / name
    if name != Path(name).name or not (folder / "config.toml").exists():
        raise UserError(f"{folder} has no config.toml: write one")
    return folder


def recipe_digest(track: Track, recipe: Path, settings: Sequence[str] = ()) -> str:
    """Return a digest of what decides a run besides its seed: config, puzzles and settings."""
    config = read_toml(recipe / "config.toml")
    text = json.dumps([config, track.overrides, list(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_runs(log: Path, digest: str) -> list[Run]:
    """Return the runs of a recipe with a digest in a log, of each seed the last one."""
    last: dict[int, Run] = {}
    for number, line in enumerate(_whole_lines(log), 1):
        try:
            run = json.loads(line)
            if run.get("recipe_digest") == digest:
                last[run["seed"]] = run
                if not all(isinstance(run[key], int | float) for key in NUMBERS):
                    raise ValueError
        except (ValueError, AttributeError, KeyError, TypeError):
            raise UserError(f"{log}, line {number} is not a run: remove it") from None
    return [last[seed] for seed in sorted(last)]


def measured_runs(track: Track, recipe: Path) -> list[Run]:
    """Return the runs of a recipe as it is now, of each seed the last one."""
    return read_runs(recipe / "log.jsonl", recipe_digest(track, recipe))


def append(log: Path, run: Run) -> None:
    """Add a run to a log, in place of a last line that a kill cut off."""
    with log.open("ab") as file:
        whole = sum(len(line.encode()) + 1 for line in _whole_lines(log))
        if whole < file.tell():
            file.truncate(whole)
        file.write(f"{json.dumps(run)}\n".encode())


def _whole_lines(log: Path) -> list[str]:
    try:
        return log.read_bytes().decode().split("\n")[:-1]
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise UserError(f"{log} is not UTF-8 text: mend it") from None


def arc_trm(*arguments: str, log: Path | None = None) -> str:
    """Run a command of arc-trm and return what it prints; what it reports goes to `log`.

    Predictions that are all guesses are no failure: they score nothing.
    """
    command = [sys.executable, "-m", "arc_trm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, GUESSES):
        *_, last = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"`arc-trm {' '.join(arguments)}` failed: {last}")
    if log is not None:
        log.write_text(done.stderr, "utf-8")
    return done.stdout


def cpu_seconds_of_commands() -> float:
    """Return the CPU seconds of all commands that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train_and_score(
    track: Track, recipe: Path, seed: int, settings: Sequence[str] = (), log: Path | None = None
) -> Run:
    """Train a recipe and score its last weights on the test puzzles of a track."""
    digest = recipe_digest(track, recipe, settings)  # config.toml may be edited during the run
    with tempfile.TemporaryDirectory() as scratch:
        run = str(Path(scratch) / "run")
        chosen = [part for each in (*track.overrides, *settings) for part in ("--set", each)]
        config = str(recipe / "config.toml")
        options = ["--preset", PRESET, "--config", config, "--seed", str(seed), "--out", run]
        used, started = cpu_seconds_of_commands(), time.monotonic()
        arc_trm("train", *options, *chosen, log=log)
        seconds, cpu_seconds = time.monotonic() - started, cpu_seconds_of_commands() - used
        arc_trm("predict", run, "--checkpoint", "last")
        exact = json.loads(arc_trm("score", run, "--json"))["exact"]
        made_by = read_provenance(Path(run)).entries[-1]
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "exact": exact["solved"],
        "of": exact["total"],
        "recipe_digest": digest,
        "date": time.strftime("%Y-%m-%d"),
        **{key: made_by[key] for key in MADE_BY},
    }


def least_mean(runs: Sequence[Run]) -> float:
    """Return the share of exact answers that the mean of a recipe exceeds, 95 times in 100."""
    shares = [run["exact"] / run["of"] for run in runs]
    if len(shares) not in T_95:
        return 0.0
    error = statistics.stdev(shares) / math.sqrt(len(shares))
    return statistics.fmean(shares) - T_95[len(shares)] * error


def is_faster(runs: Sequence[Run], others: Sequence[Run]) -> bool:
    """Return whether every run is faster than every other one: by chance 1 of 252 with 5 and 5."""
    return bool(max(run["seconds"] for run in runs) < min(run["seconds"] for run in others))


def table(track: Track) -> str:
    """Return the table of a track: what reaches the target, the fastest first, then the rest."""
    folders = [path.parent for path in (RECORDS / track.name).glob("*/log.jsonl")]
    logs = {each: measured_runs(track, each) for each in folders}
    seconds = {
        each: statistics.fmean(run["seconds"] for run in runs)
        for each, runs in logs.items()
        if runs
    }
    bounds = {each: least_mean(logs[each]) for each in seconds}
    published = RECORDS / track.name / "published"
    lines = [
        f"| recipe | seeds | exact | reaches {100 * track.target:g} % | supervision steps "
        "at prediction | seconds | times as fast as `published` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in sorted(seconds, key=lambda each: (bounds[each] < track.target, seconds[each])):
        runs, does = logs[each], bounds[each] >= track.target
        ratio = "1" if each == published else ""
        if published in seconds and each != published and does:
            ratio = f"{seconds[published] / seconds[each]:.1f}"
            if not is_faster(runs, logs[published]):
                ratio += ", ranges overlap"
        steps = read_toml(each / "config.toml")["model"]["supervision_steps"]
        exact, times = ([run[key] for run in runs] for key in ("exact", "seconds"))
        lines.append(
            f"| `{each.name}` | {len(runs)} | {statistics.fmean(exact):.1f} of {runs[0]['of']} "
            f"({min(exact)} to {max(exact)}) | {'yes' if does else 'no'}: at least "
            f"{100 * bounds[each]:.1f} % | {steps} | "
            f"{seconds[each]:.1f} ({min(times):.1f} to {max(times):.1f}) | {ratio} |"
        )
    return "\n".join(lines)


def comparison(track: Track, one: Path, other: Path) -> str:
    """Return which of two recipes is faster, in a sentence."""
    runs, others = measured_runs(track, one), measured_runs(track, other)
    for each, log in ((one, runs), (other, others)):
        if least_mean(log) < track.target:
            return f"{each.name} misses the target: its speed says nothing"
    if is_faster(others, runs):
        one, other = other, one
    elif not is_faster(runs, others):
        return f"{one.name} and {other.name}: no difference in speed, the ranges overlap"
    return f"{one.name} is faster than {other.name}: every run"


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
    """Call `main`; a UserError ends the process with its sentence and status 2.

    Ctrl-C and SIGTERM end it with status 130, and what runs in other processes too.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        print("stopped: the log has all runs that were finished", file=sys.stderr)
        raise SystemExit(130) from None
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def measure(track: Track, folders: Sequence[Path], seeds: int) -> None:
    """Train and score some seeds of recipes, which take turns, and write their logs."""
    for seed in range(seeds):
        for folder in folders:
            run = train_and_score(track, folder, seed, log=folder / f"seed-{seed}.txt")
            append(folder / "log.jsonl", run)
            print(
                f"{folder.name}, seed {seed}: {run['seconds']} s, {run['exact']} exact", flush=True
            )


def main() -> None:
    """Measure what the command line names, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track", metavar="TRACK", help="of records/tracks.toml")
    parser.add_argument(
        "recipes", nargs="*", metavar="RECIPE", help="a folder in records/TRACK; none: the table"
    )
    add_seeds(parser, 5)
    arguments = parser.parse_args()
    track = read_track(arguments.track)
    if math.isnan(track.target):
        raise UserError(f"{track.name} has no target in tracks.toml: add one, or use ablate.py")
    folders = [find_recipe(track, recipe) for recipe in arguments.recipes]
    measured = table(track)  # checks the logs before anything is trained
    if folders:
        with FolderLock() as lock:
            lock.acquire(RECORDS)  # two at once would slow each other down
            measure(track, folders, arguments.seeds)
        measured = table(track)
    print(measured)
    for one, other in itertools.combinations(folders, 2):
        print(comparison(track, one, other))


if __name__ == "__main__":
    run_script(main)
