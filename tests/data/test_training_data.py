"""Tasks and puzzles that are only trained on: demonstrations alone, generated pairs, no answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import lines, pairs, write
from tiny import MODEL, TRAIN

from arc_trm import pipeline
from arc_trm.config import RunConfig, load_config
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers import puzzle_text
from arc_trm.data.training_set import TrainingSet, build_training_set
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, GridPuzzle
from arc_trm.tasks import PuzzleArray

PAIR: dict[str, Any] = {"input": [[1, 2]], "output": [[2, 1]]}
TASK: dict[str, Any] = {"train": [PAIR], "test": [{"input": [[3, 4]], "output": [[4, 3]]}]}
SUDOKU = "1.3..41.2..3.3.1"
MORE = [{"input": [[n, 0]], "output": [[0, n]]} for n in range(1, 4)]


def config(*overrides: str) -> RunConfig:
    small = [f"model.{key}={value}" for key, value in MODEL.items()]
    return load_config("quickstart", overrides=[*small, "data.augmentations=0", *overrides])


def trained_pairs(data: Path, *overrides: str) -> tuple[list[Any], TrainingSet]:
    """Return the pairs of the first task that a run trains on, and the training set."""
    chosen = config(f"data.test=['{data}']", "data.train=[]", *overrides)
    training = build_training_set(chosen)
    (group,) = training.dataset
    task = group.task  # type: ignore[attr-defined]
    return [pair.to_json() for pair in task.train], training


def test_generated_pairs_are_trained_on_if_asked_for(tmp_path: Path) -> None:
    golf = write(tmp_path / "task001.json", {**TASK, "arc-gen": MORE})
    plain = write(tmp_path / "plain" / "task001.json", TASK)
    found, training = trained_pairs(golf)
    assert found == [PAIR]
    assert any("add `--set data.generated_pairs=N`" in note for note in training.notes)
    assert training.fingerprint == trained_pairs(plain)[1].fingerprint
    found, two = trained_pairs(golf, "data.generated_pairs=2")
    assert found == [PAIR, *MORE[:2]]
    assert two.fingerprint != training.fingerprint and not two.notes
    assert trained_pairs(golf, "data.generated_pairs=9")[0] == [PAIR, *MORE]


def test_generated_pairs_never_hold_a_test_pair(tmp_path: Path) -> None:
    golf = write(tmp_path / "task001.json", {**TASK, "arc-gen": [*TASK["test"], MORE[0]]})
    assert trained_pairs(golf, "data.generated_pairs=2")[0] == [PAIR, MORE[0]]


def test_demonstrations_alone_are_trained_on_and_not_predicted(tmp_path: Path) -> None:
    folder = tmp_path / "re_arc"
    for name in "ab":
        write(folder / f"{name}.json", pairs(TASK))
    overrides = [f"model.{key}={value}" for key, value in MODEL.items()]
    overrides += [f"train.{key}={value}" for key, value in {**TRAIN, "total_steps": 2}.items()]
    run = pipeline.train(data=folder, overrides=overrides, out=tmp_path / "run", device="cpu")
    assert run.metrics[-1]["step"] == 2
    for data in (None, folder):
        with pytest.raises(UserError, match=r"no task to predict .*have demonstrations only"):
            pipeline.predict(run.path, data=data, device="cpu")
    write(folder / "c.json", TASK)
    predictions = pipeline.predict(run.path, data=folder, device="cpu", out=tmp_path / "out")
    assert list(predictions.tasks.ids) == ["c"]
    assert list(json.loads((tmp_path / "out" / "submission.json").read_text())) == ["c"]
    assert pipeline.score(tmp_path / "out", data=folder).task_ids == ["c"]


def solved(path: Path, side: int, kind: str) -> tuple[PuzzleArray, list[str]]:
    """Return the puzzles of a file as a run trains on them, with its notes."""
    puzzle = KINDS[kind]
    assert isinstance(puzzle, GridPuzzle)
    tasks, data = load_tasks(path), config().data
    empty = tasks.select([])
    trained = puzzle.training_tasks([tasks], empty, empty, data, side)
    assert isinstance(trained.trained, PuzzleArray)
    return trained.trained, trained.notes


def test_unsolved_sudokus_are_solved_to_train_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puzzle_text, "MAX_SOLVED", 0)  # so that the ambiguous one is read
    path = tmp_path / "s.csv"
    rows = ["puzzle,solution", f"{SUDOKU},", "." * 16 + ",", f"{SUDOKU},1234341221434321"]
    path.write_text("\n".join(rows))
    trained, notes = solved(path, 4, "sudoku")
    assert trained.ids == ["1", "3"] and trained.known.all()
    assert np.array_equal(trained.answers[0], trained.answers[1])
    (note,) = notes
    assert note.startswith(f"solved 1 puzzle of {path} without an answer, to train")


def test_unsolved_mazes_are_solved_to_train_on(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_text("S...\n.##.\n...#\n...G\n")
    trained, _ = solved(path, 4, "maze")
    maze = KINDS["maze"]
    assert isinstance(maze, GridPuzzle)
    assert maze.validate(trained.questions, trained.answers, trained.known) == [""]
    assert (trained.answers == 4).sum() == 5


def test_nothing_that_can_be_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puzzle_text, "MAX_SOLVED", 0)
    path = tmp_path / "s.sdm"
    path.write_text("." * 16 + "\n")
    with pytest.raises(UserError, match=f"no puzzle in {path} was solved: name others to train on"):
        solved(path, 4, "sudoku")


def test_pairs_a_line_may_have_unknown_outputs(tmp_path: Path) -> None:
    rows = [{"task_id": "a", **PAIR}, {"task_id": "a", "input": [[5]], "output": None}]
    (task,) = load_tasks(write(tmp_path / "p.jsonl", lines(*rows)))
    assert [len(part) for part in (task.train, task.test)] == [1, 1]
    assert task.test[0].output is None
