"""The runs and predictions made last, wherever they are: an index in the user's state folder.

It is `$XDG_STATE_HOME/arc-trm/history.jsonl`, else `~/.local/state/arc-trm/history.jsonl`. Each
line is an object with the kind of a folder, its path and when something was made there. Lines are
only appended; without the file nothing is lost but the way to folders outside `runs`.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from arc_trm.io import check_ordinary, json_value

Kind: TypeAlias = Literal["run", "predictions"]

MAX_BYTES = 2**18
"""How much of the end of the index is read."""


def index_path() -> Path:
    """Return the path of the index."""
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state and os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "arc-trm" / "history.jsonl"


def remember(kind: Kind, folder: Path) -> None:
    """Note that something was made in a folder; do nothing where no index can be written."""
    record = {"kind": kind, "path": os.path.abspath(folder), "time": time.time()}
    with suppress(OSError, RuntimeError, ValueError):  # RuntimeError: there is no home folder
        path = index_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            # Other processes may append at the same time: one write, and a break before it.
            file.write(f"\n{json.dumps(record)}\n".encode())


def recall(kind: Kind) -> dict[Path, float]:
    """Return the folders of a kind with when something was last made there, as Unix times.

    The last folder comes last. A record is made before those after it: the time of one that a
    clock in the future made is cut to theirs.
    """
    found: dict[Path, float] = {}
    latest = math.inf
    for line in reversed(_last_lines()):
        with suppress(ValueError, TypeError, KeyError, OverflowError):
            record = json_value(line)
            path, at = Path(record["path"]), float(record["time"])
            if not math.isfinite(at):
                continue
            # Just before the next record, so that equal times keep their order.
            latest = min(at, math.nextafter(latest, -math.inf))
            if record["kind"] == kind:
                found.setdefault(path, latest)
    return dict(reversed(found.items()))


def _last_lines() -> list[bytes]:
    """Return the lines at the end of the index; the first may be a part of one."""
    try:
        check_ordinary(index_path())
        with index_path().open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - MAX_BYTES))
            return file.read(MAX_BYTES).splitlines()
    except (OSError, RuntimeError):
        return []
