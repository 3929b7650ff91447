"""Prediction: what to ask and asking it (`asking`), and the anytime job around it (`job`)."""

from arc_trm.predict.asking import Unanswerable
from arc_trm.predict.job import Outcome, predict, predict_into

__all__ = ["Outcome", "Unanswerable", "predict", "predict_into"]
