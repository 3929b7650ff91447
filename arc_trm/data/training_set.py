"""What a training run learns from, whatever form its data has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arc_trm.config import RunConfig
from arc_trm.data.dataset import BoardGroups, digest
from arc_trm.data.loader import content_digest
from arc_trm.data.puzzle_ids import TaskGroup, assign_puzzle_ids, row_names
from arc_trm.data.readers.prebuilt import open_built
from arc_trm.data.sampler import Group
from arc_trm.data.splits import (
    board_overlap,
    built_overlaps,
    check_model_fits,
    learnt_boards,
    learnt_folder,
    learnt_sets,
    predicted_tasks,
    select,
)
from arc_trm.errors import UserError
from arc_trm.puzzles import ARC, DOMAINS, Board
from arc_trm.puzzles.arc.kind import BLANK, canvas_side
from arc_trm.tasks import TaskSet


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Groups to draw batches of, the name of every row, and what else a run needs to know.

    `mark` is a SHA-256 by which the data is known again when the run is resumed. `notes` are
    sentences that a person should see before the run starts.
    """

    groups: Sequence[Group]
    names: Sequence[str]
    mark: str
    notes: tuple[str, ...]


def build_training_set(config: RunConfig) -> TrainingSet:
    """What `config.data` says is to be learnt from.

    Raises UserError if there is nothing, it cannot be read or it
    does not fit `config.model`.
    """
    folder = learnt_folder(config.data)
    if folder is not None:
        return _of_built(config, folder)
    sets, notes = learnt_sets(config.data)
    notes += [note for tasks in sets for note in tasks.notes]
    predicted = predicted_tasks(config.data)
    domain = DOMAINS[sets[0].domain] if sets else ARC
    if config.data.test and predicted.domain != domain.name:
        learnt = domain.title if sets else "nothing"
        raise UserError(
            f"data.test holds {DOMAINS[predicted.domain].title}, but data.train "
            f"{list(config.data.train)} {learnt}: name data of one kind in both"
        )
    if config.model.vocab_size != domain.vocabulary:
        raise UserError(
            f"model.vocab_size is {config.model.vocab_size}, but {domain.title} has "
            f"{domain.vocabulary} tokens: add `--set model.vocab_size={domain.vocabulary}`"
        )
    return (
        _of_boards(config, domain, sets, predicted, notes)
        if isinstance(domain, Board)
        else _of_tasks(config, sets, predicted, notes)
    )


def _of_boards(
    config: RunConfig,
    board: Board,
    sets: Sequence[TaskSet],
    predicted: TaskSet,
    notes: list[str],
) -> TrainingSet:
    data = config.data
    if config.model.canvas == "bucketed":
        raise UserError(
            f'model.canvas = "bucketed" is for ARC, whose grids are of many sizes: {board.title} fills '
            "the full canvas, so leave it out"
        )
    boards = learnt_boards(data, sets)
    if boards.side**2 != config.model.seq_len:
        raise UserError(
            f"{sets[0].name} holds puzzles of {boards.side} cells a side, but model.seq_len is "
            f"{config.model.seq_len}: add `--set model.seq_len={boards.side**2}`"
        )
    if data.test:
        if predicted.boards.side != boards.side:
            raise UserError(
                f"data.train holds puzzles of {boards.side} cells a side, but {predicted.name} in "
                f"data.test of {predicted.boards.side}: one model answers one size"
            )
        notes += predicted.notes
        notes += board_overlap(boards, predicted)
    groups = BoardGroups(board, boards, data.augmentations, config.seed)
    told = f"{digest(boards)} {groups.augmentations} {config.seed}"
    mark = hashlib.sha256(told.encode()).hexdigest()
    return TrainingSet(groups, [BLANK], mark, tuple(notes))


def _of_tasks(
    config: RunConfig, sets: Sequence[TaskSet], predicted: TaskSet, notes: list[str]
) -> TrainingSet:
    side = config.model.side
    selection = select(config.data, side, sets, predicted)
    puzzles = assign_puzzle_ids(selection.learnt, config.data.augmentations, config.seed)
    names = list(row_names(puzzles))
    content = [content_digest(puzzle.task for puzzle in puzzles), *names]
    mark = hashlib.sha256("\n".join(content).encode("utf-8", "surrogatepass")).hexdigest()
    fit = config.model.canvas == "bucketed"
    groups = [
        TaskGroup(
            each, canvas_side(each.task, side) if fit else side, config.data.random_translation
        )
        for each in puzzles
    ]
    notes += selection.notes
    silent = [group.puzzles.task.id for group in groups if not group.pairs]
    if silent:
        notes.append(
            f"{len(silent)} of {len(groups)} tasks (first {silent[0]}) have no pair to learn from, "
            f"or none that fits the {side}×{side} canvas: nothing is learnt of them"
        )
    return TrainingSet(groups, names, mark, tuple(notes))


def _of_built(config: RunConfig, folder: Path) -> TrainingSet:
    built = open_built(folder)
    _ = built.first_boards  # which are checked, as rows of a file are
    for key, value, setting, chosen in (
        ("seq_len", built.cells, "model.seq_len", config.model.seq_len),
        ("vocab_size", built.vocabulary, "model.vocab_size", config.model.vocab_size),
    ):
        if value != chosen:
            raise UserError(
                f"{folder} has a {key} of {value}, but {setting} is {chosen}: add "
                f"`--set {setting}={value}`"
            )
    predicted = predicted_tasks(config.data)
    if config.data.test:
        check_model_fits(config.model, predicted)
    of_arc = built.vocabulary == ARC.vocabulary
    notes = [
        f"{folder} is learnt from as it was built: data.augmentations, data.random_translation and "
        "data.max_grid_size have no effect on that; data.max_grid_size still chooses which tasks of "
        "data.test are predicted"
        if of_arc
        else f"{folder} is learnt from as it was built: data.augmentations and data.train_puzzles "
        "have no effect on that",
        *(
            ["its examples are anywhere on the full canvas, so model.canvas has no effect on them"]
            if config.model.canvas == "bucketed"
            else []
        ),
        *built_overlaps(built, [predicted]),
    ]
    return TrainingSet(built.groups(), built.names, built.mark(), tuple(notes))
