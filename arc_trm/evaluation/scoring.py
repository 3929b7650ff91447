"""Score predictions of any kind of puzzle, with baselines and published results to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arc_trm.errors import UserError, format_name
from arc_trm.evaluation.leaderboard import describe_results, published_results
from arc_trm.evaluation.source import PredictionSource
from arc_trm.evaluation.summary import format_rows
from arc_trm.puzzles import kind_of
from arc_trm.runs import PREDICTIONS, SUBMISSION, latest_predictions
from arc_trm.tasks import TaskSet
from submission import Scored, SubmissionError
from submission.comparison import OTHER_SOLUTIONS
from submission.scoring import format_percent, format_rate


def open_sources(
    paths: Sequence[Path], data: str | None, solutions: Path | None
) -> list[PredictionSource]:
    """Open predictions to score; in a folder, a submission is preferred to a log.

    Sources that do not name their tasks share those of the first one that does. Without paths, the
    predictions made last are opened.
    """
    prefer = (SUBMISSION, PREDICTIONS)
    sources = [
        PredictionSource.open(path, data, solutions, prefer=prefer)
        for path in paths or [latest_predictions()]
    ]
    first = next((each for each in sources if each.names_tasks), sources[0])
    return [each if each is first else each.sharing(first) for each in sources]


def score_sources(sources: Sequence[PredictionSource]) -> list[Scored]:
    """Score predictions.

    Raises:
        UserError: they are for different kinds of puzzle, or some cannot be scored.
        SubmissionError: they are scored against different solutions.
    """
    first = sources[0]
    for source in sources[1:]:
        if source.kind is not first.kind:
            raise UserError(
                f"{first.path} has predictions for {first.kind.title}, but {source.path} for "
                f"{source.kind.title}: compare one kind"
            )
    scores = [source.score() for source in sources]
    for source in sources[1:]:
        if not _same_solutions(first.scored_tasks, source.scored_tasks):
            raise SubmissionError(f"{first.label} and {source.label}: {OTHER_SOLUTIONS}")
    return scores


def _same_solutions(tasks: TaskSet, other: TaskSet) -> bool:
    """Return whether two sets have the same solutions.

    Numbered puzzles must be the same themselves: their ids are numbers in any file.
    """
    if tasks is other:
        return True
    if kind_of(tasks).numbered:
        return tasks.fingerprint() == other.fingerprint()
    return tasks.known_solutions() == other.known_solutions()


def describe_sources(sources: Sequence[PredictionSource]) -> tuple[Any, list[str]]:
    """Return what scored predictions are, as JSON and as lines that end with a blank one.

    JSON is an object for one source, a list for several. What several have in common is said once.
    """
    summaries = [source.scored_summary for source in sources]
    records = [each.to_dict() for each in summaries]
    if len(summaries) == 1:
        return records[0], [*summaries[0].lines(), ""]
    rows = [each.rows() for each in summaries]
    common = {
        name: text for name, text in rows[0].items() if all(row.get(name) == text for row in rows)
    }
    lines = [*format_rows(common), ""] if common else []
    if len({each.train_data for each in summaries}) > 1:  # which no row says otherwise
        for row, each in zip(rows, summaries, strict=True):
            row["training"] = ", ".join(map(format_name, each.train_data)) or "on unknown data"
    for row in rows:
        lines.append(row["file"])
        own = {name: text for name, text in row.items() if name not in (*common, "file")}
        lines += [f"  {line}" for line in format_rows(own)]
    facts: dict[str, list[Any]] = {
        "settings": [row.get("settings") for row in rows],
        "data": [row.get("data") for row in rows],
        "preset": [each.preset_text for each in summaries],
        "step": [each.step for each in summaries],
        "training data": [each.train_data for each in summaries],
        "code": [(each.version, each.code) for each in summaries],
    }
    different = [name for name, values in facts.items() if len(set(values)) > 1]
    if len(summaries) > 2 and different:
        lines.append(f"They differ in {' and '.join(different)}, not only in the seed.")
    return records, [*lines, *_repeated(sources), ""]


def _repeated(sources: Sequence[PredictionSource]) -> Iterator[str]:
    """Yield a sentence for each source with the weights and the settings of an earlier one."""
    first: dict[tuple[Any, ...], Path] = {}
    for source in sources:
        weights = source.made_by.header.get("weights") if source.made_by is not None else None
        key = (weights, *source.summary.settings.items())
        if isinstance(weights, str) and first.setdefault(key, source.path) is not source.path:
            yield (
                f"{source.path} has the weights and settings of {first[key]}, so it tells nothing "
                "about another seed."
            )


def describe_context(tasks: TaskSet) -> tuple[dict[str, Any], list[str]]:
    """Return baselines and published results for these tasks, as JSON and as lines."""
    baselines = kind_of(tasks).baselines(tasks, np.random.default_rng(0))
    results = published_results(tasks)
    record: dict[str, Any] = {"published": [each.to_dict() for each in results]}
    lines = []
    for description, score in baselines.items():
        rates = {"_".join(name): rate.to_dict() for name, rate in score.rates.items()}
        record.setdefault("baselines", {})[description] = rates
        texts = [
            f"{', '.join(name)} {format_rate(rate)} {format_percent(rate.value)}"
            for name, rate in score.rates.items()
        ]
        lines.append(f"{description}: {', '.join(texts)}")
    return record, [*lines, *describe_results(results)]
