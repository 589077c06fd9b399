"""Prediction intervals calibrated on held-out cutoffs (split conformal; Vovk et al., 2005; Lei et al., 2018).

The score of a held-out forecast is (truth - forecast) / unit, negative below it, where the unit is the
geometric mean of what its window says, a size or the model's own width to that side, and of the usual step of
the series (`karusel.forecasting.prediction`).
For step k, with w_k the mean |score| k steps ahead, made non-decreasing in k,

    interval = forecast -+ Q(level) * w_k * unit,        quantile q = forecast + R(q) * w_k * unit,

Q(level) being the level's empirical quantile of |score| / w_k, and R(q) the empirical quantile of score /
w_k, each one value further out than plain counting would have it. Where every step has 1,000 scores of its
own, Q and R are those of the step; otherwise all steps and cutoffs share their evidence about the tails.

Few errors, or many that go together, tell little about how large the next ones will be. So Q, and R on either
side of its median, are stretched by t / z, the quantiles of Student's t and of the normal distribution, with

    n (1 - r^2) / (1 + r^2)        degrees of freedom, 4 at least,

for n values forecast, r being the correlation of neighbouring errors of one forecast, and r^2 that of their
squares (Bartlett, 1946). Quantiles never cross, since R rises with q.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import between
from karusel.errors import UsageError

__all__ = ["Calibration", "calibrate", "check_levels", "check_quantiles", "reached_coverage", "rolling"]

_OWN = 1000  # scores from which a step has quantiles of its own
_KEPT = 4000  # ratios that are kept: enough for levels up to 99.9
_MOST_SCORES = 200_000  # more tell no more about a quantile
_LEAST = 8  # forecasts to calibrate on
_WORK = 1_000_000  # scores that rolling calibrations may go through, about
_FEWEST_CALIBRATIONS = 8
_LEAST_FREEDOM = 4.0


@dataclass(frozen=True)
class Calibration:
    """Where errors lie, in units. `widths` [h] are the w_k; `ratios` [1, n], shared by all steps, or [h, n]
    are scores over widths, ascending; `freedom` their degrees of freedom.
    """

    widths: NDArray[np.float64]
    ratios: NDArray[np.float64]
    freedom: float

    def half_width(self, level: float) -> NDArray[np.float64]:
        """Half width for each step [h] of the interval that promises to cover `level` percent."""
        sizes = np.sort(np.abs(self.ratios), axis=1)
        count = sizes.shape[1]
        rank = int(np.ceil((count + 1) * level / 100)) - 1
        return self._scores(_stretch(0.5 + level / 200, self.freedom) * sizes[:, min(rank, count - 1)])

    def quantile(self, quantile: float) -> NDArray[np.float64]:
        """The score for each step [h] below which a share `quantile` of the truth is promised to lie."""
        median, ratios = self._ranked(0.5), self._ranked(quantile)
        with np.errstate(invalid="ignore"):
            stretched = median + _stretch(quantile, self.freedom) * (ratios - median)
        return self._scores(np.where(np.isfinite(median) & (ratios != median), stretched, ratios))

    def _ranked(self, quantile: float) -> NDArray[np.float64]:
        count = self.ratios.shape[1]
        place = (count + 1) * quantile
        rank = int(np.ceil(place) if quantile >= 0.5 else np.floor(place)) - 1
        return self.ratios[:, int(np.clip(rank, 0, count - 1))]

    def _scores(self, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            scores = self.widths * ratios
        return np.where(np.isnan(scores), ratios, scores)  # a width of 0 brings no infinite ratio back


def check_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """The levels, ascending; raises `UsageError` for one that is no percentage between 0 and 100."""
    return _ascending("level", levels, 100, "[80, 95]")


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The quantiles, ascending; raises `UsageError` for one that does not lie between 0 and 1."""
    return _ascending("quantiles", quantiles, 1, "[0.1, 0.9]")


