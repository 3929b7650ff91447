"""What made a run: code, versions, machine and command line, in its provenance.json.

The source of this package lies beside it as `source-DIGEST.zip`, unless it is that of a released
package, and with it the files of whatever the user has registered. No environment variable is
recorded, and no name of the machine.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import os
import platform
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from arc_trm._version import __version__
from arc_trm.environment import processor_name
from arc_trm.errors import UserError
from arc_trm.io import atomic_write, check_ordinary, read_json, write_error, write_json
from arc_trm.registry import Registry
from arc_trm.source_code import PACKAGE, digest_sources, module_name, package_files, plugin_files

if TYPE_CHECKING:
    import torch

PROVENANCE = "provenance.json"
FORMAT = "arc-trm provenance 1"
ARGUMENTS = "arc_trm.cli.arguments"
"""Key of the metadata of click's context with the arguments of the command line."""
GIT_SECONDS = 10.0
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in a copy of the source, so that equal sources make equal files."""
OF_A_START = ("step", "started_at", "command")
"""What differs between two starts with the same code on the same machine."""


@dataclass(frozen=True)
class Provenance:
    """What trains a run from some step on.

    Attributes:
        step: training steps done before.
        started_at: UTC, in ISO format.
        command: the command line as given; None from Python.
        version: of arc-trm.
        commit: of the checkout that the package lies in; None for an installed one.
        changed: whether that checkout has changes in the package that are in no commit.
        source_digest: of the source of the package.
        source: file with a copy of the source; None if it is that of a released package, and
            nothing is registered.
        plugins: what the user has registered, such as `loss focal`, and the file of each in the
            copy; None if it has no source.
        python, torch, cuda, numpy: versions; `cuda` None for a PyTorch without.
        device: name of the GPU, or `cpu`.
        processes: that train together.
        cpu: its name.
        system: such as `Linux x86_64`.
    """

    step: int
    started_at: str
    command: str | None
    version: str
    commit: str | None
    changed: bool | None
    source_digest: str
    source: str | None
    plugins: Mapping[str, str | None]
    python: str
    torch: str
    cuda: str | None
    numpy: str
    device: str
    processes: int
    cpu: str
    system: str


@dataclass(frozen=True)
class RunProvenance:
    """What provenance.json says; values may be of any type, as the folder may be from elsewhere.

    Attributes:
        entries: the fields of `Provenance`, the first entry first; [] if there are none.
        complete: whether the last training reached its end; None if it was killed, or runs.
    """

    entries: list[dict[str, Any]]
    complete: bool | None


def record_start(folder: Path, step: int, device: torch.device, processes: int) -> None:
    """Write what trains a run from now on into its folder.

    A run that starts at step 0 has this entry alone. One that is resumed gets another entry if
    code, versions or machine differ from those of the last one.

    Args:
        folder: of the run.
        step: training steps done.
        device: where this process trains.
        processes: that train together.

    Raises:
        WriteError: the file system refuses.
    """
    files, plugins = _copied_files()
    name = f"source-{digest_sources(files.items())[:8]}.zip" if files else None
    entry = asdict(current_provenance(step, name, plugins, device, processes))
    entries = read_provenance(folder).entries if step else []
    if not entries or _lasting(entries[-1]) != _lasting(entry):
        entries.append(entry)
    if name is not None and not (folder / name).is_file():
        _write_zip(folder / name, files)
    write_json(folder / PROVENANCE, {"format": FORMAT, "entries": entries, "ended": None})
    for path in folder.glob("source-*.zip") if step == 0 else ():  # of what a restart replaces
        if path.name != name:
            with suppress(OSError):
                path.unlink()


def record_end(folder: Path, step: int, complete: bool) -> None:
    """Write that the training of a run has ended, at its end or before. Raises WriteError."""
    ended = {"step": step, "ended_at": _now(), "complete": complete}
    entries = read_provenance(folder).entries
    write_json(folder / PROVENANCE, {"format": FORMAT, "entries": entries, "ended": ended})


def read_provenance(folder: Path) -> RunProvenance:
    """Return what made a run; nothing is known of one whose file is missing or damaged."""
    values = _read(folder)
    entries, ended = values.get("entries"), values.get("ended")
    return RunProvenance(
        [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else [],
        ended.get("complete") is True if isinstance(ended, dict) else None,
    )


def command_line() -> str | None:
    """Return the command line of `arc-trm` as it was given; None if Python code has called."""
    context = click.get_current_context(silent=True)
    arguments = None if context is None else context.meta.get(ARGUMENTS)
    return None if arguments is None else shlex.join(["arc-trm", *arguments])


def _read(folder: Path) -> dict[str, Any]:
    try:
        check_ordinary(folder / PROVENANCE)
        values = read_json(folder / PROVENANCE)
    except (UserError, OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _lasting(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two starts of the same code on the same machine have in common."""
    return {key: value for key, value in entry.items() if key not in OF_A_START}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def current_provenance(
    step: int,
    source: str | None,
    plugins: Mapping[str, str | None],
    device: torch.device,
    processes: int,
) -> Provenance:
    """Return what this process is: its code, its versions and its machine.

    Args:
        step, source, plugins, processes: as the fields of `Provenance`.
        device: that it computes on.
    """
    import numpy as np
    import torch

    commit, changed = _commit()
    return Provenance(
        step=step,
        started_at=_now(),
        command=command_line(),
        version=__version__,
        commit=commit,
        changed=changed,
        source_digest=digest_sources(_package_sources().items()),
        source=source,
        plugins=plugins,
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        numpy=np.__version__,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        processes=processes,
        cpu=processor_name(),
        system=f"{platform.system()} {platform.machine()}",
    )


