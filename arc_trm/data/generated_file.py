"""Generate puzzles into a CSV file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from arc_trm.callbacks import Progress, ignore
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.errors import UserError
from arc_trm.io import check_new_file
from arc_trm.puzzles.generate import GeneratedSet, GeneratorConfig, generate_puzzles


def generate_file(config: GeneratorConfig, path: Path, progress: Progress = ignore) -> GeneratedSet:
    """Generate puzzles into a new CSV file; `progress` is that of `generate_puzzles`.

    Raises:
        UserError: the file cannot be made, or such puzzles are too rare.
    """
    if path.suffix.lower() != ".csv" or path.is_dir():
        raise UserError(f"{path}: the name of a file of puzzles ends in .csv")
    check_new_file(path)
    generated = generate_puzzles(config, progress=progress)
    check_new_file(path)  # again, because generation takes a while
    puzzles = generated.puzzles.renamed(str(path))
    write_csv(path, puzzles, f"arc-trm seed {config.seed}", generated.ratings.tolist())
    return replace(generated, puzzles=puzzles)
