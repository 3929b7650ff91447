"""What runs are: a line of each for a table, and all that made one and that it holds."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arc_trm.config import format_preset, preset_of
from arc_trm.data.loader import public_data_name
from arc_trm.errors import UserError, format_name, one_line, pluralise
from arc_trm.evaluation.prediction_log import PredictionLog
from arc_trm.evaluation.summary import format_rows
from arc_trm.io import relative_path
from arc_trm.metric_keys import EVAL, EXACT_OF_HALTED, format_metric, metric_name
from arc_trm.runs import PREDICTIONS, RUN_CONFIG, Run, is_run, predictions_of, run_times
from arc_trm.runs.checkpoints import Checkpoint, best_checkpoint, checkpoint_paths
from arc_trm.viz.series import read_series
from submission.scoring import align_columns

MAX_CHECKPOINTS, MAX_PREDICTIONS, MAX_FILES = 20, 10, 30
"""How many of each `RunSummary.lines` names."""


@dataclass(frozen=True)
class RunSummary:
    """What a run is; what cannot be read is None or empty.

    Attributes:
        path: of its folder.
        started_at: when it was started, or resumed with other code or on another machine.
        state: `running`, `complete` or `interrupted`; `damaged` if its config cannot be read.
        problem: why it cannot be read.
        preset: with which it was made.
        changed: settings that differ from the preset's, as for --set.
        data: names of what it trains on, and of what it predicts.
        step, total_steps: done and planned.
        best: the best checkpoint by an evaluation.
        exact_of_halted: share of the training examples that halted which were exact, the running
            mean at the end, as `arc-trm show` has it.
    """

    path: Path
    started_at: datetime
    state: str
    problem: str | None = None
    preset: str = ""
    changed: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    step: int = 0
    total_steps: int | None = None
    best: Checkpoint | None = None
    exact_of_halted: float | None = None

    @classmethod
    def of(cls, run: Run, used_at: float) -> RunSummary:
        """Return the summary of a run; `used_at`, a Unix time, counts if it has no provenance."""
        at = _started_at(run) or datetime.fromtimestamp(used_at, UTC)
        try:
            config, metrics = run.config, run.metrics
        except UserError as error:
            return cls(run.path, at, "damaged", one_line(str(error)))
        data = config.data
        names = dict.fromkeys((*data.train, *data.optional_train, *data.test))
        exact = read_series(metrics, EXACT_OF_HALTED).end
        return cls(
            run.path,
            at,
            run.state,
            preset=config.name,
            changed=preset_of(config)[1],
            data=tuple(map(public_data_name, names)),
            step=run.step,
            total_steps=run.total_steps,
            best=best_checkpoint(run.checkpoints),
            exact_of_halted=exact if exact is not None and math.isfinite(exact) else None,
        )

    @property
    def score(self) -> tuple[str, float] | None:
        """Key and value of the metric of the best checkpoint."""
        if self.best is None or self.best.best_by is None:
            return None
        return self.best.best_by, self.best.metrics[self.best.best_by]

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint."""
        return None if self.best is None else self.best.step

    @property
    def steps_text(self) -> str:
        """`9,000 of 9,000`; of a run without a plan only the steps done."""
        total = f" of {self.total_steps:,}" if self.total_steps is not None else ""
        return f"{self.step:,}{total}"

    def row(self) -> tuple[str, ...]:
        """Return the texts of its line in a table, in the order of COLUMNS."""
        best, exact = "", ""
        if self.score is not None:
            key, value = self.score
            best = f"{metric_name(key)} {format_metric(key, value)} at {self.best_step:,}"
        if self.exact_of_halted is not None:
            exact = format_metric(EXACT_OF_HALTED, self.exact_of_halted)
        return (
            format_name(str(relative_path(self.path))),
            f"{self.started_at.astimezone():%Y-%m-%d %H:%M}",
            self.state,
            self.steps_text if self.problem is None else "",
            best,
            exact,
            format_preset(self.preset, self.changed) if self.preset else "",
            ", ".join(map(format_name, self.data)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "run": str(self.path),
            "name": self.path.name,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "state": self.state,
            "problem": self.problem,
            "preset": self.preset or None,
            "changed": list(self.changed),
            "data": list(self.data),
            "step": self.step,
            "total_steps": self.total_steps,
            "best_metric": None if self.score is None else self.score[0].removeprefix(EVAL),
            "best_value": None if self.score is None else self.score[1],
            "best_step": self.best_step,
            "exact_of_halted": self.exact_of_halted,
        }


COLUMNS = ("RUN", "STARTED", "STATE", "STEPS", "BEST", "EXACT OF HALTED", "PRESET", "DATA")


def list_runs(limit: int | None) -> tuple[list[RunSummary], int]:
    """Return the runs here and in the index of `history`, newest first, and how many there are.

    Args:
        limit: the most summaries; None is all.
    """
    times = sorted(run_times().items(), key=lambda each: (each[1], each[0].name), reverse=True)
    shown = times[:limit]
    return [RunSummary.of(Run(path), at) for path, at in shown], len(times)


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, columns aligned; columns that are empty are left out."""
    used = [n for n in range(len(rows[0])) if any(row[n] for row in rows[1:])]
    return align_columns([[row[n] for n in used] for row in rows], left=len(used))


def describe_run(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what made a run and what it holds, as JSON and as lines.

    Raises:
        UserError: the folder is no run, or its config cannot be read.
    """
    if not is_run(folder):
        raise UserError(f"{folder} is not a run: `arc-trm runs list` lists those that there are")
    run = Run(folder)
    _ = run.config
    summary = RunSummary.of(run, (folder / RUN_CONFIG).stat().st_mtime)
    entries = run.provenance.entries
    best_step, kept = summary.best_step, run.checkpoints
    damaged = checkpoint_paths(folder).keys() - {each.step for each in kept}
    predictions, files = _predictions(folder), _files(folder)
    record = {
        **summary.to_dict(),
        "made_by": entries,
        "checkpoints": [
            {"step": each.step, "metrics": dict(each.metrics), "best": each.step == best_step}
            for each in kept
        ],
        "damaged_checkpoints": sorted(damaged),
        "predictions": predictions,
        "files": dict(files),
    }
    lines = [f"{folder}: {summary.state}: {summary.problem}"]
    if summary.problem is None:
        lines = [
            f"{folder}: {summary.state}, {summary.steps_text} steps",
            *format_rows(
                {
                    "preset": format_preset(summary.preset, summary.changed),
                    "data": ", ".join(map(format_name, summary.data)) or "none",
                }
            ),
        ]
    for entry in entries:
        lines += ["", *_entry_lines(entry)]
    if kept:
        lines += ["", *_checkpoint_lines(kept, best_step)]
    if damaged:
        steps = ", ".join(map(str, sorted(damaged)))
        lines += ["", f"damaged checkpoints: {steps}"]
    if predictions:
        rows = [[each["folder"], each["weights"], each["data"]] for each in predictions]
        shown = [("PREDICTIONS", "WEIGHTS", "DATA"), *rows[:MAX_PREDICTIONS]]
        lines += ["", *format_table(shown), *_more(len(rows), MAX_PREDICTIONS)]
    total = sum(size for _, size in files)
    sizes = [(name, _size(size)) for name, size in files[:MAX_FILES]]
    lines += ["", *format_table([("FILE", "SIZE"), *sizes]), *_more(len(files), MAX_FILES)]
    return record, [*lines, f"{pluralise(len(files), 'file')}, {_size(total)}"]


def _started_at(run: Run) -> datetime | None:
    """Return when the last entry of provenance.json began; None without one that says so."""
    try:
        at = datetime.fromisoformat(run.provenance.entries[-1]["started_at"])
        return at.astimezone(UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _more(count: int, limit: int) -> list[str]:
    return [f"and {count - limit} more"] if count > limit else []


def _entry_lines(entry: Mapping[str, Any]) -> list[str]:
    """Return what an entry of provenance.json says; its values may be of any type."""

    def text(key: str) -> str:
        value = entry.get(key)
        return "" if value is None else format_name(str(value))

    commit = f", commit {text('commit')[:12]}" if text("commit") else ""
    changed = " with changes" if entry.get("changed") is True else ""
    kept = f", in {text('source')}" if text("source") else ", as installed"
    processes = f" × {text('processes')}" if entry.get("processes") != 1 else ""
    plugins = entry.get("plugins")
    names = [*plugins] if isinstance(plugins, dict) else []
    cuda = f", CUDA {text('cuda')}" if text("cuda") else ""
    rows = {
        "since": f"step {text('step')}, {text('started_at')}",
        "command": one_line(str(entry.get("command") or "from Python")),
        "code": f"arc-trm {text('version')}{commit}{changed}",
        "source": f"{text('source_digest')}{kept}",
        "plugins": ", ".join(map(format_name, names)),
        "machine": f"{text('device')}{processes}, {text('cpu')}, {text('system')}",
        "versions": f"Python {text('python')}, torch {text('torch')}{cuda}, numpy {text('numpy')}",
    }
    return format_rows({name: value for name, value in rows.items() if value})


def _checkpoint_lines(kept: Sequence[Checkpoint], best_step: int | None) -> list[str]:
    """Return a table of checkpoints with the metrics of their evaluations, the latest first."""
    names = list(dict.fromkeys(name for each in kept for name in each.metrics))
    header = ("CHECKPOINT", "", *map(metric_name, names))
    rows = [
        (
            str(each.step),
            "best" if each.step == best_step else "",
            *(
                format_metric(name, each.metrics[name]) if name in each.metrics else ""
                for name in names
            ),
        )
        for each in sorted(kept, key=lambda each: (each.step != best_step, -each.step))
    ]
    return [*format_table([header, *rows[:MAX_CHECKPOINTS]]), *_more(len(rows), MAX_CHECKPOINTS)]


def _predictions(folder: Path) -> list[dict[str, str]]:
    """Return folder, weights and data of the predictions in a run, newest first."""
    found = []
    for each in predictions_of(folder):
        try:
            facts = PredictionLog(each / PREDICTIONS).metadata
        except UserError:
            facts = {}
        checkpoint, step, data = map(facts.get, ("checkpoint", "step", "data"))
        weights = f"step {step}" if isinstance(step, int) else ""
        if isinstance(checkpoint, str) and checkpoint != str(step):
            weights = f"{format_name(checkpoint)}{f', {weights}' if weights else ''}"
        names = data if isinstance(data, list) else []
        found.append(
            {
                "folder": str(each),
                "weights": weights,
                "data": ", ".join(format_name(public_data_name(str(name))) for name in names),
            }
        )
    return found


def _files(folder: Path) -> list[tuple[str, int]]:
    """Return the files of a run by their paths in it, with their bytes, but no hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if not name.startswith(".") and path.is_file():
                found.append((path.relative_to(folder).as_posix(), path.stat().st_size))
    return found


def _size(number: int) -> str:
    """Return a number of bytes in words: `5.7 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"
