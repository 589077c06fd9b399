"""The backtest: forecasts from rolling cutoffs in the past, beside those of simple methods.

Cutoffs end one horizon before the end of the data and lie one step apart, further where they span years of
days and in panels that are so large that few must do. Models are fitted anew at the start of every block of
cutoffs, on a panel from which all later rows have been removed; within a block they forecast from the values
known at each cutoff. So neither fit nor forecast can see past a cutoff.

A series that is too short for a cutoff is left out of that one, not of the others. Missing values are never
filled in: a truth that is missing is tested by nobody.

Cutoffs go on in the same steps through the last horizon, where the first part of a target is known. Measures
and verdict leave those out; intervals are calibrated on them too, since they show the latest errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting import metrics
from karusel.forecasting.baselines import Baseline, LastValue, baselines
from karusel.forecasting.intervals import Calibration, calibrate, rolling
from karusel.forecasting.model import FittedModel
from karusel.forecasting.panel import Panel
from karusel.forecasting.prediction import ANY, Prediction, Units
from karusel.forecasting.rows import offsets_of, positions
from karusel.forecasting.scaling import rows_for_season, rows_needed
from karusel.forecasting.windows import Cutoffs

__all__ = [
    "LEVELS",
    "NETWORK",
    "SMOOTHING",
    "Backtest",
    "Table",
    "most_rows_behind",
    "run_backtest",
]

NETWORK = "LSTM"
SMOOTHING = "smoothing"  # the network's own starting point: whether the network adds to it must show
LEVELS = (80.0, 95.0)
_QUANTILES = tuple(k / 10 for k in range(1, 10))
_REFITS = 3
_LEAST_SPAN, _MOST_SPAN = 24, 150  # steps of cutoffs wanted: a quarter of the rows, at least 3 horizons
_CYCLES = 2  # of the longest season, even if that is more: one to calibrate intervals on, one to try them
_LEAST_CUTOFFS, _MOST_CUTOFFS = 3, 350  # 3 horizons, if that is more
_MOST_FORECASTS = 2_000_000  # values per method, over all series and cutoffs
_SLOW_FORECASTS, _SLOW_SECONDS = 30, 10.0  # of a slow method at most

Table: TypeAlias = dict[str, dict[str, NDArray[np.float64]]]
Places: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]  # numbers of cutoffs and of series [n]


@dataclass(frozen=True)
class Backtest:
    """What was forecast from C past cutoffs of S series, h steps each.

    `truth` float64 [C, S, h], cutoffs in order of time, NaN where it is missing or the series took no part;
    `forecasts` [C, S, h] by method, the network first, then from the simplest on, NaN where a method was not
    run; `predicted` the network's forecasts with their units; `last` [C, S] the last known value at each
    cutoff; `scales` [S] the mean absolute seasonal step of each series before its first cutoff, for MASE, NaN
    where there is none; `behind` [C] how many rows lie after each cutoff; `refits` how often the models were
    fitted; `notes` sentences on what was not run everywhere.
    """

    truth: NDArray[np.float64]
    forecasts: dict[str, NDArray[np.float64]]
    predicted: Prediction
    last: NDArray[np.float64]
    scales: NDArray[np.float64]
    behind: NDArray[np.int64]
    ids: tuple[Hashable, ...]
    refits: int
    notes: tuple[str, ...] = field(default=())
    recent: Backtest | None = None

    @property
    def cutoffs(self) -> int:
        """How many cutoffs there are."""
        return len(self.truth)

    @property
    def step(self) -> int:
        """Steps between two cutoffs."""
        return _step(self.behind)

    @property
    def overlap(self) -> int:
        """Cutoffs after which the targets of one are wholly known: neighbours share a part of theirs."""
        return int(-(-self.truth.shape[2] // self.step))

    def scores(self, method: str = NETWORK) -> NDArray[np.float64]:
        """Errors [C, S, h] in units, as intervals are calibrated on them."""
        return self.prediction(method).scores(self.truth)

    def calibration(self, method: str = NETWORK) -> Calibration:
        """Intervals by all errors, those after recent cutoffs too where the method was run there."""
        scores = self.scores(method)
        if self.recent is not None and method in self.recent.forecasts:
            scores = np.concatenate([scores, self.recent.scores(method)])
        return calibrate(scores, self.step)

    def prediction(self, method: str) -> Prediction:
        """A method's forecasts, their errors measured in the units that the network has at the same place."""
        if method == NETWORK:
            return self.predicted
        return replace(self.predicted, middle=self.forecasts[method], support=ANY)

    def errors(self, *methods: str) -> list[NDArray[np.float64]]:
        """Absolute errors [C, S, h], each series in its own scale, NaN where one of them was not run."""
        found = [np.abs(self.truth - self.forecasts[method]) / self.sizes[:, None] for method in methods]
        shared = ~np.isnan(np.sum(found, axis=0))
        return [np.where(shared, error, np.nan) for error in found]

    def relative_error(self, method: str) -> float:
        """Mean scaled error over the network's, where both were run; 1 where both are 0."""
        own, network = (float(np.nansum(error)) for error in self.errors(method, NETWORK))
        return own / network if network > 0 else (1.0 if own == 0 else float("inf"))

    def table(self) -> dict[str, dict[str, float]]:
        """MAE, RMSE, MASE, sMAPE in percent, weighted quantile loss (WQL, over the quantiles .1 to .9),
        coverage of 80 and 95 % intervals, and the share of the known values that a method was tested on.

        Intervals and quantiles at a cutoff are calibrated on earlier ones, each method's on its own errors;
        NaN where there are too few. Ranked by the scaled error over the network's, where both were run.
        """
        rows = {
            method: {name: float(value) for name, value in row.items()}
            for method, row in self._tables[0].items()
        }
        return {method: rows[method] for method in sorted(rows, key=self.relative_error)}

    def by_horizon(self) -> Table:
        """The measures of `table` for each step ahead, [h] each, by method."""
        return self._tables[1]

    def by_series(self) -> Table:
        """The measures of `table` for each series, [S] each, by method; NaN for one that took no part."""
        return self._tables[2]

    @cached_property
    def sizes(self) -> NDArray[np.float64]:
        """A scale for each series [S], the usual one where it has none."""
        known = self.scales > 0
        usual = float(np.median(self.scales[known])) if known.any() else 1.0
        return np.where(known, self.scales, usual)

    @cached_property
    def _tables(self) -> tuple[Table, Table, Table]:
        tables: tuple[Table, Table, Table] = ({}, {}, {})
        for method in self.forecasts:
            terms = self._terms(method)
            for table, axes in zip(tables, ((0, 1, 2), (0, 1), (0, 2)), strict=True):
                table[method] = _measures(terms, axes)
        return tables

    def _terms(self, method: str) -> dict[str, NDArray[np.float64]]:
        """What the measures are means of, [C, S, h] each, NaN where it is unknown."""
        forecast = self.forecasts[method]
        error = np.abs(self.truth - forecast)
        scales = np.where(self.scales > 0, self.scales, np.nan)[:, None]
        with np.errstate(over="ignore"):
            squared = error**2
        terms = {
            "MAE": error,
            "RMSE": squared,
            "MASE": error / scales,
            "sMAPE": metrics.smape_terms(self.truth, forecast),
            "tested": np.where(np.isnan(self.truth), np.nan, ~np.isnan(error)),
        }
        return terms | self._interval_terms(method)

    def _interval_terms(self, method: str) -> dict[str, NDArray[np.float64]]:
        scores, prediction = self.scores(method), self.prediction(method)
        shape = (self.cutoffs, 1, self.truth.shape[2])
        ends = {level: np.full(shape, np.nan) for level in LEVELS}
        quantiles = {quantile: np.full(shape, np.nan) for quantile in _QUANTILES}
        for group, calibration in rolling(scores, self.step):
            for level in LEVELS:
                ends[level][group] = calibration.half_width(level)
            for quantile in _QUANTILES:
                quantiles[quantile][group] = calibration.quantile(quantile)
        loss = np.zeros(scores.shape)
        for quantile, score in quantiles.items():
            with np.errstate(invalid="ignore", over="ignore"):
                loss += metrics.quantile_losses(self.truth, prediction.at(score), quantile)
        tested = ~np.isnan(scores + ends[LEVELS[0]])
        terms = {"WQL": 2 * loss / len(_QUANTILES), "size": np.where(tested, np.abs(self.truth), np.nan)}
        for level in LEVELS:
            hits = np.abs(scores) <= ends[level]
            terms[f"coverage {level:g}"] = np.where(tested, hits, np.nan)
        return terms


