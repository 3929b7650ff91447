"""Prediction: queries and batches (`predictor`), the anytime job around them (`anytime`)."""

from arc_trm.inference.anytime import predict_tasks, predict_to_folder
from arc_trm.inference.predictor import Query, build_queries, load_for_inference

__all__ = [
    "Query",
    "build_queries",
    "load_for_inference",
    "predict_tasks",
    "predict_to_folder",
]
