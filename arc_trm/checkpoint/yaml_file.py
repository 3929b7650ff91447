"""Small YAML files of plain values, which may come from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from arc_trm.io import check_ordinary

MAX_BYTES = 2**16
"""Size of the largest file that is read; that of a published trainer takes 2 kB."""
MAX_DEPTH = 20
"""Of nested lists and tables."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file without aliases, by which a short file can stand for endless values.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, too deep or no plain YAML. The message says why, in a few
            words.
    """
    check_ordinary(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it takes more than {MAX_BYTES // 2**10} KiB")
    try:
        text = content.decode("utf-8-sig")
        _check_structure(text)
        return yaml.safe_load(text)
    except ValueError:
        raise
    except Exception as error:  # the library has no class of its own for values that it cannot read
        raise ValueError(f"it is no plain YAML: {type(error).__name__}") from None


def _check_structure(text: str) -> None:
    """Raise ValueError if a document has aliases or is nested deeply."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, AliasEvent):
            raise ValueError("it has aliases, which repeat a part of it")
        if isinstance(event, CollectionStartEvent):
            depth += 1
        if isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
