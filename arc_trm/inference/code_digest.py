"""A digest of the code that predicts, so that predictions of other code are told apart."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
COMPUTES = (
    "models",
    "puzzles",
    "inference",
    "checkpoint/weights_dir.py",
    "data/dataset.py",
    "evaluation/predictions.py",
    "evaluation/voting.py",
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
    digest = hashlib.sha256()
    for name, source in sorted(_sources(plugins)):
        digest.update(f"{name}\0{len(source)}\0".encode())
        digest.update(source)
    return digest.hexdigest()[:16]


def _sources(plugins: tuple[object, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each source file once."""
    paths: dict[Path, str] = {}
    for name in COMPUTES:
        path = PACKAGE / name
        files = [each for each in path.rglob("*") if each.suffix in (".py", ".c")]
        for file in files if path.is_dir() else [path]:
            paths[file] = file.relative_to(PACKAGE).as_posix()
    for part in (part for plugin in plugins for part in _parts(plugin)):
        found = _source_file(part)
        if found is not None and PACKAGE not in found.parents:
            paths.setdefault(found, str(part.__module__))
    for path, name in paths.items():
        yield name, path.read_bytes()


def _parts(plugin: object) -> Iterator[object]:
    """Yield the classes and functions that a class, a function or a callable object consists of."""
    if isinstance(plugin, partial):
        yield from (part for each in (plugin.func, *plugin.args) for part in _parts(each))
    elif isinstance(plugin, type):
        yield from plugin.__mro__
    elif inspect.isroutine(plugin):
        yield plugin
    else:
        yield from type(plugin).__mro__


def _source_file(part: object) -> Path | None:
    """Return the file of a class or function that is no part of Python or torch, if it has one."""
    module = str(getattr(part, "__module__", "")).partition(".")[0]
    if module in (*sys.stdlib_module_names, "torch"):
        return None
    try:
        found = inspect.getsourcefile(part)  # type: ignore[arg-type]
    except (TypeError, OSError):
        return None
    return Path(found) if found and Path(found).is_file() else None
