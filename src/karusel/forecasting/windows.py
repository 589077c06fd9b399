"""Windows: where each input part and target part of a panel begins.

A window is named by its cutoff, the flat position of the last known value. Its input part is the `length`
values up to and with the cutoff, its target part the `horizon` values after it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.panel import Panel
from karusel.forecasting.rows import positions

__all__ = ["inputs", "last_cutoffs", "padded_inputs", "targets", "training_cutoffs"]


def training_cutoffs(panel: Panel, length: int, horizon: int) -> NDArray[np.int64]:
    """Flat positions of all cutoffs with a whole input part and a whole target part, series by series."""
    firsts = panel.offsets[:-1] + length - 1
    return positions(firsts, np.maximum(panel.lengths - length - horizon + 1, 0))


def last_cutoffs(panel: Panel) -> NDArray[np.int64]:
    """The cutoff at the end of each series [S]: everything is known, the whole target lies ahead."""
    return panel.offsets[1:] - 1


def inputs(values: NDArray[np.float64], cutoffs: NDArray[np.int64], length: int) -> NDArray[np.float64]:
    """Input parts [..., length] of the windows at `cutoffs` [...]: nothing after a cutoff is read."""
    return np.asarray(values[cutoffs[..., None] + np.arange(1 - length, 1)])


def padded_inputs(
    values: NDArray[np.float64], starts: NDArray[np.int64], cutoffs: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """Input parts [n, length] of windows, NaN before the start of a series.

    `starts` [n] and `cutoffs` [n] are flat positions: of each window's series, and of its last known value.
    """
    at = cutoffs[:, None] + np.arange(1 - length, 1)
    return np.where(at >= starts[:, None], values[np.maximum(at, 0)], np.nan)


def targets(values: NDArray[np.float64], cutoffs: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """Target parts [..., horizon] of the windows at `cutoffs` [...]."""
    return np.asarray(values[cutoffs[..., None] + np.arange(1, horizon + 1)])
