"""Pictures of tasks, predictions and training, as SVG, PNG or HTML, without torch."""

from arc_trm.viz.curve import curve_picture
from arc_trm.viz.figure import steps_picture, task_picture, tasks_picture
from arc_trm.viz.notebook import predictions_html, task_html, tasks_html
from arc_trm.viz.svg import PALETTE, Scene, save

__all__ = [
    "PALETTE",
    "Scene",
    "curve_picture",
    "predictions_html",
    "save",
    "steps_picture",
    "task_html",
    "task_picture",
    "tasks_html",
    "tasks_picture",
]
