"""Special days of daily series: what a day of the year has beyond its week, as in the years before.

With u the values of a window and r_t = u_t - mean of u_(t-14), u_(t-7), u_(t+7), u_(t+14),

    date     D_k   mean over past years j of r at the date of t + k, j years before (February 29: or the 28th)
    weekday  E_k   the same at t + k - 365.25 j, to the nearest whole week

A holiday on a date, such as Christmas, shows in D; one on a weekday, such as Thanksgiving, in E. How much of
both is used is learned from the panel (`karusel.forecasting.pooled`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTH", "MOST_STEPS", "special_days"]

_YEAR, _WEEK = 365.25, 7
_YEARS = 5
_AROUND = (-2 * _WEEK, -_WEEK, _WEEK, 2 * _WEEK)
LENGTH = _WEEK * round(_YEARS * _YEAR / _WEEK) - min(_AROUND)  # values that are read: no date is farther
MOST_STEPS = 364 - max(_AROUND)  # ahead: last year's days are all known, and those around them


def special_days(
    u: NDArray[np.float64], known: NDArray[np.bool_], days: NDArray[np.int64], horizon: int
) -> NDArray[np.float64]:
    """D and E [n, h, 2] of windows u [n, T] without gaps, T at least `LENGTH`; 0 where no year is known.

    `days` [n] are the dates of the windows' last values, counted from 1970.
    """
    ahead = days[:, None] + np.arange(1, horizon + 1)
    found = []
    for back in (_to_date, _to_weekday):
        total, count = np.zeros((2, len(u), horizon))
        for year in range(1, _YEARS + 1):
            at = u.shape[1] - 1 + np.arange(1, horizon + 1) - back(ahead, year)
            there = np.take_along_axis(known, at + min(_AROUND), axis=1)
            around = np.mean([np.take_along_axis(u, at + away, axis=1) for away in _AROUND], axis=0)
            total += there * (np.take_along_axis(u, at, axis=1) - around)
            count += there
        found.append(total / np.maximum(count, 1))
    return np.stack(found, axis=2)


def _to_date(days: NDArray[np.int64], years: int) -> NDArray[np.int64]:
    """How many days the same date lies back, so many years ago."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    then = months - np.timedelta64(12 * years, "M")
    last = (then + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    same = np.minimum(then.astype("datetime64[D]") + (dates - months.astype("datetime64[D]")), last)
    return np.asarray((dates - same).astype(np.int64))


def _to_weekday(days: NDArray[np.int64], years: int) -> NDArray[np.int64]:
    """How many days the nearest same weekday lies back, so many years ago."""
    return np.full(days.shape, _WEEK * round(years * _YEAR / _WEEK))
