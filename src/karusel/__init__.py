"""Karusel: LSTM networks as ready to use as gradient-boosted trees.

Importing this package loads nothing heavy: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from karusel import inspect as inspect
    from karusel.callbacks import Callback as Callback
    from karusel.callbacks import Checkpoint as Checkpoint
    from karusel.callbacks import EarlyStopping as EarlyStopping
    from karusel.callbacks import GradientFlow as GradientFlow
    from karusel.errors import DataError as DataError
    from karusel.errors import DivergenceError as DivergenceError
    from karusel.errors import FileMissingError as FileMissingError
    from karusel.errors import KaruselError as KaruselError
    from karusel.errors import MissingDependencyError as MissingDependencyError
    from karusel.errors import ModelFileError as ModelFileError
    from karusel.errors import TooLargeError as TooLargeError
    from karusel.errors import UsageError as UsageError
    from karusel.forecasting.forecaster import Forecaster as Forecaster
    from karusel.layers import LSTM as LSTM
    from karusel.layers import Activation as Activation
    from karusel.layers import Attention as Attention
    from karusel.layers import Dense as Dense
    from karusel.layers import Dropout as Dropout
    from karusel.layers import Embedding as Embedding
    from karusel.layers import LayerNorm as LayerNorm
    from karusel.layers import Pool as Pool
    from karusel.layers import Transpose as Transpose
    from karusel.losses import CTC as CTC
    from karusel.losses import AbsoluteError as AbsoluteError
    from karusel.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from karusel.losses import ClippedSurrogate as ClippedSurrogate
    from karusel.losses import Huber as Huber
    from karusel.losses import Pinball as Pinball
    from karusel.losses import SoftmaxCrossEntropy as SoftmaxCrossEntropy
    from karusel.losses import SquaredError as SquaredError
    from karusel.network import Sequential as Sequential
    from karusel.network import load as load
    from karusel.optimizers import Adam as Adam
    from karusel.optimizers import AdamW as AdamW
    from karusel.optimizers import Constant as Constant
    from karusel.optimizers import Cosine as Cosine
    from karusel.optimizers import Step as Step
    from karusel.windows import Windows as Windows

__version__ = "0.1.0"

_MODULES = {
    "karusel.callbacks": ("Callback", "Checkpoint", "EarlyStopping", "GradientFlow"),
    "karusel.errors": (
        "DataError",
        "DivergenceError",
        "FileMissingError",
        "KaruselError",
        "MissingDependencyError",
        "ModelFileError",
        "TooLargeError",
        "UsageError",
    ),
    "karusel.forecasting.forecaster": ("Forecaster",),
    "karusel.layers": (
        "LSTM",
        "Activation",
        "Attention",
        "Dense",
        "Dropout",
        "Embedding",
        "LayerNorm",
        "Pool",
        "Transpose",
    ),
    "karusel.losses": (
        "CTC",
        "AbsoluteError",
        "BinaryCrossEntropy",
        "ClippedSurrogate",
        "Huber",
        "Pinball",
        "SoftmaxCrossEntropy",
        "SquaredError",
    ),
    "karusel.network": ("Sequential", "load"),
    "karusel.optimizers": ("Adam", "AdamW", "Constant", "Cosine", "Step"),
    "karusel.windows": ("Windows",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "inspect":
        return importlib.import_module("karusel.inspect")
    if name not in _HOME:
        raise AttributeError(f"module 'karusel' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "inspect"})
