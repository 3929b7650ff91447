"""Versions of datasets whose test pairs were corrected or stand in another order.

Manifests record the tasks that are not the same in all versions (`arc_trm.data.registry.Version`).
Only digests are compared, so no file of another version is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from arc_trm.data.registry import Version, manifests
from arc_trm.errors import format_names, pluralise
from arc_trm.tasks import Task, TaskSet
from submission import Grid, Solutions


def outputs_digest(outputs: Sequence[Grid]) -> str:
    """Return eight hexadecimal digits that tell a task's test outputs from others."""
    return hashlib.sha256(json.dumps(outputs).encode()).hexdigest()[:8]


def changed_tests(first: Version, second: Version) -> list[str]:
    """Return the ids of the tasks in both versions whose test pairs, or their order, differ."""
    return [
        task_id
        for task_id, digests in first.tests.items()
        if second.tests.get(task_id, digests) != digests
    ]


def version_conflict(
    tasks: TaskSet, solutions: Solutions, solutions_path: Path | None = None
) -> str | None:
    """Return a sentence if tasks and the solutions for them are those of two versions.

    Args:
        tasks: their test inputs, and their test outputs where these are known, tell the version.
        solutions: the test outputs to score against.
        solutions_path: the file that has these; None is that of the tasks.
    """
    versions = [
        version
        for manifest in manifests().values()
        if manifest.kind == tasks.kind
        for version in manifest.versions
    ]
    ours: dict[str, set[str]] = {}
    theirs: dict[str, set[str]] = {}
    for task_id in dict.fromkeys(each for version in versions for each in version.tests):
        if task_id not in tasks or task_id not in solutions:
            continue
        of_tasks = _versions_of_task(tasks[task_id], versions)
        outputs = outputs_digest(solutions[task_id])
        of_solutions = {
            each.name for each in versions if each.tests.get(task_id, ("", ""))[1] == outputs
        }
        if of_tasks and of_solutions:  # otherwise somebody changed the task
            ours[task_id], theirs[task_id] = of_tasks, of_solutions
    common = _intersection(ours.values())
    changed = [each for each in ours if not (common or ours[each]) & theirs[each]]
    if not changed:
        return None
    where = "" if solutions_path is None else f" in {solutions_path}"
    names = [version.name for version in versions]
    first = _join(names, common or ours[changed[0]])
    second = _join(names, _intersection(theirs[each] for each in changed) or theirs[changed[0]])
    return (
        f"the tasks of {tasks.name} are those of {first}, but the test outputs{where} are those of "
        f"{second}, which differs in the test outputs, or their order, of "
        f"{pluralise(len(changed), 'task')} ({format_names(changed)}): name tasks and solutions of "
        "one version"
    )


def _versions_of_task(task: Task, versions: Sequence[Version]) -> set[str]:
    """Return the names of the versions with the test inputs of a task, and its known outputs."""
    inputs, known = task.test_digest(), task.solutions
    outputs = None if known is None else outputs_digest([grid.tolist() for grid in known])
    return {
        version.name
        for version in versions
        if (digests := version.tests.get(task.id)) is not None
        and digests[0] == inputs
        and outputs in (None, digests[1])
    }


def _intersection(sets: Iterable[set[str]]) -> set[str]:
    found = list(sets)
    return set.intersection(*found) if found else set()


def _join(names: Sequence[str], chosen: set[str]) -> str:
    """Return the chosen names in words, in the order of the manifests."""
    return " or ".join(name for name in names if name in chosen)
