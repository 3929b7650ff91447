"""Simulate a day of a competition: 240 tasks, a time limit, and two orders in which they are asked.

    python records/day.py tasks day_challenges.json       # writes 240 tasks and their solutions
    arc-trm train --set "data.test=['day_challenges.json']" --set data.augmentations=8 \\
        --set model.supervision_steps=8 --seed 0 --out RUN
    python records/day.py measure RUN [RUN ...] --seconds 5 10 20 40 80

The tasks are the first 24 of the preset quickstart, each in ten versions, recoloured and turned, so
that a small model learns to solve some of them in minutes. They are asked once augmentation by
augmentation with all supervision steps, and once as `arc-trm predict --time-limit` does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from arc_trm.config import load_config
from arc_trm.data.splits import predicted_tasks
from arc_trm.inference import load_for_inference, make_plan
from arc_trm.inference.plan import PredictionPlan
from arc_trm.inference.predictor import predict_scheduled
from arc_trm.inference.schedule import FixedSchedule, Schedule
from arc_trm.puzzles import kind_of
from arc_trm.run_inputs import RunInputs
from arc_trm.tasks import Pair, Task, same_grid
from arc_trm.time_limit import TimeLimit
from submission.scoring import align_columns

TASKS, VERSIONS = 24, 10


def write_tasks(path: Path) -> None:
    """Write the challenges, and the solutions beside them."""
    tasks = predicted_tasks(load_config("quickstart").data)
    kind, found = kind_of(tasks), list[Task]()
    for task in list(tasks)[:TASKS]:
        others = kind.augmentations(task, 0, VERSIONS - 1, seed=0)
        found.append(task)
        for number, version in enumerate(others, 1):
            pairs = [
                tuple(Pair(*map(version.apply, pair.grids)) for pair in each)
                for each in (task.train, task.test)
            ]
            found.append(Task(f"{task.id}v{number}", *pairs))
    challenges = {task.id: task.to_json(solutions=False) for task in found}
    solutions = {task.id: [grid.tolist() for grid in task.solutions or ()] for task in found}
    path.write_text(json.dumps(challenges))
    name = path.name.replace("challenges", "solutions")
    path.with_name(name).write_text(json.dumps(solutions))
    print(f"{len(found)} tasks, {sum(map(len, solutions.values()))} test outputs")


def count_solved(plan: PredictionPlan, schedule: Schedule, seconds: float) -> tuple[int, int]:
    """Return the test outputs solved in two attempts after a time, and the predictions made."""
    counter = plan.counter()
    for batch in predict_scheduled(plan, schedule, TimeLimit(seconds)):
        counter.add(batch)
    solved = sum(
        any(same_grid(grid, each.pair.output) for grid in each.attempts) for each in counter
    )
    return solved, sum(each.answers for each in counter)


def measure(runs: Sequence[str], limits: Sequence[float]) -> list[str]:
    """Return a table of what is solved in a time by each order."""
    rows = [["seconds", "run", "as before", "predictions", "few steps first", "predictions"]]
    for run in runs:
        inputs = RunInputs.resolve(run)
        weights = load_for_inference(inputs.weights, inputs.tasks.ids)
        plan = make_plan(weights, inputs.tasks)
        for seconds in limits:
            found = [
                count_solved(plan, schedule, seconds)
                for schedule in (
                    FixedSchedule(plan.queries),
                    plan.schedule(plan.queries, is_timed=True),
                )
            ]
            numbers = [str(number) for pair in found for number in pair]
            rows.append([f"{seconds:g}", run, *numbers])
            print(" ".join(rows[-1]), flush=True)
    return align_columns(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tasks").add_argument("path", type=Path)
    measured = commands.add_parser("measure")
    measured.add_argument("runs", nargs="+", metavar="RUN")
    measured.add_argument("--seconds", type=float, nargs="+", default=[5.0, 10.0, 20.0, 40.0])
    options = parser.parse_args()
    if options.command == "tasks":
        write_tasks(options.path)
    else:
        print("\n".join(measure(options.runs, options.seconds)))


if __name__ == "__main__":
    main()
