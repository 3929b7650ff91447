"""Published results to compare a score with, from datasets/leaderboard.toml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arc_trm.data.loader import find_tasks, recorded_name
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.errors import UserError
from arc_trm.io import read_toml
from arc_trm.puzzles import KINDS, kind_of
from arc_trm.tasks import TaskSet
from submission import Solutions


@dataclass(frozen=True)
class PublishedResult:
    """The published score of a system on a dataset, such as `arc-agi-1/evaluation`.

    Attributes:
        percent: one number, or the smallest and largest of several entries.
        denominator: what the result is a mean over, if known.
        tasks: number of tasks in the dataset.
    """

    system: str
    dataset: str
    percent: tuple[float, ...]
    denominator: str
    tasks: int
    source: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def text(self) -> str:
        """The score as text, `44.6 %` or `66.7–79.6 %`."""
        return "–".join(f"{each:.1f}" for each in self.percent) + " %"

    @property
    def origin(self) -> str:
        """The source and the note."""
        return f"{self.source}; {self.note}" if self.note else self.source


def published_results(tasks: TaskSet) -> list[PublishedResult]:
    """Return the published results for exactly these tasks, whatever the name of their set."""
    for dataset in dict.fromkeys(name for scores, _ in _results() for name in scores):
        if _is_dataset(tasks, dataset):
            return list(_results_on(dataset, len(tasks)))
    return []


def published_result(system: str, dataset: str) -> PublishedResult:
    """Return the published result of a system on a dataset; both are in the leaderboard."""
    manifest, split = find_manifest(dataset) or (None, None)
    assert manifest is not None and split is not None, "results are published for known splits"
    results = _results_on(dataset, manifest.splits[split].tasks)
    return next(each for each in results if each.system == system)


def _results_on(dataset: str, tasks: int) -> Iterator[PublishedResult]:
    """Yield the results on a dataset of so many tasks."""
    for scores, facts in _results():
        if dataset in scores:
            yield PublishedResult(
                dataset=dataset, percent=tuple(scores[dataset]), tasks=tasks, **facts
            )


def _is_dataset(tasks: TaskSet, dataset: str) -> bool:
    """Return whether a set has exactly the tasks of a split.

    Numbered puzzles are compared by the name of their dataset, others by their ids and outputs.
    """
    manifest, split = find_manifest(dataset) or (None, None)
    if manifest is None or split is None:
        return False
    if manifest.kind != tasks.kind or manifest.splits[split].tasks != len(tasks):
        return False
    if kind_of(tasks).numbered:
        return recorded_name(tasks) == dataset
    try:
        published = find_tasks(dataset)
    except UserError:
        return False
    if published is None or set(published.ids) != set(tasks.ids):
        return False
    return _agree(tasks.known_solutions(), published.known_solutions())


def _agree(solutions: Solutions, others: Solutions) -> bool:
    """Return whether no task has other outputs, as far as both are known.

    Of two versions of a set, one may have more test inputs of a task.
    """
    for task_id in solutions.keys() & others.keys():
        ours, theirs = sorted((solutions[task_id], others[task_id]), key=len)
        if not all(output in theirs for output in ours):
            return False
    return True


def describe_results(results: Sequence[PublishedResult]) -> list[str]:
    """Return published results for one dataset as text for a person, one line each."""
    if not results:
        return ["No results are published for exactly these tasks."]
    system_width = max(len(each.system) for each in results)
    text_width = max(len(each.text) for each in results)
    lines = [
        f"{each.system:<{system_width}}  {each.text:>{text_width}}  "
        f"(denominator {each.denominator}; {each.origin})"
        for each in results
    ]
    return [f"{results_title(results)}:", *lines]


def results_title(results: Sequence[PublishedResult]) -> str:
    """Return `Published for arc-agi-1/evaluation (400 tasks, 2 attempts each)`."""
    first = results[0]
    found = find_manifest(first.dataset)
    assert found is not None, "results are published for known datasets"
    kind = KINDS[found[0].kind]
    attempts = f", {kind.max_attempts} attempts each" if kind.max_attempts > 1 else ""
    return f"Published for {first.dataset} ({first.tasks} {kind.noun}s{attempts})"


def _results() -> list[tuple[dict[str, list[float]], dict[str, str]]]:
    """Return for each system its scores by dataset, and the other fields of a result."""
    values = read_toml(manifests_folder() / "leaderboard.toml")
    return [(each.pop("scores"), each) for each in values["results"]]
