"""The forecaster: from a table of series to forecasts with intervals, and the evidence for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting import windows
from karusel.forecasting.backtest import NETWORK, run_backtest
from karusel.forecasting.correction import NetworkSettings
from karusel.forecasting.frames import FrameKind, is_frame, read_frame
from karusel.forecasting.frequency import Times
from karusel.forecasting.intervals import calibrate, check_levels, reached_coverage
from karusel.forecasting.members import EnsembleSettings
from karusel.forecasting.model import FittedModel, fit_model, refuse_missing
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.pooled import fit_pooled
from karusel.forecasting.verdict import judge

__all__ = ["Forecast", "Forecaster"]

_MANY = 20  # series from which one model for all of them has enough to learn from


@dataclass(frozen=True)
class Forecast:
    """Forecasts of S series, h steps each: `values` and the low and high ends of `intervals` are [S, h]."""

    ids: tuple[Hashable, ...]
    times: Times
    values: NDArray[np.float64]
    intervals: Mapping[float, tuple[NDArray[np.float64], NDArray[np.float64]]]

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Columns [S, h] by name: LSTM, then LSTM-lo-L and LSTM-hi-L for each level L."""
        found = {NETWORK: self.values}
        for level, (low, high) in self.intervals.items():
            found[f"{NETWORK}-lo-{level:g}"] = low
            found[f"{NETWORK}-hi-{level:g}"] = high
        return found


