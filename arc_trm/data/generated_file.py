"""Generate puzzles into a CSV file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from arc_trm.data.readers import csv
from arc_trm.errors import UserError
from arc_trm.puzzles.generate import GeneratedSet, GeneratorConfig, Progress, generate_puzzles


def generate_file(
    config: GeneratorConfig, path: Path, progress: Progress = lambda done, total: None
) -> GeneratedSet:
    """Generate puzzles into a new CSV file; `progress` is that of `generate_puzzles`.

    Raises:
        UserError: the file cannot be made, or such puzzles are too rare.
    """
    if not csv.matches(path):
        raise UserError(f"{path}: the name of a file of puzzles ends in .csv")
    _check_absent(path)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"the folder of {path} does not exist: make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder of {path} is write-protected: name another")
    generated = generate_puzzles(config, progress=progress)
    _check_absent(path)  # again, because generation takes a while
    puzzles = generated.puzzles.renamed(str(path))
    csv.write_csv(path, puzzles, f"arc-trm seed {config.seed}", generated.ratings.tolist())
    return replace(generated, puzzles=puzzles)


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path} already exists: name another file, or remove it")
