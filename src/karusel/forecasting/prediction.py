"""Predictions: what a model says of windows, and the units in which it says it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANY", "ROUNDING", "Prediction", "Support", "Units", "mixed"]

ROUNDING = 1e-12  # of a level: a change that is none
_FARTHEST = 3.0  # that a unit reaches in logarithms, twentyfold


@dataclass(frozen=True, kw_only=True)
class Units:
    """Values u in which a model computes: the data's own, or when `log` the logarithms of y + `shift`.

    A shift above 0 is for values of 0 and more; nothing below 0 is forecast of them.
    """

    log: bool = False
    shift: float = 0.0

    @property
    def relative(self) -> bool:
        """Whether a difference in u is a relative one: logarithms of values that are all positive."""
        return self.log and self.shift == 0

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values as u; of those without a logarithm minus infinity or NaN."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values + self.shift) if self.log else values

    def takes(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values it holds for; for missing ones, too."""
        if not self.log:
            return np.ones(values.shape, bool)
        return np.asarray(~((values < 0) if self.shift else (values <= 0)))

    def invert(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undo `transform`."""
        if not self.log:
            return u
        return np.maximum(np.exp(u) - self.shift, 0.0)

    def width(self, u: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far invert(u + size) lies from invert(u); of logarithms beyond 3, so many times that of 3."""
        if not self.log:
            return np.abs(size)
        part = _FARTHEST / np.maximum(np.abs(size), _FARTHEST)
        return np.abs(self.invert(u + size * part) - self.invert(u)) / part


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
        """Errors [n, h] in units, of forecasts in the data's own: negative where the truth lies below the
        forecast, NaN where there is no truth or no forecast.
        """
        away = truth - self.middle
        return np.asarray(away / np.where(away > 0, self.above, self.below))

    def at(self, scores: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """The values [n, h] that lie `scores` (a number or [h]) units above the forecasts."""
        return self._values(self.middle + np.where(np.asarray(scores) > 0, self.above, self.below) * scores)

    def interval(
        self, half_width: float | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Low and high ends [n, h] of the interval `half_width` (a number or [h]) units to either side."""
        return self.at(-half_width), self.at(half_width)

    def in_own_units(self, usual: NDArray[np.float64]) -> Prediction:
        """The same forecasts in the data's own units. One unit to either side is then the geometric mean of
        what it was and of `usual` [n, 1], the usual step of the window's series.
        """
        values = replace(self, support=ANY).values
        below, above = (
            mixed(self.units.width(self.middle, size) * np.abs(self.factor), usual, values)
            for size in (-self.below, self.above)
        )
        return Prediction(Units(), values, below, above, support=self.support)

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


def mixed(
    own: NDArray[np.float64], usual: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """sqrt(own usual), or one of the two where the other vanishes, or a thousandth of `values` where both do.

    A window says less about the size of its errors than it seems to: one that hardly changes by chance is not
    as sure as that.
    """
    least = ROUNDING * np.abs(values)
    own = np.where(own > least, own, usual)
    unit = np.sqrt(own) * np.sqrt(np.where(usual > least, usual, own))
    if (unit > least).all():
        return unit
    return np.where(unit > least, unit, np.where(values != 0, 1e-3 * np.abs(values), 1.0))
