"""Published results to set a score beside, from one file: datasets/leaderboard.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arc_trm.data.loader import find_tasks
from arc_trm.data.registry import find_manifest, manifests_folder
from arc_trm.errors import UserError
from arc_trm.puzzles import ARC
from arc_trm.tasks import TaskSet

ATTEMPTS = 2


@dataclass(frozen=True)
class Reference:
    """What a system is published to score on `dataset`, of ARC in two attempts.

    `percent` is one number, or the least and the largest of several entries. `denominator` is what
    it is a mean over, where that is known, of `tasks` tasks.
    """

    system: str
    dataset: str
    percent: tuple[float, ...]
    denominator: str
    tasks: int
    source: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @property
    def shown(self) -> str:
        """`44.6 %`, `66.7–79.6 %`"""
        return "–".join(f"{each:.1f}" for each in self.percent) + " %"


def published_beside(task_ids: Iterable[str]) -> list[Reference]:
    """What is published of the ARC set that has exactly these tasks; nothing of any other."""
    wanted = set(task_ids)
    for dataset in dict.fromkeys(name for each in _results() for name in each["scores"]):
        of_arc = (found := find_manifest(dataset)) is not None and found[0].domain == ARC.name
        tasks = _tasks(dataset) if of_arc and len(wanted) == _number(dataset) else None
        if tasks is not None and wanted == set(tasks.tasks):
            return _published(dataset, len(tasks))
    return []


def published_for(tasks: TaskSet) -> list[Reference]:
    """What is published for a whole set of Sudokus or mazes; nothing for a part of it."""
    whole = len(tasks) == _number(tasks.name)
    return _published(tasks.name, len(tasks)) if whole else []


def _published(dataset: str, tasks: int) -> list[Reference]:
    return [
        Reference(
            each["system"],
            dataset,
            tuple(each["scores"][dataset]),
            each["denominator"],
            tasks,
            each["source"],
            each.get("note", ""),
        )
        for each in _results()
        if dataset in each["scores"]
    ]


def _number(dataset: str) -> int | None:
    """How many tasks a dataset's split has."""
    found = find_manifest(dataset)
    return found[0].splits[found[1]].tasks if found and found[1] else None


def _tasks(dataset: str) -> TaskSet | None:
    """The tasks of a split; None if they are not here, or not as they should be."""
    try:
        return find_tasks(dataset)
    except UserError:
        return None


def references_table(references: Sequence[Reference]) -> list[str]:
    """As a person reads it, one line per result."""
    if not references:
        return ["No results are published for exactly these tasks."]
    first = references[0]
    widths = [
        max(len(text) for text in column)
        for column in zip(*((each.system, each.shown) for each in references), strict=True)
    ]
    of_arc = (found := find_manifest(first.dataset)) and found[0].domain == ARC.name
    what = f"{first.tasks} tasks) in {ATTEMPTS} attempts" if of_arc else f"{first.tasks} puzzles)"
    return [
        f"Published for {first.dataset} ({what}:",
        *(
            f"{each.system:<{widths[0]}}  {each.shown:>{widths[1]}}  "
            f"(denominator {each.denominator}; {each.source}{'; ' * bool(each.note)}{each.note})"
            for each in references
        ),
    ]


def _results() -> list[dict[str, Any]]:
    text = (manifests_folder() / "leaderboard.toml").read_text("utf-8")
    results: list[dict[str, Any]] = tomllib.loads(text)["results"]
    return results
