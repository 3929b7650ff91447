"""The published trainer's folders of Sudokus and mazes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from puzzles import grid_config, large_sudoku, write_large_sudoku, write_puzzles
from tiny import MODEL, run_config

from arc_trm.data.leakage import run_leakage
from arc_trm.data.loader import load_tasks
from arc_trm.data.training_set import build_training_set
from arc_trm.errors import UserError
from arc_trm.puzzles import KINDS, grid_kinds
from arc_trm.tasks import PuzzleArray
from arc_trm.training import train_run


def build(folder: Path, kind: str = "sudoku") -> Path:
    """Write a folder of 12 puzzles as the published builders write it."""
    return build_from(folder, write_puzzles(folder, kind))


def build_from(folder: Path, path: Path) -> Path:
    """Write a folder of the puzzles in a file, in both splits."""
    puzzles = load_tasks(path)
    assert isinstance(puzzles, PuzzleArray)
    kind = puzzles.kind
    number, side = len(puzzles), puzzles.side
    out = folder / "built"
    out.mkdir()
    (out / "identifiers.json").write_text('["<blank>"]')
    examples = [KINDS[kind].encode(puzzles.pair(index), side) for index in range(number)]
    content = {"seq_len": side**2, "vocab_size": KINDS[kind].vocab_size(side), "pad_id": 0}
    content |= {"ignore_label_id": 0, "num_puzzle_identifiers": 1, "sets": ["all"]}
    for split in ("train", "test"):
        (out / split).mkdir()
        for name, tokens in zip(("inputs", "labels"), zip(*examples, strict=True), strict=True):
            np.save(out / split / f"all__{name}.npy", np.stack(tokens))
        np.save(out / split / "all__puzzle_identifiers.npy", np.zeros(number, np.int32))
        for name in ("puzzle_indices", "group_indices"):
            np.save(out / split / f"all__{name}.npy", np.arange(number + 1, dtype=np.int32))
        (out / split / "dataset.json").write_text(json.dumps(content))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind.name for kind in grid_kinds()])
def test_a_folder_is_trained_on_and_predicted(
    tmp_path: Path, kind: str, cli: Callable[..., Result]
) -> None:
    folder = build(tmp_path, kind)
    tasks = load_tasks(str(folder))
    plain = load_tasks(str(write_puzzles(tmp_path, kind)))
    assert tasks.kind == kind
    assert tasks.fingerprint() == plain.fingerprint()
    config = grid_config(tmp_path, kind, train=[str(folder)], test=[str(folder)])
    training_set = build_training_set(config)
    assert len(training_set.dataset) == 12 and list(training_set.puzzle_names) == ["<blank>"]
    assert any("shares 12 of its 12 puzzles" in note for note in training_set.notes)
    other = load_tasks(str(write_puzzles(tmp_path, kind, 8, 1)))
    assert len(run_leakage(config.data, tasks)) == 1
    assert run_leakage(config.data, other) == []
    with pytest.raises(UserError, match="but ARC needs 12"):
        build_training_set(
            grid_config(tmp_path, kind, train=[str(folder)], test=["arc-agi-1/training"])
        )
    alone = build_training_set(grid_config(tmp_path, kind, train=[str(folder)], test=[]))
    assert len(alone.dataset) == 12
    train_run(config, torch.device("cpu"), tmp_path / "run")
    assert cli("predict", tmp_path / "run").exit_code == 0
    assert json.loads(cli("score", tmp_path / "run", "--json").stdout)["puzzles"] == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tokens: tokens + 20, "expected 1 to 5 as of a sudoku"),
        (lambda tokens: tokens[:, :9], "is of shape (12, 9), expected as many examples as"),
        (lambda tokens: tokens[:5], "is of shape (12, 16), expected as many examples as"),
        (lambda tokens: np.where(tokens > 1, 2, tokens), "the digit 1 more than once in"),
    ],
)
@pytest.mark.slow
def test_a_damaged_folder_is_an_error(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    folder = build(tmp_path)
    actions: dict[str, Callable[[], object]] = {
        "train": lambda: build_training_set(grid_config(tmp_path, train=[str(folder)])),
        "test": lambda: load_tasks(str(folder)),
    }
    for split, read in actions.items():
        path = folder / split / "all__inputs.npy"
        np.save(path, change(np.load(path)).astype(np.uint8))
        with pytest.raises(UserError) as caught:
            read()
        assert message in str(caught.value) and f"built/{split}" in str(caught.value)


def test_18_tokens_and_256_cells_are_a_sudoku(tmp_path: Path) -> None:
    folder = build_from(tmp_path, write_large_sudoku(tmp_path))
    tasks = load_tasks(folder)
    assert isinstance(tasks, PuzzleArray) and tasks.kind == "sudoku"
    question, answer = large_sudoku()
    assert np.array_equal(tasks.questions, question[None])
    assert np.array_equal(tasks.answers, answer[None])
    shape = {**MODEL, "vocab_size": 18, "seq_len": 256, "mixer": "mlp"}
    config = run_config(folder, model=shape, data={"train": [str(folder)], "test": []})
    assert build_training_set(config).kind.name == "sudoku"
    content = folder / "test" / "dataset.json"
    content.write_text(content.read_text().replace('"vocab_size": 18', '"vocab_size": 11'))
    with pytest.raises(UserError, match=r"says 256 cells .* and 11 tokens .*, which no sudoku has"):
        load_tasks(folder)


def test_a_group_without_an_example_is_never_visited(tmp_path: Path) -> None:
    folder = build(tmp_path)
    for name in ("puzzle_indices", "group_indices"):
        path = folder / "train" / f"all__{name}.npy"
        starts = np.load(path)
        np.save(path, np.append(starts, starts[-1] + (name == "group_indices")).astype(np.int32))
    np.save(folder / "train" / "all__puzzle_identifiers.npy", np.zeros(13, np.int32))
    training_set = build_training_set(grid_config(tmp_path, train=[str(folder)]))
    assert [group.num_pairs for group in training_set.dataset] == 12 * [1] + [0]


def test_a_folder_without_its_test_split(tmp_path: Path) -> None:
    folder = build(tmp_path)
    content = folder / "test" / "dataset.json"
    content.write_text(content.read_text().replace('"vocab_size": 11', '"vocab_size": 12'))
    with pytest.raises(UserError, match=r"train and test data of different vocab_size"):
        load_tasks(str(folder))
    shutil.rmtree(folder / "test")
    with pytest.raises(UserError, match=r"has no test/dataset.json, so there is nothing in it"):
        load_tasks(str(folder))
