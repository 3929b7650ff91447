"""Augmentations from outside the package plug in by name, for every kind of puzzle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from copycat import SIDE, Copycat, tasks
from puzzles import augment_pair, grid_config
from tiny import MODEL, run_config

from arc_trm.checkpoint import Weights
from arc_trm.config import ModelConfig, from_dict
from arc_trm.data.dataset import TaskDataset, parse_augmentation
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.inference import predict_tasks
from arc_trm.puzzles import KINDS, Augmentation, register_augmenter
from arc_trm.puzzles.arc.tokenizer import encode_pair
from arc_trm.puzzles.base import AUGMENTERS
from arc_trm.tasks import Grid, Task
from arc_trm.training import train_run


@dataclass(frozen=True)
class Roll:
    """Rows moved down by `rows`, around the edge."""

    rows: int

    @property
    def name(self) -> str:
        return f"down{self.rows}"

    def apply(self, grid: Grid) -> Grid:
        return np.roll(grid, self.rows, 0)

    def invert(self, grid: Grid) -> Grid:
        return np.roll(grid, -self.rows, 0)


class Rolls:
    """All rolls of one row and more, and the tasks that they were asked for."""

    def __init__(self) -> None:
        self.seen: list[Task] = []

    def sample(self, task: Task, count: int, rng: np.random.Generator) -> Sequence[Augmentation]:
        self.seen.append(task)
        return [Roll(rows) for rows in range(1, count + 1)]

    def parse(self, name: str) -> Augmentation:
        if not name.startswith("down"):
            raise ValueError(f"a roll must read downN, got {name!r}")
        return Roll(int(name.removeprefix("down")))


@pytest.fixture
def rolls() -> Iterator[Rolls]:
    """The augmentations, registered for one test."""
    augmenter = Rolls()
    register_augmenter("roll")(augmenter)
    yield augmenter
    del AUGMENTERS["roll"]


def test_examples_are_augmented_and_named(rolls: Rolls) -> None:
    dataset = TaskDataset(tasks(), 2, seed=0, side=SIDE, translate=False, augmenter="roll")
    assert list(dataset.puzzle_names()) == [
        "<blank>",
        "a",
        "a|||roll:down1",
        "a|||roll:down2",
        "b",
        "b|||roll:down1",
        "b|||roll:down2",
    ]
    (pair,) = tasks()["b"].train
    for puzzle, expected in enumerate([pair, *(augment_pair(Roll(rows), pair) for rows in (1, 2))]):
        tokens = zip(dataset[1].example(puzzle, 0, None), encode_pair(expected, SIDE), strict=True)
        assert all(np.array_equal(one, other) for one, other in tokens)
    assert parse_augmentation(KINDS["arc"], "roll:down2") == Roll(2)
    with pytest.raises(ValueError, match="must read downN"):
        parse_augmentation(KINDS["arc"], "roll:up1")


def test_test_outputs_are_hidden_from_it(rolls: Rolls, challenges: Path) -> None:
    data = {"train": [str(challenges)], "augmentations": 2, "augmentation": "roll"}
    training_set = build_training_set(run_config(challenges, data=data))
    assert sum(map(len, training_set.dataset)) == 9
    assert [task.id for task in rolls.seen] == ["task0", "task1", "task2"]
    assert all(pair.output is None for task in rolls.seen for pair in task.test)


def test_it_is_undone_in_predictions(rolls: Rolls) -> None:
    known = tasks()
    names = list(TaskDataset(known, 3, 0, SIDE, augmenter="roll").puzzle_names())
    model = Copycat(
        from_dict(ModelConfig, MODEL), len(names), generator=torch.Generator().manual_seed(0)
    )
    weights = Weights(model.eval(), {name: puzzle_id for puzzle_id, name in enumerate(names)})
    for prediction in predict_tasks(weights, known):
        (candidate,) = prediction.candidates  # every puzzle votes for the input itself
        assert np.array_equal(candidate.grid, prediction.pair.input)
        assert sorted(candidate.puzzles) == [
            prediction.task_id,
            *(f"{prediction.task_id}|||roll:down{rows}" for rows in (1, 2, 3)),
        ]


def test_a_run_trains_with_it(rolls: Rolls, tmp_path: Path, challenges: Path) -> None:
    data = {"test": [str(challenges)], "augmentations": 1, "augmentation": "roll"}
    train_run(run_config(challenges, data=data), torch.device("cpu"), tmp_path / "run")
    names = json.loads((tmp_path / "run" / "puzzle_ids.json").read_text())
    assert names[1:3] == ["task0", "task0|||roll:down1"]


def test_it_replaces_the_augmentations_of_grid_puzzles(rolls: Rolls, tmp_path: Path) -> None:
    group = build_training_set(grid_config(tmp_path, augmentation="roll")).dataset[0]
    assert len(group) == 6
    question, rolled = (group.example(puzzle, 0, None)[0].reshape(4, 4) for puzzle in (0, 1))
    assert np.array_equal(rolled, np.roll(question, 1, 0))


def test_an_unknown_name_is_an_error(rolls: Rolls, challenges: Path, tmp_path: Path) -> None:
    for config in (run_config(challenges), grid_config(tmp_path)):
        for name, meant in (("rol", "roll"), ("standrd", "standard")):
            misspelt = replace(config, data=replace(config.data, augmentation=name))
            message = f'unknown augmentation "{name}"; did you mean "{meant}"'
            with pytest.raises(UserError, match=message):
                build_training_set(misspelt)
