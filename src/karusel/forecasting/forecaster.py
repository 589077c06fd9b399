"""The forecaster: from a table of series to forecasts with intervals, and the evidence for them."""

from __future__ import annotations

import math
import os
import reprlib
import time
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import check_time_limit, whole_number
from karusel.errors import NOT_DESCRIBED, DataError, ModelFileError, UsageError
from karusel.forecasting import windows
from karusel.forecasting.backtest import LEVELS, NETWORK, most_rows_behind, run_backtest
from karusel.forecasting.best import BEST, Best, choose_best
from karusel.forecasting.cold_start import with_unknown
from karusel.forecasting.containers import Columns, Kind, read
from karusel.forecasting.fitting import Fitted, Settings, fit, with_seasons
from karusel.forecasting.frames import FrameKind, future_frame, read_future, refuse_two_alike
from karusel.forecasting.frequency import Times
from karusel.forecasting.future import Future
from karusel.forecasting.intervals import (
    Calibration,
    check_levels,
    check_quantiles,
    reached_coverage,
)
from karusel.forecasting.panel import Panel
from karusel.forecasting.pooled import LEAST_KNOWN, rows_to_pool
from karusel.forecasting.prediction import Prediction
from karusel.forecasting.rows import SHOWN, listed
from karusel.forecasting.scaling import rows_needed
from karusel.forecasting.verdict import Verdict, judge
from karusel.forecasting.windows import Cutoffs
from karusel.typed import is_of

if TYPE_CHECKING:
    from karusel.forecasting.live import Live

__all__ = ["Forecast", "Forecaster", "names_of_columns"]

_SHARE_OF_FIT = 0.5  # of the time limit, for the model itself; the rest is the backtest's
_REFITS = 3  # of a backtest; of a pooled model one, which costs as much as the fit
_SHARE_OF_SLOW, _SLOW_SECONDS = 0.05, 10.0  # of the limit, and at most, for each slow simple method
_LEAST_SECONDS = 0.1
Progress = Callable[[str], None]
_SETTINGS = (
    *("h", "input_size", "hidden_size", "num_layers", "learning_rate", "batch_size", "n_members", "freq"),
    *("season_length", "backtest", "best", "time_limit", "random_state", "n_jobs"),
)

_STORED: dict[str, Any] = {
    "panel_": Panel,
    "model_": Fitted,
    "notes_": tuple[str, ...],
    "season_length_": int,
    "verdict_": Verdict | None,
    "calibration_": Calibration | None,
    "best_": Best | None,
    "coverage_": dict[float, float],
    "coverage_values_": int,
    "_columns": Columns,
    "_kind": FrameKind | str,
    "_suggested": tuple[int, ...],
}


