"""The pooled model: one ensemble of networks for all series of a panel.

    forecast = share * mean of the ensemble + (1 - share) * smoothing,   in u

Smoothing is what needs no training: the anchor where there is a fast season; otherwise the anchor,
exponential smoothing with a damped trend, or the mean of both.
The networks' share and the widths of the intervals are chosen on the last part of the panel, held out from a
first fit; the second fit is trained on all of it. A forecast is a function of the values before its cutoff
alone, so that the model forecasts from any cutoff without being fitted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.baselines import damped_trend
from karusel.forecasting.encoding import fit_encoding
from karusel.forecasting.features import (
    Days,
    Reader,
    Seen,
    anchors,
    levels,
    plain_reader,
    returns,
    specials,
    trends,
)
from karusel.forecasting.members import (
    QUANTILES,
    Ensemble,
    EnsembleSettings,
    fit_ensemble,
    too_few_known,
)
from karusel.forecasting.panel import Panel
from karusel.forecasting.prediction import Prediction, Units
from karusel.forecasting.special import LENGTH
from karusel.forecasting.windows import Cutoffs
from karusel.windows import Runs

__all__ = ["LEAST_KNOWN", "PooledModel", "fit_pooled", "rows_to_pool", "smoothing"]

_SEASON_SHARE = 0.6  # of the median series, that a season may take at most
LEAST_KNOWN = 3  # values of the shortest history that a window may have
_LONG, _RECENT_LONG, _RECENT_SHORT = 12, 10, 1.5  # horizons: see _training_windows
_LEAST_WINDOWS = 20_000  # wanted; where recent ones are fewer, taken from all of history
_SHARES = np.linspace(0, 1, 11)
_MOST_DOUBT = 0.02  # what a share away from the usual one must gain, as a part of smoothing's loss
_USUAL_SHARE = 0.5  # networks and smoothing in equal parts, unless held-out series speak against it
_HELD_OUT_FORECASTS = 2_000  # wanted; of few series several cutoffs are held out
_MOST_CUTOFFS = 200
_ANCHOR_WINDOWS, _ANCHOR_NUMBERS = 5_000, 20_000_000  # at most: windows, and values in all of them
_SMALL = 0.1  # quantile of the values above 0 that is added to all before logarithms, where some are 0
_SMOOTHED = 60  # values that smoothing reads at most
_LEVELS = {95.0: (0, 4), 80.0: (1, 3)}  # columns of QUANTILES
_NARROWEST = 1e-12  # half width of an interval, in u
_MEDIAN = QUANTILES.index(0.5)


@dataclass(frozen=True)
class PooledModel:
    """A fitted model. `share` is the networks'; `widening` by level what intervals are stretched by;
    `losses` those of "smoothing", "networks" and "blend" on held-out time (`_loss`).
    """

    reader: Reader
    ensemble: Ensemble
    share: float
    widening: Mapping[float, float]
    losses: Mapping[str, float]

    @property
    def horizon(self) -> int:
        """Steps of a forecast."""
        return self.reader.horizon

    @property
    def length(self) -> int:
        """Values of an input part; shorter ones come with NaN before them."""
        return max(self.ensemble.length, _smoothing_length(self.reader))

    @property
    def shortest(self) -> int:
        """Values of its shortest input part, one of which must be known."""
        return min(self.ensemble.shortest, _smoothing_length(self.reader))

    @property
    def season_length(self) -> int:
        """The shortest season in use, 1 for none."""
        return self.reader.seasons[0] if self.reader.seasons else 1

    @property
    def units(self) -> Units:
        """What it computes in."""
        return self.reader

    @property
    def members(self) -> int:
        """Networks that forecast."""
        return len(self.ensemble.points)

    @property
    def epochs(self) -> int:
        """Epochs that each network was trained for."""
        return self.ensemble.points[0].epochs

    def takes(self, cutoffs: Cutoffs) -> NDArray[np.bool_]:
        """Which windows hold nothing but values that the reader is for [n]."""
        return np.asarray(self.reader.takes(cutoffs.inputs(self.length)).all(1))

    def predict(self, cutoffs: Cutoffs) -> Prediction:
        """Forecasts, with the half widths of the 95 % interval as units."""
        return self._prediction(self._quantiles(cutoffs), 95.0)

    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction:
        """Smoothing alone, in sizes of the windows."""
        middle = _smoothed_from(self.reader, cutoffs)
        size = self.reader.size(cutoffs.inputs(self.reader.length))
        return Prediction(self.reader, middle, size, size)

    def predict_at(
        self, panel: Panel, cutoffs: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
        """Forecasts [n, h] and intervals by level from flat positions `cutoffs` [n] of a panel."""
        quantiles = self._quantiles(Cutoffs(panel, cutoffs))
        predicted = {level: self._prediction(quantiles, level) for level in self.widening}
        intervals = {level: one.interval(self.widening[level]) for level, one in predicted.items()}
        return self.reader.invert(quantiles[:, :, _MEDIAN]), intervals

    def _prediction(self, quantiles: NDArray[np.float64], level: float) -> Prediction:
        return Prediction(self.reader, quantiles[:, :, _MEDIAN], *_half_widths(quantiles, level))

    def _quantiles(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        """Quantiles [n, h, Q] in u of the blend."""
        cutoffs.refuse_unknown(self.shortest)
        smoothed = _smoothed_from(self.reader, cutoffs)
        return _blended(self.ensemble.predict(cutoffs), smoothed, self.share)


def fit_pooled(
    panel: Panel,
    horizon: int,
    season_lengths: Sequence[int],
    settings: EnsembleSettings,
    progress: Callable[[str], None] = lambda stage: None,
) -> PooledModel:
    """Fit a model to all that the panel holds.

    Every choice follows from the horizon, the season lengths, the lengths of the series and errors on
    held-out time. Raises `DataError` when no series is long enough for one window, and when too few values
    are known.
    """
    rows = float(np.median(panel.lengths))
    seasons = tuple(m for m in season_lengths if m <= _SEASON_SHARE * rows)
    readers = [
        replace(
            plain_reader(horizon, seasons, units.log, settings.look_back, tuple(season_lengths)),
            shift=units.shift,
        )
        for units in _units(panel.values)
    ]
    held_out = _held_out_cutoffs(panel, horizon)
    until = int(np.max(panel.offsets[1:] - 1 - held_out[0]))
    progress("choosing on held-out time")
    encoding = fit_encoding(panel.covariates)
    earlier = _training_windows(panel, horizon, readers[0], until)
    scales = panel.mean_steps(readers[0].fast, until)
    reader = _best_reader(earlier, scales, readers)
    ensemble = fit_ensemble(earlier, scales, reader, encoding, settings)

    known = (held_out - panel.offsets[:-1] + 1 >= LEAST_KNOWN).ravel()
    tested = Cutoffs(panel, held_out.ravel()[known])
    tested = tested.take(np.flatnonzero(np.isfinite(tested.targets(horizon)).any(1)))
    tested = tested.take(np.flatnonzero(tested.known(ensemble.shortest)))
    if not len(tested):
        raise too_few_known(panel, horizon)
    truth, own_scales = tested.targets(horizon), scales[tested.numbers]
    quantiles = ensemble.predict(tested)
    smoothed = _smoothed_from(reader, tested)
    losses = [
        _loss(reader, _blended(quantiles, smoothed, share)[:, :, _MEDIAN], truth, own_scales)
        for share in _SHARES
    ]
    doubt = losses[0] * min(_MOST_DOUBT, len(panel) ** -0.5) * np.abs(_SHARES - _USUAL_SHARE)
    best = int(np.argmin(losses + doubt))
    share = float(_SHARES[best])
    widening = _widening(_blended(quantiles, smoothed, share), reader.transform(truth), len(panel))

    progress("fitting on all of it")
    latest, scales = _training_windows(panel, horizon, reader, 0), panel.mean_steps(reader.fast)
    final = fit_ensemble(latest, scales, reader, encoding, settings)
    held_out_losses = {"smoothing": losses[0], "networks": losses[-1], "blend": losses[best]}
    return PooledModel(reader, final, share, widening, held_out_losses)


def rows_to_pool(horizon: int) -> int:
    """Rows from which a series has a window to train on before what is held out, and one in that."""
    return 3 * horizon + LEAST_KNOWN


def _units(values: NDArray[np.float64]) -> list[Units]:
    """What may be forecast: logarithms of values that are all positive; where some are 0 the values
    themselves or shifted logarithms; the values themselves where some are below 0.
    """
    known = values[np.isfinite(values)]
    if np.all(known > 0):
        return [Units(log=True)]
    if np.any(known < 0) or not np.any(known):
        return [Units()]
    return [Units(), Units(log=True, shift=float(np.quantile(known[known > 0], _SMALL)))]


def _held_out_cutoffs(panel: Panel, horizon: int) -> NDArray[np.int64]:
    """Cutoffs [C, S] to choose on, oldest first: the last one of each series, of few series more."""
    last = panel.offsets[1:] - 1 - horizon
    wanted = min(-(-_HELD_OUT_FORECASTS // len(panel)), _MOST_CUTOFFS)
    room = max(0, int(np.median(panel.lengths)) // 5 - horizon)
    span = 0 if wanted == 1 else min(room, max(horizon, min(wanted, 6 * horizon)))
    back = np.unique(np.linspace(0, span, wanted).astype(np.int64))[::-1]
    return np.asarray(last - back[:, None])


def _training_windows(panel: Panel, horizon: int, reader: Reader, until: int) -> Cutoffs:
    """Windows whose targets end at least `until` steps before the end of their series, the recent ones.

    Where the median series holds 12 horizons, cutoffs lie in the last 10 of them; otherwise in the last 1.5
    (the rule of N-BEATS; Oreshkin et al., 2020). Of few series more are taken, up to 20,000 windows evenly
    spread over all of their history: neighbours say nearly the same, and what is rare may be long ago.
    """
    lasts = panel.offsets[1:] - 1 - until - horizon
    long = np.median(panel.lengths) >= _LONG * horizon
    recent = int((_RECENT_LONG if long else _RECENT_SHORT) * horizon)
    few = recent * len(panel) < _LEAST_WINDOWS
    least = max(LEAST_KNOWN, min(reader.length, int(np.median(panel.lengths)) // 3))
    firsts = panel.offsets[:-1] + least - 1
    if not few:
        firsts = np.maximum(firsts, lasts - recent + 1)
    counts = np.maximum(lasts - firsts + 1, 0)
    if not counts.any():
        raise DataError(
            f"no series is longer than {least + until + horizon - 1} rows, "
            f"too few for a horizon of {horizon}; forecast fewer steps or give more history"
        )
    cutoffs = Runs(firsts, counts)
    n = min(len(cutoffs), _LEAST_WINDOWS) if few else len(cutoffs)
    training = Cutoffs(panel, cutoffs[np.linspace(0, len(cutoffs) - 1, n).astype(np.int64)])
    training = training.take(np.flatnonzero(np.isfinite(training.targets(horizon)).any(1)))
    enough = np.count_nonzero(panel.mask) >= LEAST_KNOWN + 2 * horizon  # a window, and targets held out
    if not enough or not training.known(reader.length).any():
        raise too_few_known(panel, horizon)
    return training


def _best_reader(training: Cutoffs, scales: NDArray[np.float64], readers: Sequence[Reader]) -> Reader:
    """The reader whose smoothing has the least loss: it learns nothing, so all windows may decide.

    The anchor's patterns are chosen first, then their level and its return to that of past seasons together,
    special days, and the part of the trend.
    """
    longest = max(_smoothing_length(one) for reader in readers for one in anchors(reader))
    n = min(len(training), _ANCHOR_WINDOWS, max(1, _ANCHOR_NUMBERS // longest))
    training = training.take(np.linspace(0, len(training) - 1, n).astype(int))
    truth, scales = training.targets(readers[0].horizon), scales[training.numbers]
    days = training.days

    def best(tried: Iterable[Reader]) -> Reader:
        tried = list(tried)
        inputs = training.inputs(max(_smoothing_length(one) for one in tried))
        units = {(one.log, one.shift): one for one in tried}
        seen = {unit: one.see(inputs) for unit, one in units.items()}
        losses = [_loss(one, smoothing(one, seen[one.log, one.shift], days), truth, scales) for one in tried]
        return tried[int(np.argmin(losses))]

    patterns = best(one for reader in readers for one in anchors(reader))
    chosen = best(one for level in levels(patterns) for one in returns(level))
    chosen = best(specials(chosen, training.inputs(max(chosen.length, LENGTH)), days, truth))
    return best(trends(chosen))


def _loss(
    reader: Reader, forecast: NDArray[np.float64], truth: NDArray[np.float64], scales: NDArray[np.float64]
) -> float:
    """Mean over known values of MASE, and of sMAPE in units of 10 percent where values are all positive.

    `forecast` [n, h] is in u, `truth` [n, h] in the data's own units, NaN where a value is missing.
    """
    forecast = reader.invert(forecast)
    error = np.abs(truth - forecast)
    loss = float(np.nanmean(error / scales[:, None]))
    if reader.relative:
        loss += float(np.nanmean(20 * error / (np.abs(truth) + np.abs(forecast))))
    return loss


def _smoothing_length(reader: Reader) -> int:
    return max(_smoothed(reader), reader.length)


def _smoothed(reader: Reader) -> int:
    return min(max(20, 4 * reader.horizon), _SMOOTHED)


def _smoothed_from(reader: Reader, cutoffs: Cutoffs) -> NDArray[np.float64]:
    return smoothing(reader, reader.see(cutoffs.inputs(_smoothing_length(reader))), cutoffs.days)


def smoothing(reader: Reader, seen: Seen, days: Days = None) -> NDArray[np.float64]:
    """Smoothing's forecasts [n, h] in u."""
    if reader.trend == 0:
        return reader.anchor_alone(seen, days)
    u = np.where(seen.known, seen.u, np.nan)[:, -_smoothed(reader) :]
    smoothed = damped_trend(u, reader.horizon)
    if reader.trend == 1:
        return smoothed
    return reader.trend * smoothed + (1 - reader.trend) * reader.anchor_alone(seen, days)


