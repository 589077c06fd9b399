"""Effects: what covariates known in the future add to values, in a straight line or as a factor.

    y_t = rest_t + d x_t b      or, where all values are positive,      y_t = rest_t exp(x_t b)

x_t are the encoded covariates, b [C] one weight for each, shared by all series, and d the size of a series:
its mean absolute difference. b is fitted to differences of y over one step or one season, whichever x
explains more of (`karusel.forecasting.ridge`). Models see the rest alone; the effect of the known future is
put back onto what they forecast.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.encoding import Encoding
from karusel.forecasting.panel import Panel
from karusel.forecasting.ridge import fit_ridge
from karusel.forecasting.windows import Cutoffs

__all__ = ["Effects", "fit_effects"]

_MOST_ROWS = 500_000  # of many, the latest
_LEAST_ROWS = 8  # differences for each weight
_LEAST_SHARE = 0.01  # of the differences' squares that x must explain beyond what chance would
_FARTHEST = 8.0  # median absolute residuals beyond which one is cut


@dataclass(frozen=True)
class Effects:
    """Fitted effects. `weights` [C] by the encoding's columns; `sizes` by series where they are additive."""

    encoding: Encoding
    relative: bool
    weights: NDArray[np.float64]
    sizes: dict[Hashable, float]

    def remove(self, panel: Panel) -> Panel:
        """The panel with the rest in place of its values."""
        away = self._of(panel)
        if self.relative:
            return replace(panel, values=panel.values * np.exp(-away))
        return replace(panel, values=panel.values - np.repeat(self._sizes(panel), panel.lengths) * away)

    def ahead(self, cutoffs: Cutoffs, horizon: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factor and shift [n, h] that turn forecasts of the rest into forecasts of values."""
        steps = self._of(cutoffs.panel)[cutoffs.at[:, None] + np.arange(1, horizon + 1)]
        if self.relative:
            return np.exp(steps), np.zeros_like(steps)
        return np.ones_like(steps), self._sizes(cutoffs.panel)[cutoffs.numbers][:, None] * steps

    def _of(self, panel: Panel) -> NDArray[np.float64]:
        """x b at every row [N]."""
        return self.encoding.of(panel.covariates, "future").astype(np.float64) @ self.weights

    def _sizes(self, panel: Panel) -> NDArray[np.float64]:
        """The size of each series [S]; of one that was not there when fitted, the median one."""
        usual = float(np.median(list(self.sizes.values())))
        return np.array([self.sizes.get(name, usual) for name in panel.ids])


def fit_effects(panel: Panel, encoding: Encoding, season_length: int) -> Effects | None:
    """Fit the effects; None when there are no covariates of the future or they explain nothing."""
    x = encoding.of(panel.covariates, "future").astype(np.float64)
    if x.shape[1] == 0:
        return None
    known = panel.values[np.isfinite(panel.values)]
    sizes = panel.mean_steps()
    forms = [(False, panel.values / np.repeat(sizes, panel.lengths))]
    if np.all(known > 0):
        forms.append((True, np.log(panel.values)))
    best, most, relative = None, _LEAST_SHARE, False
    for log, u in forms:
        for lag in {1, season_length}:
            found = _robust_ridge(*_differences(panel, u, x, lag))
            if found is not None and found[0] > most:
                most, best, relative = found[0], found[1], log
    if best is None:
        return None
    return Effects(encoding, relative, best, dict(zip(panel.ids, sizes.tolist(), strict=True)))


def _differences(
    panel: Panel, u: NDArray[np.float64], x: NDArray[np.float64], lag: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences over `lag` steps of the same series: of x [n, C] and of u [n]."""
    numbers = np.repeat(np.arange(len(panel)), panel.lengths)
    rows = np.flatnonzero((numbers[lag:] == numbers[:-lag]) & np.isfinite(u[lag:] - u[:-lag]))
    behind = np.repeat(panel.offsets[1:], panel.lengths)[rows] - rows
    if rows.size > _MOST_ROWS:
        rows = rows[np.argsort(behind, kind="stable")[:_MOST_ROWS]]
    return x[rows + lag] - x[rows], u[rows + lag] - u[rows]


def _robust_ridge(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]] | None:
    """As `_ridge`, with the residuals of a first fit cut, so that no single value decides."""
    first = _ridge(x, y)
    if first is None:
        return None
    fitted = (x - x.mean(0)) @ first[1]
    rest = y - fitted
    middle = float(np.median(rest))
    far = _FARTHEST * float(np.median(np.abs(rest - middle)))
    return first if far == 0 else _ridge(x, fitted + np.clip(rest, middle - far, middle + far))


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]] | None:
    """The share of y's squares that x explains by generalised cross-validation, and the weights [C]."""
    rows, width = x.shape
    if rows < _LEAST_ROWS * width or not np.any(x):
        return None
    both = np.column_stack([x - x.mean(0), y - y.mean()])
    products = both.T @ both
    total = float(products[-1, -1])
    if total == 0:
        return None
    weights, error = fit_ridge(products, width, rows)
    return 1 - error / (total / (rows - 1) ** 2), weights[:, 0]
