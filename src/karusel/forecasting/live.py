"""Live: a forecast after every value, and whether that value was to be expected.

The networks read a window anew at each value: its level, season and size are then those of now. What a window
becomes before networks read it is linear in its values but for its size (`Scaling.linear`), so that one
series costs one product with a matrix and a few short runs of the engine. Many series, and the pooled model,
go the way of the batch forecast.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import is_whole
from karusel.errors import DataError, UsageError
from karusel.forecasting.fitting import Fitted
from karusel.forecasting.frequency import Frequency
from karusel.forecasting.model import Model
from karusel.forecasting.panel import Panel
from karusel.forecasting.prediction import ROUNDING, mixed
from karusel.forecasting.rows import offsets_of
from karusel.forecasting.windows import Cutoffs, filled, last_cutoffs

if TYPE_CHECKING:
    from karusel.forecasting.forecaster import Forecaster

__all__ = ["Live", "LiveForecast"]

_MOST_ABSENT = 10_000  # steps that may be missing before a value
_ROOM = 4096  # values that storage has room for before it is moved
_SIDES = np.array([[-1.0], [1.0]])


class LiveForecast(NamedTuple):
    """What is forecast after a value, `h` steps, and whether that value lay `outside` its own interval.

    Of one series `values`, `low` and `high` are [h] and `outside` is a truth value; of S series [S, h] and
    [S]. `outside` is False for a missing value.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    outside: Any


