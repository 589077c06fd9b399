"""The frequency of a series: the regular step between its times, found from the times or given by name.

A step is a number of calendar months (months, quarters, years), of business days (Monday to Friday, no
holidays), of microseconds (weeks down to fractions of a second), or of whole numbers for times that are
counts. Times are `datetime64[us]` or `int64`. Refused: times that lie on no such grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError

__all__ = ["Frequency", "Times", "infer", "parse"]

Times: TypeAlias = NDArray[Any]  # datetime64[us] or int64
Time: TypeAlias = Any  # one element of Times
Unit: TypeAlias = Literal["integer", "month", "business day", "microsecond"]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
LAST_DAY = 31  # as the day of a month: the month's last one
_EPOCH = np.datetime64("1970-01-01", "D")

_NAMES: dict[str, tuple[Unit, int]] = {
    **dict.fromkeys(["y", "ye", "ys", "a", "as", "year", "yearly", "annual"], ("month", 12)),
    **dict.fromkeys(["q", "qe", "qs", "quarter", "quarterly"], ("month", 3)),
    **dict.fromkeys(["mo", "me", "ms", "month", "monthly"], ("month", 1)),
    **dict.fromkeys(["w", "week", "weekly"], ("microsecond", WEEK)),
    **dict.fromkeys(["d", "day", "daily"], ("microsecond", DAY)),
    **dict.fromkeys(["b", "business"], ("business day", 1)),
    **dict.fromkeys(["h", "hour", "hourly"], ("microsecond", HOUR)),
    **dict.fromkeys(["min", "t", "minute"], ("microsecond", MINUTE)),
    **dict.fromkeys(["s", "second"], ("microsecond", SECOND)),
}
_PARTS = (
    (WEEK, "week"),
    (DAY, "day"),
    (HOUR, "hour"),
    (MINUTE, "minute"),
    (SECOND, "second"),
    (1, "microsecond"),
)


@dataclass(frozen=True)
class Frequency:
    """A regular step in time.

    `unit` and `step` give the distance between two neighbouring times. `day` is the day of the month for
    the unit `month` (1 the first, 31 the last whatever the month's length) and 0 otherwise.
    `season_length` is the number of steps after which a pattern is expected to repeat, 1 for none.
    """

    unit: Unit
    step: int
    day: int = 0
    season_length: int = 1

    @property
    def season_lengths(self) -> tuple[int, ...]:
        """All seasons to look for, ascending: that of `season_length`, and the slower one that comes with it.

        A week comes with a day of shorter steps, 52 weeks with a week of days; none with longer steps.
        """
        m = self.season_length
        if m == 1:
            return ()
        if self.unit == "microsecond" and m * self.step == DAY:
            return (m, 7 * m)
        if self.unit == "microsecond" and m * self.step == WEEK:
            return (m, 52 * m)
        return (m,)

    def describe(self) -> str:
        """The step in words, as a report shows it."""
        if self.unit == "integer":
            return f"whole numbers, step {self.step}"
        if self.unit == "business day":
            return "business days" if self.step == 1 else f"every {self.step} business days"
        if self.unit == "month":
            name = {1: "monthly", 3: "quarterly", 12: "yearly"}.get(self.step, f"every {self.step} months")
            where = {1: "first day of the month", LAST_DAY: "last day of the month"}
            return f"{name} ({where.get(self.day, f'day {self.day} of the month')})"
        size, word = next(part for part in _PARTS if self.step % part[0] == 0)
        count = self.step // size
        if count == 1:
            return {"day": "daily", "week": "weekly", "hour": "hourly"}.get(word, f"every {word}")
        return f"every {count} {word}s"

    def ordinals(self, times: Times) -> NDArray[np.int64]:
        """Each time as a whole number of the unit: months, business days, microseconds or counts.

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
        return times.astype(np.int64)

    def after(self, lasts: Times, count: int) -> Times:
        """The `count` times that follow each of `lasts` [...], as an array [..., count]."""
        steps = np.arange(1, count + 1) * self.step
        if self.unit == "integer":
            return np.asarray(np.asarray(lasts, np.int64)[..., None] + steps)
        start: Times = np.asarray(lasts).astype("datetime64[us]")[..., None]
        if self.unit == "microsecond":
            return np.asarray(start + steps.astype("timedelta64[us]"))
        midnight = start.astype("datetime64[D]")
        days: Times
        if self.unit == "business day":
            days = np.asarray(np.busday_offset(midnight, steps))
        else:
            months = start.astype("datetime64[M]") + steps.astype("timedelta64[M]")
            days = months.astype("datetime64[D]") + (_day_in_month(months, self.day) - 1)
        return np.asarray(days.astype("datetime64[us]") + (start - midnight))

    def label(self, time: Time) -> str:
        """One time as text, no longer than the frequency needs."""
        if self.unit == "integer":
            return str(int(time))
        start: Any = np.asarray(time).astype("datetime64[us]")
        if start == start.astype("datetime64[D]"):
            if self.unit == "month" and self.day == 1:
                return str(start.astype("datetime64[M]"))
            return str(start.astype("datetime64[D]"))
        for unit in ("m", "s", "ms"):
            if start == start.astype(f"datetime64[{unit}]"):
                return str(start.astype(f"datetime64[{unit}]")).replace("T", " ")
        return str(start).replace("T", " ")


def infer(times: Times, offsets: NDArray[np.int64] | None = None) -> Frequency:
    """Find the frequency of one series or of several that share it.

    `times` [N] ascends within each series; series k is `times[offsets[k]:offsets[k + 1]]`. The commonest
    step is taken when every step is a multiple of it, the greatest common divisor otherwise.
    Calendar months are tried first, then business days (which need a weekend in between), then plain steps.
    """
    inside = np.ones(max(times.size - 1, 0), bool)
    if offsets is not None:
        breaks = offsets[1:-1] - 1
        inside[breaks[(breaks >= 0) & (breaks < inside.size)]] = False
    if not inside.any():
        raise DataError("no series has two times, so the frequency cannot be found; give more rows")
    if times.dtype.kind != "M":
        return _with_season("integer", _common_step(_differences(times, inside)))
    micros: Times = times.astype("datetime64[us]")
    days: Times = micros.astype("datetime64[D]")
    same_clock = bool(np.all((micros - days) == (micros[0] - days[0])))
    if same_clock:
        months = days.astype("datetime64[M]")
        day = _day_rule(months, (days - months.astype("datetime64[D]")).astype(np.int64) + 1)
        month_steps = _differences(months, inside)
        if day and month_steps.min() >= 1:
            return _with_season("month", _common_step(month_steps), day)
        day_steps = _differences(days, inside)
        if _common(day_steps) == 1 and np.is_busday(days).all() and (day_steps >= 3).any():
            workdays = np.busday_count(_EPOCH, days)
            return _with_season("business day", _common_step(_differences(workdays, inside)))
    return _with_season("microsecond", _common_step(_differences(micros, inside)))


def parse(text: str | int, times: Times) -> Frequency:
    """Read a frequency's name (`"MS"`, `"15min"`, `"daily"`, `"W-SUN"`, `3`) for the given times.

    A number in front multiplies the step. Names follow pandas, in any case, and plain English words. Where
    in the month or week the times lie is taken from `times`, not from the name.
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
        return _with_season("integer", count)
    name = match[2].lower()
    if match[2] == "M":  # pandas' month; in lower case it would be a minute elsewhere
        name = "mo"
    if name not in _NAMES:
        raise _unknown(text)
    unit, step = _NAMES[name]
    day = 0
    if unit == "month":
        dates = times.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        day = _day_rule(months, (dates - months.astype("datetime64[D]")).astype(np.int64) + 1)
        if not day:
            raise DataError(f'frequency "{text}" needs all times on one day of the month, but they differ')
    return _with_season(unit, step * count, day)


def _unknown(text: str | int) -> UsageError:
    return UsageError(f'frequency "{text}" is not known; write one such as Y, Q, M, W, D, B, h, 15min or s')


def _differences(times: Times, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Steps between neighbouring times of the same series."""
    whole: NDArray[np.int64] = times.astype(np.int64)
    return (whole[1:] - whole[:-1])[inside]


def _common(steps: NDArray[np.int64]) -> int:
    """The commonest step, the smallest of them at a tie."""
    found, counts = np.unique(steps, return_counts=True)
    return int(found[np.argmax(counts)])


def _common_step(steps: NDArray[np.int64]) -> int:
    common = _common(steps)
    return common if not (steps % common).any() else int(np.gcd.reduce(steps))


def _day_in_month(months: Times, day: int) -> NDArray[np.int64]:
    first = months.astype("datetime64[D]")
    length = (months + np.timedelta64(1, "M")).astype("datetime64[D]") - first
    return np.asarray(np.minimum(day, length.astype(np.int64)))


def _day_rule(months: Times, days: NDArray[np.int64]) -> int:
    """The day of the month that all times share: 31 for each month's last day, 0 when there is none."""
    for day in (LAST_DAY, int(days.max())):
        if np.array_equal(days, _day_in_month(months, day)):
            return day
    return 0


def _with_season(unit: Unit, step: int, day: int = 0) -> Frequency:
    rule: dict[Unit, Callable[[int], int]] = {
        "integer": lambda _: 1,
        "month": lambda months: 12 // months if 12 % months == 0 else 1,
        "business day": lambda days: 5 if days == 1 else 1,
        "microsecond": _season_of_clock,
    }
    return Frequency(unit, step, day, rule[unit](step))


def _season_of_clock(step: int) -> int:
    """Steps in the smallest natural cycle that holds at least two of them and at most 300."""
    if step % WEEK == 0:
        weeks = step // WEEK
        return 52 // weeks if 52 % weeks == 0 else 1
    if step == DAY:
        return 7
    for cycle in (DAY, HOUR, MINUTE):
        if cycle % step == 0 and 2 <= cycle // step <= 300:
            return cycle // step
    return 1
