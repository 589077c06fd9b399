"""The panel: one or many series, stored flat and checked once.

Values of all series lie in one array, one series after the other, times beside them; `offsets` says where
each begins. Everything after this room may rely on it: times ascend by exactly one step of the frequency,
values are finite, nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting import frequency as frequencies
from karusel.forecasting.frequency import Frequency, Times

__all__ = ["Panel", "from_columns"]

_SHOWN = 3  # how many rows a message names
_FILL = "missing values are not supported yet: fill them in, or keep only the rows after the last one"
_COUNT = "count the rows as equal steps (time column: none)"


@dataclass(frozen=True)
class Panel:
    """Many series in flat storage.

    `values` float64 [N]; `times` datetime64[us] or int64 [N]; `offsets` int64 [S + 1], series k being
    `values[offsets[k]:offsets[k + 1]]`; `ids` the S names; `notes` what was done to the rows, in words.
    """

    values: NDArray[np.float64]
    times: Times
    offsets: NDArray[np.int64]
    ids: tuple[Hashable, ...]
    frequency: Frequency
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def series(self, number: int) -> NDArray[np.float64]:
        """The values of one series."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def series_times(self, number: int) -> Times:
        """The times of one series."""
        return self.times[self.offsets[number] : self.offsets[number + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each series [S]."""
        return np.diff(self.offsets)

    def without_last(self, rows: int) -> Panel:
        """The panel as it was `rows` steps before its end: the last rows of every series are not in it."""
        keep = np.concatenate(
            [np.arange(a, b - rows) for a, b in zip(self.offsets, self.offsets[1:], strict=False)]
        )
        offsets = self.offsets - rows * np.arange(len(self.offsets))
        return replace(self, values=self.values[keep], times=self.times[keep], offsets=offsets)

    def future_times(self, horizon: int) -> Times:
        """The times of the next `horizon` steps of every series [S, horizon]."""
        return self.frequency.after(self.times[self.offsets[1:] - 1], horizon)


@dataclass(frozen=True)
class _Rows:
    """The rows of a table in order of series and time, with what messages need to name them."""

    values: NDArray[np.float64]
    times: Times | None
    codes: NDArray[np.int64]  # number of the series of each row, ascending
    order: NDArray[np.int64]  # where each row stood in the table
    names: tuple[Hashable, ...]
    row_name: Callable[[int], str]

    def take(self, keep: NDArray[np.bool_]) -> _Rows:
        times = None if self.times is None else self.times[keep]
        return replace(
            self, values=self.values[keep], times=times, codes=self.codes[keep], order=self.order[keep]
        )

    def row(self, at: int) -> str:
        return self.row_name(int(self.order[at]))

    def series_word(self, at: int) -> str:
        return "the series" if len(self.names) == 1 else f'series "{self.names[int(self.codes[at])]}"'


def from_columns(
    values: NDArray[np.float64],
    times: Times | None = None,
    ids: Sequence[Hashable] | NDArray[Any] | None = None,
    *,
    freq: str | int | None = None,
    season_length: int | None = None,
    row_name: Callable[[int], str] = lambda row: f"row {row}",
) -> Panel:
    """Check columns of equal length and lay them out as a panel.

    `values` float64 [N], NaN for a missing one; `times` datetime64 or integers [N], counted 0, 1, 2, ... in
    each series when not given; `ids` [N], one series when not given. `freq` and `season_length` stand in for
    what would be found. `row_name` says how a row is called in messages.

    Rows may come in any order. Missing values before the first and after the last known value of a series
    are dropped, and that is noted. Raises `DataError` for duplicate times, infinite values, values or times
    missing in the middle, and series without a value.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError("the table has no rows; at least two are needed")
    if season_length is not None and season_length < 1:
        raise UsageError(f"season_length is {season_length}; it must be at least 1 (1 means no season)")
    infinite = np.isinf(values)
    if infinite.any():
        at = int(np.argmax(infinite))
        raise DataError(f"{row_name(at)} holds {values[at]}; values must be finite: correct or empty it")

    codes, names = _factorize(ids, values.size)
    if times is not None:
        times = _as_times(times, row_name)
    order = np.argsort(codes, kind="stable") if times is None else np.lexsort((times, codes))
    rows = _Rows(values[order], None if times is None else times[order], codes[order], order, names, row_name)
    notes = []
    if np.any((np.diff(order) < 0) & (np.diff(rows.codes) == 0)):
        notes.append("the rows were not in order of time: sorted")
    _refuse_duplicates(rows)

    keep = _between_first_and_last(rows)
    dropped = int(np.count_nonzero(~keep))
    if dropped:
        notes.append(f"{_count(dropped, 'row')} without a value at the start or end of a series: dropped")
    rows = rows.take(keep)
    _refuse_missing(rows)

    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows.codes, minlength=len(names)))]).astype(np.int64)
    if rows.times is None:
        times, found = np.arange(rows.values.size) - offsets[rows.codes], Frequency("integer", 1)
    else:
        times = rows.times
        found = frequencies.infer(times, offsets) if freq is None else frequencies.parse(freq, times)
        _refuse_gaps(rows, times, found)
    if season_length is not None:
        found = replace(found, season_length=season_length)
    return Panel(rows.values, times, offsets, names, found, tuple(notes))


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _factorize(
    ids: Sequence[Hashable] | NDArray[Any] | None, rows: int
) -> tuple[NDArray[np.int64], tuple[Hashable, ...]]:
    """Number the series in the order in which they first appear."""
    if ids is None:
        return np.zeros(rows, np.int64), ("series",)
    numbers: dict[Hashable, int] = {}
    listed = ids.tolist() if isinstance(ids, np.ndarray) else ids
    codes = np.fromiter((numbers.setdefault(name, len(numbers)) for name in listed), np.int64, rows)
    return codes, tuple(numbers)


