"""The header of a safetensors file: names, types and places of its tensors, and its metadata.

Files are written with the library `safetensors` and read here. The library maps a whole file as
memory of the process, which systems refuse for a file larger than their memory, and takes no path
that is not UTF-8.
"""

from __future__ import annotations

import json
import math
from typing import IO, Any, NamedTuple

MAX_HEADER_BYTES = 16 * 2**20
"""Of the largest header that is read, enough for more than 100 000 tensors."""
MAX_DIMENSIONS = 8
LENGTH_BYTES = 8
"""At the start of a file: the length of the header, little-endian."""
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
"""Bytes of a number, by the types that are read."""
METADATA = "__metadata__"


class Place(NamedTuple):
    """Where a tensor lies in its file.

    Attributes:
        dtype: a key of `ITEM_BYTES`.
        shape: of the tensor.
        start: its first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int


class Header(NamedTuple):
    """What a file holds: tensors by name, and texts by name."""

    places: dict[str, Place]
    metadata: dict[str, str]


def read_header(file: IO[bytes]) -> Header:
    """Read the header of a file that is open at its start.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole safetensors file, or has tensors of another type. The message
            says why, in a few words.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    start = LENGTH_BYTES + length
    if size < LENGTH_BYTES or start > size:
        raise ValueError("it is cut short")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header takes more than {MAX_HEADER_BYTES // 2**20} MiB")
    try:
        content = json.loads(file.read(length).decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise ValueError("its header is damaged") from None
    metadata = (content.pop(METADATA, None) or {}) if isinstance(content, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its header is damaged")
    return Header(_places(content, start, size), metadata)


def _distinct(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) < len(items):
        raise ValueError("a name comes twice")
    return values


def _places(content: dict[str, Any], start: int, size: int) -> dict[str, Place]:
    """Return where the tensors lie. They must fill the file, each byte once."""
    places, spans = {}, []
    for name, entry in content.items():
        if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
            raise ValueError("its header is damaged")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            known = ", ".join(ITEM_BYTES)
            raise ValueError(f"it holds numbers of the type {str(dtype)[:20]!r}, not {known}")
        if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
            raise ValueError("its header is damaged")
        if len(shape) > MAX_DIMENSIONS or math.prod(max(1, each) for each in shape) >= 2**60:
            raise ValueError("a tensor in it has an impossible shape")
        begin, end = offsets
        if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
            raise ValueError("a tensor in it is of another size than its shape")
        places[name] = Place(dtype, tuple(shape), start + begin)
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise ValueError("its tensors overlap or leave gaps")
        reached = end
    if start + reached != size:
        raise ValueError("it is cut short, or longer than its header says")
    return places


def _are_sizes(values: object) -> bool:
    """Return whether a value is a list of whole numbers from 0 on."""
    return isinstance(values, list) and all(type(each) is int and each >= 0 for each in values)
