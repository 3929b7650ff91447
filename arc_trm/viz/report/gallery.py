"""What the page's script draws, as plain JSON: grids are texts such as `012/345`, a row each."""

from __future__ import annotations

from itertools import islice
from typing import Any

from arc_trm.evaluation.scoring import MAX_TRACES, PuzzleScore
from arc_trm.evaluation.voting import InputPrediction, PredictionSet, changed_steps
from arc_trm.tasks import Grid, Pair, Task, same_grid
from arc_trm.viz.svg import printable
from arc_trm.viz.theme import LOOKS

CANDIDATES = 5
"""Of a test input that are drawn; of the others it is said how many there are."""


def gallery(predictions: PredictionSet, score: object = None) -> dict[str, Any]:
    """Every task with its demonstrations, tests, attempts, candidates, drafts and outcome.

    `voted` says whether attempts come from votes, so that those without any are guesses. `look`
    says how cells look and what things are called. Of Sudokus and mazes the first `MAX_TRACES`
    are drawn, and `valid` says of each whether its answer keeps the rule, as their `score` knows.
    """
    by_test, tasks = predictions.by_test, predictions.tasks
    look = LOOKS[tasks.domain]
    shown = [
        _task(task, [by_test.get((task.id, test)) for test in range(len(task.test))])
        for task in islice(tasks, None if tasks.is_arc else MAX_TRACES)
    ]
    if isinstance(score, PuzzleScore):
        for task in shown:
            _judge_board(task, score.valid[task["id"]])
    return {
        "palette": list(look.colours),
        "voted": tasks.is_arc and any(each.candidates for each in predictions),
        "look": {
            "signs": look.signs,
            "plain": look.plain,
            "given": look.given,
            "boxes": {side: box for side, box in look.boxes},
            "words": [look.task, look.input, look.answer, look.output, look.right],
            "numbered": look.numbered,
        },
        "tasks": shown,
    }


def _judge_board(task: dict[str, Any], valid: bool) -> None:
    """Add to a puzzle whether its answer is valid; how sure the model is comes from no votes."""
    (test,) = task["tests"]
    task["valid"] = valid
    task["confidence"] = test["candidates"][0]["halt"] if test["candidates"] else None
    if valid and task["outcome"] in ("unsolved", "unknown"):
        task["outcome"] = "valid"


def _task(task: Task, answers: list[InputPrediction | None]) -> dict[str, Any]:
    hits = [_hits(pair, answer) for pair, answer in zip(task.test, answers, strict=True)]
    tests = [_test(pair, answer) for pair, answer in zip(task.test, answers, strict=True)]
    shares = [test["candidates"][0]["votes"] / test["votes"] for test in tests if test["votes"]]
    known = [each for each in hits if each is not None]
    unsolved = [test for test, hit in zip(tests, hits, strict=True) if hit is not None and not hit]
    return {
        "id": printable(task.id),
        "train": [[_text(grid) for grid in pair.grids] for pair in task.train],
        "tests": tests,
        "outcome": _outcome(hits),
        "second": bool(known) and all(known) and max(known) > 1,
        "voted": any(test["rank"] is not None for test in unsolved),
        "confidence": sum(shares) / len(shares) if shares else None,
    }


def _outcome(hits: list[int | None]) -> str:
    """What became of a task, by what `_hits` says of its tests."""
    if all(hits):
        return "solved"
    if any(hits):
        return "partly"
    return "unknown" if all(each is None for each in hits) else "unsolved"


def _hits(pair: Pair, answer: InputPrediction | None) -> int | None:
    """The attempt of the first two that is right, 0 if none is; None if that is not known."""
    if pair.output is None:
        return None
    attempts = answer.attempts[:2] if answer else ()
    return next((n for n, grid in enumerate(attempts, 1) if same_grid(grid, pair.output)), 0)


def _test(pair: Pair, answer: InputPrediction | None) -> dict[str, Any]:
    candidates = answer.candidates if answer else ()
    rank = None
    if pair.output is not None:
        right = (n for n, each in enumerate(candidates, 1) if same_grid(each.grid, pair.output))
        rank = next(right, None)
    return {
        "input": _text(pair.input),
        "truth": _text(pair.output),
        "attempts": [_text(grid) for grid in answer.attempts[:2]] if answer else [],
        "candidates": [
            {"grid": _text(each.grid), "votes": each.votes, "halt": round(each.halt, 4)}
            for each in candidates[:CANDIDATES]
        ],
        "votes": answer.votes if answer else 0,
        "distinct": len(candidates),
        "rank": rank,
        "rank_votes": None if rank is None else candidates[rank - 1].votes,
        "steps": _steps(answer) if answer else [],
    }


def _steps(answer: InputPrediction) -> list[list[Any]]:
    """Per step its halting score, and its draft where that is another than the step's before."""
    return [
        [round(step.halt, 4), *([_text(step.grid)] * new)]
        for step, new in zip(answer.steps, changed_steps(answer.steps), strict=True)
    ]


def _text(grid: Grid | None) -> str | None:
    return None if grid is None else "/".join("".join(map(str, row)) for row in grid.tolist())
