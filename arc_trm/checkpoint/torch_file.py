"""State dicts that `torch.save` wrote, read without running or building anything else.

Such a file is a zip archive. Its record `data.pkl` is a program for Python's unpickler, which can
call any function, or build values that take for ever to hash; `torch.load` with `weights_only=True`
stops the first only. Here a few instructions are understood, those of a dict of tensors. The
numbers lie in other records, without compression, and stay in the file until they are used.
"""

from __future__ import annotations

import mmap
import os
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from arc_trm.checkpoint.mapped_file import map_file, mapped_tensor
from arc_trm.errors import format_name
from arc_trm.io import check_ordinary

MAX_DIRECTORY_BYTES = 4 * 2**20
"""Of the largest list of records that is read."""
MAX_PICKLE_BYTES = 4 * 2**20
"""Of the largest `data.pkl` that is read, enough for more than 20 000 tensors."""
MAX_DIMENSIONS, MAX_NUMBERS = 8, 2**60
"""Of a tensor."""
PICKLE, BYTE_ORDER = "data.pkl", "byteorder"
"""Records that are read besides the numbers."""
ENCRYPTED = 1
"""Flag of a record."""
MARK = object()
CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": lambda: MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
"""Instructions that push a value, and what makes it."""
STORAGES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
}
"""Types of numbers that are read, by their names in a pickle."""
ORDERED_DICT = "collections OrderedDict"
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_END = struct.Struct("<4s4H2LH")  # the last record of a zip archive
_END_64 = struct.Struct("<4sQ2H2L4Q4sLQL")  # and the two before it in one of the zip64 format
_LOCAL = struct.Struct("<26x2H")  # before a record: the lengths of its name and extra data


class NotTensors(Exception):
    """A file that is no state dict of `torch.save`. The message says why, in a few words."""


class _Global(NamedTuple):
    name: str


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str
    size: int


class _View(NamedTuple):
    """A tensor: how it lies in its storage, in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a dict of floating-point tensors that `torch.save` wrote.

    Time and memory are bounded, whatever the file says.

    Returns:
        Tensors by name. Together they are no larger than the file.

    Raises:
        OSError: the file cannot be read.
        NotTensors: it holds anything else.
    """
    check_ordinary(path)
    with path.open("rb") as file:
        try:
            _check_directory(file)
            records = zipfile.ZipFile(file).infolist()
            mapping = map_file(file)
            places = {record.filename: _place(record, mapping) for record in records}
        except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, struct.error):
            raise NotTensors("its list of records is damaged") from None
    if len(places) < len(records):
        raise NotTensors("a record comes twice")
    folder = next((name[: -len(PICKLE)] for name in places if name.endswith(f"/{PICKLE}")), None)
    if folder is None:
        raise NotTensors(f"it has no record {PICKLE}")
    small = {
        name: mapping[start : start + size]
        for name, (start, size) in places.items()
        if name in (folder + PICKLE, folder + BYTE_ORDER) and size <= MAX_PICKLE_BYTES
    }
    if folder + PICKLE not in small:
        raise NotTensors(f"its record {PICKLE} is too large")
    if small.get(folder + BYTE_ORDER, b"little") != b"little":
        raise NotTensors("its numbers are not little-endian")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python about texts in a damaged file
        views = _run(small[folder + PICKLE])
    total = sum(prod(view.shape) * view.storage.dtype.itemsize for view in views.values())
    if total > len(mapping):
        raise NotTensors("its tensors are larger than the file")
    return {
        name: _tensor(view, mapping, places.get(f"{folder}data/{view.storage.key}"))
        for name, view in views.items()
    }


