"""Influence: by how much a forecast would differ if one past value had been another.

    influence of the value at t on step k  =  (F_k(x + d e_t) - F_k(x - d e_t)) / (2 d)

F is the whole forecast, smoothing and networks; d the size of the window's surprises (of logarithms, where
the model works on them), so that this is an experiment with values that might have been, and not a derivative
at a point: a window's scaling has kinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.fitting import Fitted
from karusel.forecasting.panel import Panel
from karusel.forecasting.prediction import mixed
from karusel.forecasting.windows import Cutoffs

__all__ = ["Influence", "influence"]

_MOST_PARTS = 100  # of a window that are moved one at a time


@dataclass(frozen=True)
class Influence:
    """What the forecasts from one cutoff owe to the L values that the model read.

    Attributes
    ----------
    rows
        How many rows of its series lie up to the cutoff.
    step
        d, in the unit of the data: how far a value was moved, about.
    whole
        By how much each forecast moves when a past value moves by 1, [h, L], the latest value last; 0 for
        values that are not known.
    networks
        The part of `whole` that goes through the networks, of the same shape.
    """

    rows: int
    step: float
    whole: NDArray[np.float64]
    networks: NDArray[np.float64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The size of each value's influence, all steps ahead together, as a share of all values' [L]."""
        return np.asarray(np.abs(self.whole).sum(0) / self._all)

    @property
    def shares_of_networks(self) -> NDArray[np.float64]:
        """The same of what goes through the networks, as a share of all values' whole influence [L]."""
        return np.asarray(np.abs(self.networks).sum(0) / self._all)

    @property
    def _all(self) -> float:
        return float(np.abs(self.whole).sum()) or 1.0


def influence(model: Fitted, panel: Panel, number: int) -> Influence:
    """The influence of past values on the latest forecast of one series whose covariates are all known.

    That is the forecast from its end; with covariates known in the future, the one from `horizon` steps
    before. Effects of such covariates are taken out first. Of more than 100 values neighbours are moved
    together and share alike, which bounds the time that this takes.
    """
    first, at = int(panel.offsets[number]), int(panel.offsets[number + 1]) - 1
    if panel.covariates.of("future"):
        at = max(at - model.horizon, first)
    rest = panel if model.effects is None else model.effects.remove(panel)
    cutoff = Cutoffs(rest, np.array([at]))
    window = cutoff.inputs(model.length)[0]
    smoothed = model.model.predict_without_network(cutoff)
    units, size = smoothed.units, float(mixed(smoothed.below, np.zeros((1, 1)), smoothed.middle)[0, 0])
    u, known = units.transform(window), np.flatnonzero(np.isfinite(window))
    parts = np.array_split(known, min(known.size, _MOST_PARTS))
    away = np.zeros((2, len(parts), len(window)))
    for which, part in enumerate(parts):
        away[:, which, part] = np.array([[size], [-size]])
    tried = units.invert(u + away)
    windows = _Windows(rest, np.full(2 * len(parts), at), tried.reshape(-1, len(window)))
    moved = np.array(
        [np.mean(tried[0, which, part] - tried[1, which, part]) for which, part in enumerate(parts)]
    )
    whole, smooth = np.zeros((2, model.horizon, len(window)))
    for result, forecast in (
        (whole, model.model.predict(windows)),
        (smooth, model.model.predict_without_network(windows)),
    ):
        up, down = forecast.values.reshape(2, len(parts), -1)
        for part, slope in zip(parts, (up - down) / moved[:, None], strict=True):
            result[:, part] = slope[:, None] / part.size
    return Influence(at + 1 - first, float(moved.mean() / 2), whole, whole - smooth)


@dataclass(frozen=True)
class _Windows(Cutoffs):
    """Windows at cutoffs of a panel, whose input parts [n, L] are others than the panel's."""

    tried: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> _Windows:
        """Some of the windows."""
        return _Windows(self.panel, self.at[rows], self.tried[rows])

    def inputs(self, length: int) -> NDArray[np.float64]:
        """The latest values [n, length] of the input parts."""
        return self.tried[:, -length:]
