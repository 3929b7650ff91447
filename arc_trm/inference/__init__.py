"""Prediction: which queries there are (`queries`), how a model is asked (`engine`), what is asked
next (`schedule`), and the anytime job (`anytime`)."""

from arc_trm.inference.anytime import make_plan, predict_tasks, predict_to_folder
from arc_trm.inference.queries import (
    Query,
    build_queries,
    inference_notes,
    load_for_inference,
)

__all__ = [
    "Query",
    "build_queries",
    "inference_notes",
    "load_for_inference",
    "make_plan",
    "predict_tasks",
    "predict_to_folder",
]
