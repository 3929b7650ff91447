"""Prediction: what to ask and asking it (`asking`), and the anytime job around it (`job`)."""

from arc_trm.inference.anytime import Outcome, predict, predict_into
from arc_trm.inference.loading import load_for_inference, voters
from arc_trm.inference.predictor import Skipped

__all__ = [
    "Outcome",
    "Skipped",
    "load_for_inference",
    "predict",
    "predict_into",
    "voters",
]
