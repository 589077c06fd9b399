"""Seasonality found in the values: after how many steps the changes of a panel's series repeat.

With d_t = y_t - y_(t-1), the autocorrelation r_k of d, averaged over the series, is the share of the changes'
variance that repeats after k steps. The season is the shortest m whose r_m is about as large as any. What
repeats after m steps may do so sooner in part: where the mean changes at the m phases themselves repeat after
a divisor of m, that is a season as well, as a day of hours is beside the week. Then the mean changes at
the m phases are removed from each series, and what is left is searched again for seasons that do not divide
one another. Differences are taken because a trend or a random walk would make all r_k large.

A pattern that moves less in one step than the noise does, such as a smooth year of days, cannot be seen in
differences; `Frequency.season_lengths` names the seasons that the times alone suggest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.panel import Panel

__all__ = ["find_season_lengths"]

_MOST_SERIES, _MOST_ROWS = 64, 4096  # looked at: series evenly spaced in the panel, the last rows of each
_LEAST_ROWS = 12
_MOST_SEARCHES = 3
_WHOLE_SEASONS = 3  # that the rows must hold
_LEAST_SHARE = 0.1  # a season that explains less of the changes is of no use
_SURE = 5.0  # standard errors above nothing
_AS_LARGE = 0.9  # of the largest autocorrelation
_AGAIN = 0.5  # of its height a peak must reach at twice the lag; a cycle without a fixed length does not
_MULTIPLES = 4  # of a lag, which tell its length more exactly
_HARMONIC = 3  # a part of a season this many times shorter is a harmonic, not a season
_NEAR = 0.05  # of a season that the times suggest: the same one
_APART = 0.15  # between two seasons: closer ones are one whose length is not a whole number


def find_season_lengths(panel: Panel) -> tuple[int, ...]:
    """The season lengths that the values bear out, in steps, ascending; () for none."""
    change = _changes(panel)
    found: list[int] = []
    for _ in range(_MOST_SEARCHES):
        length = _season(change, panel.frequency.season_lengths) if len(change) else None
        if length is None or any(abs(one - length) <= _APART * one for one in found):
            break
        pattern = _pattern(change, length)
        found += [length, *_parts(pattern)]
        change = change - pattern[:, np.arange(change.shape[1]) % length]
    return tuple(sorted(set(found)))


def _changes(panel: Panel) -> NDArray[np.float64]:
    """Differences of some series [s, L] in units of their spread, ends aligned, NaN where unknown."""
    numbers = np.flatnonzero(panel.lengths >= _LEAST_ROWS)
    if numbers.size == 0:
        return np.empty((0, 0))
    numbers = numbers[np.linspace(0, numbers.size - 1, min(numbers.size, _MOST_SERIES)).astype(int)]
    rows = min(int(panel.lengths[numbers].max()), _MOST_ROWS)
    change = np.full((numbers.size, rows - 1), np.nan)
    for row, number in zip(change, numbers, strict=True):
        last = np.diff(panel.series(int(number))[-rows:])
        row[row.size - last.size :] = last
    change = change[np.count_nonzero(~np.isnan(change), axis=1) >= _LEAST_ROWS - 1]
    if len(change):
        change -= np.nanmean(change, axis=1, keepdims=True)
        spread = np.nanstd(change, axis=1, keepdims=True)
        change = change[spread[:, 0] > 0] / spread[spread[:, 0] > 0]
    return np.asarray(change)


def _season(change: NDArray[np.float64], suggested: tuple[int, ...]) -> int | None:
    """The shortest number of steps after which the changes [s, L] repeat as well as after any."""
    repeated, pairs = _autocovariance(change)
    correlation = repeated / max(float(repeated[0]), 1e-300)
    longest = int(np.median(np.count_nonzero(~np.isnan(change), axis=1))) // _WHOLE_SEASONS
    error = 1 / np.sqrt(np.maximum(pairs * _independent(change) / len(change), 1))
    useful = repeated > _LEAST_SHARE
    sure = useful & (correlation > _SURE * error)
    lags = np.arange(correlation.size)
    shortest = max(2, int(np.argmin(sure[1:])) + 1)  # past the lags that hang together with lag 0
    possible = useful & (lags >= shortest) & (lags <= longest)
    if not (sure & possible).any():
        return None
    most = float(correlation[sure & possible].max())
    large = possible & (correlation >= np.minimum(_AS_LARGE * most, most - 2 * error))
    first = int(np.argmax(large))
    last = first + int(np.argmin(np.append(large[first:], False)))
    heights = [np.mean(correlation[lag::lag][:_MULTIPLES]) for lag in range(first, last)]
    lag = first + int(np.argmax(heights))
    if correlation[2 * lag - 1 : 2 * lag + 2].max() < _AGAIN * correlation[lag]:
        return None
    return next((one for one in suggested if abs(one - lag) <= _NEAR * one), lag)


def _autocovariance(change: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean autocovariance at each lag [L] over pairs that are known, and how many pairs there are."""
    known = ~np.isnan(change)
    size = 2 ** int(np.ceil(np.log2(2 * change.shape[1])))

    def products(values: NDArray[np.float64]) -> NDArray[np.float64]:
        power = np.abs(np.fft.rfft(values, size, axis=1)) ** 2
        return np.asarray(np.fft.irfft(power.sum(axis=0), size)[: change.shape[1]])

    pairs = np.rint(products(known.astype(np.float64)))
    return products(np.where(known, change, 0.0)) / np.maximum(pairs, 1), pairs


