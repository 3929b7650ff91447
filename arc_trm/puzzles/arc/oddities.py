"""What is odd about ARC tasks, for `arc-trm data check`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from arc_trm.callbacks import Progress, ignore
from arc_trm.puzzles.base import Oddity
from arc_trm.tasks import Grid, Pair, Task, TaskSet


def find_oddities(tasks: TaskSet, progress: Progress = ignore) -> Iterator[Oddity]:
    """Yield what is odd about tasks; `progress` hears nothing, as it takes no time."""
    found: dict[str, list[str]] = defaultdict(list)
    by_demonstrations: dict[frozenset[bytes], str] = {}
    by_pairs: dict[frozenset[bytes], str] = {}
    same_pairs: dict[str, str] = {}
    same_demonstrations: dict[str, str] = {}
    for task in tasks:
        for oddity in _of_task(task):
            found[oddity].append(task.id)
        demonstrations = frozenset(map(_key, task.train))
        earlier = by_demonstrations.setdefault(demonstrations, task.id)
        pairs = demonstrations | frozenset(map(_key, task.test))
        if (same := by_pairs.setdefault(pairs, task.id)) != task.id:
            same_pairs[task.id] = same
        elif earlier != task.id:
            same_demonstrations[task.id] = earlier
    for what, ids in found.items():
        yield Oddity(what, ids)
    for what, same_as in (("pairs", same_pairs), ("demonstrations", same_demonstrations)):
        if same_as:
            ids, earlier_ids = list(same_as), list(same_as.values())
            yield Oddity(f"with the {what} of an earlier task", ids, earlier_ids)


def _of_task(task: Task) -> Iterator[str]:
    """Yield each kind of oddity that a task has."""
    inputs = {_grid_key(pair.input): pair for pair in task.train}
    outputs: dict[bytes, set[bytes]] = defaultdict(set)
    for pair in task.train:
        if pair.output is not None:
            outputs[_grid_key(pair.input)].add(_grid_key(pair.output))
    test_inputs = {_grid_key(pair.input) for pair in task.test}
    if any(_grid_key(pair.input) in test_inputs for pair in task.generated):
        yield "with a test input among the generated pairs, which is not trained on"
    if not task.test:
        yield "with demonstrations only, nothing to predict"
    if len(task.train) == 1:
        yield "with a single demonstration"
    if len(inputs) < len(task.train):
        yield "with two demonstrations of the same input"
    if any(len(each) > 1 for each in outputs.values()):
        yield "with demonstrations of one input and different outputs"
    if any(
        _key(pair) in set(map(_key, task.train)) for pair in task.test if pair.output is not None
    ):
        yield "with a test pair that is a demonstration, too"
    if any(_contradicts(pair, inputs) for pair in task.test):
        yield "with a test input that is a demonstration's, whose output is another one or unknown"
    if len({_grid_key(pair.input) for pair in task.test}) < len(task.test):
        yield "with the same test input twice"
    pairs = [pair for pair in (*task.train, *task.test) if pair.output is not None]
    if pairs and all(_grid_key(pair.input) == _grid_key(pair.output) for pair in pairs):
        yield "with outputs that all equal their inputs"
    if task.solutions is None and any(pair.output is not None for pair in task.test):
        yield "with test outputs of which only some are known"


def _contradicts(pair: Pair, inputs: dict[bytes, Pair]) -> bool:
    """Return whether a demonstration has the input of a test pair, and the pair is not the same."""
    other = inputs.get(_grid_key(pair.input))
    return other is not None and _key(other) != _key(pair)


def _key(pair: Pair) -> bytes:
    return b"".join(map(_grid_key, pair.grids))


def _grid_key(grid: Grid | None) -> bytes:
    return b"" if grid is None else bytes(grid.shape) + grid.tobytes()
