"""Compare designs of the puzzle embedding on ARC tasks, three seeds each.

    python records/puzzle_embedding.py TRACK [DESIGN ...] [--seeds N]
    python records/puzzle_embedding.py --table            # the tables of what was measured

TRACK is one of

    quickstart       the preset: 25 tasks of at most 5×5
    arc-12x12        50 tasks of at most 12×12
    adaptation       13 tasks of at most 6×6, then adapted to the 25 tasks, which are new to it
    embeddings-only  the same, but adapting trains the puzzle embeddings alone

`puzzle_embedding.toml` names the designs. Every design trains on as many examples as the others.
Every run gets a line in `puzzle_embedding.jsonl`; what is in there is not run again, unless its
settings were changed since. With OMP_NUM_THREADS=1 two such processes can share two cores.

Right predictions are the share of all single predictions, one for each vote, that are right. They
depend less on luck than the attempts that the votes choose.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ablate import verdict
from measure import (
    MADE_BY,
    RECORDS,
    Run,
    add_seeds,
    append,
    arc_trm,
    cpu_seconds_of_commands,
    read_runs,
    read_toml,
    run_script,
)

from arc_trm import load_tasks
from arc_trm.errors import UserError, suggestion
from arc_trm.evaluation.source import PredictionSource
from arc_trm.runs.provenance import read_provenance

Design = Mapping[str, Any]
"""A table of puzzle_embedding.toml."""
LOG = RECORDS / "puzzle_embedding.jsonl"
BASE = "table"
"""The design that the others are compared with."""
TRAINED = "trained"
"""As many votes as augmentations were trained."""
LIKE_QUICKSTART = (
    "data.augmentations=4",
    "data.max_grid_size=5",
    "train.global_batch_size=16",
    "train.lr=3e-4",
    "train.weight_decay=1.0",
    "train.puzzle_emb_weight_decay=0.5",
)
"""What adapting takes from the preset `quickstart`."""


def settings(*each: str) -> list[str]:
    """Return settings as options."""
    return [part for setting in each for part in ("--set", setting)]


def train_quickstart(folder: Path, design: Design, seed: int) -> Path:
    """Train the preset `quickstart` and return the run."""
    run = folder / "run"
    arc_trm("train", "--seed", str(seed), "--out", str(run), *settings(*design["settings"]))
    return run


def train_larger_grids(folder: Path, design: Design, seed: int) -> Path:
    """Train on the first 50 training tasks of at most 12×12 and return the run."""
    tasks = load_tasks("arc-agi-1/training").filter_by_size(12).first(50)
    challenges = {task.id: task.to_json(solutions=False) for task in tasks}
    solutions = {task.id: [pair.output.tolist() for pair in task.test] for task in tasks}
    data = folder / "small_challenges.json"
    data.write_text(json.dumps(challenges))
    (folder / "small_solutions.json").write_text(json.dumps(solutions))
    own = (
        "model.canvas=bucketed",
        "model.seq_len=400",
        "data.max_grid_size=30",
        f'data.test=["{data}"]',
        "train.total_steps=5000",
    )
    run, chosen = folder / "run", settings(*own, *design["settings"])
    arc_trm("train", "--seed", str(seed), "--out", str(run), *chosen)
    return run


def adapt_to_unseen_tasks(
    folder: Path, design: Design, seed: int, more: Sequence[str] = ()
) -> Path:
    """Train on tasks of at most 6×6, adapt to other tasks of at most 5×5, and return the run.

    `more`: further settings of adapting.
    """
    weights, run = folder / "weights", folder / "run"
    own = (
        "model.seq_len=49",
        "data.max_grid_size=6",
        'data.test=["arc-agi-1/evaluation"]',
        "train.total_steps=4000",
    )
    chosen = settings(*own, *design["settings"])
    arc_trm("train", "--seed", str(seed), "--out", str(weights), *chosen)
    kept = [each for each in design["settings"] if not each.startswith("model.")]
    chosen = settings(*LIKE_QUICKSTART, *kept, *design.get("adapt", ()), *more)
    options = ("--max-steps", "4000", "--seed", str(seed), "--out", str(run))
    data = ("--data", "arc-agi-1/training")
    arc_trm("adapt", str(weights), *data, *options, *chosen)
    return run


TRACKS: Mapping[str, Callable[[Path, Design, int], Path]] = {
    "quickstart": train_quickstart,
    "arc-12x12": train_larger_grids,
    "adaptation": adapt_to_unseen_tasks,
    "embeddings-only": partial(adapt_to_unseen_tasks, more=["train.embedding_only_fraction=1"]),
}


def digest(track: str, design: Design) -> str:
    """Return a digest of what decides a run besides its seed."""
    chosen = [design["settings"], design.get("votes"), *design.get("adapt", ())]
    text = json.dumps([track, *chosen])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measure(track: str, name: str, design: Design, seed: int) -> Run:
    """Train, predict and score a design with a seed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        used, started = cpu_seconds_of_commands(), time.monotonic()
        run = TRACKS[track](folder, design, seed)
        seconds, cpu_seconds = time.monotonic() - started, cpu_seconds_of_commands() - used
        solved, right = {}, {}
        for voters in map(str, design.get("votes", [TRAINED])):
            chosen = [] if voters == TRAINED else ["--augmentations", voters]
            out = str(folder / f"predictions-{voters}")
            arc_trm("predict", str(run), "--checkpoint", "last", "--out", out, *chosen)
            scores = json.loads(arc_trm("score", out, "--json"))
            rates = [scores[f"pass@{k}"]["per_output"] for k in (1, 2)]
            solved[voters] = [each["solved"] for each in rates]
            right[voters] = right_predictions(out)
            total = rates[0]["total"]
        made_by = read_provenance(run).entries[-1]
    first = next(iter(solved.values()))
    return {
        "track": track,
        "design": name,
        "seed": seed,
        "solved": solved,
        "right": right,
        "exact": first[1],  # the names that `read_runs` and `verdict` know
        "of": total,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "recipe_digest": digest(track, design),
        "date": time.strftime("%Y-%m-%d"),
        **{key: made_by[key] for key in MADE_BY},
    }


