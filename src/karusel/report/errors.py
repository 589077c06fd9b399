"""Errors in the past as a report shows them: by step ahead, by cutoff and by series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.backtest import NETWORK, Backtest

__all__ = ["Errors", "errors_of"]


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of two methods by name, the network first, then the best simple one.

    `by_horizon` [h] and `by_cutoff` [C] are in the data's unit for one series and, `scaled`, in each series'
    own scale for several; `by_series` [S] is always scaled (MASE), NaN where the scale is not known.
    """

    scaled: bool
    by_horizon: dict[str, NDArray[np.float64]]
    by_cutoff: dict[str, NDArray[np.float64]]
    by_series: dict[str, NDArray[np.float64]]


def errors_of(backtest: Backtest, best_simple: str) -> Errors:
    """The errors of a backtest where both methods were run; values that are not known do not count."""
    scaled = len(backtest.ids) > 1
    unit = 1.0 if scaled else backtest.sizes[0]
    found = Errors(scaled, {}, {}, {})
    methods = (NETWORK, best_simple)
    for method, errors in zip(methods, backtest.errors(*methods), strict=True):
        found.by_horizon[method] = unit * _mean(errors, (0, 1))
        found.by_cutoff[method] = unit * _mean(errors, (1, 2))
        found.by_series[method] = np.where(backtest.scales > 0, _mean(errors, (0, 2)), np.nan)
    return found


def _mean(errors: NDArray[np.float64], axes: tuple[int, int]) -> NDArray[np.float64]:
    """The mean of what is known, NaN where nothing is."""
    known = ~np.isnan(errors)
    counts = known.sum(axes)
    means = np.where(known, errors, 0.0).sum(axes) / np.maximum(counts, 1)
    return np.asarray(np.where(counts > 0, means, np.nan))
