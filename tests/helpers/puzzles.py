"""Augmented pairs, names of puzzle ids, and files of puzzles on a grid with runs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny import MODEL, TRAIN

from arc_trm.config import RunConfig, from_dict
from arc_trm.data.dataset import parse_augmentation
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.puzzles import KINDS, SEPARATOR, Augmentation
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles
from arc_trm.tasks import Grid, Pair, PuzzleArray, as_grid


def augment_pair(augmentation: Augmentation, pair: Pair) -> Pair:
    """Return a pair with both grids augmented."""
    return Pair(*(augmentation.apply(grid) for grid in pair.grids))


def parse_puzzle_name(name: str) -> tuple[str, Augmentation]:
    """Return the task id and the augmentation in the name of an ARC puzzle id."""
    task_id, _, augmentation = name.partition(SEPARATOR)
    return task_id, parse_augmentation(KINDS["arc"], augmentation)


GRID_TRAIN = {**TRAIN, "lr": 1e-2, "ema_decay": 0.9, "total_steps": 30}
"""Training after which the model predicts no padding, so that every puzzle has an answer."""


def large_sudoku() -> tuple[Grid, Grid]:
    """A 16×16 Sudoku that lacks one digit in every row, and its answer."""
    rows, columns = np.indices((16, 16))
    answer = (4 * (rows % 4) + rows // 4 + columns) % 16 + 1
    question = np.where(rows == columns, 0, answer)
    return as_grid(question), as_grid(answer)


def write_large_sudoku(folder: Path) -> Path:
    """Write a CSV file of `large_sudoku` alone."""
    path, grids = folder / "large.csv", [grid[None] for grid in large_sudoku()]
    write_csv(path, PuzzleArray("large", "sudoku", *grids), "here", [0])
    return path


def write_puzzles(folder: Path, kind: str = "sudoku", count: int = 12, seed: int = 0) -> Path:
    """Write a CSV file of generated puzzles with 4×4 cells, unless it exists."""
    path = folder / f"{kind}-{seed}.csv"
    if not path.exists():
        steps = 2 if kind == "maze" else 0
        generated = generate_puzzles(GeneratorConfig(kind, count, seed, 4, steps))
        write_csv(path, generated.puzzles, "here", generated.ratings.tolist())
    return path


def grid_config(folder: Path, kind: str = "sudoku", **data: object) -> RunConfig:
    """The config of a run on 12 puzzles that predicts 8 others; `data` changes its data."""
    train, test = write_puzzles(folder, kind), write_puzzles(folder, kind, 8, 1)
    values = {
        "name": "tiny",
        "dtype": "float32",
        "model": {**MODEL, "vocab_size": KINDS[kind].vocab_size(4), "mixer": "mlp"},
        "data": {"train": [str(train)], "test": [str(test)], "augmentations": 5, **data},
        "train": GRID_TRAIN,
    }
    return from_dict(RunConfig, values)