def _independent(change: NDArray[np.float64]) -> float:
    """How many independent series the rows [s, L] are worth, s / (1 + (s - 1) rho^2), rho their
    correlation.
    """
    series = len(change)
    if series == 1:
        return 1.0
    count = np.count_nonzero(~np.isnan(change), axis=0)
    total = np.nansum(change, axis=0)
    both = float(np.sum(count * (count - 1)))
    rho = float(np.sum(total**2) - np.nansum(change**2)) / both if both else 0.0
    return series / (1 + (series - 1) * min(rho, 1.0) ** 2)


def _pattern(change: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The mean change at each phase of a season [s, length], 0 where none is known."""
    seasons = -(-change.shape[1] // length)
    whole = np.full((len(change), seasons * length), np.nan)
    whole[:, : change.shape[1]] = change
    whole = whole.reshape(len(change), seasons, length)
    count = np.count_nonzero(~np.isnan(whole), axis=1)
    return np.asarray(np.nansum(whole, axis=1) / np.maximum(count, 1))


def _parts(pattern: NDArray[np.float64]) -> list[int]:
    """The shorter seasons within a season's mean changes [s, m], harmonics left out.

    They are added up to levels, since changes would favour short seasons. A divisor q of m is one when the
    adjusted share of the levels' variance that repeats after q steps is large.
    """
    series, length = pattern.shape
    pattern = np.cumsum(pattern - pattern.mean(axis=1, keepdims=True), axis=1)
    total = float(np.sum((pattern - pattern.mean(axis=1, keepdims=True)) ** 2)) / (series * (length - 1))
    shares = {}
    for part in (q for q in range(2, length // _HARMONIC) if length % q == 0):
        folded = pattern.reshape(series, -1, part)
        rest = float(np.sum((folded - folded.mean(axis=1, keepdims=True)) ** 2)) / (series * (length - part))
        error = np.sqrt(2 * (part - 1) / _independent(pattern)) / (length - part)
        share = 1 - rest / total if total > 0 else 0.0
        if share > max(_LEAST_SHARE, _SURE * error):
            shares[part] = share
    if not shares:
        return []
    part = min(one for one, share in shares.items() if share >= _AS_LARGE * max(shares.values()))
    level = pattern.reshape(series, -1, part).mean(axis=1)
    return [part, *_parts(level - np.roll(level, 1, axis=1))]
