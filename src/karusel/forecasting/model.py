"""The model of one cut of a panel: scaling and correction fitted to it, forecasts from any input parts.

A forecast is anchor + share * size * correction, taken back from logarithms where they were used. It is a
function of a window's input part alone, and the fit of the panel given to it alone: neither can see anything
else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting import windows
from karusel.forecasting.correction import Correction, NetworkSettings, fit_correction
from karusel.forecasting.panel import Panel
from karusel.forecasting.prediction import Prediction, Units
from karusel.forecasting.rows import SHOWN
from karusel.forecasting.scaling import (
    Scaling,
    choose_scaling,
    rows_needed,
    window_shape,
)
from karusel.forecasting.windows import Cutoffs

__all__ = ["FittedModel", "Model", "fit_model", "refuse_missing"]

_LEAST_WINDOWS = 8
_ENOUGH_WINDOWS = 16  # of a series, to keep long ones for a season that they do not bear out
_FARTHEST = 30.0  # sizes from the anchor beyond which a target is cut
_HELD_OUT = 6  # horizons or seasons held out to choose on, if a third of the windows are as many
_MOST_WINDOWS = 20_000  # of many series only the latest windows are trained on


@runtime_checkable  # model files are checked for it
class FittedModel(Protocol):
    """What a forecaster and a backtest ask of a model, whatever it was fitted on.

    `length` values of input part give `horizon` values of forecast, if one of the last `shortest` is known;
    `share` is the networks' part in it. No forecast depends on a value after its cutoff. `takes` says which
    windows hold nothing but what it computes with; other values are read as missing.
    """

    @property
    def horizon(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def shortest(self) -> int: ...
    @property
    def season_length(self) -> int: ...
    @property
    def units(self) -> Units: ...
    @property
    def members(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def share(self) -> float: ...
    def takes(self, cutoffs: Cutoffs) -> NDArray[np.bool_]: ...
    def predict(self, cutoffs: Cutoffs) -> Prediction: ...
    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction: ...


@dataclass(frozen=True)
class Model:
    """A fitted model; `scaling.length` values of input part give `horizon` values of forecast."""

    horizon: int
    scaling: Scaling
    correction: Correction

    @property
    def length(self) -> int:
        """Values of an input part."""
        return self.scaling.length

    @property
    def shortest(self) -> int:
        """Values of an input part, one of which must be known."""
        return self.scaling.length

    @property
    def season_length(self) -> int:
        """The season in use, 1 for none."""
        return self.scaling.season_length

    @property
    def units(self) -> Units:
        """What it computes in."""
        return self.scaling

    @property
    def members(self) -> int:
        """Networks that forecast."""
        return len(self.correction.networks)

    @property
    def epochs(self) -> int:
        """Epochs that each network was trained for."""
        return self.correction.epochs

    @property
    def share(self) -> float:
        """The share of the correction that is used."""
        return self.correction.share

    def takes(self, cutoffs: Cutoffs) -> NDArray[np.bool_]:
        """Which windows hold nothing but values that the scaling is for [n]."""
        return np.asarray(self.scaling.takes(cutoffs.inputs(self.length)).all(1))

    def predict(self, cutoffs: Cutoffs) -> Prediction:
        """Forecasts, with the size of each window as the unit of errors; those of a series with fewer rows
        than an input part are their anchors.
        """
        return self._predict(cutoffs, networks=True)

    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction:
        """The anchors alone: exponential smoothing inside the window."""
        return self._predict(cutoffs, networks=False)

    def _predict(self, cutoffs: Cutoffs, *, networks: bool) -> Prediction:
        rows = np.minimum(cutoffs.at - cutoffs.starts + 1, self.length)
        middle, unit = np.empty((len(cutoffs), self.horizon)), np.empty((len(cutoffs), 1))
        for count in np.unique(rows):
            some = np.flatnonzero(rows == count)
            middle[some], unit[some] = self._read(cutoffs.take(some), int(count), networks)
        return Prediction(self.scaling, middle, unit, unit)

    def _read(
        self, cutoffs: Cutoffs, rows: int, networks: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Forecasts [n, h] in u of windows of so many rows, and the units of errors [n, 1], 0 where nothing
        changes.
        """
        if rows < self.length:
            # Networks have seen windows of one length alone, whose level and season are of as many values.
            scaling = self.scaling.shorter(rows)
            u = scaling.transform(_inputs(cutoffs, scaling))
            away, level, anchor = scaling.linear(u, self.horizon)
            if rows > 1:
                return anchor, _unit(scaling, *scaling.size(away, level))
            # One value shows no change: it may be anything of its order.
            order = np.ones_like(level) if scaling.log else np.where(level != 0, np.abs(level), 1.0)
            return anchor, order
        scaled = self.scaling.apply(_inputs(cutoffs, self.scaling), self.horizon)
        unit = _unit(self.scaling, scaled.size, scaled.still)
        if not networks:
            return scaled.anchor, unit
        corrected = self.correction.share * self.correction.predict(scaled.features)
        return scaled.anchor + scaled.size * corrected, unit