class Live:
    """Forecasts that follow values as they come: `forecaster.live()`.

    The forecasts are those of `predict` after `update` with the same values. The networks are not trained.

    Parameters
    ----------
    forecaster
        A fitted one with a backtest, without covariates of the past or future.
    level
        Of the intervals, in percent.

    Attributes
    ----------
    forecast
        The last forecast; before the first value, that from the end of what was fitted.

    Examples
    --------
    >>> from karusel import Forecaster
    >>> y = [10 + t + 3 * (t % 4) for t in range(90)]
    >>> live = Forecaster(h=4, season_length=4).fit(y).live()
    >>> live.observe(None, 106).values
    array([110., 102., 106., 110.])
    """

    def __init__(self, forecaster: Forecaster, level: float = 95.0) -> None:
        from karusel.forecasting.intervals import check_levels

        panel, model = forecaster.panel_, forecaster.model_
        varying = [one.name for one in panel.covariates.described if one.kind != "static"]
        if varying:
            raise UsageError(
                f'live forecasts take no covariates, but the model was fitted with "{varying[0]}"'
            )
        if forecaster.calibration_ is None:
            raise UsageError(
                "live forecasts need intervals, and those a backtest: fit with more rows and one"
            )
        (self.level,) = check_levels([level])
        self._forecaster = forecaster
        self._clock = _Clock(panel)
        half_width = forecaster.calibration_.half_width(self.level)
        inner = model.model
        fast = len(panel) == 1 and isinstance(inner, Model)
        kind: Any = _OneWindow if fast else _Windows
        self._series: _Series = kind(model, panel, half_width)
        self._single, self._units = len(panel) == 1, model.units
        self._places = {name: number for number, name in enumerate(panel.ids)}
        self._missing = math.nan if self._single else np.full(len(panel), np.nan)
        self.forecast = self._forecast(False if self._single else np.zeros(len(panel), bool))

    def observe(self, t: Any, y: Any) -> LiveForecast:
        """Take the value at time `t`, None for the next step, and forecast from there.

        `y` is a number for one series; for several an array [S] in the order of their ids or a mapping from
        ids, those left out being missing. None and NaN are missing values. Steps between the last value and
        `t` are missing too. Raises `DataError` for a time that is not after the last one or lies on no step,
        and for infinite values, with nothing changed.
        """
        value = self._read(y)
        absent = self._clock.absent(t)
        for _ in range(absent):
            self._series.push(self._missing)
        if absent:
            self._series.forecast()
        outside = self._series.outside(value)
        self._series.push(value)
        self.forecast = self._forecast(outside)
        return self.forecast

    def _forecast(self, outside: Any) -> LiveForecast:
        values, low, high = self._series.forecast()
        return LiveForecast(values, low, high, outside)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the forecaster with all values seen; `Forecaster.load(path).live()` goes on from there."""
        kept = self._forecaster._clone()
        vars(kept).update(vars(self._forecaster))
        panel, later = self._forecaster.panel_, self._series.pushed()
        series, steps = later.shape
        kept.panel_ = panel.extended(np.empty((series, steps, 0)))
        kept.panel_.values[kept.panel_.offsets[1:, None] + np.arange(-steps, 0)] = later
        kept.save(path)

    def _read(self, y: Any) -> Any:
        """A number of one series, an array [S] of several; NaN where missing."""
        value: Any
        if self._single and not isinstance(y, Mapping):
            value = y if type(y) is float else self._number(y)
            least, largest = value, value
        else:
            value = self._numbers_of(y)
            known = value[~np.isnan(value)]
            least, largest = known.min(initial=np.inf), known.max(initial=-np.inf)
            if not known.size:
                return value
        if least == -math.inf or largest == math.inf:
            raise DataError("y is infinite; it must be finite, or None where it is missing")
        if least <= 0 and not self._units.takes(np.asarray(least)):
            were = "0 or more" if self._units.shift else "above 0"
            raise DataError(
                f"y is {least:g}, but all values were {were} when fitted; fit anew with such values"
            )
        return value

    def _number(self, y: Any) -> float:
        if y is None:
            return math.nan
        number = np.asarray(y, np.float64)
        if number.size != 1:
            raise DataError(f"y must be one value for each of 1 series, got {number.shape}")
        return float(number.ravel()[0])

    def _numbers_of(self, y: Any) -> NDArray[np.float64]:
        if not isinstance(y, Mapping):
            values = np.array(y, np.float64)
        else:
            values = np.full(len(self._places), np.nan)
            for name, one in y.items():
                if name not in self._places:
                    raise DataError(f'there is no series "{name}"; forecaster.update takes new ones')
                values[self._places[name]] = np.nan if one is None else one
        if values.shape != (len(self._places),):
            raise DataError(f"y must be one value for each of {len(self._places)} series, got {values.shape}")
        return values


class _Series(Protocol):
    """What forecasts, and keeps the values that it needs for that. A value is a number of one series or an
    array [S] of several.
    """

    def __init__(self, model: Fitted, panel: Panel, half_width: NDArray[np.float64]) -> None: ...
    def push(self, value: Any) -> None: ...
    def outside(self, value: Any) -> Any: ...
    def forecast(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
    def pushed(self) -> NDArray[np.float64]:
        """The values that were pushed [S, steps]."""
        ...


class _Clock:
    """Which step a time is."""

    def __init__(self, panel: Panel) -> None:
        ends = np.unique(panel.ends)
        if len(ends) > 1:
            label = panel.frequency.label
            raise UsageError(
                f"live forecasts need series that end together, but they end from {label(ends[0])} to "
                f"{label(ends[-1])}; update the others first"
            )
        self._frequency: Frequency = panel.frequency
        self._like = panel.starts
        self._next: Any = panel.frequency.after(ends[0], 1)[0]
        step = panel.frequency.step
        self._step: Any = {  # None where steps differ in length
            "integer": step,
            "microsecond": np.timedelta64(step, "us"),
            "day": np.timedelta64(step, "D"),
        }.get(panel.frequency.unit)

    def absent(self, t: Any) -> int:
        """How many steps are missing before `t`; the step after it is the next one."""
        frequency = self._frequency
        time = self._next if t is None else self._read(t)
        gap = 0
        if time != self._next:
            away = frequency.ordinals(np.array([time, self._next]))
            gap = int(away[0] - away[1]) // frequency.step
            if gap < 0 or frequency.at(self._next, np.asarray(gap)) != time:
                rule = "is not after the last value" if gap < 0 else "lies on no step"
                raise DataError(
                    f"{frequency.label(time)} {rule}; the next step is {frequency.label(self._next)}"
                )
            if gap > _MOST_ABSENT:
                raise DataError(
                    f"{gap:,} steps are missing before {frequency.label(time)}; correct the time or fit anew"
                )
        self._next = frequency.at(time, np.asarray(1))[()] if self._step is None else time + self._step
        return gap

    def _read(self, t: Any) -> Any:
        if self._frequency.unit == "integer":
            if not is_whole(t):
                raise DataError(f"the time is {t!r}; it must be a whole number, as when fitted")
            return int(t)
        try:
            if getattr(t, "tzinfo", None) is not None:
                from datetime import timezone

                t = t.astimezone(timezone.utc).replace(tzinfo=None)
            time = np.datetime64(t, "us")
        except (TypeError, ValueError):
            raise DataError(f"the time is {t!r}; it must be a date, as when fitted") from None
        if np.isnat(time):
            raise DataError("the time is missing; give it, or None for the next step")
        if self._frequency.zone is None:
            return time
        return self._frequency.from_utc(np.array([time]), self._like)[0]


class _OneWindow:
    """The window of one series, by a product with a matrix."""

    def __init__(self, model: Fitted, panel: Panel, half_width: NDArray[np.float64]) -> None:
        inner = model.model
        assert isinstance(inner, Model)
        self._scaling, self._support = inner.scaling, model.support
        horizon, self._length = inner.horizon, inner.length
        away, level, anchor = inner.scaling.linear(np.eye(self._length), horizon)
        parts = (away, level, np.diff(away, axis=1), anchor)
        self._matrix = np.ascontiguousarray(np.concatenate(parts, axis=1).T)
        networks, seen = inner.correction.networks, inner.scaling.seen
        self._steppers = [network._stepper(1, seen) for network in networks]
        dtype = self._steppers[0].dtype
        self._x, self._y = np.zeros((1, seen, 2), dtype), np.empty((len(networks), horizon), dtype)
        self._gain = inner.correction.share * inner.correction.unit / len(networks)
        self._half_width, self._optimism = half_width, inner.scaling.optimism
        self._lag = inner.season_length
        steps = panel.steps_between(panel.offsets[:1], panel.offsets[1:], self._lag)
        self._steps, self._n_steps = float(steps[0][0]), int(steps[1][0])
        self._begin = self._end = len(panel.values)
        self._values = np.concatenate([panel.values, np.full(_ROOM, np.nan)])  # NaN where missing
        with np.errstate(invalid="ignore"):
            self._u = inner.scaling.transform(self._values)  # gaps filled
        self._u[: self._end] = filled(self._u[None, : self._end])[0]

    def push(self, value: float) -> None:
        if self._end == len(self._values):
            self._values = np.concatenate([self._values, np.empty(self._end)])
            self._u = np.concatenate([self._u, np.empty(self._end)])
        self._values[self._end] = value
        if value != value:
            self._u[self._end] = self._u[self._end - 1]
        else:
            self._u[self._end] = math.log(value) if self._scaling.log else value
        step = abs(value - float(self._values[self._end - self._lag]))
        if step == step:
            self._steps, self._n_steps = self._steps + step, self._n_steps + 1
        self._end += 1

    def outside(self, value: float) -> bool:
        return bool(value < self._made[1, 0] or value > self._made[2, 0])

    def forecast(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        length, x, seen = self._length, self._x, self._x.shape[1]
        linear = self._matrix @ self._u[self._end - length : self._end]
        away, anchor = linear[:length], linear[2 * length :]
        size = float(np.add.reduce(np.abs(linear[length + 1 : 2 * length]))) / (length - 1)
        unit = self._optimism * size
        if size <= ROUNDING * abs(linear[length]):
            size = float(self._scaling.size(away[None], linear[None, length : length + 1])[0][0, 0])
            unit = 0.0
        away = self._scaling.cut(away / size)
        x[0, :, 0] = away[-seen:]
        first = seen - min(seen, length - 1)
        x[0, first:, 1] = away[length - seen + first :] - away[length - seen + first - 1 : -1]
        for stepper, y in zip(self._steppers, self._y, strict=True):
            stepper.clear()
            stepper.run(x, 0, seen, y)
        middle = anchor + (size * self._gain) * np.add.reduce(self._y, axis=0, dtype=np.float64)
        values = self._scaling.invert(middle)
        usual = np.array(self._steps / max(self._n_steps, 1))
        units = mixed(self._scaling.width(middle, _SIDES * unit), usual, values)
        ends = values + _SIDES * (units * self._half_width)
        self._made = self._support.nearest(np.concatenate([values[None], ends]))
        return self._made[0], self._made[1], self._made[2]

    def pushed(self) -> NDArray[np.float64]:
        return self._values[None, self._begin : self._end]


class _Windows:
    """The last values of several series, forecast as a batch."""

    def __init__(self, model: Fitted, panel: Panel, half_width: NDArray[np.float64]) -> None:
        self._model, self._half_width = model, half_width
        self._panel = panel
        self._lag = model.season_length
        self._steps, self._n_steps = panel.steps_between(panel.offsets[:-1], panel.offsets[1:], self._lag)
        self._pushed: list[NDArray[np.float64]] = []
        self._window = Cutoffs(panel, last_cutoffs(panel)).inputs(model.length)

    def push(self, value: Any) -> None:
        values = np.broadcast_to(np.asarray(value, np.float64), len(self._panel)).copy()
        self._pushed.append(values)
        step = np.abs(values - self._window[:, -self._lag])
        known = np.isfinite(step)
        self._steps[known] += step[known]
        self._n_steps[known] += 1
        self._window = np.concatenate([self._window[:, 1:], values[:, None]], axis=1)

    def outside(self, value: Any) -> Any:
        low, high = (one[..., 0] for one in self._made[1:])
        with np.errstate(invalid="ignore"):
            beyond = (value < low) | (value > high)
        return bool(beyond) if len(self._panel) == 1 else beyond

    def forecast(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        length = self._window.shape[1]
        rows = self._panel.lengths + len(self._pushed)
        kept = np.minimum(rows, length)
        offsets = offsets_of(kept)
        panel = replace(
            self._panel,
            values=self._window[np.arange(length) >= length - kept[:, None]],
            offsets=offsets,
            starts=self._panel.frequency.at(self._panel.starts, rows - kept),
            covariates=self._panel.covariates.take(np.zeros(0, np.int64)).spread(
                np.zeros(0, np.int64), int(offsets[-1])
            ),
        )
        usual = (self._steps / np.maximum(self._n_steps, 1))[:, None]
        predicted = self._model.predict_with(Cutoffs(panel, offsets[1:] - 1), usual)
        made = (predicted.values, *predicted.interval(self._half_width))
        self._made = made if len(panel) > 1 else tuple(one[0] for one in made)
        return self._made

    def pushed(self) -> NDArray[np.float64]:
        return np.stack(self._pushed, axis=1) if self._pushed else np.empty((len(self._panel), 0))
