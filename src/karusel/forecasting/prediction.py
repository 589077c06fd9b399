"""Predictions: what a model says of windows, and the units in which it says it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANY", "Prediction", "Support", "Units"]


@dataclass(frozen=True, kw_only=True)
class Units:
    """Values u in which a model computes: the data's own, or their logarithms when `log`."""

    log: bool = False

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values as u."""
        return np.log(values) if self.log else values

    def invert(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undo `transform`."""
        return np.exp(u) if self.log else u


@dataclass(frozen=True)
class Support:
    """The values that can be: all, those from 0 up, whole numbers alone."""

    non_negative: bool = False
    whole: bool = False

    def nearest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest values that can be."""
        if self.non_negative:
            values = np.maximum(values, 0.0)
        return np.rint(values) if self.whole else values


ANY = Support()


@dataclass(frozen=True)
class Prediction:
    """Forecasts of n windows, h steps each, with the unit that their errors and intervals are measured in.

    `middle` [n, h] are the forecasts in u; `below` and `above`, [n, h] or [n, 1], one unit to either side.
    A value is invert(u) factor + shift, with the effect of covariates [n, h], and then what `support` allows.
    """

    units: Units
    middle: NDArray[np.float64]
    below: NDArray[np.float64]
    above: NDArray[np.float64]
    factor: NDArray[np.float64] | float = 1.0
    shift: NDArray[np.float64] | float = 0.0
    support: Support = ANY

    @property
    def values(self) -> NDArray[np.float64]:
        """The forecasts [n, h]."""
        return self._values(self.middle)

    def scores(self, truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Absolute errors [n, h] in units; infinite where the logarithm of a truth is, NaN where there is no
        truth.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            away = self.units.transform((truth - self.shift) / self.factor) - self.middle
        unit = np.where(away > 0, self.above, self.below)
        scores = np.nan_to_num(np.abs(away) / unit, nan=np.inf)
        return np.where(np.isnan(truth), np.nan, scores)

    def interval(
        self, half_width: float | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high ends [n, h] of the interval `half_width` (a number or [h]) units to either side."""
        low, high = self.middle - self.below * half_width, self.middle + self.above * half_width
        return self._values(low), self._values(high)

    def within(
        self,
        factor: NDArray[np.float64] | float,
        shift: NDArray[np.float64] | float,
        support: Support,
    ) -> Prediction:
        """The same with the effect of covariates and what can be."""
        return replace(self, factor=factor, shift=shift, support=support)

    def _values(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.support.nearest(self.units.invert(u) * self.factor + self.shift)
