"""The table: what a forecast uses of a source, on its way into a panel."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.categories import Categories
from karusel.forecasting.covariates import Column
from karusel.forecasting.future import Future, place_future, steps_ahead
from karusel.forecasting.panel import Panel, from_columns
from karusel.sources.origin import Origin

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """The columns in use of one source.

    `values` float64 [N, C], NaN for an empty cell, one column for each name in `target_cols`; `times` int64
    or datetime64[us] [N] or None; `ids` [N] or None; `covariates` the columns beside them. `time_format` is
    how the times are written (`notation.writings`), "" for ISO 8601; `zone` the zone of times that had an
    offset, which are in UTC, else None; `notation` how the values are written, "point" where they differ;
    `notes` what is to be said of how they were read.
    """

    origin: Origin
    values: NDArray[np.float64]
    times: NDArray[Any] | None
    ids: Categories | None
    id_col: str | None
    time_col: str | None
    target_cols: tuple[str, ...]
    time_format: str
    zone: str | None = None
    notation: str = "point"
    covariates: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def panel(
        self, freq: str | int | None = None, season_length: int | None = None, like: Panel | None = None
    ) -> Panel:
        """The table as a panel: one series for each id, or for each value column when there are several.

        `like` is a panel that the rows are to be appended to. Raises `DataError` as `from_columns` does.
        """
        if like is None:
            self._refuse_local_days()
        values, times, ids = self.values[:, 0], self.times, self.ids
        width, rows = len(self.target_cols), len(self)
        covariates = self.covariates
        if width > 1:
            values = self.values.T.ravel()
            times = None if times is None else np.tile(times, width)
            ids = Categories(np.repeat(np.arange(width), rows), self.target_cols)
            covariates = tuple(replace(one, values=np.tile(one.values, width)) for one in covariates)
        if like is not None and ids is not None:
            ids = replace(ids, names=_as_known(ids.names, like.ids))
        panel = from_columns(
            values,
            times,
            ids,
            zone=self.zone,
            freq=freq,
            season_length=season_length,
            columns=covariates,
            like=like,
            row_name=lambda row: self.origin.place(row % rows),
        )
        return replace(panel, notes=(*self.notes, *panel.notes))

    def future(self, panel: Panel, horizon: int) -> Future:
        """The covariates of the steps behind the end of each series of a panel.

        Rows of other ids or times are passed over, so that this may be the table of the history too. Without
        ids the rows hold for every series. Raises `DataError` for rows and values that are absent, by id and
        time.
        """
        rows, series = len(self), len(panel)
        columns, times = self.covariates, self.times
        if self.ids is not None:
            codes = self.ids.within([str(name) for name in panel.ids])
        else:
            codes = np.repeat(np.arange(series), rows)
            times = None if times is None else np.tile(times, series)
            columns = tuple(replace(one, values=np.tile(one.values, series)) for one in columns)
        if times is not None:
            given, own = _kind(times, self.zone), _kind(panel.starts, panel.frequency.zone)
            if given != own:
                raise DataError(
                    f"{self.origin.name}: the times are {given}, but {own} when fitted; name the time column "
                    f"or give {own}"
                )
            times = panel.frequency.from_utc(times, panel.starts)
        steps = np.zeros(codes.size, np.int64)
        known = np.flatnonzero(codes >= 0)
        steps[known] = steps_ahead(panel, codes[known], None if times is None else times[known])
        return place_future(
            panel,
            codes,
            steps,
            columns,
            horizon,
            source=self.origin.name,
            instead="add the rows",
            row_name=lambda row: self.origin.place(row % rows),
        )

    def _refuse_local_days(self) -> None:
        """Refuse days of a clock that is put forward and back: which clock it is, offsets do not tell."""
        if self.times is None or self.zone != "UTC":
            return
        clocks = np.unique(self.times - self.times.astype("datetime64[D]"))
        hour, day = np.timedelta64(1, "h"), np.timedelta64(1, "D")
        if clocks.size != 2 or clocks[1] - clocks[0] not in (hour, day - hour):
            return
        if np.diff(np.unique(self.times)).min() >= day - hour:
            name = self.time_col
            raise DataError(
                f'column "{name}" has the days of a clock that is put forward and back; give them as dates '
                "without an offset, such as 2020-01-31, or name the clock's zone: "
                f"--sql \"select timezone('Europe/Riga', {name}) as ds, * exclude ({name}) from input\""
            )

    def describe_columns(self) -> str:
        """Which columns are used as what, in words."""
        words = [f'times in "{self.time_col}"' if self.time_col else "no column of times, rows counted"]
        targets = ", ".join(f'"{name}"' for name in self.target_cols[:4])
        hidden = len(self.target_cols) - 4
        words.append(f"values in {targets}" + (f" and {hidden} more" if hidden > 0 else ""))
        if self.id_col:
            words.append(f'series in "{self.id_col}"')
        if self.covariates:
            words.append("beside them " + ", ".join(f'"{one.covariate.name}"' for one in self.covariates))
        return ", ".join(words)


def _kind(times: NDArray[Any], zone: str | None) -> str:
    if times.dtype.kind != "M":
        return "whole numbers"
    return "dates without a time zone" if zone is None else "dates with a time zone"


def _as_known(names: Sequence[Hashable], ids: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """The texts of a table as the ids that they write, where those are known; beside whole numbers a new one
    is a whole number too.
    """
    known = {str(name): name for name in ids}
    whole = all(type(name) is int for name in ids)

    def read(text: str) -> Hashable:
        if whole and re.fullmatch("0|-?[1-9][0-9]*", text):
            return int(text)
        return known.get(text, text)

    return tuple(read(str(name)) for name in names)
