"""Measure what several answers to each puzzle are worth, and what they cost.

    python records/inference.py RUN [RUN ...] [--puzzles N] [--samples K] [--noise SIGMA]
    python records/inference.py                           # the tables of what was measured

Each RUN is a trained run on Sudokus or mazes, a seed of one experiment if there are several. The
first N puzzles that it predicts are asked in every way that `arc-trm predict` has. Samples with
noise, views and random starts are asked K times each; the rules that select afterwards share these
answers, once all of them and once only as many as `arc-trm predict` asks. `inference.jsonl` gets a
line for every run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from arc_trm.config import InferenceConfig
from arc_trm.errors import UserError
from arc_trm.evaluation.breadth import Breadth
from arc_trm.evaluation.predictions import Prediction, PredictionSet
from arc_trm.evaluation.voting import VoteCounter
from arc_trm.inference import load_for_inference, make_plan
from arc_trm.inference.plan import PredictionPlan
from arc_trm.inference.predictor import predict_scheduled
from arc_trm.inference.queries import further_queries
from arc_trm.inference.schedule import FixedSchedule, Schedule
from arc_trm.run_inputs import RunInputs
from arc_trm.runs.provenance import read_provenance
from arc_trm.time_limit import TimeLimit
from submission.scoring import align_columns

LOG = Path(__file__).parent / "inference.jsonl"
OFFLINE_RULES = ("rule", "votes", "best_halt", "confidence")
VIEWS = 8
DEEPER = 4
MADE_BY = ("cpu", "version", "commit", "changed", "source_digest", "torch")
"""What a log says of the code and the machine that trained a run."""


class Measurement:
    """One run, asked in many ways.

    Args:
        run: its folder.
        puzzles: number of puzzles.
        samples: K.
        noise: σ.
        tell: called with a sentence when something was measured.
    """

    def __init__(
        self, run: str, puzzles: int, samples: int, noise: float, tell: Callable[[str], None]
    ) -> None:
        inputs = RunInputs.resolve(run)
        ids = list(inputs.tasks.ids)[:puzzles]
        self.tasks = inputs.tasks.select(ids)
        self.weights = load_for_inference(inputs.weights, self.tasks.ids)
        self.samples, self.noise, self.tell = samples, noise, tell
        self.rows: dict[str, dict[str, float]] = {}

    def measure(self) -> dict[str, dict[str, float]]:
        """Return the share of exact answers and the supervision steps of each way to ask."""
        steps = self.weights.model.config.supervision_steps
        self._ask("plain", InferenceConfig())
        self._ask(f"depth × {DEEPER}", InferenceConfig(supervision_steps=DEEPER * steps))
        self._share("noise", {"samples": self.samples, "noise": self.noise})
        self._share("random starts", {"samples": self.samples, "starts": "random"})
        self._share("views", {"views": VIEWS})
        for rule, samples in (("first_halt", self.samples), ("particles", self.samples + 1)):
            config = InferenceConfig(samples=samples, noise=self.noise, select=rule)
            self._ask(f"noise, {rule}", config)
        self._ask("views, first_halt", InferenceConfig(views=VIEWS, select="first_halt"))
        return self.rows

    def _plan(self, config: InferenceConfig) -> PredictionPlan:
        return make_plan(self.weights, self.tasks, config=config)

    def _ask(self, name: str, config: InferenceConfig) -> None:
        """Measure a way to ask as `arc-trm predict` does."""
        plan = self._plan(config)
        self._add(name, plan, self._run(plan, plan.schedule(plan.queries)))

    def _run(self, plan: PredictionPlan, schedule: Schedule) -> VoteCounter:
        counter = plan.counter()
        for batch in predict_scheduled(plan, schedule, TimeLimit()):
            counter.add(batch)
        return counter

    def _share(self, name: str, settings: dict[str, Any]) -> None:
        """Measure all rules that select afterwards on the same answers."""
        everything = self._plan(InferenceConfig(**settings, select="votes"))
        config, queries = everything.config, everything.queries
        every = [q for each in queries for q in further_queries(each, config, 0, config.answers)]
        answers = self._run(everything, FixedSchedule(every))
        known = {
            each.key: each
            for query in queries
            for each in answers.predictions(query.task_id, query.test)
        }
        for rule in OFFLINE_RULES:
            plan = self._plan(InferenceConfig(**settings, select=rule))
            counter = plan.counter()
            counter.add(known.values())
            self._add(f"{name}, {rule}, all asked", plan, counter)
            counter = plan.counter()
            counter.add(replay(plan.schedule(plan.queries), known))
            self._add(f"{name}, {rule}", plan, counter)

    def _add(self, name: str, plan: PredictionPlan, counter: VoteCounter) -> None:
        found = PredictionSet(plan.tasks, counter, selected_by=plan.selected_by)
        score = found.score()
        breadth = Breadth.of(found, score)
        exact = ("exact",)
        self.rows[name] = {
            "exact": score.rates[exact].value,
            "pass@K": breadth.ceiling.rates[exact].value,
            "steps": statistics.mean(each.steps for each in found),
            "answers": statistics.mean(each.answers for each in found),
        }
        shown = ", ".join(f"{key} {value:.3f}" for key, value in self.rows[name].items())
        self.tell(f"{name}: {shown}")


def replay(schedule: Schedule, known: dict[Any, Prediction]) -> Iterable[Prediction]:
    """Yield what a schedule asks, answered by predictions that exist already."""
    while queries := schedule.take(1, None):
        found = [known[query.key] for query in queries]
        schedule.add(found)
        yield from found


def table(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table of several seeds: the share of exact answers, its gain, and the cost."""
    rows = [["way to ask", *(f"seed {line['seed']}" for line in lines)]]
    rows[0] += ["gain", "pass@K", "steps", "times the cost"]
    plain = [line["rows"]["plain"] for line in lines]
    for name in lines[0]["rows"]:
        each = [line["rows"][name] for line in lines]
        gains = [100 * (a["exact"] - b["exact"]) for a, b in zip(each, plain, strict=True)]
        costs = [a["steps"] / b["steps"] for a, b in zip(each, plain, strict=True)]
        row = [name, *(f"{100 * one['exact']:.1f} %" for one in each)]
        row.append(f"{min(gains):+.1f} to {max(gains):+.1f}")
        row.append(f"{100 * statistics.mean(one['pass@K'] for one in each):.1f} %")
        row.append(f"{statistics.mean(one['steps'] for one in each):.1f}")
        rows.append([*row, f"{statistics.mean(costs):.1f}"])
    return align_columns(rows, left=1)


