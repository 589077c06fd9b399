"""A model whose forecasts are weighted sums, in place of a fitted one."""

from __future__ import annotations

import numpy as np

from karusel.forecasting.prediction import Prediction, Units
from karusel.forecasting.windows import Cutoffs


class Linear:
    """Forecasts u W, of which u (W - networks) is smoothing; W [L, h]."""

    members, epochs, share, season_length = 7, 30, 0.5, 12

    def __init__(
        self, whole: np.ndarray, networks: np.ndarray, units: Units | None = None, size: float = 2.0
    ) -> None:
        self.whole, self.smooth = whole, whole - networks
        self.units, self.size = units or Units(), size
        self.length, self.horizon = whole.shape

    def predict(self, cutoffs: Cutoffs) -> Prediction:
        return self._through(self.whole, cutoffs)

    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction:
        return self._through(self.smooth, cutoffs)

    def _through(self, weights: np.ndarray, cutoffs: Cutoffs) -> Prediction:
        u = np.nan_to_num(self.units.transform(cutoffs.inputs(self.length)))
        size = np.full((len(cutoffs), 1), self.size)
        return Prediction(self.units, u @ weights, size, size)
