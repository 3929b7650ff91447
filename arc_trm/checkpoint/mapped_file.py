"""Tensors that stay in their file until they are used."""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Sequence
from typing import IO

import torch
from torch import Tensor

# Python 3.12 and older have no name for Linux's flag.
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


def map_file(file: IO[bytes]) -> mmap.mmap:
    """Map an open file for `mapped_tensor`; writing to its tensors leaves the file as it is.

    The file may be larger than the memory: what is read of it takes none that is needed elsewhere.

    Raises:
        OSError: the system refuses.
        ValueError: the file is empty.
    """
    if sys.platform == "win32":
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    flags = mmap.MAP_PRIVATE | NO_RESERVE
    return mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def mapped_tensor(
    mapping: mmap.mmap, dtype: torch.dtype, shape: Sequence[int], start: int
) -> Tensor:
    """Return the tensor of a type and shape whose numbers lie in a file from byte `start` on.

    It is a copy if not every processor could read numbers from there.
    """
    count = math.prod(shape)
    if not count:
        return torch.empty(tuple(shape), dtype=dtype)
    if start % dtype.itemsize:
        size = count * dtype.itemsize
        content = torch.frombuffer(mapping, dtype=torch.uint8, count=size, offset=start)
        return content.clone().view(dtype).view(tuple(shape))
    return torch.frombuffer(mapping, dtype=dtype, count=count, offset=start).view(tuple(shape))