@cache
def _package_sources() -> Mapping[str, bytes]:
    """Return the source of this package by its names, as it is when the first run starts."""
    return {name: path.read_bytes() for name, path in package_files()}


@cache
def _commit() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout that this package lies in, and whether it has changes."""
    root = PACKAGE.parent
    if not (root / ".git").exists():  # an installed package may lie in the checkout of another
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--", *_package_names())
    return (commit.strip() or None if commit else None), None if status is None else bool(status)


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, None if it fails or there is no git."""
    # Git's own variables may name another repository, as they do in a hook.
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", os.fspath(root), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, env=environment
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout if done.returncode == 0 else None


def _package_names() -> list[str]:
    return sorted({name.partition("/")[0] for name in _package_sources()})


# The copy of the source


def _copied_files() -> tuple[dict[str, bytes], dict[str, str | None]]:
    """Return the files to copy by their names, and what is registered with its file there."""
    files = {} if _is_released() else dict(_package_sources())
    plugins: dict[str, str | None] = {}
    for name, entry in _registered():
        copies = {
            _file_name(module, path): path.read_bytes()
            for path, module in plugin_files([entry]).items()
        } or _typed_source(name, entry)
        files |= copies
        plugins[name] = next(iter(copies), None)
    return files, plugins


def _registered() -> Iterator[tuple[str, object]]:
    """Yield what is registered but not a part of this package, as `loss focal` and the like."""
    for registry in Registry.instances:
        for name, entry in registry.items():
            module = module_name(_definition(entry))
            if module.partition(".")[0] != PACKAGE.name:
                yield f"{registry.noun} {name}", entry


def _definition(entry: object) -> object:
    """Return what defines an entry: a class, function or module, the class of another object."""
    while isinstance(entry, partial):
        entry = entry.func
    defines = isinstance(entry, type | ModuleType) or inspect.isroutine(entry)
    return entry if defines else type(entry)


def _file_name(module: str, path: Path) -> str:
    """Return the name of a plugin's file in the copy, which is that of its module."""
    name = path.stem if module == "__main__" else module.replace(".", "/")
    return f"plugins/{re.sub(r'[^A-Za-z0-9_/]+', '_', name)}.py"


def _typed_source(name: str, entry: object) -> dict[str, bytes]:
    """Return the source of what was typed into a notebook, if Python knows it."""
    try:
        text = inspect.getsource(_definition(entry))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return {}
    return {f"plugins/{re.sub(r'[^A-Za-z0-9]+', '_', name)}.py": text.encode()}


@cache
def _is_released() -> bool:
    """Return whether this package was installed from an index and has not been changed since.

    An installation from a file or folder, which pip notes, may be of any code.
    """
    try:
        installed = metadata.distribution("arc-trm")
        if installed.read_text("direct_url.json") is not None:
            return False
        hashes = {
            os.path.realpath(os.fspath(file.locate())): file.hash for file in installed.files or ()
        }
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return False
    sources, paths = _package_sources(), dict(package_files())
    return all(
        _matches(content, hashes.get(os.path.realpath(paths[name])))
        for name, content in sources.items()
    )


def _matches(content: bytes, expected: metadata.FileHash | None) -> bool:
    if expected is None or expected.mode != "sha256":
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return digest.rstrip(b"=").decode() == expected.value


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files into an archive that is the same for the same files. Raises WriteError."""
    try:
        with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, content in sorted(files.items()):
                info = zipfile.ZipInfo(name, ZIP_DATE)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                info.create_system = 3  # Unix, on every system
                archive.writestr(info, content)
    except OSError as error:
        raise write_error(path, error) from None
