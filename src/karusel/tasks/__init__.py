"""Tasks: what networks are for besides forecasting, each with fit, predict, score, save and load."""

from karusel.tasks.classifier import Classifier

__all__ = ["Classifier"]