def _unit(scaling: Scaling, size: NDArray[np.float64], still: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(still, 0.0, scaling.optimism * size)


def _inputs(cutoffs: Cutoffs, scaling: Scaling) -> NDArray[np.float64]:
    """Input parts [n, length]; a gap, or a value without a logarithm where the scaling is for those, is read
    as the last known value before it.
    """
    cutoffs.refuse_unknown(scaling.length)
    inputs = cutoffs.inputs(scaling.length)
    taken = scaling.takes(inputs)
    if taken.all():
        return windows.filled(inputs)
    inputs = np.where(taken, inputs, np.nan)
    lost = np.isnan(inputs).all(1)
    if lost.any():
        series = cutoffs.panel.series_word(int(cutoffs.numbers[np.argmax(lost)]))
        raise DataError(
            f"none of the {scaling.length} values of {series} before a forecast is above 0, as all were when "
            "fitted; fit anew with them"
        )
    return windows.filled(inputs)


def fit_model(
    panel: Panel, horizon: int, season_length: int, input_size: int | None, settings: NetworkSettings
) -> Model:
    """Fit a model to all that the panel holds. Raises `DataError` for a series with missing values or too few
    rows.
    """
    refuse_missing(
        panel, "missing values are not supported yet: fill them in, or keep only the rows after the last one"
    )
    shortest = int(np.argmin(panel.lengths))
    rows = int(panel.lengths[shortest])
    if rows < rows_needed(horizon):
        series = "the series has" if len(panel) == 1 else f'series "{panel.ids[shortest]}" has'
        raise DataError(
            f"{series} {rows} row{'s' if rows > 1 else ''}, but a horizon of {horizon} needs at least "
            f"{rows_needed(horizon)}; forecast fewer steps or give more history"
        )
    shape = window_shape(rows, season_length, horizon, input_size)
    cutoffs, recency = _latest(panel, shape[0], horizon)
    inputs = windows.inputs(panel.values, cutoffs, shape[0])
    targets = windows.targets(panel.values, cutoffs, horizon)
    scaling = choose_scaling(inputs, targets, shape)
    fewest = rows - shape[0] - horizon + 1
    if scaling.season_length < shape[2] and fewest < _ENOUGH_WINDOWS:
        # Shorter windows, without the season, are more.
        return fit_model(panel, horizon, 1, input_size, settings)
    held_out, earlier = _split(recency, fewest, horizon, season_length)

    scaled = scaling.apply(inputs, horizon)
    wanted = (scaling.transform(targets) - scaled.anchor) / scaled.size
    wanted = np.clip(wanted, -_FARTHEST, _FARTHEST)  # a window that hardly changes has next to no size
    anchor, size, truth = scaled.anchor[held_out], scaled.size[held_out], targets[held_out]
    weight = 1 / np.mean(np.abs(np.diff(inputs[held_out], axis=1)) + 1e-12, axis=1, keepdims=True)

    def held_out_error(corrected: NDArray[np.float64]) -> float:
        return float(np.mean(np.abs(scaling.invert(anchor + size * corrected) - truth) * weight))

    correction = fit_correction(scaled.features, wanted, held_out, earlier, held_out_error, settings)
    return Model(horizon, scaling, correction)


def refuse_missing(panel: Panel, why: str) -> None:
    """Raise `DataError` when a value is missing; `why` says what is not possible then and what to do."""
    missing = np.flatnonzero(~panel.mask)
    if missing.size == 0:
        return
    listed = ", ".join(panel.label(int(position)) for position in missing[:SHOWN])
    raise DataError(
        f"{missing.size:,} value{'s' if missing.size > 1 else ''} missing inside "
        f"{panel.series_word(int(panel.number_of(missing[0])))} ({listed}"
        f"{', ...' if missing.size > SHOWN else ''}); {why}"
    )


def _latest(panel: Panel, length: int, horizon: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cutoffs to train on and how many cutoffs of their series come after each."""
    cutoffs = windows.training_cutoffs(panel, length, horizon)
    counts = panel.lengths - length - horizon + 1
    lasts = np.repeat(panel.offsets[1:] - 1 - horizon, counts)
    recency = lasts - cutoffs
    keep = recency < max(_LEAST_WINDOWS, _MOST_WINDOWS // len(panel))
    return cutoffs[keep], recency[keep]


def _split(
    recency: NDArray[np.int64], fewest: int, horizon: int, season_length: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The latest cutoffs, held out to choose on, and those whose targets end before the first of them."""
    season = season_length if season_length <= 24 else horizon
    latest = min(_HELD_OUT * max(horizon, season), max(1, fewest // 3))
    return recency < latest, recency >= latest + horizon