def _check_directory(file: IO[bytes]) -> None:
    """Raise NotTensors unless the file ends like one of `torch.save`, with a short list of records.

    So `zipfile`, which reads the whole list, takes little memory.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - _END_64.size))
    end = file.read()
    if end[-_END.size :][:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise NotTensors("its end is missing, or PyTorch before version 1.6 wrote it")
    length = _END.unpack(end[-_END.size :])[5]
    if len(end) == _END.size + _END_64.size:
        fields = _END_64.unpack(end[: _END_64.size])
        if fields[10] == b"PK\6\7":
            length = max(length, fields[8])
    if length > MAX_DIRECTORY_BYTES:
        raise NotTensors("it has too many records")


def _place(record: zipfile.ZipInfo, mapping: mmap.mmap) -> tuple[int, int]:
    """Return where a record begins in its file, and its bytes."""
    stored = record.compress_type == zipfile.ZIP_STORED and not record.flag_bits & ENCRYPTED
    if not stored or record.compress_size != record.file_size:
        raise NotTensors("a record is compressed, which torch.save never does")
    if record.header_offset < 0:
        raise NotTensors("its list of records is damaged")
    name_length, extra_length = _LOCAL.unpack_from(mapping, record.header_offset)
    start = record.header_offset + _LOCAL.size + name_length + extra_length
    if start + record.file_size > len(mapping):
        raise NotTensors("a record ends behind the file")
    return start, record.file_size


def _tensor(view: _View, mapping: mmap.mmap, place: tuple[int, int] | None) -> Tensor:
    storage = view.storage
    if place is None:
        raise NotTensors("it lacks the numbers of a tensor")
    start, size = place
    if size != storage.size * storage.dtype.itemsize:
        raise NotTensors("a tensor is of another size than its numbers")
    numbers = mapped_tensor(mapping, storage.dtype, (storage.size,), start)
    if not prod(view.shape):
        return numbers.new_empty(view.shape)
    return numbers.as_strided(view.shape, view.strides, view.offset)


# The few instructions of a dict of tensors


def _run(content: bytes) -> dict[str, _View]:
    """Return the dict that a pickle describes."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        argument: Any
        for instruction, argument, _ in pickletools.genops(content):
            match instruction.name:
                case "PROTO":
                    pass
                case "STOP":
                    return _checked(stack)
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case name if name in CONSTANTS:
                    stack.append(CONSTANTS[name]())
                case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                    stack.append(argument)
                case "GLOBAL":
                    stack.append(_global(argument))
                case "TUPLE":
                    stack.append(_pop_items(stack))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    count = int(instruction.name[-1])
                    stack[-count:] = [tuple(stack[-count:])]
                case "BINPERSID":
                    stack.append(_storage(stack.pop()))
                case "REDUCE":
                    arguments = stack.pop()
                    stack.append(_call(stack.pop(), arguments))
                case "SETITEM":
                    value, key = stack.pop(), stack.pop()
                    _set_items(stack[-1], (key, value))
                case "SETITEMS":
                    items = _pop_items(stack)
                    _set_items(stack[-1], items)
                case "BUILD":  # the versions of a model's layers, beside its state dict
                    stack.pop()
                case other:
                    raise NotTensors(f"the instruction {other}")
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise NotTensors(f"its record {PICKLE} is damaged")


def _checked(stack: list[Any]) -> dict[str, _View]:
    (state,) = stack
    if not isinstance(state, dict) or not all(isinstance(v, _View) for v in state.values()):
        raise NotTensors("it is no dict of tensors")
    return state


def _pop_items(stack: list[Any]) -> tuple[Any, ...]:
    """Take what lies above the last mark, and the mark, from the stack."""
    items = []
    while (item := stack.pop()) is not MARK:
        items.append(item)
    return tuple(reversed(items))


def _global(name: str) -> _Global:
    if name not in {ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, *STORAGES}:
        is_type = name.endswith("Storage")
        noun = "numbers that are not floating-point, in" if is_type else "it calls"
        raise NotTensors(f"{noun} {format_name(name)}")
    return _Global(name)


def _storage(values: tuple[Any, ...]) -> _Storage:
    """Return the storage that a persistent id means: what, type, key, device, length."""
    kind, dtype, key, _, size = values
    if kind != "storage" or not isinstance(key, str) or not _are_sizes([size]):
        raise ValueError
    return _Storage(STORAGES[dtype.name], key, size)


def _call(function: Any, arguments: Any) -> Any:
    """Return what a function of `torch.save` makes of its arguments."""
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise ValueError
    if function.name == ORDERED_DICT and not arguments:
        return {}
    if function.name == REBUILD_PARAMETER and isinstance(arguments[0], _View):
        return arguments[0]
    if function.name != REBUILD_TENSOR:
        raise ValueError
    storage, offset, shape, strides, _, _, *metadata = arguments
    if any(metadata):  # such as that all numbers have the other sign
        raise NotTensors("a tensor that is a view of a special kind")
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple):
        raise ValueError
    if not isinstance(strides, tuple) or not _are_sizes([offset, *shape, *strides]):
        raise ValueError
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise ValueError
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    # A view can repeat a few numbers endlessly, and would be written out in full.
    if prod(shape) and (last >= storage.size or prod(shape) > storage.size):
        raise NotTensors("a tensor is larger than its numbers")
    if prod(max(1, size) for size in shape) > MAX_NUMBERS:
        raise ValueError
    return _View(storage, offset, shape, strides)


def _set_items(target: Any, items: tuple[Any, ...]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):  # hashing anything else could take for ever
            raise ValueError
        target[key] = value


def _are_sizes(values: list[Any]) -> bool:
    return all(type(each) is int and 0 <= each <= MAX_NUMBERS for each in values)
