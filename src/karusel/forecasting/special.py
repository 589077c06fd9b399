"""Special days of daily series: what a day of the year has beyond its week, as in the years before.

With u the values of a window and r_t = u_t - mean of u_(t-14), u_(t-7), u_(t+7), u_(t+14),

    date     D_k   mean over past years j of r at t + k - 365.25 j, to the nearest day
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
LENGTH = _WEEK * round(_YEARS * _YEAR / _WEEK) - min(_AROUND)  # values that are read
MOST_STEPS = 364 - max(_AROUND)  # ahead: last year's days are all known, and those around them


def special_days(u: NDArray[np.float64], known: NDArray[np.bool_], horizon: int) -> NDArray[np.float64]:
    """D and E [n, h, 2] of windows u [n, T] without gaps, T at least `LENGTH`; 0 where no year is known."""
    steps = np.arange(horizon)
    found = []
    for unit in (1, _WEEK):
        total, count = np.zeros((len(u), horizon)), np.zeros((len(u), 1))
        for year in range(1, _YEARS + 1):
            at = u.shape[1] - unit * round(year * _YEAR / unit) + steps
            there = known[:, at[:1] + min(_AROUND)]
            total += there * (u[:, at] - np.mean([u[:, at + away] for away in _AROUND], axis=0))
            count += there
        found.append(total / np.maximum(count, 1))
    return np.stack(found, axis=2)
