"""Cold start: a series of which nothing is known is forecast as one of the panel, it is not known which.

    value       the median of what is forecast for the panel's series
    quantile q  the q-quantile over the series of their q-quantiles

So intervals are as wide as the panel is diverse.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from karusel.forecasting.forecaster import Forecast

__all__ = ["with_unknown"]


def with_unknown(made: Forecast, panel: Forecast, ids: Sequence[Hashable]) -> Forecast:
    """The forecasts `made`, and those of series without any value, from the panel's of the same levels."""
    count = len(ids)

    def also(known: NDArray[np.float64], of_panel: NDArray[np.float64], q: float) -> NDArray[np.float64]:
        unknown = np.quantile(of_panel, q, axis=0)
        return np.concatenate([known, np.repeat(unknown[None], count, axis=0)])

    return replace(
        made,
        ids=(*made.ids, *ids),
        times=np.concatenate([made.times, np.repeat(panel.times.max(axis=0)[None], count, axis=0)]),
        values=also(made.values, panel.values, 0.5),
        intervals={
            level: (
                also(low, panel.intervals[level][0], (1 - level / 100) / 2),
                also(high, panel.intervals[level][1], (1 + level / 100) / 2),
            )
            for level, (low, high) in made.intervals.items()
        },
        quantiles={q: also(values, panel.quantiles[q], q) for q, values in made.quantiles.items()},
    )
