"""arc-trm: Tiny Recursive Models for ARC-AGI, Sudoku and mazes.

    run = arc_trm.train("quickstart", max_steps=500)
    predictions = arc_trm.predict(run)
    predictions.score()
    predictions.write_submission("submission.json")

The functions take the options of the commands with the same names. torch is imported by those that
compute, not by `import arc_trm`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from arc_trm._version import __version__
from arc_trm.display import set_renderer

if TYPE_CHECKING:
    import torch

    from arc_trm.callbacks import Callback
    from arc_trm.data.loader import load_tasks
    from arc_trm.models import PuzzleModel
    from arc_trm.pipeline import (
        adapt,
        fit_embedding,
        open_predictions,
        predict,
        score,
        train,
        tune_inference,
    )

__all__ = [
    "Callback",
    "__version__",
    "adapt",
    "fit_embedding",
    "load_model",
    "load_tasks",
    "open_predictions",
    "predict",
    "score",
    "train",
    "tune_inference",
]


def load_model(
    weights: str | os.PathLike[str],
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    checkpoint: str | int | None = None,
) -> PuzzleModel:
    """Load the model of a run, a weights folder or a Hugging Face Hub repository for evaluation.

    Args:
        weights: the folder, or `owner/name[@revision][:subfolder]`, which is downloaded.
        device: auto, cpu, mps, cuda or cuda:NUMBER.
        dtype: of the activations; None is float32.
        checkpoint: which weights of a run: `best`, `last`, a step, or several steps with commas,
            whose weights are averaged. None is `best` if the run was evaluated while it was
            trained, and `last` otherwise.

    Raises:
        UserError: there are no such weights, or their files do not fit each other.
    """
    from arc_trm.checkpoint import WeightsDir
    from arc_trm.device import pick_device
    from arc_trm.run_inputs import resolve_folder

    return WeightsDir(resolve_folder(weights), checkpoint).load(pick_device(device), dtype).model


def _render(displayed: object) -> str:
    from arc_trm.viz.notebook import to_html

    return to_html(displayed)


set_renderer(_render)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Functions are loaded when they are needed: the command line must be able to say how signals
    # end it before it loads the rest of this package.
    import importlib

    if name in __all__:
        module = {"Callback": "callbacks", "load_tasks": "data.loader"}.get(name, "pipeline")
        found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return globals().setdefault(name, found)
    # `arc_trm.checkpoint` and so on without a second import statement.
    if not name.isidentifier():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
