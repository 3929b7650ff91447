"""The scorer of two attempts, and the three denominators as metrics (`submission.scoring`)."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import TaskState

from arc_trm.errors import UserError
from arc_trm.integrations.inspect_ai.errors import translate_errors
from arc_trm.integrations.inspect_ai.solvers import ATTEMPTS_KEY
from arc_trm.integrations.prompts import last_grid, parse_attempts
from submission import Grid


@metric
def per_task() -> Metric:
    """Mean over tasks of the fraction of their outputs that is solved, as boards and papers count.

    The boards are those of Kaggle's competitions and of ARC Prize, the papers those on TRM and HRM.
    Tasks of which some outputs did not run, as with `--limit`, are left out.
    """

    def value(scores: list[SampleScore]) -> Value:
        return _mean([sum(task, Fraction(0)) / len(task) for task in _whole_tasks(scores)])

    return value


@metric
def per_output() -> Metric:
    """Solved test outputs / all test outputs, as no board counts."""

    def value(scores: list[SampleScore]) -> Value:
        return _mean([Fraction(each.score.as_float()) for each in scores])

    return value


@metric
def strict() -> Metric:
    """Tasks with all their outputs solved / all tasks, of those whose outputs all ran.

    If several epochs make an output half solved, a task of two such outputs counts a quarter,
    because each output is answered on its own.
    """

    def value(scores: list[SampleScore]) -> Value:
        return _mean([math.prod(task, start=Fraction(1)) for task in _whole_tasks(scores)])

    return value


def _whole_tasks(scores: list[SampleScore]) -> list[list[Fraction]]:
    """Return the values of each task's outputs, exact, so that their order has no influence.

    Tasks with more test inputs than values are left out. A sample that does not name its task is a
    task of its own.
    """
    tasks: dict[object, list[Fraction]] = defaultdict(list)
    outputs: dict[object, int] = {}
    for each in scores:
        metadata = each.sample_metadata or {}
        task = metadata.get("task", ("sample", each.sample_id))
        tasks[task].append(Fraction(each.score.as_float()))
        outputs[task] = len(metadata.get("test_inputs", ()))
    return [values for task, values in tasks.items() if len(values) >= outputs[task]]


def _mean(parts: Sequence[Fraction]) -> float:
    return float(sum(parts)) / len(parts) if parts else math.nan


@scorer(metrics={"*": [per_task(), per_output(), strict()]})
def two_attempts(attempts: int = 2) -> Scorer:
    """Score pass@1 and pass@2: whether one of the first K attempts equals the target.

    Attempts are those in the sample's store, otherwise the last grid of each completion. A single
    completion may hold both as JSON with attempt_1 and attempt_2.

    Args:
        attempts: 1 scores pass@1 only.
    """

    async def score(state: TaskState, target: Target) -> Score:
        with translate_errors():
            solution = last_grid(target.text)
            if solution is None:
                raise UserError(f"the target of sample {state.sample_id} is not a grid")
        made: Sequence[Grid | None] | None = state.store.get(ATTEMPTS_KEY)
        if made is None:
            made = parse_attempts([choice.message.text for choice in state.output.choices])
        made = made[:attempts]
        hits = [grid == solution for grid in made]
        return Score(
            value={f"pass@{k}": int(any(hits[:k])) for k in range(1, attempts + 1)},
            answer="; ".join("none" if grid is None else json.dumps(grid) for grid in made),
            explanation="; ".join(
                f"attempt {number} {_compare(grid, solution)}"
                for number, grid in enumerate(made, 1)
            )
            or "there is no attempt",
        )

    return score


def _compare(grid: Grid | None, solution: Grid) -> str:
    """Return how an attempt differs from the solution, as the end of a sentence."""
    if grid is None:
        return "holds no grid"
    if grid == solution:
        return "is correct"
    if (len(grid), len(grid[0])) != (len(solution), len(solution[0])):
        return f"is {_shape(grid)}, but the solution {_shape(solution)}"
    pairs = [pair for rows in zip(grid, solution, strict=True) for pair in zip(*rows, strict=True)]
    wrong = sum(one != other for one, other in pairs)
    return f"differs in {wrong} of {len(pairs)} cells"


def _shape(grid: Grid) -> str:
    return f"{len(grid)}×{len(grid[0])}"