def _measures(terms: dict[str, NDArray[np.float64]], axes: tuple[int, ...]) -> dict[str, NDArray[np.float64]]:
    means = {}
    for name, values in terms.items():
        known = ~np.isnan(values)
        count = known.sum(axes)
        total = np.where(known, values, 0.0).sum(axes)
        with np.errstate(invalid="ignore", over="ignore"):
            means[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    means["RMSE"] = np.sqrt(means["RMSE"])
    size = means.pop("size")
    means["WQL"] = means["WQL"] / np.where(size > 0, size, np.nan)
    return means


def run_backtest(
    panel: Panel,
    horizon: int,
    season_length: int,
    fit: Callable[[Panel], FittedModel],
    progress: Callable[[str], None],
    *,
    refits: int = _REFITS,
    needed: int | None = None,
    least: int | None = None,
    slow_seconds: float = _SLOW_SECONDS,
) -> Backtest | None:
    """Backtest the model that `fit` makes, which forecasts in the data's own units. None when no series has
    rows enough for one cutoff.

    `refits` is how often it is fitted at most; `needed` how many rows before its first cutoff a series has
    that alone would do for a fit; `least` how many known values one has that takes part in a fit (`needed` by
    default). At a cutoff a series takes part with so many when it was part of the fit or has the model's
    whole input part. Blocks whose fit finds too little are left out. `slow_seconds` is what each slow method
    may take.
    """
    needed = rows_needed(horizon) if needed is None else needed
    least = needed if least is None else least
    cycle = panel.frequency.cycle
    behind = _rows_behind(panel.lengths, horizon, season_length, needed, cycle)
    if behind.size == 0:
        return None
    whole = behind.size
    if not panel.covariates.of("future"):  # which end with the panel
        behind = np.concatenate([behind, _rows_behind_recent(behind, horizon)])
    count, series = behind.size, len(panel)
    shape = (count, series, horizon)
    holds_cycle = np.median(panel.lengths) - behind[0] >= cycle
    methods = baselines(horizon, season_length, cycle if holds_cycle else 1)
    quick = [method for method in methods if not method.slow]
    forecasts = {NETWORK: np.full(shape, np.nan)}
    forecasts |= {method.name: np.full(shape, np.nan) for method in quick}
    forecasts[SMOOTHING] = np.full(shape, np.nan)
    truth, last = np.full(shape, np.nan), np.full((count, series), np.nan)
    predicted: list[tuple[Places, Prediction]] = []
    known = _known_before(panel, behind)
    blocks, fits = np.array_split(np.arange(whole), min(refits, whole)), 0
    blocks[-1] = np.arange(blocks[-1][0], count)  # recent cutoffs need no fit of their own
    for number, block in enumerate(blocks):
        progress(f"backtest {number + 1}/{len(blocks)}")
        earlier, fitted = panel.without_last(int(behind[block[0]])), known[block[0]] >= least
        if not fitted.any():
            continue
        try:
            model = fit(_series(earlier, np.flatnonzero(fitted)))
        except DataError:
            continue
        fits += 1
        learnt = [method.fit(earlier) for method in quick]
        rows = panel.lengths - behind[block][:, None]
        part = (known[block] >= least) & (fitted | (rows >= model.length))
        places = np.nonzero(part)
        every, first = Cutoffs(panel, panel.offsets[places[1]] + rows[places] - 1), 0
        for cutoffs in every.pieces(model.length):
            some = slice(first, first + len(cutoffs))
            here, first = (block[places[0][some]], places[1][some]), some.stop
            last[here] = LastValue(1).forecast(cutoffs)[:, 0]
            for method in learnt:
                forecasts[method.name][here] = method.forecast(cutoffs)
            readable = cutoffs.known(model.shortest)
            readable &= model.takes(cutoffs)  # it was fitted before the first other value came
            seen = np.flatnonzero(readable)
            if seen.size == 0:
                continue
            cutoffs, here = cutoffs.take(seen), (here[0][seen], here[1][seen])
            truth[here] = cutoffs.targets(horizon)
            forecasts[SMOOTHING][here] = model.predict_without_network(cutoffs).values
            predicted.append((here, model.predict(cutoffs)))
    if np.isnan(truth[:whole]).all():
        return None
    network = _assemble(predicted, shape)
    forecasts[NETWORK] = network.values
    # From the simplest method on: smoothing learns less than a regression does.
    names = [NETWORK, *(method.name for method in quick)]
    names.insert(names.index("linear on lags"), SMOOTHING)
    scales = _scales(panel, behind[:whole], ~np.isnan(last[:whole]), season_length)

    def of(some: slice) -> Backtest:
        parts = {name: getattr(network, name)[some] for name in ("middle", "below", "above")}
        return Backtest(
            truth[some],
            {name: forecasts[name][some] for name in names},
            replace(network, **parts),
            last[some],
            scales,
            behind[some],
            panel.ids,
            fits,
        )

    done = of(slice(whole))
    if count > whole:
        done = replace(done, recent=of(slice(whole, count)))
    for method in methods:
        if method.slow:
            progress(f"backtest of {method.name}")
            done = _with_sample(done, method, panel, slow_seconds)
    return done


def most_rows_behind(lengths: NDArray[np.int64], horizon: int, cycle: int) -> int:
    """How many rows may lie after the first cutoff, whichever season is in use; `cycle` is the longest."""
    return horizon + _span(int(np.median(lengths)), horizon, cycle)


def _span(rows: int, horizon: int, cycle: int) -> int:
    """How many steps cutoffs are wanted to span."""
    return max(3 * horizon, _LEAST_SPAN, min(rows // 4, max(_MOST_SPAN, _CYCLES * cycle)))


def _rows_behind(
    lengths: NDArray[np.int64], horizon: int, season_length: int, needed: int, cycle: int
) -> NDArray[np.int64]:
    """How many rows lie after each cutoff, oldest cutoff first; none when no series bears one.

    They follow from the median of the series that bear one at all: as many steps as wanted, fewer where the
    rows before the first would no longer bear the season out. Cutoffs further than a step apart still fall on
    every phase of the season.
    """
    bearing = lengths[lengths > horizon + needed]
    if bearing.size == 0:
        return np.empty(0, np.int64)
    rows = int(np.median(bearing))
    with_season = rows - horizon - rows_for_season(season_length, horizon)
    plain = rows - horizon - needed
    span = int(min(_span(rows, horizon, cycle), plain, with_season if with_season >= 1 else plain))
    most = min(_MOST_FORECASTS // (lengths.size * horizon), max(_MOST_CUTOFFS, 3 * horizon))
    most = max(_LEAST_CUTOFFS, most)
    step = -(-span // most)
    while gcd(step, season_length) > 1:
        step += 1
    count = min(most, (span - 1) // step + 1)
    return horizon + step * np.arange(count - 1, -1, -1)


def _rows_behind_recent(behind: NDArray[np.int64], horizon: int) -> NDArray[np.int64]:
    """How many rows lie after each cutoff of the last horizon, in the steps of the earlier ones."""
    step = _step(behind)
    return np.arange(horizon - step, 0, -step)


def _step(behind: NDArray[np.int64]) -> int:
    """Steps between two cutoffs with so many rows after them; 1 for a lone one."""
    return int(behind[0] - behind[1]) if behind.size > 1 else 1


def _known_before(panel: Panel, behind: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many values of each series are known at each cutoff [C, S]."""
    counts = np.concatenate([[0], np.cumsum(panel.mask)])
    ends = panel.offsets[:-1] + np.maximum(panel.lengths - behind[:, None], 0)
    return np.asarray(counts[ends] - counts[panel.offsets[:-1]])


def _series(panel: Panel, numbers: NDArray[np.int64]) -> Panel:
    """The panel with these series alone."""
    if numbers.size == len(panel):
        return panel
    lengths = panel.lengths[numbers]
    keep = positions(panel.offsets[numbers], lengths)
    covariates = panel.covariates.take(keep)
    return replace(
        panel,
        values=panel.values[keep],
        offsets=offsets_of(lengths),
        ids=tuple(panel.ids[number] for number in numbers),
        starts=panel.starts[numbers],
        covariates=replace(covariates, static=covariates.static[numbers]),
    )


def _assemble(
    predicted: list[tuple[Places, Prediction]],
    shape: tuple[int, int, int],
) -> Prediction:
    """Predictions of some cutoffs and series each as one of all, NaN for the others."""
    parts = {name: np.full(shape, np.nan) for name in ("middle", "below", "above")}
    for there, one in predicted:
        for name, whole in parts.items():
            whole[there] = getattr(one, name)
    return Prediction(Units(), **parts, support=predicted[-1][1].support)


def _scales(
    panel: Panel, behind: NDArray[np.int64], part: NDArray[np.bool_], season_length: int
) -> NDArray[np.float64]:
    """The scale of each series [S] from its values before the first cutoff in which it took part [C, S]."""
    scales = np.full(len(panel), np.nan)
    for number in np.flatnonzero(part.any(0)):
        values = panel.series(int(number))
        history = values[: values.size - behind[np.argmax(part[:, number])]]
        scales[number] = metrics.naive_scale(history, season_length)
    return np.where(scales > 0, scales, np.nan)


def _with_sample(done: Backtest, method: Baseline, panel: Panel, seconds: float) -> Backtest:
    """The backtest with a slow method at a sample of the cutoffs and series, bounded in number and time."""
    part = np.flatnonzero(~np.isnan(done.last))
    chosen = np.unique(np.linspace(0, part.size - 1, min(part.size, _SLOW_FORECASTS)).astype(np.int64))
    forecast, tried = np.full(done.truth.shape, np.nan), 0
    until = time.monotonic() + seconds
    # In an order of its own, so that what time allows for is spread over all cutoffs.
    for at in part[np.random.default_rng(0).permutation(chosen)]:
        cutoff, number = np.unravel_index(at, done.last.shape)
        one = Cutoffs(panel, np.array([panel.offsets[number + 1] - 1 - done.behind[cutoff]]))
        forecast[cutoff, number] = method.forecast(one)[0]
        tried += 1
        if time.monotonic() > until:
            break
    notes = done.notes
    if tried < part.size:
        notes += (f"{method.name} was run at {tried} of {part.size:,} past cutoffs",)
    return replace(done, forecasts={**done.forecasts, method.name: forecast}, notes=notes)
