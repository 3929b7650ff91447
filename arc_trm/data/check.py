"""Count and list what is odd about DATA."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from arc_trm.callbacks import StageProgress, ignore
from arc_trm.data.invalid import InvalidItems
from arc_trm.data.loader import find_tasks, load_with
from arc_trm.data.registry import GeneratedSource, Manifest, manifests, recognise_split
from arc_trm.errors import UserError, format_name, format_names, pluralise
from arc_trm.puzzles import kind_of
from arc_trm.puzzles.base import Oddity
from arc_trm.tasks import TaskSet

MAX_LISTED = 10
"""Ids that a line names."""


@dataclass(frozen=True)
class DataCheck:
    """What DATA holds and what is odd about it.

    Attributes:
        tasks: the valid tasks.
        invalid: what is wrong with each other task or row, by its name.
        oddities: what is odd, with the ids of the tasks.
        overlaps: by name of a known split, the ids of the tasks that it has too.
        same_as: the known split with exactly these tasks, if there is one.
    """

    tasks: TaskSet
    invalid: dict[str, str]
    oddities: list[Oddity]
    overlaps: dict[str, list[str]]
    same_as: str | None

    @property
    def notes(self) -> list[str]:
        """The notes on the tasks, without those on what is invalid, which is listed apart."""
        invalid = " skipped: "
        return [note for note in self.tasks.notes if not (self.invalid and invalid in note)]

    def lines(self) -> list[str]:
        """Return the check as text for a person."""
        tasks, noun = self.tasks, kind_of(self.tasks).noun
        lines = [f"{tasks.name}: {tasks.summary}", *self.notes]
        if self.same_as is not None:
            lines.append(f"exactly the tasks of {self.same_as}")
        lines += self._sizes()
        if self.invalid:
            lines.append(f"{pluralise(len(self.invalid), 'item')} invalid:")
            items = list(self.invalid.items())
            lines += [f"  {name}: {reason}" for name, reason in items[:MAX_LISTED]]
            lines += [f"  and {len(items) - MAX_LISTED} more"] if items[MAX_LISTED:] else []
        for each in self.oddities:
            number = pluralise(len(each.ids), noun)
            lines.append(f"{number} {each.what}: {format_names(each.names, MAX_LISTED)}")
        for name, ids in self.overlaps.items():
            number = pluralise(len(ids), noun)
            lines.append(f"{number} shared with {name}: {format_names(ids, MAX_LISTED)}")
        if not (self.invalid or self.oddities or self.overlaps):
            lines.append("nothing odd")
        return lines

    def _sizes(self) -> list[str]:
        if kind_of(self.tasks).numbered:
            return []
        counts = {
            "demonstrations": Counter(len(task.train) for task in self.tasks),
            "test inputs": Counter(len(task.test) for task in self.tasks),
        }
        lines = [
            f"{what} per task: "
            + ", ".join(f"{n} ({counts[what][n]})" for n in sorted(counts[what]))
            for what in counts
        ]
        largest = max(self.tasks, key=lambda task: task.max_side)
        lines.append(
            f"largest grid: {largest.max_side} cells a side (task {format_name(largest.id)})"
        )
        if generated := sum(len(task.generated) for task in self.tasks):
            lines.append(f"generated pairs (arc-gen): {generated}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON, with all ids."""
        return {
            "name": self.tasks.name,
            "same_as": self.same_as,
            "kind": self.tasks.kind,
            "tasks": len(self.tasks),
            "test_outputs": self.tasks.test_outputs,
            "notes": self.notes,
            "invalid": self.invalid,
            "oddities": [
                {"what": each.what, "ids": list(each.ids), "earlier": list(each.earlier)}
                for each in self.oddities
            ],
            "overlaps": self.overlaps,
        }


def check_data(data: str, stage: StageProgress = ignore) -> DataCheck:
    """Check DATA; invalid tasks and rows are listed, not an error.

    Args:
        data: DATA.
        stage: hears how many puzzles were solved, and how many known datasets were compared, of
            which some are generated first.

    Raises:
        UserError: there is no such data, or none of it is valid.
    """
    invalid = InvalidItems(skip=True)
    tasks = load_with(data, invalid)
    kind = kind_of(tasks)
    solving = partial(stage, "solving puzzles", in_bytes=False)
    oddities = list(kind.find_oddities(tasks, solving))
    same_as = recognise_split(tasks)
    overlaps = _overlaps(tasks, same_as, stage)
    return DataCheck(tasks, invalid.reasons, oddities, overlaps, same_as)


def _overlaps(tasks: TaskSet, same_as: str | None, stage: StageProgress) -> dict[str, list[str]]:
    """Return the tasks that other known splits whose files are here have, too."""
    kind, found = kind_of(tasks), {}
    names = [
        name
        for manifest in manifests().values()
        if manifest.kind == tasks.kind and manifest.name != tasks.name
        for name in manifest.split_names()
        if name not in (tasks.name, same_as) and not _has_other_side(manifest, name, tasks)
    ]
    for number, name in enumerate(names):
        stage("comparing with known datasets", number, len(names), in_bytes=False)
        try:
            other = find_tasks(name)
        except UserError:  # its files are damaged, which is not what is checked
            continue
        if other is not None and (shared := kind.shared_tasks(tasks, other)):
            found[name] = list(shared)
    stage("comparing with known datasets", len(names), len(names), in_bytes=False)
    return found


def _has_other_side(manifest: Manifest, name: str, tasks: TaskSet) -> bool:
    """Return whether a split is generated with another size than the tasks, which takes a while."""
    kind, split = kind_of(tasks), name.partition("/")[2]
    for source in manifest.sources:
        if isinstance(source, GeneratedSource):
            side = source.generators[split].get("side", kind.default_side)
            return side != kind.side_of(tasks)
    return False
