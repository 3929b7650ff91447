"""A digest of the code that predicts, so that predictions of other code are told apart."""

from __future__ import annotations

from pathlib import Path

from arc_trm.source_code import PACKAGE, digest_sources, plugin_files

COMPUTES = (
    "models",
    "puzzles",
    "inference",
    "checkpoint/weights_dir.py",
    "data/dataset.py",
    "evaluation/predictions.py",
    "evaluation/selection.py",
    "evaluation/voting.py",
    "cores.py",
    "device.py",
    "tasks.py",
)
"""Modules and folders of this package that decide what is predicted, and how it is ranked."""


def code_digest(*plugins: object) -> str:
    """Return a digest of the source of all that computes predictions.

    Args:
        plugins: classes and functions, whose modules count too where they are not in this package.

    Comments count as well: a digest that changes once too often costs time, one that stays the same
    would give an old answer for a new one.
    """
    sources = ((name, path.read_bytes()) for path, name in _files(plugins).items())
    return digest_sources(sources)


def _files(plugins: tuple[object, ...]) -> dict[Path, str]:
    """Map the source files to their names."""
    files = plugin_files(plugins, PACKAGE)
    for name in COMPUTES:
        path = PACKAGE / name
        found = [each for each in path.rglob("*") if each.suffix in (".py", ".c")]
        for file in found if path.is_dir() else [path]:
            files[file] = file.relative_to(PACKAGE).as_posix()
    return files
