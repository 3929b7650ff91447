"""What the page's script draws, as plain JSON.

Grids are texts such as `012/345`, one row after another. Wrong cells are bits, one per cell of
their grid row by row, as hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from arc_trm.evaluation.predictions import InputPrediction, PredictionSet
from arc_trm.puzzles import kind_of
from arc_trm.tasks import Task
from arc_trm.viz.figure import (
    GridFigure,
    PairFigures,
    Verdict,
    candidate_figures,
    correct_rank,
    task_figures,
    theme_of,
    trace_figures,
)
from arc_trm.viz.svg import printable

THEME_FIELDS = ("colours", "symbols", "characters", "given", "boxes", "numbered")
MAX_CANDIDATES = 5
"""Candidates of a test input that are drawn; the page says how many others there are."""


def gallery(predictions: PredictionSet) -> dict[str, Any]:
    """Return every task with its demonstrations, tests, candidates, traces and outcome.

    Of kinds with sets of millions of puzzles, the first `max_traces` are returned.
    """
    tasks = predictions.tasks
    kind = kind_of(tasks)
    drawn = islice(tasks, kind.max_traces)
    return {
        "theme": {name: getattr(kind.theme, name) for name in THEME_FIELDS},
        "noun": kind.noun,
        "has_votes": any(each.candidates for each in predictions),
        "tasks": [_task(task, predictions, kind.max_attempts) for task in drawn],
    }


def _task(task: Task, predictions: PredictionSet, max_attempts: int) -> dict[str, Any]:
    inputs = [
        predictions.by_input.get((task.id, test)) or InputPrediction(task, test)
        for test in range(len(task.test))
    ]
    allowed = [replace(each, attempts=each.attempts[:max_attempts]) for each in inputs]
    figures = task_figures(task, allowed)
    tests = [_test(each, pair) for each, pair in zip(inputs, figures.tests, strict=True)]
    missed = [
        pair.verdict is Verdict.WRONG and test["rank"] is not None
        for pair, test in zip(figures.tests, tests, strict=True)
    ]
    return {
        "id": printable(task.id),
        "title": printable(figures.title),
        "outcome": figures.outcome,
        "needs_several_attempts": figures.needs_several_attempts,
        "correct_got_votes": any(missed),
        "confidence": _confidence(task, inputs),
        "demonstrations": [_pair(pair) for pair in figures.demonstrations],
        "tests": tests,
    }


def _confidence(task: Task, inputs: list[InputPrediction]) -> float | None:
    """Return how sure the model is of its best candidates, None if there is no candidate.

    It is their mean share of the votes, or the halting probability if a single answer has no rival.
    """
    first = [(each.candidates[0], each.votes) for each in inputs if each.candidates]
    if not first:
        return None
    if not theme_of(task).numbered:
        return first[0][0].halt_prob
    return sum(candidate.votes / votes for candidate, votes in first) / len(first)


def _test(prediction: InputPrediction, pair: PairFigures) -> dict[str, Any]:
    candidates, rank = prediction.candidates, correct_rank(prediction)
    figures = candidate_figures(prediction, MAX_CANDIDATES)
    attempted = {_text(figure) for figure in pair.attempts}
    return {
        **_pair(pair),
        "candidates": [
            {
                "figure": _figure(figure),
                "is_attempt": _text(figure) in attempted,
                "votes": candidate.votes,
                "halt_prob": round(candidate.halt_prob, 4),
            }
            for figure, candidate in zip(figures, candidates, strict=False)
        ],
        "votes": prediction.votes,
        "distinct": len(candidates),
        "rank": rank,
        "rank_votes": None if rank is None else candidates[rank - 1].votes,
        "trace": _trace(prediction),
    }


def _trace(prediction: InputPrediction) -> list[dict[str, Any]]:
    """Return the halting probability after each step, and the figure of each that changes it."""
    trace: list[dict[str, Any]] = []
    for step in trace_figures(prediction).steps:
        first, *others = (round(halt_prob, 4) for halt_prob in step.halt_probs)
        trace.append({"halt_prob": first, "figure": _figure(step.figure)})
        trace += [{"halt_prob": halt_prob} for halt_prob in others]
    return trace


def _pair(pair: PairFigures) -> dict[str, Any]:
    return {
        "input": _figure(pair.input),
        "attempts": [_figure(figure) for figure in pair.attempts],
        "output": None if pair.output is None else _figure(pair.output),
    }


def _figure(figure: GridFigure) -> dict[str, Any]:
    record: dict[str, Any] = {"label": figure.label, "grid": _text(figure)}
    if figure.verdict is not None:
        record["verdict"] = figure.verdict
    if figure.grid is not None and figure.wrong_cells:
        wrong = np.zeros(figure.grid.shape, np.bool_)
        wrong[tuple(zip(*figure.wrong_cells, strict=True))] = True
        record["wrong_cells"] = np.packbits(wrong).tobytes().hex()
    return record


def _text(figure: GridFigure) -> str | None:
    if figure.grid is None:
        return None
    return "/".join("".join(map(str, row)) for row in figure.grid.tolist())
