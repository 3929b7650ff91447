"""Measure what one idea gives alone: a recipe with one thing changed at a time, three seeds each.

    python records/ablate.py TRACK RECIPE [IDEA ...] [--seeds N]
    python records/ablate.py TRACK RECIPE --table         # the table of what was measured

`ablations.toml` names the ideas. Every run gets a line in `records/TRACK/RECIPE/ablations.jsonl`;
what is in there is not run again, unless its settings were changed since. With OMP_NUM_THREADS=1
two such processes can share two cores, each with other ideas.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import (
    RECORDS,
    Run,
    Track,
    add_seeds,
    append,
    find_recipe,
    read_runs,
    read_toml,
    read_track,
    recipe_digest,
    run_script,
    train_and_score,
)

from arc_trm.errors import UserError, suggestion
from arc_trm.runs.lock import is_locked

BASE = "as it is"


@dataclass(frozen=True)
class Ablation:
    """Ideas to try on a recipe.

    Attributes:
        ideas: the settings that each of them changes.
        steps: of every run; None leaves them to the recipe and the ideas.
    """

    track: Track
    recipe: Path
    ideas: dict[str, list[str]]
    steps: int | None

    @property
    def log(self) -> Path:
        """What was measured."""
        return self.recipe / "ablations.jsonl"

    def measure(self, idea: str, seed: int) -> Run:
        """Train and score an idea with a seed."""
        return {
            "idea": idea,
            **train_and_score(self.track, self.recipe, seed, self.settings(idea)),
        }

    def settings(self, idea: str) -> list[str]:
        """Return the settings of an idea, the number of steps among them."""
        steps = [] if self.steps is None else [f"train.total_steps={self.steps}"]
        return [*steps, *self.ideas[idea]]

    def measured(self, idea: str) -> list[Run]:
        """Return the runs of an idea so far."""
        return read_runs(self.log, recipe_digest(self.track, self.recipe, self.settings(idea)))

    def table(self) -> str:
        """Return the table of the ideas that were measured, the recipe as it is first."""
        runs = {name: self.measured(name) for name in self.ideas}
        steps = "" if self.steps is None else f", {self.steps} steps"
        lines = [
            f"| {self.track.name}{steps} | settings | seeds | exact | mean "
            "| compared | CPU seconds |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, found in runs.items():
            if found:
                exact = [run["exact"] for run in found]
                seconds = statistics.fmean(run["cpu_seconds"] for run in found)
                settings = ", ".join(f"`{each}`" for each in self.ideas[name])
                against = "" if name == BASE else verdict(found, runs[BASE])
                lines.append(
                    f"| {name} | {settings} | {len(found)} | {', '.join(map(str, exact))} "
                    f"| {statistics.fmean(exact):.0f} | {against} | {seconds:.0f} |"
                )
        return "\n".join(lines)


def read_ablation(track: Track, recipe: Path) -> Ablation:
    """Read the ideas for a recipe on a track from ablations.toml."""
    content = read_toml(RECORDS / "ablations.toml")
    if track.name not in content.get(recipe.name, {}).get("tracks", []):
        raise UserError(f"ablations.toml has no ideas for {recipe.name} on {track.name}: add some")
    steps = content[recipe.name].get("steps", {}).get(track.name)
    ideas = {
        name: idea.get(track.name, idea)["settings"]
        for name, idea in content[recipe.name]["ideas"].items()
        if track.name in idea.get("tracks", content[recipe.name]["tracks"])
    }
    return Ablation(track, recipe, {BASE: [], **ideas}, steps)


def verdict(runs: Sequence[Run], base: Sequence[Run]) -> str:
    """Return whether the ranges of exact answers lie apart; of fewer than three seeds nothing."""
    if min(len(runs), len(base)) < 3:
        return ""
    exact, others = ([run["exact"] for run in each] for each in (runs, base))
    if min(exact) > max(others):
        return "better"
    return "worse" if max(exact) < min(others) else "no difference"


def main() -> None:
    """Measure what the command line names, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track", metavar="TRACK", help="of records/tracks.toml")
    parser.add_argument("recipe", metavar="RECIPE", help="a folder in records/TRACK")
    parser.add_argument("ideas", nargs="*", metavar="IDEA", help="of ablations.toml, default: all")
    add_seeds(parser, 3)
    parser.add_argument("--table", action="store_true", help="print the table alone")
    arguments = parser.parse_args()
    track = read_track(arguments.track)
    ablation = read_ablation(track, find_recipe(track, arguments.recipe))
    for name in arguments.ideas:
        if name not in ablation.ideas:
            raise UserError(
                f"ablations.toml has no idea {name!r} for {arguments.recipe} on {track.name}"
                f"{suggestion(name, ablation.ideas)}"
            )
    if not arguments.table and is_locked(RECORDS):
        raise UserError(
            "measure.py is running, and other work would change its times: wait for its end"
        )
    for seed in [] if arguments.table else range(arguments.seeds):
        for name in arguments.ideas or ablation.ideas:
            if seed not in {run["seed"] for run in ablation.measured(name)}:
                run = ablation.measure(name, seed)
                append(ablation.log, run)
                print(f"{name}, seed {seed}: {run['exact']} exact", flush=True)
    print(ablation.table())


if __name__ == "__main__":
    run_script(main)
