"""Prediction: which queries there are (`queries`), how a model is asked (`engine`), what is asked
next (`schedule`), the anytime job (`anytime`), and how a model is best asked (`tune`)."""

from arc_trm.inference.anytime import predict_to_folder
from arc_trm.inference.plan import make_plan
from arc_trm.inference.predictor import predict_tasks
from arc_trm.inference.queries import (
    Query,
    build_queries,
    inference_notes,
    load_for_inference,
)
from arc_trm.inference.resolve import default_inference
from arc_trm.inference.trials import TuningResult
from arc_trm.inference.tune import tune

__all__ = [
    "Query",
    "TuningResult",
    "build_queries",
    "default_inference",
    "inference_notes",
    "load_for_inference",
    "make_plan",
    "predict_tasks",
    "predict_to_folder",
    "tune",
]
