"""Safetensors files, whole or absent."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from arc_trm.checkpoint.mapped_file import map_file, mapped_tensor
from arc_trm.errors import UserError
from arc_trm.io import atomic_write, check_ordinary, write_error
from arc_trm.runs.checkpoints import reading_reason
from arc_trm.runs.safetensors_header import read_header

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types of numbers by their names in files."""


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all.

    Args:
        path: the file.
        tensors: by name, on any device.
        metadata: texts by name. With several, equal contents do not give equal files.

    Raises:
        WriteError: the file system refuses.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path, "wb") as file:
        try:
            # By path: `safetensors.torch.save` would copy everything in memory. The library
            # replaces the file, whose permissions and durability are restored here.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            save_file(contiguous, file.name, dict(metadata or {}))
            os.chmod(file.name, mode)
            with open(file.name, "rb") as written:
                os.fsync(written.fileno())
        except SafetensorError as error:
            found = re.search(r"os error (\d+)", str(error))  # the error number is in the text only
            number = int(found[1]) if found else errno.EIO
            raise write_error(path, OSError(number, os.strerror(number))) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file. Tensors stay in the file until they are used.

    Returns:
        Tensors by name, of the types in `DTYPES`, and the metadata.

    Raises:
        UserError: the file does not exist or is not a whole safetensors file.
    """
    try:
        check_ordinary(path)
        with path.open("rb") as file:
            header = read_header(file)
            mapping = map_file(file)
        tensors = {
            name: mapped_tensor(mapping, DTYPES[place.dtype], place.shape, place.start)
            for name, place in header.places.items()
        }
        return tensors, header.metadata
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({reading_reason(error)}): copy or download "
            "it again"
        ) from None
