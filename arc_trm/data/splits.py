"""The tasks of a run: what is learnt from, what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from arc_trm.config import DataConfig, ModelConfig
from arc_trm.data.dataset import drawn, shared_questions
from arc_trm.data.loader import (
    built_folder,
    find_tasks,
    load_tasks,
    overlap_sentence,
    overlap_warnings,
)
from arc_trm.data.readers.prebuilt import Built, open_built
from arc_trm.errors import UserError
from arc_trm.puzzles import DOMAINS, of_vocab_size
from arc_trm.tasks import Boards, Task, TaskSet


@dataclass(frozen=True)
class Selection:
    """`learnt` holds only pairs that may be learnt from; `predicted` what is to be predicted.

    `notes` are sentences that a person should see before the run starts.
    """

    learnt: tuple[Task, ...]
    predicted: TaskSet
    notes: tuple[str, ...]


def predicted_tasks(data: DataConfig) -> TaskSet:
    """The tasks of the sets in `data.test` that fit `data.max_grid_size`, in order.

    Of boards, which must be of one set, `data.test_puzzles` are drawn. Which tasks these are
    depends on demonstrations and test inputs alone. Raises UserError if two sets disagree about a
    task.
    """
    found: dict[str, Task] = {}
    for name in data.test:
        tasks = load_tasks(name, data.skip_invalid)
        if not tasks.is_arc:
            if len(data.test) > 1:
                raise UserError(
                    f"{name} holds {DOMAINS[tasks.domain].title}, of which only one set can be "
                    f"predicted at once, but data.test is {list(data.test)}"
                )
            return replace(tasks, tasks=drawn(tasks.boards, data.test_puzzles))
        for task in tasks.smallest(data.max_grid_size):
            inputs, before = _test_inputs(task), found.get(task.id)
            if before is not None and inputs != _test_inputs(before):
                raise UserError(
                    f"the sets of data.test ({', '.join(data.test)}) hold different tasks under "
                    f"the id {task.id!r}, and an answer can be for one only"
                )
            found[task.id] = task
    return TaskSet(", ".join(data.test), found)


def check_model_fits(model: ModelConfig, tasks: TaskSet) -> None:
    """Raises UserError if a model of this shape cannot be asked about tasks of their kind."""
    domain = DOMAINS[tasks.domain]
    if model.vocab_size != domain.vocabulary:
        other = of_vocab_size(model.vocab_size)
        learnt = f", as of {other.title}" if other else ""
        raise UserError(
            f"the weights have {model.vocab_size} tokens{learnt}, but {domain.title} has "
            f"{domain.vocabulary}: name other weights, or other data than {tasks.name}"
        )
    if domain.by_examples:
        return
    if model.canvas == "bucketed":
        raise UserError(f"a canvas that fits is for ARC: {domain.title} fills the full one")
    if tasks.boards.side != model.side:
        raise UserError(
            f"{tasks.name} holds puzzles of {tasks.boards.side} cells a side, but the weights were "
            f"trained on {model.side}: name other weights or data"
        )


def _test_inputs(task: Task) -> list[list[list[int]]]:
    return [pair.input.tolist() for pair in task.test]


def learnt_folder(data: DataConfig) -> Path | None:
    """The folder in the published trainer's format that is learnt from; None if tasks are.

    Raises UserError if there is such a folder and anything else.
    """
    learnt = (*data.train, *data.optional_train)
    built = [name for name in learnt if built_folder(name)]
    if not built:
        return None
    if len(learnt) > 1 or not data.train:
        raise UserError(
            f"{built[0]} is in the published trainer's format and can only be learnt from alone, "
            f"but data.train is {list(data.train)} and data.optional_train {list(data.optional_train)}: add "
            f'`--set "data.train=[{built[0]!r}]" --set "data.optional_train=[]"`'
        )
    return built_folder(built[0])


def overlap_notes(data: DataConfig, predicted: TaskSet) -> list[str]:
    """Warnings if tasks that a run learnt from with their outputs are now predicted or scored."""
    notes: list[str] = []
    for name in (*data.train, *data.optional_train):
        with suppress(UserError):  # the files may be long gone
            if folder := built_folder(name):
                notes += built_overlaps(open_built(folder), [predicted])
            elif predicted.is_arc:
                notes += overlap_warnings([find_tasks(name) or name], [predicted])
    if not predicted.is_arc:  # its numbers say nothing, so all that was learnt is looked through
        with suppress(UserError):
            sets = learnt_sets(data)[0] if learnt_folder(data) is None else []
            if sets and sets[0].domain == predicted.domain:
                notes += board_overlap(learnt_boards(data, sets), predicted)
    return notes


def learnt_boards(data: DataConfig, sets: Sequence[TaskSet]) -> Boards:
    """The Sudokus or mazes of `sets` that are learnt from, whose answers are known.

    Raises UserError if there are none, or they differ in size.
    """
    for tasks in sets:
        if tasks.boards.side != sets[0].boards.side:
            raise UserError(
                f"{sets[0].name} holds puzzles of {sets[0].boards.side} cells a side, but "
                f"{tasks.name} of {tasks.boards.side}: learn from one size"
            )
    boards = Boards.joined([tasks.boards for tasks in sets])
    if not boards.known.any():
        raise UserError(f"no answer in data.train {list(data.train)} is known: nothing to learn")
    known = boards if boards.known.all() else boards.at(boards.known)
    return drawn(known, data.train_puzzles)


def board_overlap(learnt: Boards, predicted: TaskSet) -> list[str]:
    """A sentence if questions that are predicted were learnt from."""
    shared = shared_questions(predicted.boards, learnt)
    if not shared:
        return []
    return [
        f"{predicted.name} shares {shared} of its {len(predicted)} puzzles with what is learnt "
        "from: a score on these is not one on unseen puzzles"
    ]


def built_overlaps(built: Built, predicted: Iterable[TaskSet]) -> list[str]:
    """One sentence for every set that has tasks whose test outputs `built` was made of too.

    They are seen in the number of pairs: a task to be predicted has its demonstrations only.
    """
    warnings = []
    for tasks in predicted:
        if not tasks.is_arc:
            boards = built.first_boards
            if boards is not None and boards.domain == tasks.domain:
                warnings += board_overlap(boards, tasks)
            continue
        learnt = built.pairs_of_tasks()
        shared = [task.id for task in tasks if learnt.get(task.id, 0) > len(task.train)]
        if shared:
            warnings.append(
                overlap_sentence(tasks, str(built.folder), dict(zip(shared, shared, strict=True)))
            )
    return warnings


def _fitting(task: Task, side: int) -> Task:
    train, test = (
        tuple(pair for pair in pairs if all(max(grid.shape) <= side for grid in pair.grids))
        for pairs in (task.train, task.test)
    )
    return replace(task, train=train, test=test)


def learnt_sets(data: DataConfig) -> tuple[list[TaskSet], list[str]]:
    """The sets of `data.train` and those of `data.optional_train` that are here; notes on the missing ones.

    Raises UserError if they are of different kinds.
    """
    sets, notes = [load_tasks(name, data.skip_invalid) for name in data.train], []
    for name in data.optional_train:
        found = find_tasks(name, data.skip_invalid)
        if found is None:
            notes.append(f"{name} is left out: its files were not found")
        else:
            sets.append(found)
    for tasks in sets:
        if tasks.domain != sets[0].domain:
            raise UserError(
                f"{sets[0].name} holds {DOMAINS[sets[0].domain].title}, but {tasks.name} "
                f"{DOMAINS[tasks.domain].title}: learn from one kind of puzzle"
            )
    return sets, notes


def select(data: DataConfig, side: int, train: Sequence[TaskSet], predicted: TaskSet) -> Selection:
    """What of a run's ARC tasks is learnt from and predicted, and what is left out.

    Args:
        side: of the canvas; pairs with a larger grid cannot be learnt from.
        train: the sets of `learnt_sets`.
        predicted: those of `predicted_tasks`.

    Raises UserError when there is nothing to learn from.
    """
    notes = overlap_warnings(train, [load_tasks(name) for name in data.test])
    all_train = [task for tasks in train for task in tasks.smallest(data.max_grid_size)]
    train_tasks = {task.id: task for task in all_train}
    if len(train_tasks) < len(all_train):
        notes.append(
            f"{len(all_train) - len(train_tasks)} tasks are in more than one set of data.train: "
            "each is learnt once, as in the last of them"
        )
    shared = [task_id for task_id in train_tasks if task_id in predicted]
    if shared:
        notes.append(
            f"{len(shared)} tasks to be predicted are in data.train too (first {shared[0]}): "
            "only their demonstrations are learnt"
        )
    learnt = [_fitting(task, side) for task in train_tasks.values() if task.id not in predicted]
    learnt += [_fitting(task.without_solutions(), side) for task in predicted]
    if not any(pair.output is not None for task in learnt for pair in (*task.train, *task.test)):
        raise UserError(
            f"there is no pair to learn from: data.train is {list(data.train)}, data.test is "
            f"{list(data.test)}, data.max_grid_size is {data.max_grid_size}, the canvas {side}×{side}"
        )
    return Selection(tuple(learnt), predicted, tuple(notes))
