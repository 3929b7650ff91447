"""arc-trm: Tiny Recursive Models for ARC-AGI.

`load_model` and `load_tasks` are the way in from Python; torch is imported by the first alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arc_trm._version import __version__

if TYPE_CHECKING:
    import os

    import torch

    from arc_trm.models import PuzzleModel
    from arc_trm.tasks import TaskSet

__all__ = ["__version__", "load_model", "load_tasks"]


def load_model(
    weights: str | os.PathLike[str], device: str = "cpu", dtype: torch.dtype | None = None
) -> PuzzleModel:
    """The model of a run, a weight folder or a Hugging Face Hub repository, in evaluation mode.

    Args:
        weights: the folder, or `owner/name[@revision][:subfolder]`, fetched if need be.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        dtype: of the activations; None is float32.

    Raises UserError if the folder is no weight folder, its files do not fit each other, or the Hub
    does not have the weights.
    """
    import os

    from arc_trm.checkpoint import load_weights
    from arc_trm.device import pick_device
    from arc_trm.hub import resolve

    return load_weights(resolve(os.fspath(weights)), pick_device(device), dtype).model


def load_tasks(data: str | os.PathLike[str]) -> TaskSet:
    """The tasks of a dataset name, folder, challenges file or task file (docs/data.md).

    Raises UserError naming what is wrong and where.
    """
    from arc_trm.data.loader import load_tasks as load

    return load(data)


def __getattr__(name: str) -> Any:
    # `arc_trm.checkpoint`, `arc_trm.training` and so on without a second import statement.
    import importlib

    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
