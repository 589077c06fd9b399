"""Simple methods, the bar that a network must pass.

Each is one class with one protocol: `fit` learns from all that a panel holds, `forecast` forecasts from any
cutoffs, from the end of the series as well. None reads a value after its cutoff. What is missing is passed
over: where a method needs the last value, or the first, or that of a phase, it takes the last or first known
one.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import windows
from karusel.forecasting.panel import Panel
from karusel.forecasting.ridge import fit_ridge
from karusel.forecasting.rows import positions
from karusel.forecasting.windows import Cutoffs

__all__ = [
    "AutoETS",
    "AutoTheta",
    "Baseline",
    "Drift",
    "LastValue",
    "LinearOnLags",
    "LongestSeason",
    "Mean",
    "SeasonalNaive",
    "baselines",
    "damped_trend",
    "has_extra",
]

_MOST_WINDOWS, _LEAST_WINDOWS = 100_000, 4  # that the linear model is fitted on: in all, and of each series
_PIECE = 8192  # windows read at once
_HISTORY = 500  # values that the automatic methods read


@dataclass(frozen=True)
class Baseline(ABC):
    """A simple method for a horizon and a season length, 1 for no season.

    `name` is what it is called in tables; `slow` says that it is only to be run at a sample of cutoffs.
    """

    horizon: int
    season_length: int = 1
    name: ClassVar[str]
    slow: ClassVar[bool] = False

    def fit(self, panel: Panel) -> Baseline:
        """The method after it has learnt from the panel; itself where there is nothing to learn."""
        return self

    @abstractmethod
    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        """Forecasts [n, horizon] in the data's units; NaN where a series has no known value until there."""


def baselines(horizon: int, season_length: int, cycle: int = 1) -> tuple[Baseline, ...]:
    """All methods that are at hand, from the simplest on; the automatic ones need the extra `baselines`.

    `cycle` is the length of the longest season, where values hold one.
    """
    found: list[Baseline] = [LastValue(horizon), Mean(horizon)]
    if season_length > 1:  # else it would be the last value again
        found.append(SeasonalNaive(horizon, season_length))
    if cycle > season_length:
        found.append(LongestSeason(horizon, cycle))
    kinds: list[type[Baseline]] = [Drift, LinearOnLags]
    if has_extra():
        kinds += [AutoTheta, AutoETS]
    return (*found, *(kind(horizon, season_length) for kind in kinds))


def has_extra() -> bool:
    """Whether the extra `baselines` is installed, which the automatic methods need."""
    return importlib.util.find_spec("statsforecast") is not None


class LastValue(Baseline):
    """The last known value for every step."""

    name = "last value"

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        last = _at(cutoffs, _nearest(cutoffs, cutoffs.at, -1, cutoffs.starts))
        return np.repeat(last[:, None], self.horizon, axis=1)


class Mean(Baseline):
    """The mean of all known values for every step: the best there is for plain noise."""

    name = "mean"

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        means = np.full(len(cutoffs), np.nan)
        order = np.argsort(cutoffs.numbers, kind="stable")
        begins = np.flatnonzero(np.diff(cutoffs.numbers[order], prepend=-1))
        # One series at a time: a sum over all would pass rounding errors on.
        for rows in np.split(order, begins[1:]):
            if not rows.size:
                continue
            start = cutoffs.starts[rows[0]]
            values = cutoffs.panel.values[start : cutoffs.at[rows].max() + 1]
            known = ~np.isnan(values)
            sums, counts = np.cumsum(np.where(known, values, 0.0)), np.cumsum(known)
            here = cutoffs.at[rows] - start
            means[rows] = np.where(counts[here] > 0, sums[here] / np.maximum(counts[here], 1), np.nan)
        return np.repeat(means[:, None], self.horizon, axis=1)


class SeasonalNaive(Baseline):
    """The last known value of each phase of the season; the last known value where a season is not yet full
    or a phase has none.
    """

    name = "seasonal naive"

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        season, starts = self.season_length, cutoffs.starts[:, None]
        at = cutoffs.at[:, None] + 1 - season + np.arange(self.horizon) % season
        whole = cutoffs.at + 1 - cutoffs.starts >= season
        phase = np.full(at.shape, np.nan)
        phase[whole] = _at(cutoffs, _nearest(cutoffs, at[whole], -season, starts[whole]))
        last = LastValue(self.horizon).forecast(cutoffs)
        return np.where(np.isnan(phase), last, phase)


class LongestSeason(SeasonalNaive):
    """Seasonal naive by the longest of several seasons: a week ago instead of a day ago."""

    name = "longest season"


class Drift(Baseline):
    """The straight line through the first and the last known value, continued."""

    name = "drift"

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        last = _nearest(cutoffs, cutoffs.at, -1, cutoffs.starts)
        first = _nearest(cutoffs, cutoffs.starts, 1, cutoffs.at)
        slope = (_at(cutoffs, last) - _at(cutoffs, first)) / np.maximum(last - first, 1)
        steps = (cutoffs.at - last)[:, None] + np.arange(1, self.horizon + 1)
        return np.asarray(_at(cutoffs, last)[:, None] + slope[:, None] * steps)


