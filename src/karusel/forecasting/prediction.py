"""Predictions: what a model says of windows, and the units in which it says it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prediction", "Units"]


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
class Prediction:
    """Forecasts of n windows, h steps each, with the unit that their errors and intervals are measured in.

    `middle` [n, h] are the forecasts in u; `below` and `above`, [n, h] or [n, 1], one unit to either side.
    """

    units: Units
    middle: NDArray[np.float64]
    below: NDArray[np.float64]
    above: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        """The forecasts [n, h]."""
        return self.units.invert(self.middle)

    def scores(self, truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Absolute errors [n, h] in units; infinite where the logarithm of a truth is."""
        with np.errstate(divide="ignore", invalid="ignore"):
            away = self.units.transform(truth) - self.middle
        unit = np.where(away > 0, self.above, self.below)
        return np.nan_to_num(np.abs(away) / unit, nan=np.inf)

    def interval(
        self, half_width: float | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high ends [n, h] of the interval `half_width` (a number or [h]) units to either side."""
        low, high = self.middle - self.below * half_width, self.middle + self.above * half_width
        return self.units.invert(low), self.units.invert(high)
