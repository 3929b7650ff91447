"""Tasks, predictions and runs as SVG, PNG, HTML and text in the terminal, without torch."""

from arc_trm.viz.animation import Animation, animate_trace
from arc_trm.viz.compare import RunComparison, compare_runs
from arc_trm.viz.curve import draw_curve, draw_run
from arc_trm.viz.images import draw_prediction, draw_task, draw_tasks, draw_trace
from arc_trm.viz.notebook import to_html
from arc_trm.viz.svg import Drawing, save

__all__ = [
    "Animation",
    "Drawing",
    "RunComparison",
    "animate_trace",
    "compare_runs",
    "draw_curve",
    "draw_prediction",
    "draw_run",
    "draw_task",
    "draw_tasks",
    "draw_trace",
    "save",
    "to_html",
]
