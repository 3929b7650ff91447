"""Safetensors files, whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import safetensors
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from arc_trm.errors import UserError
from submission import atomic_write


def write_tensors(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> None:
    """A safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path, "wb") as file:
        try:
            # By name, for `save` would copy everything in memory. The library puts a file of its
            # own in this one's place, which then needs the permissions and the way to the disk.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            save_file(plain, file.name, metadata)
            os.chmod(file.name, mode)
            with open(file.name, "rb") as written:
                os.fsync(written.fileno())
        except SafetensorError as error:
            full = "No space left" in str(error)  # it has no error number
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; the tensors stay in the file until touched.

    Raises UserError if it is none.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from None