def _as_times(times: Times, row_name: Callable[[int], str]) -> Times:
    times = np.asarray(times)
    if times.dtype.kind == "M":
        missing = np.isnat(times)
        if missing.any():
            raise DataError(f"{row_name(int(np.argmax(missing)))} has no time; give it or remove the row")
        micros = times.astype("datetime64[us]")
        finer = micros != times
        if finer.any():
            raise DataError(f"the time in {row_name(int(np.argmax(finer)))} is finer than a microsecond")
        return micros
    if times.dtype.kind in "iu":
        return times.astype(np.int64)
    if times.dtype.kind == "f" and np.isfinite(times).all() and np.array_equal(times, np.rint(times)):
        return times.astype(np.int64)
    raise DataError(f"times must be dates or whole numbers, but they are {times.dtype}; convert them")


def _refuse_duplicates(rows: _Rows) -> None:
    if rows.times is None:
        return
    twice = np.flatnonzero((rows.times[1:] == rows.times[:-1]) & (rows.codes[1:] == rows.codes[:-1]))
    if twice.size == 0:
        return
    at = int(twice[0])
    pairs = "; ".join(f"{rows.row(i)} and {rows.row(i + 1)}" for i in twice[:_SHOWN])
    time = str(rows.times[at]).removesuffix("T00:00:00.000000").removesuffix(".000000").replace("T", " ")
    raise DataError(
        f"{_count(twice.size, 'duplicate time')} in {rows.series_word(at)}, such as {time}: {pairs}"
        f"{'; ...' if twice.size > _SHOWN else ''}; keep one row for each time, or name the id column that "
        "tells several series apart"
    )


def _between_first_and_last(rows: _Rows) -> NDArray[np.bool_]:
    """Which rows lie between the first and the last known value of their series."""
    where = np.flatnonzero(np.isfinite(rows.values))
    empty = np.bincount(rows.codes[where], minlength=len(rows.names)) == 0
    if empty.any():
        at = int(np.searchsorted(rows.codes, np.argmax(empty)))
        raise DataError(f"{rows.series_word(at)} has no value at all; remove it or give its values")
    first = np.full(len(rows.names), rows.values.size)
    last = np.full(len(rows.names), -1)
    np.minimum.at(first, rows.codes[where], where)
    np.maximum.at(last, rows.codes[where], where)
    numbers = np.arange(rows.values.size)
    return np.asarray((numbers >= first[rows.codes]) & (numbers <= last[rows.codes]))


def _refuse_missing(rows: _Rows) -> None:
    where = np.flatnonzero(~np.isfinite(rows.values))
    if where.size == 0:
        return
    listed = ", ".join(rows.row(int(i)) for i in where[:_SHOWN])
    raise DataError(
        f"{_count(where.size, 'value')} missing inside {rows.series_word(int(where[0]))} "
        f"({listed}{', ...' if where.size > _SHOWN else ''}); {_FILL}"
    )


def _refuse_gaps(rows: _Rows, times: Times, found: Frequency) -> None:
    whole = found.ordinals(times)
    steps = whole[1:] - whole[:-1]
    inside = rows.codes[1:] == rows.codes[:-1]
    wrong = np.flatnonzero(inside & (steps != found.step))
    if wrong.size == 0:
        return
    at = int(wrong[0])
    before, after = found.label(times[at]), found.label(times[at + 1])
    absent = int(np.sum(steps[wrong] // found.step - 1))
    if (steps[wrong] % found.step).any() or absent > np.count_nonzero(inside):
        raise DataError(
            f"the times of {rows.series_word(at)} are not regular: {before} in {rows.row(at)} is followed by "
            f"{after}, which is not {found.describe()}; correct them, or {_COUNT}"
        )
    first = found.label(found.after(times[at], 1)[0])
    raise DataError(
        f"{_count(absent, 'time')} absent from {rows.series_word(at)} ({found.describe()}), the first "
        f"{first} after {rows.row(at)}; gaps are not supported yet: add the rows, or {_COUNT}"
    )
