"""Which puzzles are for validation: never trained on, and not those of data.test unless named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from puzzles import grid_config, write_puzzles
from tiny import run_config, write_challenges

from arc_trm.config import RunConfig
from arc_trm.data.leakage import run_leakage
from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.data.training_set import TrainingSet, build_training_set
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS
from arc_trm.puzzles.grid_puzzle import MAX_HELD_OUT, as_puzzle_array, hold_out
from arc_trm.tasks import PuzzleArray


def with_data(config: RunConfig, **data: object) -> RunConfig:
    return replace(config, data=replace(config.data, **data))  # type: ignore[arg-type]


def trained_ids(training_set: TrainingSet) -> list[str]:
    return [group.task.id for group in training_set.dataset]  # type: ignore[attr-defined]


# Puzzles with a rule


def test_puzzles_that_are_left_over_are_for_validation(tmp_path: Path) -> None:
    config = grid_config(tmp_path, train_puzzles=5)
    found = build_training_set(config)
    assert len(found.validation) == 7
    assert sorted([*trained_ids(found), *found.validation.ids], key=int) == [
        str(row) for row in range(1, 13)
    ]
    assert all(task.test[0].output is not None for task in found.validation)
    fewer = build_training_set(with_data(config, validation_puzzles=3))
    none = build_training_set(with_data(config, validation_puzzles=0))
    assert (len(fewer.validation), len(none.validation)) == (3, 0)
    assert set(fewer.validation.ids) < set(found.validation.ids)
    # Whatever is left over for validation, the same is trained on.
    assert found.fingerprint == fewer.fingerprint == none.fingerprint


def test_without_a_number_to_train_on_only_a_number_for_validation_holds_any_out(
    tmp_path: Path,
) -> None:
    config = grid_config(tmp_path)
    assert not len(build_training_set(config).validation)
    found = build_training_set(with_data(config, validation_puzzles=4))
    assert (len(found.dataset), len(found.validation)) == (8, 4)
    assert not set(trained_ids(found)) & set(found.validation.ids)


@pytest.mark.parametrize(("train", "validation"), [(None, 12), (12, 13), (10, 3), (12, 1), (20, 1)])
def test_too_few_puzzles_are_an_error(tmp_path: Path, train: int | None, validation: int) -> None:
    config = grid_config(tmp_path, train_puzzles=train, validation_puzzles=validation)
    with pytest.raises(UserError, match=f"12 puzzles .* too few to hold out {validation} "):
        build_training_set(config)


def test_of_millions_no_more_are_held_out_than_an_evaluation_can_predict() -> None:
    cells = np.zeros((MAX_HELD_OUT + 6, 1, 1), np.uint8)
    trained, held_out = hold_out(PuzzleArray("x", "sudoku", cells, cells.copy()), 5, None)
    assert (len(trained), len(held_out)) == (5, MAX_HELD_OUT)


def test_no_puzzle_held_out_is_trained_on_or_scored(tmp_path: Path) -> None:
    """The training file has some puzzles twice, and some of data.test."""
    puzzles = as_puzzle_array(load_tasks(str(write_puzzles(tmp_path))))
    test = as_puzzle_array(load_tasks(str(write_puzzles(tmp_path, count=8, seed=1))))
    file = tmp_path / "twice.csv"
    write_csv(file, PuzzleArray.concatenate([puzzles, puzzles, test]), "here", [0] * 32)
    config = grid_config(tmp_path, train=[str(file)], train_puzzles=16)
    found = build_training_set(config)
    trained = as_puzzle_array(load_tasks(str(file))).select(trained_ids(found))
    kind = KINDS["sudoku"]
    assert len(found.validation) > 0
    assert not kind.shared_tasks(found.validation, trained)
    assert not kind.shared_tasks(found.validation, test)
    left_out = 16 - len(found.validation)
    assert (
        f"{left_out} puzzles of the 16 held out for validation are left out, because the training "
        "set or data.test has them too"
    ) in found.notes


def test_puzzles_held_out_that_are_all_scored_are_an_error(tmp_path: Path) -> None:
    file = str(write_puzzles(tmp_path))
    config = grid_config(tmp_path, train=[file], test=[file], validation_puzzles=4)
    with pytest.raises(UserError, match=r"the 4 puzzles that data\.validation_puzzles holds out"):
        build_training_set(config)


def test_puzzles_held_out_were_not_trained_on_when_they_are_scored(tmp_path: Path) -> None:
    config = with_data(grid_config(tmp_path), validation_puzzles=4)
    scored = load_tasks(config.data.train[0])
    (leak,) = run_leakage(config.data, scored)
    assert "shares 8 of its 12" in leak
    held_out = build_training_set(config).validation
    assert run_leakage(config.data, as_puzzle_array(held_out)) == []
    # Of several training sets it is not known which puzzles were held out.
    both = with_data(config, optional_train=config.data.train).data
    assert "shares 12 of its 12" in run_leakage(both, scored)[0]


def test_named_puzzles_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    file = str(write_puzzles(tmp_path))
    found = build_training_set(grid_config(tmp_path, validation=[file], train_puzzles=5))
    assert len(found.validation) == 12 and len(found.dataset) == 5
    (note,) = (note for note in found.notes if "shares" in note)
    assert note.startswith(
        f"data.validation shares 5 of its 12 puzzles with {file}, which was trained on"
    )
    part = grid_config(tmp_path, validation=[file], validation_puzzles=2)
    assert len(build_training_set(part).validation) == 2


@pytest.mark.parametrize("kind", ["sudoku", "maze"])
def test_the_set_that_is_scored_is_used_if_it_is_named_with_a_warning(
    tmp_path: Path, kind: str
) -> None:
    test = str(write_puzzles(tmp_path, kind, 8, 1))
    found = build_training_set(grid_config(tmp_path, kind, validation=[test]))
    assert len(found.validation) == 8
    assert (
        "8 puzzles in data.validation are in data.test too: a score of weights that were chosen by "
        "an evaluation on them is too high"
    ) in found.notes


def test_answers_must_be_known(tmp_path: Path) -> None:
    file = tmp_path / "unknown.csv"
    rows = [line.split(",")[1] for line in write_puzzles(tmp_path).read_text().splitlines()]
    file.write_text("\n".join(rows) + "\n")
    with pytest.raises(UserError, match=r"no answer in .* is known: name .* data\.validation"):
        build_training_set(grid_config(tmp_path, validation=[str(file)]))


def test_validation_of_another_kind_is_an_error(tmp_path: Path, challenges: Path) -> None:
    with pytest.raises(UserError, match=r"data\.validation holds ARC, but data\.train .* Sudoku"):
        build_training_set(grid_config(tmp_path, validation=[str(challenges)]))
    mazes = str(write_puzzles(tmp_path, "maze"))
    with pytest.raises(UserError, match=r"data\.validation holds Maze, but data\.test .* ARC"):
        build_training_set(with_data(run_config(challenges), validation=(mazes,)))


# ARC


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A challenges file with other tasks, and its solutions beside it."""
    folder = tmp_path / "other"
    folder.mkdir()
    path = write_challenges(folder, 2)
    for file in folder.iterdir():
        content = json.loads(file.read_text(), parse_int=lambda digit: 9 - int(digit))
        file.write_text(json.dumps({f"other-{name}": each for name, each in content.items()}))
    return path


