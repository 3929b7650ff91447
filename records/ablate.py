"""Measure what one idea gives alone: one setting of the published recipe at a time, three seeds.

    python records/ablate.py TRACK [IDEA ...] [--seeds N]
    python records/ablate.py TRACK --table                # the table of what was measured

`ablations.toml` names the ideas. Every run gets a line in `records/TRACK/ablations.jsonl`; what is
in there is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from collections.abc import Sequence

from measure import RECORDS, Run, Track, append, read_runs, read_track, train_and_score

BASE = "published"


def read_ideas(track: Track) -> tuple[dict[str, list[str]], int]:
    """Return the settings of each idea for a track, and the number of steps."""
    content = tomllib.loads((RECORDS / "ablations.toml").read_text("utf-8"))
    steps = int(content["tracks"][track.name]["steps"])
    return {
        name: idea.get(track.name, idea)["settings"]
        for name, idea in content["ideas"].items()
        if track.name in idea.get("tracks", [track.name])
    }, steps


def verdict(runs: Sequence[Run], base: Sequence[Run]) -> str:
    """Return whether the ranges of exact answers lie apart."""
    exact, others = ([run["exact"] for run in each] for each in (runs, base))
    if min(exact) > max(others):
        return "better"
    return "worse" if max(exact) < min(others) else "no difference"


def table(track: Track) -> str:
    """Return the table of a track's ideas, the published recipe first."""
    ideas, steps = read_ideas(track)
    runs: dict[str, list[Run]] = {name: [] for name in ideas}
    for run in read_runs(RECORDS / track.name / "ablations.jsonl", "idea", "seed"):
        runs[run["idea"]].append(run)
    lines = [
        f"| {steps} steps | seeds | exact of 1000 | mean | against `{BASE}` | CPU seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in runs.items():
        if found:
            exact = [run["exact"] for run in found]
            seconds = statistics.fmean(run["cpu_seconds"] for run in found)
            against = "" if name == BASE else verdict(found, runs[BASE])
            lines.append(
                f"| `{name}` | {len(found)} | {', '.join(map(str, exact))} "
                f"| {statistics.fmean(exact):.0f} | {against} | {seconds:.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line names, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track")
    parser.add_argument("ideas", nargs="*", metavar="IDEA", help="default: all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--table", action="store_true", help="print the table alone")
    arguments = parser.parse_args()
    track = read_track(arguments.track)
    ideas, steps = read_ideas(track)
    log = RECORDS / track.name / "ablations.jsonl"
    for seed in [] if arguments.table else range(arguments.seeds):
        for name in arguments.ideas or ideas:
            if any((run["idea"], run["seed"]) == (name, seed) for run in read_runs(log)):
                continue
            settings = [*ideas[name], f"train.total_steps={steps}"]
            run = train_and_score(track, RECORDS / track.name / BASE, seed, settings)
            append(log, {"idea": name, **run})
            print(json.dumps({"idea": name, "seed": seed, "exact": run["exact"]}), flush=True)
    print(table(track))


if __name__ == "__main__":
    main()