def _blended(
    quantiles: NDArray[np.float64], smoothed: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Quantiles [n, h, Q] moved as a whole, so that the median becomes the blend."""
    shift = (1 - share) * (smoothed - quantiles[:, :, _MEDIAN])
    return np.asarray(quantiles + shift[:, :, None])


def _half_widths(
    quantiles: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From the median down and up to the ends [n, h] of a level's interval."""
    low, high = _LEVELS[level]
    middle = quantiles[:, :, _MEDIAN]
    return (
        np.maximum(middle - quantiles[:, :, low], _NARROWEST),
        np.maximum(quantiles[:, :, high] - middle, _NARROWEST),
    )


def _widening(quantiles: NDArray[np.float64], truth: NDArray[np.float64], series: int) -> dict[float, float]:
    """For each level the stretch at which held-out intervals cover what they promise.

    Split conformal with the score max of (y - median) / (high - median) and (median - y) / (median - low)
    (Romano et al., 2019, with ratios). Errors of one series hang together, so that its values count as one
    in what conformal prediction adds for a sample of that size: the level times 1 + 1 / series.
    """
    found = {}
    middle = quantiles[:, :, _MEDIAN]
    for level in _LEVELS:
        below, above = _half_widths(quantiles, level)
        scores = np.maximum((truth - middle) / above, (middle - truth) / below)
        scores = np.sort(scores[np.isfinite(scores)])
        rank = int(np.ceil(scores.size * level / 100 * (1 + 1 / series))) - 1
        found[level] = float(scores[min(rank, scores.size - 1)])
    return found