def outputs(training_set: TrainingSet, task_id: str) -> Sequence[object]:
    """The test outputs of a task that are trained on."""
    (group,) = (each for each in training_set.dataset if each.task.id == task_id)  # type: ignore
    return [pair.output for pair in group.task.test if pair.output is not None]


def test_of_named_tasks_demonstrations_are_trained_on_and_outputs_are_not(
    challenges: Path, other: Path
) -> None:
    config = with_data(run_config(challenges), validation=(str(other),))
    found = build_training_set(config)
    assert found.validation.ids == ["other-task0", "other-task1"]
    assert trained_ids(found) == ["task0", "task1", "task2", "other-task0", "other-task1"]
    assert all(not outputs(found, each) for each in trained_ids(found))
    assert found.validation.known_solutions()
    assert found.trained_on == tuple(["tiny_challenges.json (demonstrations)"])
    assert not any("shares" in note for note in found.notes)


def test_tasks_for_validation_are_taken_out_of_the_training_data(
    challenges: Path, other: Path
) -> None:
    config = with_data(run_config(challenges), train=(str(other),), validation=(str(other),))
    part = build_training_set(with_data(config, validation_puzzles=1))
    (chosen,) = part.validation.ids
    (rest,) = {"other-task0", "other-task1"} - {chosen}
    assert not outputs(part, chosen) and outputs(part, rest)
    assert any("1 task to predict" in note for note in part.notes)
    assert not any("shares" in note for note in part.notes)
    # Later nobody is told that these outputs were trained on, but of the others.
    scored = load_tasks(str(other))
    (leak,) = run_leakage(with_data(config, validation_puzzles=1).data, scored)
    assert leak.startswith(f"{other} shares 1 of its 2 tasks") and rest in leak
    assert run_leakage(config.data, scored) == []


def test_naming_the_tasks_that_are_scored_changes_no_training_and_warns(challenges: Path) -> None:
    before = build_training_set(run_config(challenges))
    named = with_data(run_config(challenges), validation=(str(challenges),))
    found = build_training_set(named)
    assert found.fingerprint == before.fingerprint
    assert list(found.puzzle_names) == list(before.puzzle_names)
    assert any("3 tasks in data.validation are in data.test too" in note for note in found.notes)


def test_arc_tasks_for_validation_are_named(challenges: Path) -> None:
    config = with_data(run_config(challenges), validation_puzzles=2)
    with pytest.raises(UserError, match=r"data\.validation is \[\]: name some"):
        build_training_set(config)


def test_tasks_without_outputs_are_no_validation(tmp_path: Path, challenges: Path) -> None:
    (tmp_path / "tiny_solutions.json").unlink()
    config = with_data(run_config(challenges), validation=(str(challenges),))
    with pytest.raises(UserError, match="has no task with known test outputs"):
        build_training_set(config)


def test_different_tasks_under_one_id_are_an_error(tmp_path: Path, challenges: Path) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    content = json.loads(challenges.read_text())
    content["task1"]["test"][0]["input"] = [[1, 2], [3, 4]]
    (folder / "tiny_challenges.json").write_text(json.dumps(content))
    solutions = (tmp_path / "tiny_solutions.json").read_text()
    (folder / "tiny_solutions.json").write_text(solutions)
    config = with_data(run_config(challenges), validation=(str(folder / "tiny_challenges.json"),))
    with pytest.raises(UserError, match=r'data\.test and data\.validation .* under the id "task1"'):
        build_training_set(config)
