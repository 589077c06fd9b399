"""Simple methods, the bar that a network must pass.

Each is given the flat values of a panel, where the series of each row begins, and the row's cutoff (the
flat position of its last known value), and forecasts `horizon` steps. None reads a value after its cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import windows
from karusel.forecasting.panel import Panel

__all__ = ["LinearOnLags", "drift", "last_value", "mean", "seasonal_naive"]

_PENALTIES = np.logspace(-6, 2, 17)  # ridge penalties tried, as shares of the mean squared singular value


def last_value(values: NDArray[np.float64], cutoffs: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """The last known value for every step [..., horizon]."""
    return np.repeat(values[cutoffs][..., None], horizon, axis=-1)


def mean(
    values: NDArray[np.float64], starts: NDArray[np.int64], cutoffs: NDArray[np.int64], horizon: int
) -> NDArray[np.float64]:
    """The mean of all known values for every step [..., horizon]: the best there is for plain noise."""
    means = np.empty(cutoffs.shape)
    for start in np.unique(starts):  # one series at a time: a sum over all would pass rounding errors on
        rows = starts == start
        known = values[start : cutoffs[rows].max() + 1]
        means[rows] = (np.cumsum(known) / np.arange(1, known.size + 1))[cutoffs[rows] - start]
    return np.repeat(means[..., None], horizon, axis=-1)


def seasonal_naive(
    values: NDArray[np.float64],
    starts: NDArray[np.int64],
    cutoffs: NDArray[np.int64],
    horizon: int,
    season_length: int,
) -> NDArray[np.float64]:
    """The value one season before, the last known season repeated; the last value where no season is
    known.
    """
    steps = np.arange(horizon) % season_length
    whole = (cutoffs - starts + 1 >= season_length)[..., None]
    positions = np.where(whole, cutoffs[..., None] + 1 - season_length + steps, cutoffs[..., None])
    return values[positions]


def drift(
    values: NDArray[np.float64], starts: NDArray[np.int64], cutoffs: NDArray[np.int64], horizon: int
) -> NDArray[np.float64]:
    """The straight line through the first and the last known value, continued."""
    last, first = values[cutoffs], values[starts]
    slope = (last - first) / np.maximum(cutoffs - starts, 1)
    return np.asarray(last[..., None] + slope[..., None] * np.arange(1, horizon + 1))


@dataclass(frozen=True)
class LinearOnLags:
    """Ridge regression of each step ahead on the last `lags` values, one equation per step, all series
    together.

    Values enter as differences from the last one, divided by the mean absolute step of the window, so that
    level and size drop out. The penalty has the least generalised cross-validation error (Golub, Heath and
    Wahba, 1979).
    """

    lags: int
    weights: NDArray[np.float64]  # [lags + 1, horizon]; the last row is the constant

    @staticmethod
    def fit(panel: Panel, horizon: int, lags: int) -> LinearOnLags:
        """Fit on every window of the panel; `lags` at least 2."""
        cutoffs = windows.training_cutoffs(panel, lags, horizon)
        design, last, size = _design(windows.inputs(panel.values, cutoffs, lags))
        wanted = (windows.targets(panel.values, cutoffs, horizon) - last) / size
        mean_x, mean_y = design.mean(0), wanted.mean(0)
        u, singular, vt = np.linalg.svd(design - mean_x, full_matrices=False)
        projected = u.T @ (wanted - mean_y)
        rows = len(design)
        residual = float(np.sum((wanted - mean_y) ** 2) - np.sum(projected**2))
        best, kept = np.inf, np.zeros_like(singular)
        for penalty in _PENALTIES * float(np.mean(singular**2) + 1e-300):
            shrunk = singular**2 / (singular**2 + penalty)
            error = residual + float(np.sum(((1 - shrunk)[:, None] * projected) ** 2))
            score = error / max(rows - 1 - float(shrunk.sum()), 1e-3) ** 2
            if score < best:
                best, kept = score, singular / (singular**2 + penalty)
        weights = vt.T @ (kept[:, None] * projected)
        return LinearOnLags(lags, np.vstack([weights, mean_y - mean_x @ weights]))

    def predict(self, values: NDArray[np.float64], cutoffs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Forecasts [..., horizon] from the `lags` values up to each cutoff."""
        design, last, size = _design(windows.inputs(values, cutoffs, self.lags))
        return np.asarray(last + size * (design @ self.weights[:-1] + self.weights[-1]))


def _design(
    window: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scaled differences from the last value [..., lags], the last value [..., 1] and the scale [..., 1]."""
    last = window[..., -1:]
    size = np.mean(np.abs(np.diff(window, axis=-1)), axis=-1, keepdims=True)
    size = np.where(size > 0, size, 1.0)
    return (window - last) / size, last, size


_SMOOTHING = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the level
_TREND = ((0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.2, 0.98), (0.4, 0.9))  # of the trend, and its damping


def damped_trend(window: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
    """Exponential smoothing with a damped trend (Gardner and McKenzie, 1985), forecasts [n, horizon].

    `window` [n, length] holds the last known values, NaN where there is none; each row uses the rates with
    the least mean absolute error one step ahead in it::

        l_t = a y_t + (1 - a) (l + phi g);  g_t = phi g + a b (y_t - l - phi g)
        y_(t+k) = l + (phi + ... + phi^k) g
    """
    known = np.isfinite(window)
    rows, length = window.shape
    first = np.argmax(known, axis=1)
    best, least = np.empty((rows, horizon)), np.full(rows, np.inf)
    start = window[np.arange(rows), first]
    for rate in _SMOOTHING:
        for share, damping in _TREND:
            level, trend, error = start.copy(), np.zeros(rows), np.zeros(rows)
            for t in range(1, length):
                news = known[:, t] & (t > first)
                ahead = level + damping * trend
                miss = np.where(news, window[:, t] - ahead, 0.0)
                error += np.abs(miss)
                begun = t > first
                level = np.where(begun, ahead + rate * miss, level)
                trend = np.where(begun, damping * trend + rate * share * miss, trend)
            steps = np.cumsum(damping ** np.arange(1, horizon + 1)) if share else np.zeros(horizon)
            better = error < least
            best[better] = (level[:, None] + trend[:, None] * steps)[better]
            least = np.minimum(least, error)
    return best