def right_predictions(folder: str) -> float:
    """Return the share of the predictions in a folder that are right, 0 to 1."""
    found = PredictionSource.open(folder).predictions
    right = 0
    for each in found:
        output = each.pair.output
        assert output is not None
        right += sum(one.votes for one in each.candidates if np.array_equal(one.grid, output))
    return right / sum(each.answers for each in found)


def table(designs: Mapping[str, Design]) -> str:
    """Return a table of each track: test outputs solved in one and in two attempts, per seed."""
    tables = []
    for track in TRACKS:
        runs = {name: read_runs(LOG, digest(track, each)) for name, each in designs.items()}
        if not any(runs.values()):
            continue
        total = next(run["of"] for found in runs.values() for run in found)
        lines = [
            f"| {track} | votes | seeds | pass@1 of {total} | pass@2 of {total} | mean pass@2 "
            "| compared | right predictions, % |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, found in runs.items():
            for votes in found[0]["solved"] if found else ():
                once, twice = zip(*(run["solved"][votes] for run in found), strict=True)
                scored = [{**run, "exact": run["solved"][votes][1]} for run in found]
                shares = [f"{100 * run['right'][votes]:.1f}" for run in found]
                against = "" if name == BASE else verdict(scored, runs[BASE])
                lines.append(
                    f"| {name} | {votes} | {len(found)} | {', '.join(map(str, once))} "
                    f"| {', '.join(map(str, twice))} | {statistics.fmean(twice):.1f} | {against} "
                    f"| {', '.join(shares)} |"
                )
        tables.append("\n".join(lines))
    return "\n\n".join(tables) or "Nothing has been measured yet."


def main() -> None:
    """Measure what the command line names, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("track", nargs="?", choices=TRACKS, help="what to measure")
    parser.add_argument("designs", nargs="*", metavar="DESIGN", help="default: all")
    add_seeds(parser, 3)
    parser.add_argument("--table", action="store_true", help="print the tables alone")
    arguments = parser.parse_args()
    designs = read_toml(RECORDS / "puzzle_embedding.toml")
    for name in arguments.designs:
        if name not in designs:
            advice = suggestion(name, designs)
            raise UserError(f"puzzle_embedding.toml has no design {name!r}{advice}")
    if arguments.track is None and not arguments.table:
        raise UserError(f"name a track ({', '.join(TRACKS)}), or --table")
    for seed in [] if arguments.table else range(arguments.seeds):
        for name in arguments.designs or designs:
            known = read_runs(LOG, digest(arguments.track, designs[name]))
            if seed not in {run["seed"] for run in known}:
                run = measure(arguments.track, name, designs[name], seed)
                append(LOG, run)
                print(f"{arguments.track}, {name}, seed {seed}: {run['solved']}", flush=True)
    print(table(designs))


if __name__ == "__main__":
    run_script(main)
