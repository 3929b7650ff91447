"""Pictures of tasks, predictions and training, as SVG or PNG, without torch."""

from arc_trm.pictures.curve import curve_picture
from arc_trm.pictures.scene import PALETTE, Scene, save
from arc_trm.pictures.task import task_picture

__all__ = ["PALETTE", "Scene", "curve_picture", "save", "task_picture"]
