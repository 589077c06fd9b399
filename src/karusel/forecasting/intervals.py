"""Prediction intervals calibrated on held-out cutoffs (split conformal; Vovk et al., 2005; Lei et al., 2018).

The score of a held-out forecast is |truth - forecast| / size, where size is the local scale of its window.
For step k, with w_k the mean score k steps ahead, made non-decreasing in k,

    interval = forecast -+ Q(level) * w_k * size,

Q(level) being the level's empirical quantile of score / w_k over all steps and cutoffs: widths follow
the horizon, and the few cutoffs that there are share their evidence about the tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.errors import UsageError

__all__ = ["Calibration", "calibrate", "check_levels", "reached_coverage"]


@dataclass(frozen=True)
class Calibration:
    """Half widths of intervals, in sizes."""

    widths: NDArray[np.float64]  # [h]: w_k
    ratios: NDArray[np.float64]  # scores over widths, ascending

    def half_width(self, level: float) -> NDArray[np.float64]:
        """Half width for each step [h] of the interval that promises to cover `level` percent."""
        rank = int(np.ceil((self.ratios.size + 1) * level / 100)) - 1
        return np.asarray(self.widths * self.ratios[min(rank, self.ratios.size - 1)])


def check_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """The levels, ascending; raises `UsageError` for one that is no percentage between 0 and 100."""
    for level in levels:
        if not 0 < level < 100:
            raise UsageError(f"level is {level}; it must be a percentage between 0 and 100, such as 80")
    return tuple(sorted(set(levels)))


def calibrate(scores: NDArray[np.float64]) -> Calibration:
    """Calibrate on scores [..., h] of held-out forecasts; an infinite one is a miss at any width."""
    scores = scores.reshape(-1, scores.shape[-1])
    finite = np.isfinite(scores)
    sums = np.where(finite, scores, 0.0).sum(0)
    widths = np.maximum.accumulate(sums / np.maximum(finite.sum(0), 1))
    safe = np.where(widths > 0, widths, 1.0)
    return Calibration(widths, np.sort((scores / safe).ravel()))


def reached_coverage(
    scores: NDArray[np.float64], levels: Sequence[float], least: int = 8
) -> tuple[dict[float, float], int]:
    """Coverage, from 0 to 1, of each level over cutoffs that took no part in their own calibration.

    `scores` [C, ..., h] in order of time, one step between cutoffs. The intervals at a cutoff are calibrated
    on the cutoffs whose whole targets were known by then, as in use; cutoffs with fewer than `least` such are
    left out. Also returns how many held-out values were tested, 0 (and no levels) when there are none.
    """
    count, horizon = scores.shape[0], scores.shape[-1]
    hits: dict[float, list[NDArray[np.bool_]]] = {level: [] for level in levels}
    tested = range(least + horizon - 1, count)
    for cutoff in tested:
        known = calibrate(scores[: cutoff - horizon + 1])
        for level in levels:
            hits[level].append(scores[cutoff] <= known.half_width(level))
    if not tested:
        return {}, 0
    return {level: float(np.mean(hits[level])) for level in levels}, len(tested) * scores[0].size
