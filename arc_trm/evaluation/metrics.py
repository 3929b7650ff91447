"""The metrics of an evaluation during training, and the choice of the best one.

docs/training.md says what each of them means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arc_trm.errors import UserError, close_match, format_value
from arc_trm.metric_keys import EVAL, PASS_AT_1, PUZZLES, SHARES, rank_evaluation
from arc_trm.puzzles import PuzzleKind, kind_of
from arc_trm.tasks import TaskSet
from submission import Ranked
from submission.scoring import format_percent

CALIBRATION_BINS = 15
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a model answered one test input without augmentation.

    Attributes:
        exact: whether every cell is right, and so is the size.
        cell_accuracy: share of the right answer's cells that were predicted.
        halt_step: see `halting_steps`.
        halt_prob: the sigmoid of the halting logit after the last supervision step.
    """

    exact: bool
    cell_accuracy: float
    halt_step: int
    halt_prob: float


def halting_steps(halt_logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the first supervision step, from 1, whose halting logit is above 0; else the last.

    Args:
        halt_logits: (N_sup, B).

    Returns:
        (B,)
    """
    halts = halt_logits > 0
    halts[-1] = True
    return np.asarray(halts.argmax(0) + 1, np.int64)


def calibration_error(probs: Sequence[float], correct: Sequence[bool]) -> float:
    """Return the expected calibration error of probabilities that answers are correct.

    The probabilities fall into 15 bins, m/15 <= p < (m + 1)/15, the last with p = 1. The error is
    the mean over all answers of |share of correct ones - mean probability| in their bin. It is 0 if
    the probabilities are right, and too large on average if there are few answers.

    Source: "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 2, equation 3.
    """
    p, hits = np.array(probs, np.float64), np.array(correct, np.float64)
    bins = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, hits - p)
    return float(np.abs(gaps).sum() / len(p))


def summarise(tasks: TaskSet, attempts: Ranked, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the metrics of an evaluation by their names without the prefix.

    Args:
        tasks: that were predicted, with known outputs.
        attempts: at all their test inputs, by the vote of all augmentations.
        outcomes: of all test inputs without augmentation.
    """
    kind = kind_of(tasks)
    exact = [each.exact for each in outcomes]
    metrics = {"puzzles": float(len(tasks)), "exact": float(np.mean(exact))}
    scored = kind.score(tasks, attempts)
    if ("valid",) in scored.rates:
        metrics["valid"] = scored.rates["valid",].value
    metrics["cell_accuracy"] = float(np.mean([each.cell_accuracy for each in outcomes]))
    if kind.max_attempts > 1:
        for k in range(1, kind.max_attempts + 1):
            metrics[f"pass_at_{k}"] = scored.rates[f"pass@{k}", "per task"].value
    metrics["halt_step"] = float(np.mean([each.halt_step for each in outcomes]))
    probs = [each.halt_prob for each in outcomes]
    metrics["halt_calibration_error"] = calibration_error(probs, exact)
    return metrics


def resolve_best_metric(metric: str, kind: PuzzleKind) -> str:
    """Return the metric by which the best weights are chosen; `auto` is the kind's first.

    Raises:
        UserError: the kind has no such metric.
    """
    known = kind.best_metrics
    if metric == AUTO:
        return known[0]
    if metric not in known:
        close = close_match(metric, known)
        advice = "choose one of these" if close is None else f"did you mean {format_value(close)}"
        raise UserError(
            f"train.best_metric is {format_value(metric)}, but an evaluation of {kind.title} has "
            f"{', '.join(known)}: {advice}, or {AUTO}"
        )
    return metric


def evaluations(records: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return the records of evaluations among those of metrics.jsonl, which may be edited by hand.

    An evaluation is of a finite number of puzzles, at least one.
    """
    return [each for each in records if 1 <= each.get(PUZZLES, math.nan) < math.inf]


def best_evaluation(
    records: Sequence[Mapping[str, float]], metric: str
) -> Mapping[str, float] | None:
    """Return the first of the best records by a metric, None if none has a finite value of it.

    `rank_evaluation` says which are better.
    """
    key = EVAL + metric
    rated = [each for each in evaluations(records) if math.isfinite(each.get(key, math.nan))]
    return max(rated, key=lambda each: rank_evaluation(each, key), default=None)


def describe_evaluation(record: Mapping[str, float]) -> str:
    """Return the metrics of a record in words: `exact 97.7 %, ... of 128 validation puzzles`."""
    parts = [
        f"{name} {format_percent(record[key])}" for key, name in SHARES.items() if key in record
    ]
    number, noun = record[PUZZLES], "task" if PASS_AT_1 in record else "puzzle"
    return f"{', '.join(parts)} of {number:.0f} validation {noun}{'' if number == 1 else 's'}"