def _ascending(name: str, given: Any, high: float, example: str) -> tuple[float, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UsageError(f"Forecaster: {name} must be a list of numbers, such as {example}, got {given!r}")
    numbers = list(given)
    for number in numbers:
        between("Forecaster", name, number, 0, high)
    return tuple(sorted(set(numbers)))


def calibrate(scores: NDArray[np.float64], step: int = 1) -> Calibration:
    """Calibrate on scores [C, ..., h] of held-out forecasts, at least one of them known, `step` steps between
    cutoffs.

    NaN is an unknown one; an infinite one is a miss at any width. Of more than 200,000 scores so many are
    used.
    """
    horizon = scores.shape[-1]
    scored = ~np.isnan(scores)
    at, ahead = np.nonzero(scored.any(tuple(range(1, scores.ndim - 1))))
    values = np.unique(at * step + ahead).size / at.size * np.count_nonzero(scored)
    scores = scores.reshape(-1, horizon)
    scores = scores[~np.isnan(scores).all(1)]
    if scores.size > _MOST_SCORES:
        scores = scores[np.linspace(0, len(scores) - 1, _MOST_SCORES // horizon).astype(np.int64)]
    finite = np.isfinite(scores)
    sums = np.where(finite, np.abs(scores), 0.0).sum(0)
    widths = np.maximum.accumulate(sums / np.maximum(finite.sum(0), 1))
    ratios = scores / np.where(widths > 0, widths, 1.0)
    known = ~np.isnan(ratios)
    together = _correlation(scores[:, :-1], scores[:, 1:]) ** 2
    freedom = max(_LEAST_FREEDOM, values * (1 - together) / (1 + together))
    if known.sum(0).min() >= _OWN:
        own = [_ordered(ratios[known[:, k], k], _OWN) for k in range(horizon)]
        return Calibration(widths, np.stack(own), freedom)
    return Calibration(widths, _ordered(ratios[known], _KEPT)[None], freedom)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Of finite numbers around 0; 0 where there are none."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    size = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / size if size > 0 else 0.0


def _stretch(quantile: float, freedom: float) -> float:
    """Student's t over the normal quantile, by the expansion of Fisher and Cornish (1960)."""
    square, n = NormalDist().inv_cdf(quantile) ** 2, freedom
    return float(
        1
        + (square + 1) / (4 * n)
        + ((5 * square + 16) * square + 3) / (96 * n**2)
        + (((3 * square + 19) * square + 17) * square - 15) / (384 * n**3)
    )


def _ordered(ratios: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The ratios, ascending; of more than `most`, as many evenly spaced in rank."""
    ratios = np.sort(ratios)
    if ratios.size <= most:
        return ratios
    return ratios[np.rint(np.linspace(0, ratios.size - 1, most)).astype(np.int64)]


def rolling(
    scores: NDArray[np.float64], step: int = 1, least: int = _LEAST
) -> list[tuple[NDArray[np.int64], Calibration]]:
    """Cutoffs, and a calibration by what was known of earlier ones at the first of them, as in use.

    `scores` [C, ..., h] in order of time, `step` steps between cutoffs. Together the groups hold all cutoffs
    before which at least `least` forecasts were wholly known; many scores are calibrated on in few groups.
    """
    count, horizon = scores.shape[0], scores.shape[-1]
    overlap = -(-horizon // step)
    series = scores[0].size // horizon
    tested = np.arange(-(-least // series) + overlap - 1, count)
    if tested.size == 0:
        return []
    most = max(_FEWEST_CALIBRATIONS, _WORK // scores.size)
    found = []
    for group in np.array_split(tested, min(tested.size, most)):
        if not np.isnan(scores[: group[0] - overlap + 1]).all():
            found.append((group, calibrate(_known_at(group[0], scores, step), step)))
    return found


def _known_at(cutoff: int, scores: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """The scores of the cutoffs before one, NaN where the truth came after it."""
    since = step * np.arange(cutoff, 0, -1).reshape(-1, *[1] * (scores.ndim - 1))
    return np.where(np.arange(1, scores.shape[-1] + 1) <= since, scores[:cutoff], np.nan)


def reached_coverage(
    scores: NDArray[np.float64], levels: Sequence[float], step: int = 1, least: int = _LEAST
) -> tuple[dict[float, float], int]:
    """Coverage, from 0 to 1, of each level over cutoffs that took no part in their own calibration.

    `scores`, `step` and `least` are those of `rolling`. Also returns how many held-out values were
    tested, 0 (and no levels) when there are none.
    """
    hits: dict[float, list[NDArray[np.bool_]]] = {level: [] for level in levels}
    tested = 0
    for group, calibration in rolling(scores, step, least):
        sizes = np.abs(scores[group])
        known = ~np.isnan(sizes)
        tested += int(np.count_nonzero(known))
        for level in levels:
            hits[level].append((sizes <= calibration.half_width(level))[known])
    if not tested:
        return {}, 0
    return {level: float(np.mean(np.concatenate(hits[level]))) for level in levels}, tested
