"""The backtest: forecasts from rolling cutoffs in the past, beside those of simple methods.

Cutoffs lie one step apart and end one horizon before the end of the data. Models are fitted anew at the start
of every block of cutoffs, on a panel from which all later rows have been removed; within a block they
forecast from the values known at each cutoff. So neither fit nor forecast can see past a cutoff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import metrics, windows
from karusel.forecasting.baselines import LinearOnLags, drift, last_value, mean, seasonal_naive
from karusel.forecasting.model import FittedModel
from karusel.forecasting.panel import Panel
from karusel.forecasting.scaling import rows_for_season, rows_needed
from karusel.forecasting.windows import Cutoffs

__all__ = ["NETWORK", "Backtest", "run_backtest"]

NETWORK = "LSTM"
SMOOTHING = "smoothing"  # the network's own starting point: whether the network adds to it must show
_BLOCKS = 3
_LEAST_CUTOFFS, _MOST_CUTOFFS = 24, 150  # wanted: a quarter of the rows, but at least three horizons
_MOST_FORECASTS = 2_000_000  # values per method, over all series and cutoffs


@dataclass(frozen=True)
class Backtest:
    """What was forecast from C past cutoffs of S series, h steps each.

    `truth` and each of `forecasts` (by method, the network first, then from the simplest on) are float64 [C,
    S, h], cutoffs in order of time; `last` [C, S] the last value known at each; `scores` [C, S, h] the
    network's absolute errors in sizes of their windows;
    `scales` [S] the mean absolute seasonal step of each series before the first cutoff, for MASE; `refits`
    how often the models were fitted.
    """

    truth: NDArray[np.float64]
    forecasts: dict[str, NDArray[np.float64]]
    last: NDArray[np.float64]
    scores: NDArray[np.float64]
    scales: NDArray[np.float64]
    refits: int

    @property
    def cutoffs(self) -> int:
        """How many cutoffs there are."""
        return len(self.truth)

    def scaled_errors(self, method: str) -> NDArray[np.float64]:
        """Mean absolute error from each cutoff [C], each series in its own scale (1 where that is
        unknown).
        """
        scales = np.where(self.scales > 0, self.scales, 1.0)[:, None]
        return np.asarray(np.mean(np.abs(self.truth - self.forecasts[method]) / scales, axis=(1, 2)))

    def table(self) -> dict[str, dict[str, float]]:
        """MAE, RMSE, MASE and sMAPE of each method over all cutoffs, best MASE first."""
        known = bool(np.all(self.scales > 0))
        rows = {
            method: {
                "MAE": metrics.mae(self.truth, forecast),
                "RMSE": metrics.rmse(self.truth, forecast),
                "MASE": float(np.mean(self.scaled_errors(method))) if known else float("nan"),
                "sMAPE": metrics.smape(self.truth, forecast),
            }
            for method, forecast in self.forecasts.items()
        }
        return dict(sorted(rows.items(), key=lambda row: float(np.mean(self.scaled_errors(row[0])))))


def run_backtest(
    panel: Panel,
    horizon: int,
    season_length: int,
    fit: Callable[[Panel], FittedModel],
    progress: Callable[[str], None],
) -> Backtest | None:
    """Backtest the model that `fit` makes. None when the shortest series has too few rows for one cutoff."""
    count = _count_cutoffs(int(panel.lengths.min()), horizon, season_length, len(panel))
    if count < 1:
        return None
    # Rows after each cutoff, oldest cutoff first.
    behind = np.arange(horizon + count - 1, horizon - 1, -1)
    cutoffs = panel.offsets[1:] - 1 - behind[:, None]
    starts = np.broadcast_to(panel.offsets[:-1], cutoffs.shape)
    values = panel.values
    forecasts = {
        NETWORK: np.empty((count, len(panel), horizon)),
        "last value": last_value(values, cutoffs, horizon),
        "mean": mean(values, starts, cutoffs, horizon),
        "seasonal naive": seasonal_naive(values, starts, cutoffs, horizon, season_length),
        "drift": drift(values, starts, cutoffs, horizon),
        SMOOTHING: np.empty((count, len(panel), horizon)),
        "linear on lags": np.empty((count, len(panel), horizon)),
    }
    if season_length == 1:
        del forecasts["seasonal naive"]  # it would be the last value again
    truth = windows.targets(values, cutoffs, horizon)
    scores = np.empty_like(truth)
    blocks = np.array_split(np.arange(count), min(_BLOCKS, count))
    for number, block in enumerate(blocks):
        progress(f"backtest {number + 1}/{len(blocks)}")
        known = panel.without_last(int(behind[block[0]]))
        model = fit(known)
        at = cutoffs[block].ravel()
        predicted = model.predict(Cutoffs(panel, at))
        shape = (len(block), len(panel), horizon)
        forecasts[NETWORK][block] = predicted.values.reshape(shape)
        forecasts[SMOOTHING][block] = model.predict_without_network(Cutoffs(panel, at)).values.reshape(shape)
        scores[block] = predicted.scores(truth[block].reshape(-1, horizon)).reshape(shape)
        lags = _lags(int(known.lengths.min()), horizon, season_length)
        forecasts["linear on lags"][block] = LinearOnLags.fit(known, horizon, lags).predict(
            values, cutoffs[block]
        )
    before = panel.without_last(int(behind[0]))
    scales = [metrics.naive_scale(before.series(k), season_length) for k in range(len(panel))]
    return Backtest(truth, forecasts, values[cutoffs], scores, np.array(scales), len(blocks))


def _count_cutoffs(rows: int, horizon: int, season_length: int, series: int) -> int:
    """As many cutoffs as wanted, fewer where the rows before the first would no longer bear the season
    out.
    """
    wanted = max(3 * horizon, _LEAST_CUTOFFS, min(rows // 4, _MOST_CUTOFFS))
    wanted = min(wanted, max(_BLOCKS, _MOST_FORECASTS // (series * horizon)))
    with_season = rows - horizon - rows_for_season(2, season_length, horizon)
    plain = rows - horizon - rows_needed(horizon)
    return int(min(wanted, with_season if with_season >= 1 else plain))


def _lags(rows: int, horizon: int, season_length: int) -> int:
    """One season and one step of lags where a third of the rows holds them; at least two."""
    return max(2, min(max(season_length + 1, 8), (rows - horizon) // 3))
