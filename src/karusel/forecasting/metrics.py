"""Measures of a forecast's error. Lower is better everywhere except for `coverage`.

`truth` and `forecast` are arrays of one shape; the mean goes over all elements whose truth is known, NaN
being a missing one, and is NaN when there are none. Units are the data's own unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from karusel.arguments import between, whole_number
from karusel.errors import DataError, UsageError

__all__ = [
    "coverage",
    "mae",
    "mase",
    "naive_scale",
    "quantile_losses",
    "rmse",
    "smape",
    "smape_terms",
    "weighted_quantile_loss",
]


def _known(truth: ArrayLike, *others: ArrayLike) -> list[NDArray[np.float64]]:
    """The known elements of the truth [n], and the same ones of arrays of its shape."""
    y, *rest = (np.asarray(one, np.float64) for one in (truth, *others))
    for other in rest:
        if y.shape != other.shape:
            raise DataError(f"truth has shape {y.shape} and forecast {other.shape}; they must be equal")
    if y.size == 0:
        raise DataError("truth and forecast are empty; at least one value is needed")
    known = ~np.isnan(y)
    return [y[known], *(other[known] for other in rest)]


def _mean(terms: NDArray[np.float64]) -> float:
    return float(np.mean(terms)) if terms.size else float("nan")


def mae(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error, mean |y - f|."""
    y, f = _known(truth, forecast)
    return _mean(np.abs(y - f))


def rmse(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Root of the mean squared error, sqrt(mean (y - f)^2)."""
    y, f = _known(truth, forecast)
    return float(np.sqrt(_mean((y - f) ** 2)))


def smape(truth: ArrayLike, forecast: ArrayLike) -> float:
    """Symmetric mean absolute percentage error, mean 200 |y - f| / (|y| + |f|), in percent from 0 to 200.

    A term whose truth and forecast are both 0 counts as 0. The form of the M4 competition (2018).
    """
    return _mean(smape_terms(*_known(truth, forecast)))


def smape_terms(truth: NDArray[np.float64], forecast: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `smape` is the mean of, element by element."""
    size = np.abs(truth) + np.abs(forecast)
    return np.asarray(200 * np.abs(truth - forecast) / np.where(size > 0, size, 1))


def naive_scale(history: ArrayLike, season_length: int = 1) -> float:
    """Mean |y_t - y_(t-m)| over the known history: the error of seasonal naive one season ahead, inside it.

    NaN when no two known values lie one season apart.
    """
    y = np.asarray(history, np.float64)
    whole_number("naive_scale", "season_length", season_length)
    steps = np.abs(y[season_length:] - y[:-season_length])
    return _mean(steps[~np.isnan(steps)])


def mase(truth: ArrayLike, forecast: ArrayLike, history: ArrayLike, season_length: int = 1) -> float:
    """Mean absolute scaled error, MAE / `naive_scale(history, season_length)`; no unit.

    Below 1 the forecast errs less than seasonal naive does one season ahead inside the history. NaN when
    that scale is 0 or unknown. Hyndman and Koehler (2006).
    """
    scale = naive_scale(history, season_length)
    return mae(truth, forecast) / scale if scale > 0 else float("nan")


def weighted_quantile_loss(truth: ArrayLike, forecasts: ArrayLike, quantiles: Sequence[float]) -> float:
    """Mean over quantiles of 2 sum rho_q(y - f_q) / sum |y|, rho_q(u) = max(q u, (q - 1) u); no unit.

    `forecasts` [..., Q] holds the quantile forecasts of `truth` [...]. NaN when all truth is 0, infinite when
    it is so small that no number is large enough.
    The form of DeepAR's evaluation (Salinas et al., 2017), called mean weighted quantile loss in GluonTS.
    """
    y, f = np.asarray(truth, np.float64), np.asarray(forecasts, np.float64)
    q = np.asarray(quantiles, np.float64)
    if f.shape != (*y.shape, q.size):
        raise DataError(f"forecasts have shape {f.shape}; for this truth they must have {(*y.shape, q.size)}")
    if q.size == 0:
        raise UsageError("weighted_quantile_loss: there must be a quantile, got none")
    for quantile in q.tolist():
        between("weighted_quantile_loss", "quantiles", quantile, 0, 1)
    known = ~np.isnan(y)
    total = float(np.sum(np.abs(y[known])))
    loss = quantile_losses(y[known][:, None], f[known], q)
    return float(np.mean(2 * loss.sum(0))) / total if total > 0 else float("nan")


def quantile_losses(
    truth: NDArray[np.float64], forecast: NDArray[np.float64], quantile: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """rho_q(y - f) = max(q u, (q - 1) u), u = y - f, element by element."""
    error = truth - forecast
    return np.asarray(np.maximum(quantile * error, (quantile - 1) * error))


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of the truth, from 0 to 1, that lies in the interval from `low` to `high`, both included."""
    y, lo, hi = _known(truth, low, high)
    return _mean(np.asarray((lo <= y) & (y <= hi), np.float64))
