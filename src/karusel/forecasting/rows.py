"""Rows: the rows of a table as they are checked and put in order on their way into a panel.

Each check names the row, by what the table calls it, and what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting import frequency as frequencies
from karusel.forecasting.categories import Categories, number_list
from karusel.forecasting.frequency import DAY, Frequency, Times
from karusel.windows import PIECE

__all__ = [
    "SHOWN",
    "Rows",
    "absent_within",
    "count_of",
    "in_order",
    "leave_out_empty",
    "listed",
    "most_absent",
    "offsets_of",
    "positions",
    "refuse_mixed",
    "trim",
]

SHOWN = 3  # how many rows, series or times a message names
_MOST_ABSENT = 10  # times absent for each row there is; more come from a wrong date
_LATER_ABSENT = 10_000  # times absent that cost nothing, however few rows come later than a panel
_LEAST_REGULAR = 0.1  # share of steps that must be single ones where most times are absent
_REGULAR_STEPS = 6  # equal steps after which a series counts as one of another frequency
_UNEVEN = 1.2  # months of 28 and of 31 days are still equal steps
_LOOKED_AT = 1000  # series whose own frequency is found
_COUNT = "count the rows as equal steps (time column: none)"


@dataclass(frozen=True)
class Rows:
    """The rows of a table in order of series and time, with what messages need to name them."""

    values: NDArray[np.float64]
    times: Any  # Times, None until they are counted
    codes: NDArray[np.int64]  # number of the series of each row, ascending
    order: NDArray[np.int64] | None  # where each row stood in the table, None where it stands
    names: tuple[Hashable, ...]
    row_name: Callable[[int], str]

    def take(self, rows: NDArray[Any]) -> Rows:
        """Some of the rows, by number or by mask."""
        return replace(
            self,
            values=self.values[rows],
            times=None if self.times is None else self.times[rows],
            codes=self.codes[rows],
            order=np.arange(self.values.size)[rows] if self.order is None else self.order[rows],
        )

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        return offsets_of(np.bincount(self.codes, minlength=len(self.names)))

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which rows but the last have the next one in the same series."""
        return np.asarray(self.codes[1:] == self.codes[:-1])

    def row(self, at: int) -> str:
        return self.row_name(at if self.order is None else int(self.order[at]))

    def series_word(self, at: int) -> str:
        return "the series" if len(self.names) == 1 else f'series "{self.names[int(self.codes[at])]}"'

    def where(self, rows: NDArray[np.int64]) -> str:
        """In which series some rows lie."""
        series = np.unique(self.codes[rows]).size
        return self.series_word(int(rows[0])) if series == 1 else f"{series:,} series"

    def pieces(self) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        """The rows of some whole series after those of others: the first, one past the last, and `inside`."""
        series, offsets = 0, self.offsets
        while series < len(self.names):
            first = int(offsets[series])
            series = max(series + 1, int(np.searchsorted(offsets, first + PIECE, side="right")) - 1)
            last = int(offsets[series])
            yield first, last, self.inside[first : last - 1]


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def positions(firsts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Flat positions in runs: firsts[k], firsts[k] + 1, ..., lengths[k] of them, run after run."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(lengths.sum()) + np.repeat(firsts - (ends - lengths), lengths))


def listed(texts: Sequence[str], total: int) -> str:
    """The first of `total` things, and how many more there are."""
    return ", ".join(texts) + (f" and {total - len(texts):,} more" if total > len(texts) else "")


def count_of(number: int, word: str, words: str = "") -> str:
    return f"{number} {word}" if number == 1 else f"{number:,} {words or word + 's'}"


def in_order(
    values: NDArray[np.float64],
    times: Times | None,
    ids: Categories | Sequence[Hashable] | NDArray[Any] | None,
    row_name: Callable[[int], str],
) -> tuple[Rows, list[str]]:
    """The rows by series, in order of time (counted 0, 1, 2, ... where there is none), and a note when they
    were not.
    """
    ids = _numbered(ids, values.size, row_name)
    times = None if times is None else _as_times(times, row_name)
    rows = Rows(values, times, ids.codes, None, ids.names, row_name)
    if np.any(rows.codes[1:] < rows.codes[:-1]):
        rows = rows.take(np.argsort(rows.codes, kind="stable"))
    if times is None:
        return replace(rows, times=np.arange(values.size) - rows.offsets[rows.codes]), []
    notes = []
    if np.any((rows.times[1:] < rows.times[:-1]) & rows.inside):
        rows = rows.take(np.lexsort((rows.times, rows.codes)))
        notes.append("the rows were not in order of time: sorted")
    _refuse_duplicates(rows)
    return rows, notes


def _numbered(
    ids: Categories | Sequence[Hashable] | NDArray[Any] | None, rows: int, row_name: Callable[[int], str]
) -> Categories:
    if ids is None:
        return Categories(np.zeros(rows, np.int64), ("series",))
    numbered = ids if isinstance(ids, Categories) else number_list(ids)
    nameless = numbered.codes < 0
    if nameless.any():
        raise DataError(f"{row_name(int(np.argmax(nameless)))} has no id; give it or remove the row")
    return numbered


def _as_times(times: Times, row_name: Callable[[int], str]) -> Times:
    times = np.asarray(times)
    if times.dtype.kind == "M":
        missing = np.isnat(times)
        if missing.any():
            raise DataError(f"{row_name(int(np.argmax(missing)))} has no time; give it or remove the row")
        micros = times.astype("datetime64[us]", copy=False)
        finer = micros != times
        if finer.any():
            raise DataError(f"the time in {row_name(int(np.argmax(finer)))} is finer than a microsecond")
        return micros
    if times.dtype.kind in "iu":
        return times.astype(np.int64, copy=False)
    if times.dtype.kind == "f" and np.isfinite(times).all() and np.array_equal(times, np.rint(times)):
        return times.astype(np.int64)
    raise DataError(f"times must be dates or whole numbers, but they are {times.dtype}; convert them")


def _refuse_duplicates(rows: Rows) -> None:
    twice = np.flatnonzero((rows.times[1:] == rows.times[:-1]) & rows.inside)
    if twice.size == 0:
        return
    at = int(twice[0])
    pairs = "; ".join(f"{rows.row(i)} and {rows.row(i + 1)}" for i in twice[:SHOWN])
    time = str(rows.times[at]).removesuffix("T00:00:00.000000").removesuffix(".000000").replace("T", " ")
    raise DataError(
        f"{count_of(twice.size, 'duplicate time')} in {rows.series_word(at)}, such as {time}: {pairs}"
        f"{'; ...' if twice.size > SHOWN else ''}; keep one row for each time, or name the id column that "
        "tells several series apart"
    )


def leave_out_empty(rows: Rows) -> tuple[Rows, tuple[Hashable, ...]]:
    """The rows of the series that have a value, and the names of the others."""
    known = np.diff(rows.offsets) > 0
    known[known] = np.logical_or.reduceat(~np.isnan(rows.values), rows.offsets[:-1][known])
    if known.all():
        return rows, ()
    if not known.any():
        what = rows.series_word(0) if len(rows.names) == 1 else f"none of the {len(rows.names):,} series"
        raise DataError(f"{what} has {'no' if len(rows.names) == 1 else 'a'} value at all; give values")
    left = rows.take(known[rows.codes])
    names = tuple(name for name, some in zip(rows.names, known, strict=True) if some)
    empty = tuple(name for name, some in zip(rows.names, known, strict=True) if not some)
    return replace(left, codes=(np.cumsum(known) - 1)[left.codes], names=names), empty


def trim(rows: Rows) -> tuple[Rows, list[str]]:
    """The rows from the first to the last known value of each series, which has one; a note on the others."""
    if not np.isnan(rows.values[np.concatenate([rows.offsets[:-1], rows.offsets[1:] - 1])]).any():
        return rows, []
    known = np.flatnonzero(~np.isnan(rows.values))
    ends = np.searchsorted(known, rows.offsets)
    first, last = known[ends[:-1]], known[ends[1:] - 1]
    dropped = rows.values.size - int(np.sum(last - first + 1))
    numbers = np.arange(rows.values.size)
    keep = (numbers >= first[rows.codes]) & (numbers <= last[rows.codes])
    note = f"{count_of(dropped, 'row')} without a value at the start or end of a series: dropped"
    return rows.take(keep), [note]


def refuse_mixed(rows: Rows, found: Frequency, zone: str | None) -> None:
    """Refuse series whose own steps are all equal, but larger than those of the panel."""
    offsets = rows.offsets
    lengths = np.diff(offsets)
    several = np.flatnonzero(lengths >= 2)
    if several.size < 2:
        return
    least, most = np.empty(several.size, np.int64), np.empty(several.size, np.int64)
    for first, last, within in rows.pieces():
        apart = np.diff(rows.times[first:last].astype(np.int64))
        some = slice(*np.searchsorted(offsets[several], [first, last]))
        if apart.size:
            firsts = offsets[several[some]] - first
            least[some] = np.minimum.reduceat(np.where(within, apart, np.iinfo(np.int64).max), firsts)
            most[some] = np.maximum.reduceat(np.where(within, apart, 0), firsts)
    step = found.step * {"month": 28 * DAY, "business day": DAY, "day": DAY}.get(found.unit, 1)
    larger = (lengths[several] > _REGULAR_STEPS) & (least >= 2 * step) & (most <= _UNEVEN * least)
    if not larger.any():
        return

    def own(number: int) -> Frequency:
        return frequencies.infer(rows.times[offsets[number] : offsets[number + 1]], None, zone)

    one = int(several[np.argmax(larger)])
    name, frequency = rows.names[one], own(one).describe()
    smallest = several[np.argsort(least, kind="stable")]
    for other in (*smallest[:1], *several[larger][:_LOOKED_AT]):
        described = own(int(other)).describe()
        if described != frequency:
            raise DataError(
                f'series "{rows.names[other]}" is {described}, but series "{name}" is {frequency}; all '
                "series of a panel must have one frequency: forecast them apart, bring them to one, or give "
                "freq to take the times between as absent"
            )


def most_absent(rows: int, *, later: bool) -> int:
    """How many times may be absent for some rows."""
    return max(_MOST_ABSENT * rows, _LATER_ABSENT if later else 0)


def absent_within(
    rows: Rows, found: Frequency, *, inferred: bool, later: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """After which rows times are absent, how many, and a note on them.

    A frequency that was `inferred` from these rows cannot have another day of the month or time of day. Rows
    that come `later` than a panel may be few and far apart.
    """
    gaps, counts, wrong = [np.empty(0, np.int64)], [np.empty(0, np.int64)], None
    for first, last, within in rows.pieces():
        times = rows.times[first:last]
        ordinals = found.ordinals(times)
        apart = np.diff(ordinals)
        if inferred and np.all((apart == found.step) | ~within):
            continue
        off = within & ((apart % found.step != 0) | (apart == 0))
        if not inferred and found.unit not in ("integer", "microsecond"):
            starts = np.concatenate([[0], np.flatnonzero(~within) + 1])
            lengths = np.diff(np.append(starts, times.size))
            steps = (ordinals - np.repeat(ordinals[starts], lengths)) // found.step
            elsewhere = found.at(np.repeat(times[starts], lengths), steps) != times
            off |= within & elsewhere[1:]
            if elsewhere[starts].any():
                at = first + int(starts[np.argmax(elsewhere[starts])])
                raise DataError(
                    f"{found.label(rows.times[at])} in {rows.row(at)} is not {found.describe()}; correct it"
                )
        if wrong is None and off.any():
            wrong = first + int(np.argmax(off))
        absent = np.where(within, apart // found.step - 1, 0)
        some = np.flatnonzero(absent)
        gaps.append(first + some)
        counts.append(absent[some])
    after, absent = np.concatenate(gaps), np.concatenate(counts)
    total, neighbours = int(absent.sum()), np.count_nonzero(rows.inside)
    if wrong is None and total > neighbours:
        few = not later and neighbours - after.size < _LEAST_REGULAR * neighbours
        if few or total > most_absent(rows.values.size, later=later):
            wrong = int(after[0])
    if wrong is not None:
        before, behind = found.label(rows.times[wrong]), found.label(rows.times[wrong + 1])
        raise DataError(
            f"the times of {rows.series_word(wrong)} are not regular: {before} in {rows.row(wrong)} is "
            f"followed by {behind}, which is not {found.describe()}; correct them, give freq, or {_COUNT}"
        )
    if total == 0:
        return after, absent, []
    label, row = found.label(found.at(rows.times[after[0]], np.asarray(1))), rows.row(int(after[0]))
    where = f"{count_of(total, 'time')} absent from {rows.where(after)}, first {label} after {row}"
    return after, absent, [f"{where}: taken as missing values"]
