"""Scaling inside the window: each window by its own level, growth, season and size, nothing from outside it.

With u the values of a window's input part (or their logarithms), m the season length and h steps ahead:

    growth   g    change of the level per step, from the first season to the last; without season, from the
                  first value to the last, or between the last two
    season   s_p  a share of the mean deviation from the season's level at phase p, growth taken out
    level    l    exponential smoothing of u - s with rate a: l <- a (u_t - s_p(t)) + (1 - a) (l + g); for
                  a = 0 the mean of u - s
    size     d    mean |difference| of u - s between neighbours
    anchor   A_k = l + trend * k * g + s_p(k), k = 1..h

The network sees (u - s - l) / d and its differences, and forecasts (u_(t+k) - A_k) / d: the anchor continues
level, trend and season outside any range seen before, and the network corrects it. Windows are thus
comparable over time and between series. The idea is ES-RNN's (Smyl, 2020), with smoothing rates chosen rather
than learned. Half of the growth is what the theta method continues (Hyndman and Billah, 2003). The share
is what is not noise of the variance of that mean (Miller and Williams, 2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.prediction import ROUNDING, Units

__all__ = [
    "Scaled",
    "Scaling",
    "choose_scaling",
    "rows_for_season",
    "rows_needed",
    "window_shape",
]

_MOST_SEASONS = 3  # seasons in an input part; more would weigh old patterns as much as new ones
_PART_OF_ROWS, _HORIZONS_LEFT = 0.4, 4  # which those may be at most, and leave at least; else two are read
_SHORTEST_PLAIN, _LONGEST_PLAIN = 4, 12  # steps of an input part without season
_LEAST_WINDOWS = 8
_LARGEST_INPUT = 20.0  # a network input beyond this many sizes is cut: it carries no more news
_SMOOTHING = (1.0, 0.5, 0.2)
_TREND = (0.0, 0.5, 1.0)
_DOUBT = 0.9  # over the horizons that the windows hold: what a bold anchor must cut errors by,
_MOST_DOUBT = 0.5  # at most
_LEAST_SHARE = 0.3  # of a season that is tried


@dataclass(frozen=True)
class Scaled:
    """Windows after scaling, n of them."""

    features: NDArray[np.float64]  # [n, T, 2] what the network sees
    anchor: NDArray[np.float64]  # [n, h]
    size: NDArray[np.float64]  # [n, 1]
    still: NDArray[np.bool_]  # [n, 1] windows without change, whose size is arbitrary


@dataclass(frozen=True)
class Scaling(Units):
    """How the windows of one panel are scaled.

    `length` steps of input part, of which the network sees the last `seen`; `season_length` 1 when there is
    no season; `smoothing` the rate a; `trend` the share of the growth that is continued; `season_share` that
    of the season; `span` the steps that growth without season is taken over, None for all.
    """

    length: int
    seen: int
    season_length: int
    smoothing: float = 1.0
    trend: float = 0.0
    season_share: float = 1.0
    span: int | None = None

    @property
    def optimism(self) -> float:
        """How many times too small d is for errors of forecasts. The season is a share r of the mean of the K
        that the window holds, and noise is 1 - r of that one's variance: the window's own values are
        sqrt((K - r) / K) of the noise away from the season, later ones sqrt((K + r) / K).
        """
        seasons, share = self.length // self.season_length, self.season_share
        return math.sqrt((seasons + share) / (seasons - share)) if self.season_length > 1 else 1.0

    def apply(self, inputs: NDArray[np.float64], horizon: int) -> Scaled:
        """Scale input parts [n, length]."""
        return self.finish(*self.linear(self.transform(inputs), horizon))

    def linear(
        self, u: NDArray[np.float64], horizon: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """u - s - l [n, length], the level l [n, 1] and the anchor [n, h], all linear in u [n, length]."""
        growth, season = self._growth_and_season(u)
        m = self.season_length
        rest = u - np.tile(season, self.length // m)
        level = self._level(rest, growth)
        steps = np.arange(horizon)
        anchor = level[:, None] + self.trend * growth[:, None] * (steps + 1) + season[:, steps % m]
        return rest - level[:, None], level[:, None], anchor

    def finish(
        self, away: NDArray[np.float64], level: NDArray[np.float64], anchor: NDArray[np.float64]
    ) -> Scaled:
        """Windows from their `linear` parts."""
        size, still = self.size(away, level)
        away = self.cut(away / size)
        features = np.zeros((len(away), self.seen, 2))
        features[:, :, 0] = away[:, -self.seen :]
        first = max(1, self.length - self.seen)
        features[:, self.seen - (self.length - first) :, 1] = away[:, first:] - away[:, first - 1 : -1]
        return Scaled(features, anchor, size, still)

    def size(
        self, away: NDArray[np.float64], level: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The size d [n, 1], and which windows are still [n, 1]: those without change, but for rounding, have
        a thousandth of their level for it.
        """
        steps = np.abs(away[:, 1:] - away[:, :-1])
        size = np.add.reduce(steps, axis=1, keepdims=True) / steps.shape[1]
        still = size <= ROUNDING * np.abs(level)
        if not still.any():
            return np.asarray(size), still
        return np.where(still, np.where(level != 0, 1e-3 * np.abs(level), 1.0), size), still

    def cut(self, away: NDArray[np.float64]) -> NDArray[np.float64]:
        """(u - s - l) / d, cut where it is so far away that it says no more."""
        return np.asarray(np.minimum(np.maximum(away, -_LARGEST_INPUT), _LARGEST_INPUT))

    def shorter(self, rows: int) -> Scaling:
        """The scaling of a series of fewer rows than `length`, for its anchor: with the season where it holds
        two, otherwise with the mean of its last one.
        """
        rows, m = max(rows, 2), self.season_length  # what lies before the first value is read as that
        if rows >= 2 * m:
            return replace(self, length=rows // m * m)
        return replace(self, length=min(rows, m), season_length=1, smoothing=0.0, trend=0.0)

    def _level(self, rest: NDArray[np.float64], growth: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.smoothing == 0:
            return np.asarray(rest.mean(1))
        level = rest[:, 0]
        for t in range(1, self.length):
            level = self.smoothing * rest[:, t] + (1 - self.smoothing) * (level + growth)
        return level

    def _growth_and_season(self, u: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.season_length == 1:
            span = self.span or self.length - 1
            return (u[:, -1] - u[:, -1 - span]) / span, np.zeros((len(u), 1))
        growth, patterns = _growth_and_patterns(u, self.season_length)
        return growth, self.season_share * patterns.mean(1)


def _growth_and_patterns(u: NDArray[np.float64], m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The growth [n] and each season's deviations from its level, growth taken out [n, K, m]."""
    seasons = u.reshape(len(u), -1, m)
    levels = seasons.mean(2)
    growth = (levels[:, -1] - levels[:, 0]) / (m * (seasons.shape[1] - 1))
    flat = seasons - growth[:, None, None] * np.arange(m)
    return growth, flat - flat.mean(2, keepdims=True)


def _share_of_season(u: NDArray[np.float64], season_length: int) -> float:
    """Of the variance of the mean pattern of windows [n, length], the share that is not noise."""
    _, patterns = _growth_and_patterns(u / _steps(u), season_length)
    mean, seasons = patterns.mean(1), patterns.shape[1]
    noise = np.sum((patterns - mean[:, None]) ** 2) / (seasons - 1) / seasons
    variance = np.sum(mean**2)
    return float(max(0.0, 1 - noise / variance)) if variance > 0 else 0.0


def rows_needed(horizon: int) -> int:
    """The rows that a series must have at least, for the shortest input part."""
    return _SHORTEST_PLAIN + horizon + _LEAST_WINDOWS - 1


def window_shape(rows: int, season_length: int, horizon: int, input_size: int | None) -> tuple[int, int, int]:
    """Steps of the input part, steps that the network sees, and the season that `rows` rows bear out.

    A season is tried when the rows hold two whole ones before a forecast, and a third is read where windows
    enough to learn from are left; the season returned is 1 otherwise. `input_size` overrides how many steps
    the network sees.
    """
    if rows >= rows_for_season(season_length, horizon):
        length = _MOST_SEASONS * season_length
        if length > _PART_OF_ROWS * rows or length + _HORIZONS_LEFT * horizon > rows:
            length = 2 * season_length
        seen = season_length + 4 if season_length <= 24 else 28
        return length, min(length, input_size or seen), season_length
    length = (rows - horizon - _LEAST_WINDOWS + 1) // 2
    length = max(_SHORTEST_PLAIN, min(_LONGEST_PLAIN, length))
    return length, min(length, input_size or length), 1


def rows_for_season(season_length: int, horizon: int) -> float:
    """The rows from which a season is tried."""
    return float("inf") if season_length == 1 else 2 * season_length + horizon


def choose_scaling(
    inputs: NDArray[np.float64],
    targets: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> Scaling:
    """The scaling whose anchor alone has the least mean absolute error over windows [n, length], [n, h].

    An anchor learns nothing from other windows, so all of them may decide. Errors are taken in sizes of their
    windows. Logarithms are tried when all values are positive. Windows that overlap tell little more than one
    a horizon: anchors that continue all of the growth, or stay at a mean, may seem the best by chance, and
    must be so by more the fewer there are. Of a season the share is continued that is not noise.
    """
    horizon = targets.shape[1]
    doubt = 1 + min(_MOST_DOUBT, _DOUBT * horizon / len(inputs))
    weight = 1 / _steps(inputs)
    best, least = None, np.inf
    for scaling in _candidates(inputs, shape, bool(np.all(inputs > 0) and np.all(targets > 0))):
        with np.errstate(over="ignore"):
            forecast = scaling.invert(scaling.apply(inputs, horizon).anchor)
        error = float(np.mean(np.abs(forecast - targets) * weight))
        if scaling.trend == 1 or scaling.smoothing == 0:
            error *= doubt
        if best is None or error < least:
            best, least = scaling, error
    assert best is not None
    return best


def _steps(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute step of each input part [n, 1], 1 where it is constant."""
    steps = np.mean(np.abs(np.diff(inputs, axis=1)), axis=1, keepdims=True)
    return np.asarray(np.where(steps > 0, steps, 1.0))


def _candidates(
    inputs: NDArray[np.float64], shape: tuple[int, int, int], positive: bool
) -> Iterator[Scaling]:
    """Scalings with the season, if it shows itself, and without; with levels that follow, grow or stay at the
    window's mean.
    """
    length, seen, season_length = shape
    for season in sorted({season_length, 1}, reverse=True):
        for log in (False, True) if positive else (False,):
            base = Scaling(length, seen, season, log=log)
            if season > 1:
                base = replace(base, season_share=_share_of_season(base.transform(inputs), season))
            if base.season_share < _LEAST_SHARE:
                continue
            for smoothing in _SMOOTHING:
                for trend in _TREND:
                    yield replace(base, smoothing=smoothing, trend=trend)
            yield replace(base, smoothing=0.0)
            if season == 1:
                yield replace(base, trend=1.0, span=1)  # data without noise, which grow faster and faster
