"""Training: one step (`trainer`), a whole run with its folder (`job`)."""

from arc_trm.config import TrainConfig
from arc_trm.training.trainer import METRICS, Trainer

__all__ = ["METRICS", "TrainConfig", "Trainer"]