def tables(log: Path) -> Iterable[str]:
    """Yield the tables of a log, one for each experiment; of a seed the last line counts."""
    found: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    for line in map(json.loads, log.read_text().splitlines()):
        key = (line["experiment"], line["puzzles"], line["samples"], line["noise"])
        found.setdefault(key, {})[line["seed"]] = line
    for (experiment, puzzles, samples, noise), seeds in found.items():
        shown = experiment.partition(" with ")[0]  # the rest is in the log
        yield f"{shown}, {puzzles} puzzles, K = {samples}, σ = {noise:g}, {VIEWS} views"
        yield from table([seeds[seed] for seed in sorted(seeds)])
        yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--puzzles", type=int, default=500)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    try:
        for run in options.runs:
            started = time.process_time()
            measurement = Measurement(
                run,
                options.puzzles,
                options.samples,
                options.noise,
                lambda sentence: print(sentence, file=sys.stderr, flush=True),
            )
            rows = measurement.measure()
            made_by = read_provenance(Path(run)).entries[-1]
            training = RunInputs.resolve(run).weights.training
            record = {
                "experiment": f"{training.preset} with {', '.join(training.changed)}",
                "seed": training.seed,
                "puzzles": len(measurement.tasks),
                "samples": options.samples,
                "noise": options.noise,
                "cpu_seconds": round(time.process_time() - started, 1),
                "rows": rows,
                **{name: made_by.get(name) for name in MADE_BY},
            }
            with options.log.open("a") as file:
                file.write(json.dumps(record) + "\n")
        print("\n".join(tables(options.log)))
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")


if __name__ == "__main__":
    main()
