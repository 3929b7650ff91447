"""The source of this package, and of classes and functions that a user has registered."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import submission

PACKAGE = Path(__file__).parent
PACKAGES = (PACKAGE, Path(submission.__file__).parent)
"""What is installed together."""
SUFFIXES = (".py", ".c", ".toml")


def digest_sources(sources: Iterable[tuple[str, bytes]]) -> str:
    """Return 16 hexadecimal digits for names and contents, whatever their order."""
    digest = hashlib.sha256()
    for name, content in sorted(sources):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def package_files() -> Iterator[tuple[str, Path]]:
    """Yield name and path of each source file of this package, `arc_trm/tasks.py` for example."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*")):
            if path.suffix in SUFFIXES:
                yield f"{package.name}/{path.relative_to(package).as_posix()}", path


def plugin_files(plugins: Iterable[object], package: Path = PACKAGE) -> dict[Path, str]:
    """Map the source files of classes, functions and modules to the names of the modules.

    Args:
        plugins: classes, functions, callable objects or modules; those of this package, of Python
            and of torch have no file here.
        package: folder of this package.
    """
    files: dict[Path, str] = {}
    for part in (part for plugin in plugins for part in _parts(plugin)):
        found = _source_file(part)
        if found is not None and package not in found.parents:
            files.setdefault(found, module_name(part))
    return files


def module_name(part: object) -> str:
    """Return the name of a module, or of that in which a class or function is defined."""
    return str(part.__name__ if isinstance(part, ModuleType) else getattr(part, "__module__", ""))


def _parts(plugin: object) -> Iterator[object]:
    """Yield the classes, functions and modules that something registered consists of."""
    if isinstance(plugin, ModuleType):
        yield plugin
    elif isinstance(plugin, partial):
        yield from (part for each in (plugin.func, *plugin.args) for part in _parts(each))
    elif isinstance(plugin, type):
        yield from plugin.__mro__
    elif inspect.isroutine(plugin):
        yield plugin
    else:
        yield from type(plugin).__mro__


def _source_file(part: object) -> Path | None:
    """Return the file of a class or function that is no part of Python or torch, if it has one."""
    module = module_name(part).partition(".")[0]
    if module in (*sys.stdlib_module_names, "torch"):
        return None
    try:
        found = inspect.getsourcefile(part)  # type: ignore[arg-type]
    except (TypeError, OSError):
        return None
    return Path(found) if found and Path(found).is_file() else None
