"""Prediction: queries and batches (`predictor`), and the anytime job (`anytime`)."""

from arc_trm.inference.anytime import plan_predictions, predict_tasks, predict_to_folder
from arc_trm.inference.predictor import Query, build_queries, inference_notes, load_for_inference

__all__ = [
    "Query",
    "build_queries",
    "inference_notes",
    "load_for_inference",
    "plan_predictions",
    "predict_tasks",
    "predict_to_folder",
]
