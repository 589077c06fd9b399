"""Tasks: what networks are for besides forecasting, each with fit, predict, score, save and load."""

from karusel.tasks.captioner import Captioner
from karusel.tasks.classifier import Classifier
from karusel.tasks.controller import Controller
from karusel.tasks.generator import Generator
from karusel.tasks.labeller import Labeller
from karusel.tasks.midi import read_midi, write_midi
from karusel.tasks.policy import Policy
from karusel.tasks.transcriber import Transcriber
from karusel.tasks.translator import Translator

__all__ = [
    "Captioner",
    "Classifier",
    "Controller",
    "Generator",
    "Labeller",
    "Policy",
    "Transcriber",
    "Translator",
    "read_midi",
    "write_midi",
]