def _nearest(
    cutoffs: Cutoffs, at: NDArray[np.int64], step: int, bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first position with a known value among at, at + step, ... up to `bounds`; -1 for none."""
    found, bounds = at.ravel().copy(), np.broadcast_to(bounds, at.shape).ravel()
    left = np.arange(found.size)
    while left.size:
        outside = (found[left] - bounds[left]) * np.sign(step) > 0
        found[left[outside]] = -1
        left = left[~outside]
        left = left[np.isnan(cutoffs.panel.values[found[left]])]
        found[left] += step
    return np.asarray(found.reshape(at.shape))


def _at(cutoffs: Cutoffs, found: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values at positions that `_nearest` found, NaN for none."""
    return np.where(found >= 0, cutoffs.panel.values[found], np.nan)


@dataclass(frozen=True)
class LinearOnLags(Baseline):
    """Ridge regression of each step ahead on the last `lags` values, one equation per step, all series
    together.

    Values enter as differences from the last one, divided by the mean absolute step of the window, so that
    level and size drop out. `karusel.forecasting.ridge` chooses the penalty. It is fitted on windows without
    a gap, of many series on the latest; in a window to forecast from, gaps are read as the last known value
    before. Without any whole window it is the last value.

    `lags` follow from the season and the lengths of the series: one season and one step where a third of
    the rows holds them, at least 8, or as many as a third of the rows holds; at least 2.
    """

    lags: int = 0
    weights: NDArray[np.float64] | None = None  # [lags + 1, horizon]; the last row is the constant

    name = "linear on lags"

    def fit(self, panel: Panel) -> LinearOnLags:
        lags = self.lags or self._usual_lags(panel)
        cutoffs = _latest(panel, lags, self.horizon)
        rows = 0
        means, products = np.zeros(lags + self.horizon), np.zeros((lags + self.horizon,) * 2)
        for k in range(0, len(cutoffs), _PIECE):
            piece = cutoffs.take(np.arange(k, min(k + _PIECE, len(cutoffs))))
            inputs, targets = piece.inputs(lags), piece.targets(self.horizon)
            whole = ~np.isnan(inputs).any(1) & ~np.isnan(targets).any(1)
            design, last, size = _design(inputs[whole])
            both = np.concatenate([design, (targets[whole] - last) / size], axis=1)
            rows += len(both)
            means += both.sum(0)
            products += both.T @ both
        means /= max(rows, 1)
        products -= rows * np.outer(means, means)
        weights, _ = fit_ridge(products, lags, rows)
        constant = means[lags:] - means[:lags] @ weights
        return replace(self, lags=lags, weights=np.vstack([weights, constant]))

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        assert self.weights is not None, "fit comes first"
        design, last, size = _design(cutoffs.inputs(self.lags))
        return np.asarray(last + size * (design @ self.weights[:-1] + self.weights[-1]))

    def _usual_lags(self, panel: Panel) -> int:
        rows = int(np.median(panel.lengths[panel.lengths > 0])) if panel.values.size else 0
        return max(2, min(max(self.season_length + 1, 8), (rows - self.horizon) // 3))


def _latest(panel: Panel, lags: int, horizon: int) -> Cutoffs:
    """The latest cutoffs of each series with whole windows around them."""
    counts = np.maximum(panel.lengths - lags - horizon + 1, 0)
    recent = np.minimum(counts, max(_LEAST_WINDOWS, _MOST_WINDOWS // len(panel)))
    return Cutoffs(panel, positions(panel.offsets[1:] - horizon - recent, recent))


def _design(
    window: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scaled differences from the last value [n, lags], the last value [n, 1] and the scale [n, 1]."""
    steps = np.abs(np.diff(window, axis=1))
    known = ~np.isnan(steps)
    count = known.sum(1, keepdims=True)
    size = np.where(known, steps, 0.0).sum(1, keepdims=True) / np.maximum(count, 1)
    size = np.where(size > 0, size, 1.0)
    window = windows.filled(window)
    last = window[:, -1:]
    return (window - last) / size, last, size


class _Automatic(Baseline):
    """A method of statsforecast (Garza et al., 2022), which chooses its own form for each series.

    It takes no missing values: of each history it is given the last 500 values, gaps read as the last known
    value before. NaN where it finds no form, as for very short histories.
    """

    slow = True

    def forecast(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        forecasts = np.full((len(cutoffs), self.horizon), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            method = self._method()
            for row, (start, at) in enumerate(zip(cutoffs.starts, cutoffs.at, strict=True)):
                values = cutoffs.panel.values[max(start, at + 1 - _HISTORY) : at + 1]
                values = values[np.argmax(~np.isnan(values)) :]
                if np.isnan(values).all():
                    continue
                try:
                    made = method.forecast(y=windows.filled(values[None])[0], h=self.horizon)
                except Exception:  # whatever it is, the others go on without this one
                    continue
                forecasts[row] = made["mean"]
        return forecasts

    def _method(self) -> Any:
        models = importlib.import_module("statsforecast.models")
        return getattr(models, self.name)(season_length=self.season_length)


class AutoTheta(_Automatic):
    """The best of four Theta models by their error in the history (Fiorucci et al., 2016)."""

    name = "AutoTheta"


class AutoETS(_Automatic):
    """Exponential smoothing with the best information criterion (Hyndman and Khandakar, 2008)."""

    name = "AutoETS"


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
