"""The frequency of a series: the regular step between its times, found from the times or given by name.

A step is a number of calendar months (months, quarters, years), of business days (Monday to Friday, no
holidays), of calendar days (days, weeks), of microseconds (hours down to fractions of a second), or of whole
numbers for times that are counts. Times are `datetime64[us]` or `int64`.

Times with a time zone come in as UTC. Steps of microseconds are counted there, since an hour lasts an hour
whatever the clock does; months, days and business days are counted on the zone's own clock, since the day
on which the clock changes is one day too. `from_utc` and `to_utc` go between the two, and everything else
here takes times as `from_utc` gives them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting import zones
from karusel.windows import PIECE

__all__ = ["Frequency", "Time", "Times", "infer", "parse"]

Times: TypeAlias = NDArray[Any]  # datetime64[us] or int64
_Steps: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]  # those there are, and how often
Time: TypeAlias = Any  # one element of Times
Unit: TypeAlias = Literal["integer", "month", "business day", "day", "microsecond"]

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
LAST_DAY = 31  # as the day of a month: the month's last one
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LOOKED_AT = 1000  # times that must pass before all are looked at
_LONGEST_SEASON = 10_080  # steps: a week of minutes
_EPOCH = np.datetime64("1970-01-01", "D")

_NAMES: dict[str, tuple[Unit, int]] = {
    **dict.fromkeys(["y", "ye", "ys", "a", "as", "year", "yearly", "annual"], ("month", 12)),
    **dict.fromkeys(["q", "qe", "qs", "quarter", "quarterly"], ("month", 3)),
    **dict.fromkeys(["mo", "me", "ms", "month", "monthly"], ("month", 1)),
    **dict.fromkeys(["w", "week", "weekly"], ("day", 7)),
    **dict.fromkeys(["d", "day", "daily"], ("day", 1)),
    **dict.fromkeys(["b", "business"], ("business day", 1)),
    **dict.fromkeys(["h", "hour", "hourly"], ("microsecond", HOUR)),
    **dict.fromkeys(["min", "t", "minute"], ("microsecond", MINUTE)),
    **dict.fromkeys(["s", "second"], ("microsecond", SECOND)),
    "millisecond": ("microsecond", MILLISECOND),
}
_PARTS = (
    (HOUR, "hour"),
    (MINUTE, "minute"),
    (SECOND, "second"),
    (MILLISECOND, "millisecond"),
    (1, "microsecond"),
)


@dataclass(frozen=True)
class Frequency:
    """A regular step in time.

    `unit` and `step` give the distance between two neighbouring times. `day` is the day of the month for
    the unit `month` (1 the first, 31 the last whatever the month's length), the day of the week for whole
    weeks (1 Monday to 7 Sunday), and 0 otherwise or where series differ. `zone` is the time zone, None for
    times without one. `season_lengths` are the numbers of steps after which a pattern may be expected to
    repeat, ascending, the usual one first.
    """

    unit: Unit
    step: int
    day: int = 0
    zone: str | None = None
    season_lengths: tuple[int, ...] = ()

    @property
    def season_length(self) -> int:
        """The usual number of steps after which a pattern repeats, 1 for none."""
        return self.season_lengths[0] if self.season_lengths else 1

    @property
    def cycle(self) -> int:
        """The longest number of steps after which a pattern repeats, 1 for none."""
        return self.season_lengths[-1] if self.season_lengths else 1

    def describe(self) -> str:
        """The step in words, as a report shows it."""
        words, where = self._words()
        notes = [note for note in (where, self.zone) if note]
        return f"{words} ({', '.join(notes)})" if notes else words

    def _words(self) -> tuple[str, str]:
        """The step, and on which day of the month or week."""
        if self.unit == "integer":
            return f"whole numbers, step {self.step}", ""
        if self.unit == "business day":
            return "business days" if self.step == 1 else f"every {self.step} business days", ""
        if self.unit == "month":
            name = {1: "monthly", 3: "quarterly", 12: "yearly"}.get(self.step, f"every {self.step} months")
            where = {1: "first day of the month", LAST_DAY: "last day of the month"}
            return name, where.get(self.day, f"day {self.day} of the month")
        if self.unit == "day":
            size, word = (7, "week") if self.step % 7 == 0 else (1, "day")
        else:
            size, word = next(part for part in _PARTS if self.step % part[0] == 0)
        count = self.step // size
        where_in_week = _WEEKDAYS[self.day - 1] if self.day else ""
        if count == 1:
            names = {"day": "daily", "week": "weekly", "hour": "hourly"}
            return names.get(word, f"every {word}"), where_in_week
        return f"every {count} {word}s", where_in_week

    def ordinals(self, times: Times) -> NDArray[np.int64]:
        """Each time as a whole number of the unit: months, business days, days, microseconds or counts.

        Neighbours in a regular series lie `step` apart. Raises `DataError` for a weekend among business days.
        """
        if self.unit == "business day":
            days = times.astype("datetime64[D]")
            weekend = ~np.is_busday(days)
            if weekend.any():
                raise DataError(
                    f"{days[weekend][0]} is a weekend day among business days; try the frequency D"
                )
            return np.busday_count(_EPOCH, days).astype(np.int64)
        if self.unit == "month":
            return times.astype("datetime64[M]").astype(np.int64)
        if self.unit == "day":
            return times.astype("datetime64[D]").astype(np.int64)
        return times.astype(np.int64)

    def at(self, starts: Times, steps: NDArray[np.int64]) -> Times:
        """The times that lie `steps` steps after `starts`; the two shapes are broadcast."""
        away = np.asarray(steps, np.int64) * self.step
        if self.unit == "integer":
            return np.asarray(np.asarray(starts, np.int64) + away)
        start: Times = np.asarray(starts).astype("datetime64[us]")
        if self.unit == "microsecond":
            return np.asarray(start + away.astype("timedelta64[us]"))
        midnight = start.astype("datetime64[D]")
        days: Times
        if self.unit == "day":
            days = np.asarray(midnight + away.astype("timedelta64[D]"))
        elif self.unit == "business day":
            days = np.asarray(np.busday_offset(midnight, away))
        else:
            months = start.astype("datetime64[M]") + away.astype("timedelta64[M]")
            days = months.astype("datetime64[D]") + (_day_in_month(months, self.day) - 1)
        return np.asarray(days.astype("datetime64[us]") + (start - midnight))

    def after(self, lasts: Times, count: int) -> Times:
        """The `count` times that follow each of `lasts` [...], as an array [..., count]."""
        return self.at(np.asarray(lasts)[..., None], np.arange(1, count + 1))

    def from_utc(self, times: Times, like: Times | None = None) -> Times:
        """Times as this frequency counts them, on its zone's clock or in UTC; the same without a zone.

        `like` are times that were read before, and have the time of day that these should have.
        """
        if self.zone is None or self.unit == "microsecond":
            return times
        return _local_days(times, self.zone, like)

    def to_utc(self, times: Times) -> Times:
        """Undo `from_utc`."""
        if self.zone is None or self.unit == "microsecond":
            return times
        return zones.to_utc(times, self.zone)

    def zone_written(self, times: Times) -> str | None:
        """The zone whose offset belongs to some times as they are written: None where they are whole days."""
        days = self.unit != "microsecond" and np.all(times == times.astype("datetime64[D]"))
        return None if days else self.zone

    def label(self, time: Time) -> str:
        """One time as text, no longer than the frequency needs; within the day with the offset of a zone."""
        if self.unit == "integer":
            return str(int(time))
        start: Any = np.asarray(time).astype("datetime64[us]")
        offset = ""
        if self.zone is not None and self.unit == "microsecond":
            utc, start = start, zones.to_local(start, self.zone)
            minutes = int((start - utc) / np.timedelta64(1, "m"))
            offset = zones.offset(minutes)
        elif start == start.astype("datetime64[D]") and not (self.unit == "microsecond" and self.step % DAY):
            if self.unit == "month" and self.day == 1:
                return str(start.astype("datetime64[M]"))
            return str(start.astype("datetime64[D]"))
        for unit in ("m", "s", "ms"):
            if start == start.astype(f"datetime64[{unit}]"):
                return str(start.astype(f"datetime64[{unit}]")).replace("T", " ") + offset
        return str(start).replace("T", " ") + offset


def infer(times: Times, offsets: NDArray[np.int64] | None = None, zone: str | None = None) -> Frequency:
    """Find the frequency of one series or of several that share it.

    `times` [N], in UTC when there is a zone, ascends within each series; series k is
    `times[offsets[k]:offsets[k + 1]]`. The commonest step is taken when every step is a multiple of it, the
    greatest common divisor otherwise. Calendar months are tried first, then business days (which need a
    weekend in between), whole days, then plain steps.
    """
    inside = np.ones(max(times.size - 1, 0), bool)
    if offsets is not None:
        breaks = offsets[1:-1] - 1
        inside[breaks[(breaks >= 0) & (breaks < inside.size)]] = False
    if not inside.any():
        raise DataError("no series has two times, so the frequency cannot be found; give more rows")
    if times.dtype.kind != "M":
        return _with_seasons("integer", _common_step(_count_steps(times, inside, np.asarray)))
    micros: Times = times.astype("datetime64[us]", copy=False)
    clock: Times = micros if zone is None else _local_days(micros, zone)
    if _have_one_time_of_day(clock, inside):
        day = _day_of_month(clock)
        if day:
            month_steps = _count_steps(clock, inside, _months)
            if month_steps[0].min() >= 1:
                return _with_seasons("month", _common_step(month_steps), day, zone)
        day_steps = _count_steps(clock, inside, _days)
        if day_steps[0].min() >= 1:
            if _common(day_steps) == 1 and day_steps[0].max() >= 3 and _are_workdays(clock):
                workdays = _count_steps(clock, inside, _workdays)
                return _with_seasons("business day", _common_step(workdays), 0, zone)
            step = _common_step(day_steps)
            return _with_seasons("day", step, _day_of_week(clock, step), zone)
    return _with_seasons("microsecond", _common_step(_count_steps(micros, inside, np.asarray)), 0, zone)


def parse(text: str | int, times: Times, zone: str | None = None) -> Frequency:
    """Read a frequency's name (`"MS"`, `"15min"`, `"daily"`, `"W-SUN"`, `3`) for the given times.

    A number in front multiplies the step. Names follow pandas, in any case (but "ms" is milliseconds
    and "MS" months), and plain English words. Where in the month or week the times lie is taken from `times`
    (in UTC when there is a zone), not from the name.
    """
    match = re.fullmatch(r"(\d*)([A-Za-z]*)(?:-[A-Za-z]{3})?", str(text).strip())
    if match is None or not (match[1] or match[2]) or (match[1] and int(match[1]) == 0):
        raise _unknown(text)
    count = int(match[1] or 1)
    if times.dtype.kind != "M":
        if match[2]:
            raise UsageError(
                f'frequency "{text}" needs dates, but the times are whole numbers; give a number'
            )
        return _with_seasons("integer", count)
    name = match[2].lower()
    if match[2] == "M":  # pandas' month; in lower case it would be a minute elsewhere
        name = "mo"
    elif match[2] == "ms":  # pandas' millisecond; MS is its month
        name = "millisecond"
    if name not in _NAMES:
        raise _unknown(text)
    unit, step = _NAMES[name]
    step, day = step * count, 0
    if unit in ("month", "day"):
        clock = times if zone is None else _local_days(times, zone)
        day = _day_of_month(clock) if unit == "month" else _day_of_week(clock, step)
        if unit == "month" and not day:
            raise DataError(f'frequency "{text}" needs all times on one day of the month, but they differ')
    return _with_seasons(unit, step, day, zone)


def _unknown(text: str | int) -> UsageError:
    return UsageError(f'frequency "{text}" is not known; write one such as Y, Q, M, W, D, B, h, 15min or s')


def _local_days(utc: Times, zone: str, like: Times | None = None) -> Times:
    """Times on the zone's clock, at one time of day where only a change of the clock keeps them from it.

    Midnight does not exist on some days on which the clock is put forward; such a day's time is then 01:00,
    though the series is a daily one of midnights.
    """
    local = zones.to_local(utc, zone)
    if local.size == 0:
        return local
    usual = _median_clock(local if like is None else like)
    days: Times = local.astype("datetime64[D]").astype("datetime64[us]")
    off = np.flatnonzero(local - days != usual)
    if 2 * off.size > local.size and like is None:
        return local
    nominal = days[off] + usual
    if np.array_equal(zones.to_utc(nominal, zone), utc[off]):
        local[off] = nominal
    return local


def _median_clock(times: Times) -> Any:
    """The middle one of the times of day, as a timedelta64[us]."""
    clocks = (times - times.astype("datetime64[D]")).astype(np.int64)
    return np.timedelta64(int(np.median(clocks)), "us")


def _neighbours(times: Times, inside: NDArray[np.bool_]) -> Iterator[tuple[Times, NDArray[np.bool_]]]:
    """Some times after some, each with the first of the next, and which neighbours are of the same series."""
    for first in range(0, inside.size, PIECE):
        yield times[first : first + PIECE + 1], inside[first : first + PIECE]


def _count_steps(times: Times, inside: NDArray[np.bool_], counted: Callable[[Times], NDArray[Any]]) -> _Steps:
    """The steps, ascending, between neighbouring times of the same series in what is `counted` of them."""
    found, counts = [], []
    for some, within in _neighbours(times, inside):
        whole: NDArray[np.int64] = counted(some).astype(np.int64, copy=False)
        steps: NDArray[np.int64] = (whole[1:] - whole[:-1])[within]
        if steps.size and steps.min() == steps.max():
            found.append(steps[:1])
            counts.append(np.array([steps.size]))
        else:
            different, often = np.unique(steps, return_counts=True)
            found.append(different)
            counts.append(often)
    different, which = np.unique(np.concatenate(found), return_inverse=True)
    return different, np.bincount(which, np.concatenate(counts)).astype(np.int64)


def _common(steps: _Steps) -> int:
    """The commonest step, the smallest of them at a tie."""
    found, counts = steps
    return int(found[np.argmax(counts)])


def _common_step(steps: _Steps) -> int:
    common = _common(steps)
    return common if not (steps[0] % common).any() else int(np.gcd.reduce(steps[0]))


def _have_one_time_of_day(times: Times, inside: NDArray[np.bool_]) -> bool:
    """Whether neighbours within each series have the same time of day."""
    return not any(
        np.any((np.diff(some - _days(some)) != np.timedelta64(0)) & within)
        for some, within in _neighbours(times, inside)
    )


def _months(times: Times) -> Times:
    return times.astype("datetime64[M]")


def _days(times: Times) -> Times:
    return times.astype("datetime64[D]")


def _workdays(times: Times) -> NDArray[np.int64]:
    return np.busday_count(_EPOCH, _days(times)).astype(np.int64)


def _are_workdays(times: Times) -> bool:
    return all(np.is_busday(_days(some)).all() for some in _pieces(times))


def _pieces(times: Times) -> Iterator[Times]:
    return (times[first : first + PIECE] for first in range(0, times.size, PIECE))


def _day_in_month(months: Times, day: int) -> NDArray[np.int64]:
    first = months.astype("datetime64[D]")
    length = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - first
    return np.asarray(np.minimum(day, length.astype(np.int64)))


def _day_of_month(times: Times) -> int:
    """The day of the month that all times [N] share: 31 for each month's last day, 0 when there is none."""
    if times.size > _LOOKED_AT and not _day_of_month(times[:_LOOKED_AT]):
        return 0

    def share(day: int) -> bool:
        return all(
            np.array_equal(_numbers_in_month(some), _day_in_month(_months(some), day))
            for some in _pieces(times)
        )

    if share(LAST_DAY):
        return LAST_DAY
    latest = max(int(_numbers_in_month(some).max()) for some in _pieces(times))
    return latest if share(latest) else 0


def _numbers_in_month(times: Times) -> NDArray[np.int64]:
    return np.asarray((_days(times) - _days(_months(times))).astype(np.int64) + 1)


def _day_of_week(times: Times, step: int) -> int:
    """The day of the week that all times share, 1 for Monday; 0 unless the step is whole weeks."""
    if step % 7:
        return 0
    found = {day for some in _pieces(times) for day in np.unique(_days(some).astype(np.int64) % 7).tolist()}
    return (found.pop() + 3) % 7 + 1 if len(found) == 1 else 0  # 1970 began on a Thursday


def _with_seasons(unit: Unit, step: int, day: int = 0, zone: str | None = None) -> Frequency:
    seasons: tuple[int, ...] = ()
    if unit == "month":
        seasons = _whole_cycles(step, (12,))
    elif unit == "business day" and step == 1:
        seasons = (5, 260)
    elif unit == "day":
        seasons = _seasons_of_days(step)
    elif unit == "microsecond":
        seasons = _seasons_of_days(step // DAY) if step % DAY == 0 else _seasons_of_clock(step)
    return Frequency(unit, step, day, zone, seasons)


def _seasons_of_days(step: int) -> tuple[int, ...]:
    """A year is 52 whole weeks, so that weekdays meet weekdays."""
    return _whole_cycles(step, (364,)) if step % 7 == 0 else (7, 364) if step == 1 else ()


def _seasons_of_clock(step: int) -> tuple[int, ...]:
    """Steps in a day of minutes or more, in an hour or a minute of at most 300; then in longer cycles."""
    cycles, most = (MINUTE, HOUR, DAY, WEEK), {DAY: DAY // MINUTE, HOUR: 300, MINUTE: 300}
    usual = next((cycle for cycle in most if _whole_cycles(step, (cycle,), most[cycle])), None)
    return () if usual is None else _whole_cycles(step, cycles[cycles.index(usual) :])


def _whole_cycles(step: int, cycles: tuple[int, ...], most: int = _LONGEST_SEASON) -> tuple[int, ...]:
    """How many steps fill each cycle, where they fill it without rest and are from 2 to `most`."""
    return tuple(cycle // step for cycle in cycles if cycle % step == 0 and 2 <= cycle // step <= most)
