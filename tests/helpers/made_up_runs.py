"""Made-up runs whose metrics are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from arc_trm.config import load_config
from arc_trm.runs import METRICS, create_run


def write_metrics(run: Path, records: Sequence[Mapping[str, float]]) -> Path:
    """Write metrics.jsonl; return the run."""
    (run / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def make_run(
    folder: Path,
    exact: Sequence[float] = (),
    seed: int = 0,
    preset: str = "maze-quick",
    settings: Sequence[str] = (),
    metric: str = "eval/exact",
    puzzles: int = 200,
    seconds: bool = True,
) -> Path:
    """Make a run of 100 steps that was evaluated at equal intervals.

    Args:
        folder: of the run.
        exact: values of `metric`, one for each evaluation.
        settings: changes of the preset.
        puzzles: of each evaluation.
        seconds: whether its records say their time, half a second for each step.
    """
    run = create_run(load_config(preset, overrides=[f"seed={seed}", *settings]), folder)
    records: list[dict[str, float]] = []
    for step in range(5, 101, 5):
        record = {
            "step": step,
            "train/lm_loss": 5 / step,
            "train/exact_of_halted": step / 200,
            "train/halted": 4.0,
            "train/lr": 0.001,
            "train/examples_per_second": 128.0,
        }
        records.append(record | ({"train/seconds": step / 2} if seconds else {}))
    for number, value in enumerate(exact, 1):
        step = 100 * number // len(exact)
        records.append({"step": step, metric: value, "eval/puzzles": float(puzzles)})
    return write_metrics(run, records)
