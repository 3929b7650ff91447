"""What the page's script draws, as plain JSON.

Grids are texts such as `012/34g`, one row after another, a value as a digit of base 36. Wrong cells
are bits, one per cell of their grid row by row, as hexadecimal digits.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np

from arc_trm.evaluation.predictions import InputPrediction
from arc_trm.puzzles import KINDS, kind_of
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
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.outcomes import CHANGES, CLOSE, OUTCOMES, WRONG, change, outcome
from arc_trm.viz.svg import printable
from submission.comparison import Comparison

DIGITS = string.digits + string.ascii_lowercase
THEME_FIELDS = ("colours", "symbols", "characters", "given", "boxes", "numbered")
MAX_CANDIDATES = 5
"""Candidates of a test input that are drawn; the page says how many others there are."""
MIN_STEPS = 3
"""Different predictions from which on it is worth seeing how they changed."""


def gallery(entries: Sequence[Entry], comparison: Comparison | None = None) -> dict[str, Any]:
    """Return every task with its demonstrations, tests, candidates, traces and outcome.

    Of kinds with sets of millions of puzzles, the first `max_traces` are returned.

    Args:
        entries: one set of predictions, or two for the same tasks.
        comparison: of two.
    """
    tasks = entries[-1].predictions.tasks
    kind = kind_of(tasks)
    changed = None
    if comparison is not None:
        changed = frozenset(comparison.gained), frozenset(comparison.lost)
    drawn = [_task(task, entries, changed) for task in islice(tasks, kind.max_traces)]
    marks = OUTCOMES if comparison is None else CHANGES
    used = {each["outcome"] for each in drawn}
    return {
        "theme": {name: getattr(kind.theme, name) for name in THEME_FIELDS},
        "noun": kind.noun,
        "names": [printable(entry.name) for entry in entries],
        "outcomes": [asdict(mark) for mark in marks if mark.key in used],
        "wrong": WRONG,
        "close": CLOSE,
        "tasks": drawn,
    }


def _task(
    task: Task,
    entries: Sequence[Entry],
    changed: tuple[frozenset[str], frozenset[str]] | None,
) -> dict[str, Any]:
    inputs = [_inputs(task, entry) for entry in entries]
    figures = [task_figures(task, _allowed(task, each)) for each in inputs]
    entry, last, last_inputs = entries[-1], figures[-1], inputs[-1]
    tests = [
        {
            "input": _figure(last.tests[test].input),
            "output": _output(pair),
            "answers": [
                _answers(found[test], each.tests[test], entry)
                for found, each, entry in zip(inputs, figures, entries, strict=True)
            ],
        }
        for test, pair in enumerate(last.tests)
    ]
    missed = [
        pair.verdict is Verdict.WRONG and correct_rank(each) is not None
        for pair, each in zip(last.tests, last_inputs, strict=True)
    ]
    return {
        "id": printable(task.id),
        "title": printable(last.title),
        "outcome": outcome(last, task.id, entry.guessed)
        if changed is None
        else change(task.id, figures, *changed),
        "correct_got_votes": any(missed),
        "confidence": _confidence(task, last_inputs),
        "demonstrations": [[_figure(each.input), _output(each)] for each in last.demonstrations],
        "tests": tests,
    }


def _inputs(task: Task, entry: Entry) -> list[InputPrediction]:
    return [
        entry.predictions.by_input.get((task.id, test)) or InputPrediction(task, test)
        for test in range(len(task.test))
    ]


def _allowed(task: Task, inputs: Sequence[InputPrediction]) -> list[InputPrediction]:
    """Return the predictions with no more attempts than count."""
    most = KINDS[task.kind].max_attempts
    return [replace(each, attempts=each.attempts[:most]) for each in inputs]


def _confidence(task: Task, inputs: Sequence[InputPrediction]) -> float | None:
    """Return how sure the model is of its best candidates, None if there is no candidate.

    It is their mean share of the votes, or the halting probability if a single answer has no rival.
    """
    first = [(each.candidates[0], each.votes) for each in inputs if each.candidates]
    if not first:
        return None
    if not theme_of(task).numbered:
        return first[0][0].halt_prob
    return sum(candidate.votes / votes for candidate, votes in first) / len(first)


def _answers(prediction: InputPrediction, pair: PairFigures, entry: Entry) -> dict[str, Any]:
    """Return what one set of predictions has for a test input."""
    candidates, rank = prediction.candidates, correct_rank(prediction)
    figures = candidate_figures(prediction, MAX_CANDIDATES)
    return {
        "attempts": [_figure(figure) for figure in pair.attempts],
        "is_guess": (prediction.task_id, prediction.test) in entry.guessed,
        "candidates": [
            {
                "figure": _figure(figure),
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
    """Return the halting probability after each step, and the figure of each that changes it.

    A prediction that hardly changed has none.
    """
    steps = trace_figures(prediction).steps
    if len({_text(step.figure) for step in steps}) < MIN_STEPS:
        return []
    trace: list[dict[str, Any]] = []
    for step in steps:
        first, *others = (round(halt_prob, 4) for halt_prob in step.halt_probs)
        trace.append({"halt_prob": first, "figure": _figure(step.figure)})
        trace += [{"halt_prob": halt_prob} for halt_prob in others]
    return trace


def _output(pair: PairFigures) -> dict[str, Any] | None:
    return None if pair.output is None else _figure(pair.output)


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
    return "/".join("".join(DIGITS[value] for value in row) for row in figure.grid.tolist())
