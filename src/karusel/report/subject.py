"""What a report is about: a fitted forecaster, its forecast, and how the reader calls things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from karusel.forecasting.backtest import NETWORK
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.forecasting.frequency import Time, Times
from karusel.names import one_line
from karusel.numbers import decimals
from karusel.plots import Curve
from karusel.report.errors import Errors, errors_of

__all__ = ["Subject"]

_DRAWN = 50  # series of a large panel that are drawn
_LEAST_SHOWN, _HORIZONS_SHOWN = 60, 6  # rows of history in a plot of the recent past


class _Labels(Sequence[str]):
    """Times as texts, made when they are looked at: a long series has many, a plot shows few."""

    def __init__(self, times: Times, label: Callable[[Time], str]) -> None:
        self._times, self._label = times, label

    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...
    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        found = self._times[at]
        return _Labels(found, self._label) if isinstance(at, slice) else self._label(found)


@dataclass(frozen=True)
class Subject:
    """Everything that the sections of a report read."""

    forecaster: Forecaster
    forecast: Forecast
    value_name: str
    time_name: str
    source: str
    notes: Sequence[str]
    command: str

    @property
    def several(self) -> bool:
        """Whether there is more than one series."""
        return len(self.forecast.ids) > 1

    @property
    def horizon(self) -> int:
        """Steps of the forecast."""
        return int(self.forecast.values.shape[1])

    @cached_property
    def errors(self) -> Errors | None:
        """Errors in the past, None without a backtest."""
        backtest, verdict = self.forecaster.backtest_, self.forecaster.verdict_
        return None if backtest is None or verdict is None else errors_of(backtest, verdict.best_simple)

    @cached_property
    def by_error(self) -> list[int]:
        """The series whose error is known, the largest first."""
        if self.errors is None:
            return []
        errors = self.errors.by_series[NETWORK]
        return [int(number) for number in np.argsort(-errors, kind="stable") if np.isfinite(errors[number])]

    @cached_property
    def drawn(self) -> list[int]:
        """The series that are drawn: all, or those with the largest errors and the first ones."""
        count = len(self.forecast.ids)
        if count <= _DRAWN:
            return list(range(count))
        chosen = set(self.by_error[: _DRAWN // 2])
        chosen |= set([number for number in range(count) if number not in chosen][: _DRAWN - len(chosen)])
        return sorted(chosen)

    @property
    def shown(self) -> int:
        """Rows of history in a plot of the recent past: all of those that are not many more."""
        usual = max(_LEAST_SHOWN, _HORIZONS_SHOWN * self.horizon)
        longest = int(self.forecaster.panel_.lengths.max())
        return longest if longest <= 1.5 * usual else usual

    @cached_property
    def whole(self) -> bool:
        """Whether all values and forecasts are whole numbers."""
        values = self.forecast.values
        return self.forecaster.panel_.whole and bool(np.all(values == np.rint(values)))

    def label(self, time: Time) -> str:
        """One time as text."""
        return self.forecaster.panel_.frequency.label(time)

    def curve(self, number: int) -> Curve:
        """One series as it is drawn."""
        panel, forecast = self.forecaster.panel_, self.forecast
        times = np.concatenate([panel.series_times(number), forecast.times[number]])
        return Curve(
            title=one_line(panel.ids[number] if self.several else self.value_name),
            history=panel.series(number),
            forecast=forecast.values[number],
            intervals={
                level: (low[number], high[number]) for level, (low, high) in forecast.intervals.items()
            },
            times=_Labels(times, self.label),
            season_length=panel.frequency.season_length,
        )

    def digits(self, number: int) -> int:
        """Digits after the point for the values of one series."""
        if self.whole:
            return 0
        values = np.abs(self.forecaster.panel_.series(number))
        return decimals(float(np.max(values, initial=0.0, where=np.isfinite(values))))
