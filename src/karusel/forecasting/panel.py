"""The panel: one or many series, stored flat and checked once.

Values of all series lie in one array, one series after the other; `offsets` says where each begins.
Everything after this room may rely on it: within a series each row is exactly one step of the frequency after
the one before, every value is finite or NaN, and NaN is a missing one. A table's absent times become such
rows; no value is invented. As a panel is read, every series begins and ends with a known value.

Values are float64: counts above 16,777,216 and prices in cents would not survive float32 unchanged, and a
window is scaled before the engine sees it in float32. Times follow from the first one of each series, so that
a panel costs 8 bytes a row and 50 million rows 400 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.errors import DataError, UsageError
from karusel.forecasting import frequency as frequencies
from karusel.forecasting.categories import Categories
from karusel.forecasting.covariates import Column, Covariates
from karusel.forecasting.frequency import Frequency, Time, Times
from karusel.forecasting.rows import (
    SHOWN,
    Rows,
    absent_within,
    count_of,
    in_order,
    leave_out_empty,
    listed,
    most_absent,
    offsets_of,
    positions,
    refuse_mixed,
    trim,
)

__all__ = ["Gap", "Panel", "from_columns"]


@dataclass(frozen=True)
class Gap:
    """A run of missing values: in which series, at which time the first of them, how many."""

    series: Hashable
    first: Time
    count: int


@dataclass(frozen=True)
class Panel:
    """Many series in flat storage.

    `values` float64 [N], NaN for a missing one; `offsets` int64 [S + 1], series k being
    `values[offsets[k]:offsets[k + 1]]`; `ids` the S names; `starts` datetime64[us] or int64 [S] the time of
    each series' first value, as `Frequency.from_utc` gives times; `covariates` the columns beside the values;
    `notes` what was done to the rows, in words; `left_out` the ids of series that had no value at all;
    `counted` whether the times are row numbers because there were none.
    """

    values: NDArray[np.float64]
    offsets: NDArray[np.int64]
    ids: tuple[Hashable, ...]
    starts: Times
    frequency: Frequency
    covariates: Covariates
    notes: tuple[str, ...] = ()
    left_out: tuple[Hashable, ...] = ()
    counted: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def series(self, number: int) -> NDArray[np.float64]:
        """The values of one series."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def series_times(self, number: int) -> Times:
        """The times of one series."""
        return self.frequency.at(self.starts[number], np.arange(self.lengths[number]))

    def series_word(self, number: int) -> str:
        """How a message calls one series."""
        return "the series" if len(self) == 1 else f'series "{self.ids[number]}"'

    @property
    def times(self) -> Times:
        """The times of all rows [N], made anew each time."""
        within = positions(np.zeros(len(self), np.int64), self.lengths)
        return self.frequency.at(np.repeat(self.starts, self.lengths), within)

    @property
    def ends(self) -> Times:
        """The time of each series' last row [S]."""
        return self.frequency.at(self.starts, self.lengths - 1)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each series [S]."""
        return np.diff(self.offsets)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which values are known [N]."""
        return ~np.isnan(self.values)

    @property
    def non_negative(self) -> bool:
        """Whether no known value is below 0."""
        return not bool(np.any(self.values < 0))

    @property
    def whole(self) -> bool:
        """Whether all known values are whole numbers."""
        return bool(np.all((self.values == np.rint(self.values)) | np.isnan(self.values)))

    def number_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the series in which each flat position [...] lies."""
        return np.asarray(np.searchsorted(self.offsets, positions, side="right") - 1)

    def label(self, position: int) -> str:
        """The time at a flat position as text, "row 7" where rows were counted."""
        number = int(self.number_of(np.asarray(position)))
        step = position - int(self.offsets[number])
        text = self.frequency.label(self.frequency.at(self.starts[number], np.asarray(step)))
        return f"row {text}" if self.counted else text

    def gaps(self) -> tuple[Gap, ...]:
        """All runs of missing values, series by series."""
        at = np.flatnonzero(np.isnan(self.values))
        numbers = self.number_of(at)
        begins = np.flatnonzero(np.concatenate([at[:1] >= 0, (np.diff(at) > 1) | (np.diff(numbers) > 0)]))
        counts = np.diff(np.append(begins, at.size))
        numbers = numbers[begins]
        firsts = self.frequency.at(self.starts[numbers], at[begins] - self.offsets[numbers])
        if firsts.dtype.kind == "M" and np.all(firsts == firsts.astype("datetime64[D]")):
            firsts = firsts.astype("datetime64[D]")  # which is printed as a day
        return tuple(
            Gap(self.ids[number], first, int(count))
            for number, first, count in zip(numbers, firsts, counts, strict=True)
        )

    def without_last(self, rows: int | NDArray[np.int64]) -> Panel:
        """The panel as it was `rows` steps (one number, or one for each series [S]) before its end.

        A series with no more rows than that keeps its place, empty; what is then the last value may be a
        missing one.
        """
        lengths = np.maximum(self.lengths - rows, 0)
        offsets = offsets_of(lengths)
        keep = positions(self.offsets[:-1], lengths)
        return replace(self, values=self.values[keep], offsets=offsets, covariates=self.covariates.take(keep))

    def mean_steps(self, lag: int = 1, until: int = 0) -> NDArray[np.float64]:
        """Mean absolute step of each series over `lag` rows [S], without its last `until` rows; the median of
        the others where that is 0 or unknown.
        """
        sums, counts = self.steps_between(self.offsets[:-1], self.offsets[1:] - until, lag)
        steps = sums / np.maximum(counts, 1)
        usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 1.0
        return np.where(steps > 0, steps, usual)

    def steps_between(
        self, begins: NDArray[np.int64], ends: NDArray[np.int64], lag: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The sum of the absolute steps over `lag` rows between flat positions [n], the ends excluded, and
        how many are known.
        """
        step = np.abs(self.values[lag:] - self.values[:-lag])
        sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(step))])
        counts = np.concatenate([[0], np.cumsum(np.isfinite(step))])
        begins = np.minimum(begins, len(step))
        ends = np.clip(ends - lag, begins, len(step))
        return sums[ends] - sums[begins], counts[ends] - counts[begins]

    def future_times(self, horizon: int) -> Times:
        """The times of the next `horizon` steps of every series [S, horizon]."""
        return self.frequency.after(self.ends, horizon)

    def extended(self, future: NDArray[np.float64]) -> Panel:
        """The panel with rows of what is known of the future [S, h, F] after each series, values missing."""
        steps = future.shape[1]
        lengths = self.lengths
        offsets = offsets_of(lengths + steps)
        total = int(offsets[-1])
        values = np.full(total, np.nan)
        places = positions(offsets[:-1], lengths)
        values[places] = self.values
        covariates = self.covariates.spread(places, total)
        ahead = positions(offsets[:-1] + lengths, np.full(len(self), steps))
        covariates.future[ahead] = future.reshape(len(self) * steps, future.shape[2])
        return replace(self, values=values, offsets=offsets, covariates=covariates)

    def append(self, later: Panel) -> Panel:
        """The panel with the rows of a later one, which was read with `like=` this one, put after its own.

        Times absent between the two become missing values; series that are new come last. Raises `DataError`
        for rows that are not after the last one of their series, or off the steps that it was read with, and
        for a new id that differs from a known one in type alone, as "1" from 1.
        """
        if (later.frequency, later.covariates.described) != (self.frequency, self.covariates.described):
            raise UsageError("the later rows were read differently; read them with like=panel")
        own = set(self.ids)
        added = [name for name in later.ids if name not in own]
        texts = {str(name): name for name in self.ids}
        for name in added:
            if str(name) in texts:
                own_name = texts[str(name)]
                raise DataError(
                    f"the later rows have the id {name!r} ({type(name).__name__}), but the series is known "
                    f"as {own_name!r} ({type(own_name).__name__}); convert the ids"
                )
        into, gap = self._places(later)
        known = into < len(self)
        lengths = np.concatenate([self.lengths, np.zeros(len(added), np.int64)])
        before = lengths[into] + gap
        longer = lengths.copy()
        longer[into] = before + later.lengths
        offsets = offsets_of(longer)
        places = positions(offsets[: len(self)], self.lengths)
        later_places = positions(offsets[into] + before, later.lengths)
        values = np.full(offsets[-1], np.nan)
        values[places], values[later_places] = self.values, later.values
        starts = np.concatenate([self.starts, later.starts[~known]])
        covariates = self.covariates.spread(places, int(offsets[-1]))
        covariates.past[later_places] = later.covariates.past
        covariates.future[later_places] = later.covariates.future
        static = np.concatenate([self.covariates.static, later.covariates.static[~known]])
        return replace(
            self,
            values=values,
            offsets=offsets,
            ids=(*self.ids, *added),
            starts=starts,
            covariates=replace(covariates, static=static),
            notes=(*self.notes, *self._noted(later, into, gap)),
        )

    def noted(self, later: Panel) -> tuple[str, ...]:
        """What `append` adds to the notes: of the later rows, and of times absent before them."""
        return self._noted(later, *self._places(later))

    def _noted(self, later: Panel, into: NDArray[np.int64], gap: NDArray[np.int64]) -> tuple[str, ...]:
        if not gap.any():
            return later.notes
        number = int(into[np.argmax(gap > 0)])
        first = self.frequency.label(self.frequency.at(self.starts[number], self.lengths[number]))
        where = first if len(self) == 1 else f"{first} in {self.series_word(number)}"
        absent = count_of(int(gap.sum()), "time")
        return (
            *later.notes,
            f"{absent} absent before the later rows, first {where}: taken as missing values",
        )

    def _places(self, later: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of the series that each later one goes on or becomes, and steps absent before."""
        own = {name: number for number, name in enumerate(self.ids)}
        for name in later.ids:
            own.setdefault(name, len(own))
        into = np.array([own[name] for name in later.ids], np.int64)
        known, gap = into < len(self), np.zeros(len(later), np.int64)
        gap[known] = self._steps_to(later, into, known)
        return into, gap

    def _steps_to(self, later: Panel, into: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Steps absent between the end of each series and its later rows."""
        numbers = into[known]
        if self.counted:
            return np.asarray(later.starts[known])
        if numbers.size == 0:
            return numbers
        step = self.frequency.step
        nexts = self.frequency.at(self.starts[numbers], self.lengths[numbers])
        away = self.frequency.ordinals(later.starts[known]) - self.frequency.ordinals(nexts)
        gap = away // step
        wrong = (away < 0) | (self.frequency.at(nexts, gap) != later.starts[known])
        if wrong.any():
            at = int(np.argmax(wrong))
            number = int(numbers[at])
            first = self.frequency.label(later.starts[known][at])
            if away[at] < 0:
                raise DataError(
                    f"the later rows of {self.series_word(number)} begin at {first}, but it is known until "
                    f"{self.frequency.label(self.ends[number])}; give only rows after that"
                )
            raise DataError(
                f"the later rows of {self.series_word(number)} begin at {first}, which does not lie on its "
                f"steps ({self.frequency.describe()} from {self.frequency.label(self.starts[number])})"
            )
        if gap.sum() > most_absent(self.values.size, later=True):
            at = int(np.argmax(gap))
            raise DataError(
                f"the later rows of {self.series_word(int(numbers[at]))} begin {gap[at]:,} steps after its "
                f"end, at {self.frequency.label(later.starts[known][at])}; correct the time"
            )
        return np.asarray(gap)


def from_columns(
    values: NDArray[np.float64],
    times: Times | None = None,
    ids: Categories | Sequence[Hashable] | NDArray[Any] | None = None,
    *,
    zone: str | None = None,
    freq: str | int | None = None,
    season_length: int | Sequence[int] | None = None,
    columns: Sequence[Column] = (),
    like: Panel | None = None,
    row_name: Callable[[int], str] = lambda row: f"row {row}",
) -> Panel:
    """Check columns of equal length and lay them out as a panel.

    `values` float64 [N], NaN for a missing one; `times` datetime64 or integers [N], counted 0, 1, 2, ... in
    each series when not given; `ids` [N], one series when not given. With `zone` the times are UTC, and that
    zone's clock says what a day is. `freq` and `season_length` (one or several) stand in for what would be
    found. `columns` are the covariates. `like` is a panel that the rows are to be appended to: its frequency
    holds. `row_name` says how a row is called in messages.

    Rows may come in any order; the panel keeps `values` itself where no row has to be moved. Missing values
    before the first and after the last known value of a series are dropped, series without a value are left
    out, absent times become missing values, and all that is noted. Raises `DataError` for duplicate times,
    infinite values, rows without time or id, times that are not regular, series of different frequencies, and
    tables without any value.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError("the table has no rows; at least two are needed")
    infinite = np.isinf(values)
    if infinite.any():
        at = int(np.argmax(infinite))
        raise DataError(f"{row_name(at)} holds {values[at]}; values must be finite: correct or empty it")

    rows, notes = in_order(values, times, ids, row_name)
    rows, left_out = leave_out_empty(rows)
    if left_out:
        named = listed([f'"{name}"' for name in left_out[:SHOWN]], len(left_out))
        notes.append(f"{count_of(len(left_out), 'series', 'series')} without any value left out: {named}")
    if like is not None:
        found = like.frequency
        _refuse_other_times(rows, zone, times is None, like)
    elif times is None:
        found = Frequency("integer", 1)
    elif freq is not None:
        found = frequencies.parse(freq, rows.times, zone)
    else:
        found = frequencies.infer(rows.times, rows.offsets, zone)
        refuse_mixed(rows, found, zone)
    if season_length is not None:
        found = replace(found, season_lengths=_check_seasons(season_length))
    rows = replace(rows, times=found.from_utc(rows.times, None if like is None else like.starts))

    rows, trimmed = trim(rows)
    notes += trimmed
    missing = np.flatnonzero(np.isnan(rows.values))
    if missing.size:
        first = ", ".join(rows.row(int(at)) for at in missing[:SHOWN])
        first += ", ..." if missing.size > SHOWN else ""
        where = rows.where(missing)
        notes.append(f"{count_of(missing.size, 'value')} missing inside {where} ({first}): kept as missing")
    after, absent, noted = absent_within(
        rows, found, inferred=like is None and freq is None, later=like is not None
    )
    notes += noted
    notes += [note for column in columns for note in column.notes()]
    offsets = rows.offsets + np.concatenate([[0], np.cumsum(absent)])[np.searchsorted(after, rows.offsets)]
    return Panel(
        values=np.insert(rows.values, np.repeat(after + 1, absent), np.nan) if after.size else rows.values,
        offsets=offsets,
        ids=rows.names,
        starts=rows.times[rows.offsets[:-1]],
        frequency=found,
        covariates=_lay_out(columns, rows, after, absent),
        notes=tuple(notes),
        left_out=left_out,
        counted=times is None,
    )


def _check_seasons(given: int | Sequence[int]) -> tuple[int, ...]:
    lengths: list[Any] = [*given] if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    lengths = [whole_number("Forecaster", "season_length", length) for length in lengths]
    return tuple(length for length in lengths if length > 1)


def _refuse_other_times(rows: Rows, zone: str | None, counted: bool, like: Panel) -> None:
    """Refuse times of another kind than those of the panel to append to."""

    def kind(dates: bool, zone: str | None, counted: bool) -> str:
        if counted:
            return "rows without times"
        if not dates:
            return "whole numbers"
        return "dates without a time zone" if zone is None else "dates with a time zone"

    own = kind(like.starts.dtype.kind == "M", like.frequency.zone, like.counted)
    given = kind(rows.times.dtype.kind == "M", zone, counted)
    if given != own:
        raise DataError(f"the panel was read from {own}, but these are {given}; give {own}")


def _lay_out(
    columns: Sequence[Column], rows: Rows, after: NDArray[np.int64], absent: NDArray[np.int64]
) -> Covariates:
    """The covariates at the places of their rows; static ones must not change within a series."""
    count = rows.values.size
    total = count + int(absent.sum())
    if not columns:
        return Covariates.none(total, len(rows.names))
    parts: dict[str, list[NDArray[np.float64]]] = {"past": [], "future": [], "static": []}
    firsts = rows.offsets[:-1]
    for column in columns:
        ordered = column.values if rows.order is None else column.values[rows.order]
        if column.covariate.kind == "static":
            changes = (ordered[1:] != ordered[:-1]) & rows.inside & ~np.isnan(ordered[1:] + ordered[:-1])
            if changes.any():
                at = int(np.argmax(changes))
                raise DataError(
                    f'column "{column.covariate.name}" is static, but changes within {rows.series_word(at)} '
                    f"between {rows.row(at)} and {rows.row(at + 1)}; name it in hist_exog_list or "
                    "futr_exog_list"
                )
            ordered = ordered[firsts]
        parts[column.covariate.kind].append(ordered)

    def side_by_side(kind: str, count: int) -> NDArray[np.float64]:
        return np.stack(parts[kind], axis=1) if parts[kind] else np.empty((count, 0))

    places = np.arange(count) + np.repeat(
        np.concatenate([[0], np.cumsum(absent)]), np.diff(np.concatenate([[0], after + 1, [count]]))
    )
    return Covariates(
        tuple(column.covariate for column in columns),
        side_by_side("past", count),
        side_by_side("future", count),
        side_by_side("static", len(rows.names)),
    ).spread(places, total)
