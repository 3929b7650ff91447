"""Training: one step (`Trainer`) and a whole run with its folder (`train_run`).

Register your own with `register_loss` and `register_optimiser`; watch a run with a `Callback`.
"""

from arc_trm.callbacks import Callback
from arc_trm.data.sampler import IGNORE_LABEL
from arc_trm.training.loop import train_run
from arc_trm.training.losses import register_loss
from arc_trm.training.optim import FlatParams, Optimiser, register_optimiser
from arc_trm.training.trainer import METRICS, Trainer

__all__ = [
    "IGNORE_LABEL",
    "METRICS",
    "Callback",
    "FlatParams",
    "Optimiser",
    "Trainer",
    "register_loss",
    "register_optimiser",
    "train_run",
]
