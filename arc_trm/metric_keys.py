"""The keys of the records in metrics.jsonl, how evaluations rank, and how values are written.

docs/data.md and docs/training.md say what each of them means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from arc_trm.errors import format_name

TRAIN, EVAL = "train/", "eval/"
"""Begin the keys of training and of evaluations, which have records of their own."""
LM_LOSS = "train/lm_loss"
HALTED, EXACT_OF_HALTED = "train/halted", "train/exact_of_halted"
EXAMPLES_PER_SECOND, SECONDS = "train/examples_per_second", "train/seconds"
PUZZLES, EXACT = "eval/puzzles", "eval/exact"
CELL_ACCURACY = "eval/cell_accuracy"
PASS_AT_1, PASS_AT_2 = "eval/pass_at_1", "eval/pass_at_2"
SHARES = {
    EXACT: "exact",
    "eval/valid": "valid",
    CELL_ACCURACY: "cell accuracy",
    PASS_AT_1: "pass@1",
    PASS_AT_2: "pass@2",
}
"""Metrics of an evaluation that say how good it is, and their names in a sentence."""


def metric_name(key: str) -> str:
    """Return the name of a metric of an evaluation, `exact` of `eval/exact`."""
    return SHARES.get(key) or format_name(key.removeprefix(EVAL))


def is_share(key: str) -> bool:
    """Return whether a metric is a share between 0 and 1."""
    name = key.rpartition("/")[2]
    parts = ("exact", "accuracy", "share", "pass_at_", "valid", "calibration_error")
    return any(part in name for part in parts)


def format_metric(key: str, value: float) -> str:
    """Return a value as text with four digits, a share in percent."""
    return f"{100 * value:.4g} %" if is_share(key) else f"{value:.4g}"


def main_metric(records: Sequence[Mapping[str, float]]) -> str:
    """Return the key by which evaluations are compared: pass@2, which only ARC has, else exact."""
    return PASS_AT_2 if has_key(records, PASS_AT_2) else EXACT


def rank_evaluation(metrics: Mapping[str, float], key: str) -> tuple[float, float]:
    """Return a rank by the value of a key: the best evaluation is the first with the highest.

    Few puzzles often give equal shares, and a run that solves none yet gives 0 each time. Then the
    cells that are right tell evaluations apart.
    """
    accuracy = metrics.get(CELL_ACCURACY, 0.0)
    return metrics[key], accuracy if math.isfinite(accuracy) else 0.0


def training_seconds(records: Sequence[Mapping[str, float]]) -> list[float]:
    """Return how long a run had trained before the first record and at each of them, in seconds.

    Evaluations do not say it: theirs is the time of the record before.
    """
    return [*accumulate(records, lambda last, each: each.get(SECONDS, last), initial=0.0)]


def has_key(records: Sequence[Mapping[str, float]], key: str) -> bool:
    """Return whether any record has a key."""
    return any(key in record for record in records)