class Forecaster:
    """Forecasts one series or many with a small ensemble of LSTM networks.

    Windows are scaled by their own level, growth and season (`karusel.forecasting.scaling`; of 20 series or
    more, `karusel.forecasting.pooled`); the networks forecast all `h` steps at once as a correction to that.
    Fitting also backtests against simple methods and calibrates
    the intervals on the backtest's errors.

    Parameters
    ----------
    h : steps to forecast, at least 1.
    input_size : steps that the networks see; from the season length by default.
    hidden_size : hidden units of each LSTM layer; 32 by default, 64 for 20 series or more.
    num_layers : LSTM layers of each network; 1 by default, 2 for 20 series or more.
    learning_rate : of Adam; 0.002 by default, 0.003 for 20 series or more.
    batch_size : windows per optimiser step; 32 by default, from the number of windows for 20 series or more.
    n_members : networks in the ensemble.
    freq : step between times, such as "MS" or "15min"; found in the times by default.
    season_length : steps of one season, 1 for none; from the frequency by default.
    backtest : whether fitting backtests; intervals and verdict need it.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    panel_ : the series, with `frequency` and `notes` on what was found.
    season_length_ : the season in use, 1 when there is none or the series are too short for it.
    backtest_, verdict_, coverage_, calibration_ : evidence; None without a backtest. `coverage_` gives for
    each of
        the levels 80 and 95 the coverage reached on held-out values, from 0 to 1, {} when there were too
        few; `coverage_values_` says on how many.
    model_ : the fitted `karusel.forecasting.model.FittedModel`.

    Examples
    --------
    >>> from karusel import Forecaster
    >>> y = [10 + t + 3 * (t % 4) for t in range(60)]
    >>> Forecaster(h=4, season_length=4, backtest=False).fit(y).predict().round()
    array([70., 74., 78., 82.])
    """

    def __init__(
        self,
        h: int,
        *,
        input_size: int | None = None,
        hidden_size: int | None = None,
        num_layers: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        n_members: int = 3,
        freq: str | int | None = None,
        season_length: int | None = None,
        backtest: bool = True,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.h = h
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_members = n_members
        self.freq = freq
        self.season_length = season_length
        self.backtest = backtest
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        data: Any,
        *,
        id_col: str = "unique_id",
        time_col: str | None = "ds",
        target_col: str | Sequence[str] = "y",
        progress: Callable[[str], None] = lambda stage: None,
    ) -> Forecaster:
        """Fit to `data` and backtest; returns self.

        `data` is a frame in long format (the column names say where ids, times and values are; without an id
        column it is one series; `time_col=None` counts the rows) or in wide format (`target_col` lists one
        column for each series), a 1-D array or list of one series, a list of such of any lengths, a 2-D array
        [S, T], or a `Panel`. `progress` is told each stage in a few words.
        """
        self._check()
        self.panel_, self._kind = self._read(data, id_col, time_col, target_col)
        season, many = self.panel_.frequency.season_length, len(self.panel_) >= _MANY
        if many and self.backtest:
            refuse_missing(
                self.panel_, "the backtest takes no missing values yet: fill them in, or set backtest=False"
            )

        def fit(panel: Panel) -> FittedModel:
            if many:
                settings = EnsembleSettings(**self._given(), look_back=self.input_size)
                return fit_pooled(panel, self.h, panel.frequency.season_lengths, settings)
            return fit_model(panel, self.h, season, self.input_size, NetworkSettings(**self._given()))

        progress("fit")
        self.model_ = fit(self.panel_)
        self.season_length_ = self.model_.season_length
        self.backtest_ = run_backtest(self.panel_, self.h, season, fit, progress) if self.backtest else None
        if self.backtest_ is None:
            self.verdict_, self.calibration_ = None, None
            self.coverage_: dict[float, float] = {}
            self.coverage_values_ = 0
        else:
            self.verdict_ = judge(self.backtest_)
            self.calibration_ = calibrate(self.backtest_.scores)
            self.coverage_, self.coverage_values_ = reached_coverage(self.backtest_.scores, (80.0, 95.0))
        return self

    def forecast(self, level: Sequence[float] = ()) -> Forecast:
        """The next `h` steps of every series as plain arrays, with an interval for each level in percent."""
        if not hasattr(self, "model_"):
            raise UsageError("the forecaster is not fitted; call fit(data) first")
        levels = check_levels(level)
        if levels and self.calibration_ is None:
            why = "the series are too short for one" if self.backtest else "it was switched off"
            raise UsageError(f"intervals need a backtest, but {why}; predict without level")
        panel = self.panel_
        inputs = windows.padded_inputs(
            panel.values, panel.offsets[:-1], windows.last_cutoffs(panel), self.model_.length
        )
        predicted = self.model_.predict(inputs)
        intervals = {}
        for one in levels:
            assert self.calibration_ is not None
            intervals[one] = predicted.interval(self.calibration_.half_width(one))
        return Forecast(self.panel_.ids, self.panel_.future_times(self.h), predicted.values, intervals)

    def predict(self, *, level: Sequence[float] = ()) -> Any:
        """The next `h` steps of every series, in the kind of container that `fit` was given.

        A frame comes back as a frame with ids, times and the columns `LSTM`, `LSTM-lo-80`, `LSTM-hi-80`, ...;
        an array or list as an array [h] for one series or [S, h] for several, or, with levels, as a
        dictionary of such arrays under those names; a `Panel` as a `Forecast`.
        """
        made = self.forecast(level)
        columns = made.columns()
        if isinstance(self._kind, FrameKind):
            ids = [name for name in made.ids for _ in range(self.h)]
            return self._kind.build(ids, made.times.ravel(), {name: c.ravel() for name, c in columns.items()})
        if self._kind == "panel":
            return made
        if self._kind == "one":
            columns = {name: column[0] for name, column in columns.items()}
        return columns if made.intervals else columns[NETWORK]

    def _check(self) -> None:
        for name in ("h", "hidden_size", "num_layers", "batch_size", "n_members", "input_size", "n_jobs"):
            value = getattr(self, name)
            if value is None and name not in ("h", "n_members"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise UsageError(f"{name} is {value!r}; it must be a whole number from 1 up")
        if isinstance(self.random_state, bool) or not isinstance(self.random_state, (int, np.integer)):
            raise UsageError(f"random_state is {self.random_state!r}; it must be a whole number")
        if not 0 <= self.random_state < 2**32:
            raise UsageError(f"random_state is {self.random_state}; it must be from 0 to 2^32 - 1")

    def _given(self) -> dict[str, Any]:
        """What was given of the networks' settings; the rest is as each model likes it best."""
        from karusel.program.executor import default_threads

        names = ("hidden_size", "num_layers", "learning_rate", "batch_size")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        common = {"n_members": self.n_members, "random_state": int(self.random_state)}
        return {**given, **common, "n_jobs": self.n_jobs or default_threads()}

    def _read(
        self, data: Any, id_col: str, time_col: str | None, target_col: str | Sequence[str]
    ) -> tuple[Panel, FrameKind | str]:
        if isinstance(data, Panel):
            return data, "panel"
        if is_frame(data):
            return read_frame(data, id_col, time_col, target_col, self.freq, self.season_length)
        series, kind = _series_of(data)
        ids = None if kind == "one" else np.repeat(np.arange(len(series)), [len(one) for one in series])
        panel = from_columns(np.concatenate(series), ids=ids, season_length=self.season_length)
        return panel, kind


def _as_numbers(part: Any, number: int) -> NDArray[np.float64]:
    """One series as numbers, NaN for None; text is refused even where it spells a number."""
    try:
        found = np.asarray(part)
        if found.dtype.kind not in "US":
            return found.astype(np.float64)
    except (TypeError, ValueError):
        pass
    for row, value in enumerate(part):
        try:
            if isinstance(value, str):
                raise ValueError
            np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"row {row} of series {number} holds {str(value)!r}, which is no number; correct or remove it"
            ) from None
    raise DataError(f"series {number} is no 1-D array or list of numbers; give one")


def _series_of(data: Any) -> tuple[list[NDArray[np.float64]], str]:
    """The series of an array or list, and whether it was "one" or "many"."""
    if isinstance(data, np.ndarray) or (len(data) > 0 and np.isscalar(data[0])):
        parts, kind = (np.asarray(data), "one") if np.ndim(data) == 1 else (data, "many")
        if np.ndim(data) not in (1, 2):
            raise DataError(
                f"the array has {np.ndim(data)} dimensions; give one series [T] or several [S, T]"
            )
    else:
        parts, kind = data, "many"
    series = [_as_numbers(part, number) for number, part in enumerate([parts] if kind == "one" else parts)]
    for number, one in enumerate(series):
        if one.ndim != 1 or one.size == 0:
            raise DataError(
                f"series {number} has shape {one.shape}; each must be 1-D with at least one value"
            )
    if not series:
        raise DataError("there are no series; give at least one")
    return series, kind