@dataclass(frozen=True)
class Forecast:
    """Forecasts of S series, h steps each: `values`, the low and high ends of `intervals` by level, and
    `quantiles`, are [S, h]; `notes` what is to be said of them, in sentences.
    """

    ids: tuple[Hashable, ...]
    times: Times
    values: NDArray[np.float64]
    intervals: Mapping[float, tuple[NDArray[np.float64], NDArray[np.float64]]]
    quantiles: Mapping[float, NDArray[np.float64]] = field(default_factory=dict)
    name: str = NETWORK
    notes: tuple[str, ...] = ()

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Columns [S, h] by name: LSTM, then LSTM-lo-L and LSTM-hi-L for each level L, and LSTM-q-Q for each
        quantile Q.
        """
        ends = (end for interval in self.intervals.values() for end in interval)
        names = names_of_columns(self.name, tuple(self.intervals), tuple(self.quantiles))
        return dict(zip(names, (self.values, *ends, *self.quantiles.values()), strict=True))


def names_of_columns(name: str, levels: Sequence[float], quantiles: Sequence[float] = ()) -> tuple[str, ...]:
    """What the columns of a forecast are called: NAME, NAME-lo-80, NAME-hi-80, ..., NAME-q-0.1, ..."""
    ends = (f"{name}-{end}-{level:g}" for level in levels for end in ("lo", "hi"))
    return (name, *ends, *(f"{name}-q-{quantile:g}" for quantile in quantiles))


class Forecaster:
    """Forecasts one series or many with a small ensemble of LSTM networks.

    Windows are scaled by their own level, growth and season (`karusel.forecasting.scaling`); of 20 series or
    more, of series with gaps and of such that hold three slow seasons (years of days, of business days or of
    weeks, weeks of hours), by `karusel.forecasting.pooled`, the pooled model. The networks forecast all `h`
    steps at once as a correction to that.
    Effects of covariates known in the future are taken out before and put back after
    (`karusel.forecasting.effects`); all covariates are inputs of the networks too. Fitting also backtests
    against simple methods and calibrates the intervals on the backtest's errors. Values that are never
    negative, or always whole numbers, are forecast as such.

    Parameters
    ----------
    h : steps to forecast, at least 1.
    input_size : steps that the networks see; from the season length by default.
    hidden_size : hidden units of each LSTM layer; 32 by default, in the pooled model 64, for 20 series or
        more 128, and 256 above 32 steps.
    num_layers : LSTM layers of each network; 1 by default.
    learning_rate : of Adam; 0.002 by default, 0.003 in the pooled model.
    batch_size : windows per optimiser step; 32 by default, from the number of windows in the pooled model.
    n_members : networks in the ensemble; 3 by default, 5 for 20 series or more.
    freq : step between times, such as "MS" or "15min"; found in the times by default.
    season_length : steps of one season, several seasons, or 1 for none; by default those that the frequency
        suggests, and where it suggests none, those that the values show.
    backtest : whether fitting backtests; intervals and verdict need it.
    best : whether to forecast with what the backtest says is best, the network, a simple method or a blend;
        the columns are then called best, best-lo-80, ....
    time_limit : seconds that fitting and backtesting may take, about; no limit by default. With one, the
        same data may give other bits.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    panel_ : the series, with `frequency` and `notes` on what was found.
    notes_ : what was found and decided, in sentences.
    season_length_ : the season in use, 1 when there is none or the series are too short for it.
    backtest_, verdict_, coverage_, calibration_ : evidence; None without a backtest. `coverage_` gives for
        each of the levels 80 and 95 the coverage reached on held-out values, from 0 to 1, {} when there were
        too few; `coverage_values_` says on how many. `best_` says what is forecast with instead of the
        network, None without `best=True`. A forecaster that was loaded has no `backtest_`.
    model_ : the fitted `karusel.forecasting.fitting.Fitted`.

    Examples
    --------
    >>> from karusel import Forecaster
    >>> y = [10 + t + 3 * (t % 4) for t in range(60)]
    >>> Forecaster(h=4, season_length=4, backtest=False).fit(y).predict()
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
        n_members: int | None = None,
        freq: str | int | None = None,
        season_length: int | Sequence[int] | None = None,
        backtest: bool = True,
        best: bool = False,
        time_limit: float | None = None,
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
        self.best = best
        self.time_limit = time_limit
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        data: Any,
        *,
        id_col: str = "unique_id",
        time_col: str | None = "ds",
        target_col: str | Sequence[str] = "y",
        hist_exog_list: Sequence[str] = (),
        futr_exog_list: Sequence[str] = (),
        stat_exog_list: Sequence[str] = (),
        static_df: Any = None,
        progress: Progress = lambda stage: None,
    ) -> Forecaster:
        """Fit to `data` and backtest; returns self.

        `data` is a frame in long format (the column names say where ids, times and values are; without an id
        column it is one series; `time_col=None` counts the rows) or in wide format (`target_col` lists one
        column for each series), a 1-D array or list of one series, a list of such of any lengths, a 2-D array
        [S, T], or a `Panel`. Columns of a frame that are known up to the cutoff, also in the future, or that
        stay the same, are named in `hist_exog_list`, `futr_exog_list` and `stat_exog_list`; static ones may
        stand in `static_df` instead, one row for each id. `progress` is told each stage in a few words.
        """
        self._check()
        columns = Columns.of(id_col, time_col, target_col, hist_exog_list, futr_exog_list, stat_exog_list)
        panel, kind = self._read(data, columns, static_df)
        self._fit(panel, progress)
        self._columns, self._kind = columns, kind
        return self

    def _fit(self, panel: Panel, progress: Progress) -> None:
        started, settings = time.monotonic(), self._settings()
        progress("fit")
        limit = self.time_limit
        if limit is not None:
            settings = settings.within(limit * (_SHARE_OF_FIT if self.backtest else 1.0))
        seasoned = with_seasons if self.season_length is None else (lambda known: known)
        self.panel_ = seasoned(panel)
        self.model_ = fit(self.panel_, settings)
        self._suggested = panel.frequency.season_lengths
        self.season_length_ = self.model_.season_length
        self.notes_ = (*panel.notes, *self._season_notes(panel), *self.model_.notes())
        # Without seeing what the backtest will forecast.
        behind = most_rows_behind(panel.lengths, self.h, panel.frequency.cycle)
        early = seasoned(panel.without_last(behind))
        season = early.frequency.season_length
        refits = 1 if self.model_.pooled else _REFITS
        if limit is not None:
            left = limit - (time.monotonic() - started)
            settings = settings.within(max(left, _LEAST_SECONDS) / refits)
        self.backtest_ = (
            run_backtest(
                panel,
                self.h,
                season,
                lambda known: fit(seasoned(known), settings, like=self.model_),
                progress,
                refits=refits,
                needed=max(rows_needed(self.h), rows_to_pool(self.h) if self.model_.pooled else 0),
                least=LEAST_KNOWN if self.model_.pooled else None,
                slow_seconds=min(_SLOW_SECONDS, _SHARE_OF_SLOW * (limit or np.inf)),
            )
            if self.backtest
            else None
        )
        self.verdict_, self.calibration_, self.best_ = None, None, None
        self.coverage_: dict[float, float] = {}
        self.coverage_values_ = 0
        if self.backtest_ is not None:
            scores = self.backtest_.scores()
            self.verdict_ = judge(self.backtest_)
            self.calibration_ = self.backtest_.calibration()
            self.coverage_, self.coverage_values_ = reached_coverage(scores, LEVELS, self.backtest_.step)
            self.notes_ += self.backtest_.notes
            if self.best:
                self.best_ = choose_best(self.backtest_, season)
                self.coverage_, self.coverage_values_ = self.best_.coverage, self.best_.coverage_values
                self.notes_ += (self.best_.sentence,)
        elif self.best:
            self.notes_ += ("too few rows to choose by a backtest: the best forecast known of is the LSTM's",)

    @property
    def columns(self) -> Columns:
        """Where the table that was fitted holds what."""
        self._fitted_panel()
        return self._columns

    @columns.setter
    def columns(self, columns: Columns) -> None:
        """For who reads tables for the forecaster, and knows more of them than a panel tells."""
        self._columns = columns

    def future_frame(self) -> Any:
        """The ids and times of the next `h` steps of every series, in the kind of frame that was fitted.

        Fill in the columns of `futr_exog_list` and give it to `predict` as `X_df`.
        """
        panel = self._fitted_panel()
        if not isinstance(self._kind, FrameKind):
            raise UsageError("the forecaster was fitted to no frame, so it cannot make one")
        return future_frame(panel, self._kind, self.h)

    def forecast(
        self,
        level: Sequence[float] = (),
        *,
        quantiles: Sequence[float] = (),
        X_df: Any = None,
        panel: Panel | None = None,
    ) -> Forecast:
        """The next `h` steps of every series as plain arrays, with an interval for each level in percent, and
        each of the quantiles between 0 and 1.

        `X_df` as `predict` takes it, or an array [S, h, F]; `panel` holds other series than those fitted.
        """
        panel = self._fitted_panel() if panel is None else panel
        levels, wanted = check_levels(level), check_quantiles(quantiles)
        if (levels or wanted) and self.calibration_ is None:
            why = "the series are too short for one" if self.backtest else "it was switched off"
            raise UsageError(f"intervals need a backtest, but {why}; predict without level and quantiles")
        at = windows.last_cutoffs(panel)
        future = self._read_future(panel, X_df)
        if future is None:
            cutoffs = Cutoffs(panel, at)
        else:
            cutoffs = Cutoffs(panel.extended(future.values), at + self.h * np.arange(len(panel)))
        predicted = self._predicted(cutoffs)
        return Forecast(
            panel.ids,
            panel.future_times(self.h),
            predicted.values,
            {one: predicted.interval(self._calibration().half_width(one)) for one in levels},
            {one: predicted.at(self._calibration().quantile(one)) for one in wanted},
            self._name(),
            (*self._short_notes(panel), *self._untaken_notes(cutoffs), *(future.notes if future else ())),
        )

    def predict(
        self,
        data: Any = None,
        *,
        level: Sequence[float] = (),
        quantiles: Sequence[float] = (),
        X_df: Any = None,
        static_df: Any = None,
    ) -> Any:
        """The next `h` steps of every series, in the kind of container that `fit` was given.

        A frame comes back as a frame with ids, times and the columns `LSTM`, `LSTM-lo-80`, `LSTM-hi-80`, ...,
        `LSTM-q-0.1`, ...; an array or list as an array [h] for one series or [S, h] for several, or, with
        levels or quantiles, as a dictionary of such arrays under those names; a `Panel` as a `Forecast`.

        A series with fewer rows than the networks read is forecast by smoothing alone; the pooled model's
        networks read any. A category that the model does not know is taken as missing. A `UserWarning` says
        so.

        `data` holds other series, or other histories, to be forecast by what was fitted. An id that was not
        there is forecast from its own values by what was learned of the others, one without any value as one
        of the others (`karusel.forecasting.cold_start`), and a `UserWarning` says so. `X_df` is a frame with
        the covariates of `futr_exog_list` for the next `h` steps of every series; `future_frame` makes its
        rows. `static_df` holds the static covariates of new ids.
        """
        panel, kind = self._fitted_panel(), self._kind
        if data is not None:
            panel, kind = read(data, self._columns, static_df=static_df, like=panel)
        made = self.forecast(level, quantiles=quantiles, X_df=X_df, panel=panel)
        if data is not None:
            made = self._with_new(made, panel, level, quantiles)
        for note in made.notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        columns = made.columns()
        if isinstance(kind, FrameKind):
            ids = [name for name in made.ids for _ in range(self.h)]
            return kind.build(ids, made.times.ravel(), {name: c.ravel() for name, c in columns.items()})
        if kind == "panel":
            return made
        if kind == "one":
            columns = {name: column[0] for name, column in columns.items()}
        return columns if len(columns) > 1 else columns[made.name]

    def update(
        self,
        data: Any,
        *,
        train: bool = False,
        static_df: Any = None,
        progress: Progress = lambda stage: None,
    ) -> Forecaster:
        """Append later rows of the series, or new series, to those fitted; returns self.

        `data` has the columns that `fit` was given. The networks forecast from the new end without being
        trained, in milliseconds; with `train` everything is fitted and backtested anew.
        """
        panel = self._fitted_panel()
        later, _ = read(data, self._columns, static_df=static_df, like=panel)
        panel = replace(panel.append(later), notes=panel.notes)  # those of many updates would pile up
        if train:  # seasons that were found are to be found anew
            frequency = replace(panel.frequency, season_lengths=self._suggested)
            self._fit(replace(panel, frequency=frequency), progress)
        else:
            self.panel_ = panel
        return self

    def cross_validation(
        self,
        data: Any,
        *,
        n_windows: int = 3,
        step_size: int | None = None,
        refit: bool | int = True,
        level: Sequence[float] = (),
        id_col: str = "unique_id",
        time_col: str | None = "ds",
        target_col: str | Sequence[str] = "y",
        hist_exog_list: Sequence[str] = (),
        futr_exog_list: Sequence[str] = (),
        stat_exog_list: Sequence[str] = (),
        static_df: Any = None,
        progress: Progress = lambda stage: None,
    ) -> Any:
        """Forecasts from `n_windows` past cutoffs, `step_size` steps apart (`h` by default), and the truth.

        The last cutoff lies `h` steps before the end. With `refit` a forecaster is fitted at every cutoff (or
        every so many), otherwise at the first one alone. A frame comes back with the columns ids, times,
        `cutoff`, y and those of `predict`; an array or list as a dictionary of arrays, `cutoff` [W, S] and
        the others [W, S, h]. This forecaster itself is not changed.
        """
        self._check()
        step = self.h if step_size is None else step_size
        whole_number("Forecaster", "n_windows", n_windows)
        whole_number("Forecaster", "step_size", step)
        if isinstance(refit, bool):
            every = 1 if refit else n_windows
        else:
            every = whole_number("Forecaster", "refit", refit)
        columns = Columns.of(id_col, time_col, target_col, hist_exog_list, futr_exog_list, stat_exog_list)
        panel, kind = self._read(data, columns, static_df)
        y_name = target_col if isinstance(target_col, str) else "y"
        names = names_of_columns(self._name(), check_levels(level))
        if isinstance(kind, FrameKind):
            refuse_two_alike([*kind.own, "cutoff", y_name, *names])
        behind = self.h + step * np.arange(n_windows)[::-1]
        too_short = panel.lengths <= behind[0]
        if too_short.any():
            number = int(np.argmax(too_short))
            raise DataError(
                f"{panel.series_word(number)} has {panel.lengths[number]} rows, but the first of {n_windows} "
                f"cutoffs lies {behind[0]} rows before the end; ask for fewer windows or leave it out"
            )
        parts: list[dict[str, NDArray[Any]]] = []
        for number, rows in enumerate(behind):
            progress(f"window {number + 1}/{n_windows}")
            if number % every == 0:
                fitted = self._clone(backtest=bool(level) or self.best)
                fitted._fit(panel.without_last(int(rows)), lambda stage: None)
            at = panel.offsets[1:] - 1 - rows
            predicted = fitted._predicted(Cutoffs(panel, at))
            widths = [fitted._calibration().half_width(one) for one in check_levels(level)]
            ends = (end for width in widths for end in predicted.interval(width))
            part = dict(zip(names, (predicted.values, *ends), strict=True))
            parts.append({"y": windows.targets(panel.values, at, self.h), **part})
        found = {name: np.stack([part[name] for part in parts]) for name in parts[0]}  # [W, S, h]
        cutoffs = panel.frequency.at(panel.starts, panel.lengths - 1 - behind[:, None])
        if not isinstance(kind, FrameKind):
            one = kind == "one"
            found = {"cutoff": cutoffs, **found}
            return {name: values[:, 0] if one else values for name, values in found.items()}
        times = panel.frequency.after(cutoffs, self.h).swapaxes(0, 1)
        ids = [name for name in panel.ids for _ in range(n_windows * self.h)]
        wide = np.repeat(cutoffs.T[:, :, None], self.h, axis=2).ravel()
        listed = {name: values.swapaxes(0, 1).ravel() for name, values in found.items()}
        listed = {y_name: listed.pop("y"), **listed}
        return kind.build(ids, times.ravel(), listed, wide)

    def live(self, level: float = 95.0) -> Live:
        """Forecasts that follow values as they come, with intervals of one level; see
        `karusel.forecasting.live`. Needs a backtest. Several series must end together.
        """
        from karusel.forecasting.live import Live

        self._fitted_panel()
        return Live(self, level)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that forecasting needs, the series included, to one data-only file, whole or not at all.

        The backtest's single forecasts are left out; its verdict, coverage and calibration are kept.
        """
        from karusel.forecasting.stored import pack
        from karusel.saving import save_file

        self._fitted_panel()
        tensors: dict[str, NDArray[Any]] = {}
        settings = {name: pack(getattr(self, name), tensors) for name in _SETTINGS}
        fitted = {name: pack(getattr(self, name), tensors) for name in _STORED}
        save_file(path, "forecaster", {"settings": settings, "fitted": fitted}, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forecaster:
        """The forecaster in a file that `save` wrote.

        Raises `FileMissingError` when there is none, `ModelFileError` for one that is damaged, truncated, of
        another version or of another kind.
        """
        from karusel.forecasting.stored import unpack
        from karusel.saving import load_file

        header, tensors = load_file(path, "forecaster")
        try:
            made = cls(**{name: unpack(header["settings"][name], tensors) for name in _SETTINGS})
            made._check()
            for name, kind in _STORED.items():
                value = unpack(header["fitted"][name], tensors)
                if not is_of(value, kind):
                    raise ModelFileError(f"describes no forecaster: {name} is {reprlib.repr(value)}")
                setattr(made, name, value)
            if made.model_.horizon != made.h:
                raise ModelFileError(f"describes no forecaster: its model has {made.model_.horizon} steps")
        except NOT_DESCRIBED as fault:
            raise ModelFileError(f"model file {os.fspath(path)!r} {fault}") from None
        made.backtest_ = None
        return made

    def _read(self, data: Any, columns: Columns, static_df: Any) -> tuple[Panel, Kind]:
        """What is to be fitted, as a panel, and its kind."""
        return read(data, columns, freq=self.freq, season_length=self.season_length, static_df=static_df)

    def _clone(self, **changes: Any) -> Forecaster:
        return Forecaster(**{name: getattr(self, name) for name in _SETTINGS} | changes)

    def _fitted_panel(self) -> Panel:
        if not hasattr(self, "model_"):
            raise UsageError("the forecaster is not fitted; call fit(data) first")
        return self.panel_

    def _read_future(self, panel: Panel, X_df: Any) -> Future | None:
        """What is known of the future behind the panel's end, None for a model without it."""
        wanted = panel.covariates.of("future")
        if not wanted:
            if X_df is not None:
                raise UsageError("X_df is given, but fit was given no futr_exog_list; leave it out")
            return None
        if X_df is None:
            named = ", ".join(f'"{one.name}"' for one in wanted)
            raise UsageError(
                f"the model was fitted with {named} known in the future; give X_df with the next {self.h} "
                "steps of every series (future_frame makes its rows)"
            )
        if isinstance(X_df, Future):
            return X_df
        if isinstance(X_df, np.ndarray):
            future = np.asarray(X_df, np.float64)
            shape = (len(panel), self.h, len(wanted))
            if future.shape != shape or not np.isfinite(future).all():
                raise DataError(f"X_df must be finite and of shape {list(shape)}, got {list(future.shape)}")
            return Future(future, ())
        if not isinstance(self._kind, FrameKind):
            raise UsageError("X_df must be an array [S, h, F], since fit was given no frame")
        return read_future(panel, self._kind, X_df, self.h)

    def _predicted(self, cutoffs: Cutoffs) -> Prediction:
        if self.best_ is None:
            return self.model_.predict(cutoffs)
        return self.best_.predict(cutoffs, self.model_)

    def _name(self) -> str:
        """What the columns of forecasts are called."""
        return BEST if self.best else NETWORK

    def _calibration(self) -> Calibration:
        """That of what is forecast."""
        found = self.calibration_ if self.best_ is None else self.best_.calibration
        if found is None:
            raise UsageError("intervals need a backtest, but the series are too short for one")
        return found

    def _with_new(
        self, made: Forecast, panel: Panel, level: Sequence[float], quantiles: Sequence[float]
    ) -> Forecast:
        """The forecasts with those of series without any value; says which ids are new."""
        known = set(self.panel_.ids)
        new = [name for name in panel.ids if name not in known]
        unknown = list(panel.left_out)
        for names, how in (
            (new, "from their own values, by what was learned of the others"),
            (unknown, "as one of the others, since nothing is known of them"),
        ):
            if names:
                named = listed([f'"{name}"' for name in names[:SHOWN]], len(names))
                warnings.warn(f"not there when fitted: {named}; forecast {how}", UserWarning, stacklevel=3)
        if not unknown:
            return made
        return with_unknown(made, self.forecast(level, quantiles=quantiles), unknown)

    def _short_notes(self, panel: Panel) -> tuple[str, ...]:
        """What is said of series with fewer rows than the networks read; a pooled model's read any."""
        short = np.flatnonzero(panel.lengths < self.model_.length)
        if self.model_.pooled or not short.size:
            return ()
        named = listed([panel.series_word(int(number)) for number in short[:SHOWN]], short.size)
        reads = f"fewer rows than the {self.model_.length} that the networks read"
        return (f"{reads}: {named}; forecast by smoothing alone",)

    def _untaken_notes(self, cutoffs: Cutoffs) -> tuple[str, ...]:
        """What is said of series with values of a kind that none had when fitted."""
        numbers = np.flatnonzero(~self.model_.takes(cutoffs))
        if not numbers.size:
            return ()
        named = listed([cutoffs.panel.series_word(int(number)) for number in numbers[:SHOWN]], numbers.size)
        were = "0 or more" if self.model_.units.shift else "above 0"
        return (
            f"values not {were}, as all were when fitted, are read as missing: {named}; fit anew with them",
        )

    def _season_notes(self, panel: Panel) -> list[str]:
        """What is said of seasons that were found in the values."""
        found = self.panel_.frequency.season_lengths
        if found == panel.frequency.season_lengths:
            return []
        return [f"the values repeat every {' and every '.join(map(str, found))} steps: taken as the season"]

    def _check(self) -> None:
        # However long it is, the data's error is the one that says what history a horizon needs.
        whole_number("Forecaster", "h", self.h, most=math.inf)
        for name in ("hidden_size", "num_layers", "batch_size", "n_members", "input_size", "n_jobs"):
            if getattr(self, name) is not None:
                whole_number("Forecaster", name, getattr(self, name))
        whole_number("Forecaster", "random_state", self.random_state, 0, 2**32 - 1)
        check_time_limit("Forecaster", self.time_limit)
        if self.best and not self.backtest:
            raise UsageError("best=True chooses by the backtest, but backtest=False; leave that out")

    def _settings(self) -> Settings:
        from karusel.program.executor import default_threads

        return Settings(
            self.h,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.learning_rate,
            self.batch_size,
            self.n_members,
            int(self.random_state),
            self.n_jobs or default_threads(),
        )
