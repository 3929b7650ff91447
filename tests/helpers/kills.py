"""Kills at every write of a command: its process ends by SIGKILL before its n-th write.

The command runs in a child that is forked, so that nothing is imported again. A write is what
changes files or folders below the current folder: opening a file for writing, renaming, removing,
making a folder, changing permissions, waiting for the disk (which the child does not do), and what
safetensors and PyTorch write by themselves, before, in the middle and after.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from commands import run_cli

from arc_trm.runs.lock import LOCK
from submission import temporary
from submission.temporary import is_temporary

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
AUDITED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link"}
TIMES = {"metrics.summed_seconds", "spent"}
"""Tensors of a training state that differ from run to run."""


class _Writes:
    """Counts the writes of this process from now on, and ends it before one of them."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.count = fatal, 0
        self._root = os.path.realpath(os.curdir)

    def watch(self) -> None:
        sys.addaudithook(self._hear)
        os.fsync = lambda descriptor: self.add()
        for module, name in ((safetensors.torch, "save_file"), (torch, "save")):
            original = getattr(module, name)
            replaced = self._in_parts(original)
            for other in list(sys.modules.values()):
                if getattr(other, "__dict__", {}).get(name) is original:
                    setattr(other, name, replaced)

    def add(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            is_write = isinstance(path, str | bytes | os.PathLike) and flags & WRITING
        else:
            is_write = event in AUDITED
            path = arguments[0] if is_write else None
        if is_write and self._is_inside(path):
            self.add()

    def _is_inside(self, path: int | str | bytes | os.PathLike[str]) -> bool:
        if isinstance(path, int):  # an open file
            return True
        name = os.fsdecode(path)
        return not os.path.isabs(name) or os.path.abspath(name).startswith(self._root)

    def _in_parts(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def written(content: Any, path: Any, *rest: Any) -> None:
            half = Path(path).with_name(".tmpAbCdEf")  # as safetensors names it
            half.write_bytes(b"half")  # a write, as is removing it
            half.unlink()
            write(content, path, *rest)
            self.add()

        return written


def in_child(action: Callable[[], object], fatal: int | None = None) -> str | None:
    """Run an action in a forked child, which is killed before its `fatal`-th write.

    Args:
        action: what to run.
        fatal: number of a write; None runs the action to its end.

    Returns:
        What the action returned, as text; None if the child was killed.

    Raises:
        AssertionError: the action raised an exception, or the child ended in another way.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()  # it would touch, and so copy, all memory of the parent
        temporary._due.clear()
        status = 1
        try:
            if fatal is not None:
                _Writes(fatal).watch()
            answer = str(action())
            status = 0
        except BaseException:
            answer = traceback.format_exc()
        with open(writer, "w") as pipe:
            pipe.write(answer)
        os._exit(status)
    os.close(writer)
    with open(reader) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    assert status == 0, answer
    return answer


def command(*arguments: object) -> Callable[[], str]:
    """Return an action that runs `arc-trm`, and returns its status and what it printed."""

    def run() -> str:
        result = run_cli(*arguments)
        return f"{result.exit_code} {result.output}{result.stderr}"

    return run


def kill_at_every_write(action: Callable[[], object], before: Path) -> Iterator[int]:
    """Yield the number of each write of an action, when a kill has come before it.

    The current folder is made anew for each, as a copy of `before`.
    """
    root = Path.cwd()
    for number in itertools.count(1):
        renew(root, before)
        if in_child(action, number) is not None:
            return
        temporary._due.clear()  # as in a new process, which has not looked for leftovers yet
        yield number


def renew(root: Path, before: Path) -> None:
    """Make a folder as another one; what is the same already stays."""
    wanted, found = _stamps(before), _stamps(root)
    for name in sorted(found, reverse=True):
        if name not in wanted or found[name] != wanted[name]:
            (root / name).rmdir() if found[name] is None else (root / name).unlink()
    for name in sorted(wanted):
        if wanted[name] is None:
            (root / name).mkdir(exist_ok=True)
        elif found.get(name) != wanted[name]:
            shutil.copy2(before / name, root / name)


_Stamp = tuple[int, int] | None


def _stamps(folder: Path, prefix: str = "") -> dict[str, _Stamp]:
    """The time and size of the files below a folder, and None for each folder, by their paths."""
    found: dict[str, _Stamp] = {}
    for entry in os.scandir(folder):
        name = prefix + entry.name
        if entry.is_dir():
            found[name] = None
            found |= _stamps(Path(entry), f"{name}/")
        else:
            status = entry.stat()
            found[name] = status.st_mtime_ns, status.st_size
    return found


def essences(folder: Path) -> tuple[dict[str, object], set[Path]]:
    """What is in the files below a folder, without times, by their paths there.

    Returns:
        That, and the locks and temporary folders below the folder. What is in the latter counts
        for neither.
    """
    found, left = {}, set[Path]()
    for name, stamp in _stamps(folder).items():
        parts = name.split("/")
        if any(map(is_temporary, parts[:-1])):
            continue
        if parts[-1] == LOCK or is_temporary(parts[-1]):
            left.add(folder / name)
        elif stamp is not None:
            if (name, stamp) not in _known:
                _known[name, stamp] = essence(folder / name)
            found[name] = _known[name, stamp]
    return found, left


_known: dict[tuple[str, _Stamp], object] = {}


def essence(path: Path) -> object:
    """What is in a file, without times. Raises an error unless the file is whole."""
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            names, metadata = sorted(set(file.keys()) - TIMES), file.metadata()
            contents = [file.get_tensor(name).contiguous() for name in names]
        digests = [hashlib.sha256(each.numpy().tobytes()).hexdigest() for each in contents]
        return names, digests, metadata
    content = path.read_bytes()
    if re.fullmatch(r"step_\d+", path.name):
        return sorted(torch.load(path, weights_only=True))
    if path.name == "history.jsonl":
        return None
    if path.name == "seal.json":  # digests of files with times
        return sorted(json.loads(content))
    if path.name == "metrics.jsonl":
        return [json.loads(line)["step"] for line in content.decode().splitlines()]
    if path.name == "predictions.jsonl":
        records = [json.loads(line) for line in content.decode().splitlines() if line]
        return sorted({json.dumps(each) for each in records[1:] if "status" not in each})
    if path.name == "provenance.json":
        return json.loads(content)["ended"] is not None
    if path.suffix == ".json":
        return json.loads(re.sub(rb'"\d{4}-\d\d-\d\dT[^"]*"', b'"TIME"', content))
    if path.suffix == ".html":
        assert content.rstrip().endswith(b"</html>")
        return len(content) > 0
    return hashlib.sha256(content).hexdigest()
