"""Prediction: what to ask and asking it (`asking`), and the anytime job around it (`job`)."""

from arc_trm.predict.asking import Unanswerable
from arc_trm.predict.job import Outcome, predict, predict_into
from arc_trm.predict.loading import load_answering, voters

__all__ = [
    "Outcome",
    "Unanswerable",
    "load_answering",
    "predict",
    "predict_into",
    "voters",
]
