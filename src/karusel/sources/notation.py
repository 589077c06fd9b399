"""Notation: how numbers and times are written in cells. As SQL that reads them, and times written back.

A cell is an SQL expression. What is no number or no time in a notation is NULL.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import zones
from karusel.sources.origin import Kind

__all__ = [
    "MISSING",
    "TIMES",
    "UTC",
    "Numbers",
    "filled_sql",
    "format_times",
    "is_since_1970",
    "number_sql",
    "offset_sql",
    "parse_time",
    "reading",
    "since_1970",
    "text_sql",
    "time_sql",
    "writings",
    "zone_of",
]

UTC = ("Z", "UTC", "GMT")  # as offsets
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", ".", "?")

# Numbers: 1234.5, 1 234.5; 1234,5, 1.234,5; 1,234.5.
Numbers = Literal["point", "comma", "grouped"]
_SPACE = r"\s\x{00A0}\x{202F}"
_GROUPS: dict[Numbers, str] = {"point": "'", "comma": ".'", "grouped": ",'"}
_DECIMAL: dict[Numbers, str] = {"point": ".", "comma": ",", "grouped": "."}
_CURRENCY = "$€£¥₽₹"

# Times: formats of `strftime`, "" for ISO 8601, a unit of time for what has passed since 1970, and these.
_QUARTER = r"^\s*(\d{4})\s*-?\s*[Qq]([1-4])\s*$"
_QUARTER_OF_YEAR = r"^\s*[Qq]([1-4])[\s/-]*(\d{4})\s*$"
_WEEK = r"^\s*(\d{4})\s*-?\s*[Ww](\d{2})\s*$"
_PERIODS = (_QUARTER, _QUARTER_OF_YEAR, _WEEK)
_SINCE_1970 = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}  # microseconds of one
_FIRST_SECOND, _LAST_SECOND = 1e9, 4.2e9  # 2001 to 2103: others are no such times
_FIRST_YEAR = 1000  # earlier ones were written with two digits
_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%a %d %b %Y"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H", " %I:%M %p", " %I:%M:%S %p")
_MONTHS = (
    *("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%YM%m"),
    *("%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%Y %b", "%Y-%b"),
)
# Formats without marks between the numbers, by how long a time is.
_BARE = {"%Y%m": 6, "%Y%m%d": 8, "%Y%m%d%H": 10, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
_BARE.update({"%Y%m%dT%H": 11, "%Y%m%dT%H%M": 13, "%Y%m%dT%H%M%S": 15})
_WITH_OFFSET = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d[:.\d]*) ?(Z|[-+]\d\d(?::?\d\d)?)")
# The same without marks between the numbers.
_BARE_WITH_OFFSET = r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?(Z|[-+]\d\d(?::?\d\d)?)"
TIMES = (
    *("", "%Y-%m-%dT%H"),
    *_PERIODS,
    *_MONTHS,
    *(day + clock for day in _DAYS for clock in _CLOCKS),
    *_BARE,
    *_SINCE_1970,
)
# How periods are written: %q is the quarter.
_WRITINGS = {
    _QUARTER: ("%YQ%q", "%Y-Q%q", "%Y Q%q"),
    _QUARTER_OF_YEAR: ("Q%q %Y", "Q%q-%Y", "Q%q/%Y"),
    _WEEK: ("%G-W%V", "%GW%V"),
}


def writings(time_format: str) -> tuple[str, ...]:
    """How times that a format of `TIMES` reads may be written, the usual way first; %-d is %d without 0s."""
    if time_format in _WRITINGS:
        return _WRITINGS[time_format]
    if time_format in _BARE:
        return (time_format,)
    short_days, short_hours = (re.sub(f"%([{codes}])", r"%-\1", time_format) for codes in ("dm", "HI"))
    short = re.sub("%([dmHI])", r"%-\1", time_format)
    return tuple(dict.fromkeys((time_format, short_days, short_hours, short)))


_READ_BY = {written: time_format for time_format in TIMES for written in writings(time_format)}


def reading(time_format: str) -> str:
    """The format of `TIMES` that reads what is written so."""
    return _READ_BY.get(time_format, time_format)


def filled_sql(cell: str, kind: Kind) -> str:
    """A cell, NULL where it says that its value is missing."""
    if kind != "text":
        return cell
    tokens = ", ".join(f"'{token}'" for token in MISSING)
    return f"(case when lower(trim({cell})) in ({tokens}) then null else trim({cell}) end)"


def text_sql(cell: str, kind: Kind) -> str:
    """A cell as text; of numbers only whole ones."""
    if kind == "text":
        return filled_sql(cell, kind)
    return f"(case when {cell} = trunc({cell}) then try_cast({cell} as bigint)::varchar end)"


def number_sql(cell: str, kind: Kind, notation: Numbers) -> str:
    """A filled cell as a number. With it may stand a sign of a currency or of percents."""
    if kind == "number":
        return cell
    if kind == "time":
        return "null::double"
    plainly = f"try_cast({cell} as double)"  # as nearly all are
    group, decimal = _GROUPS[notation] + _SPACE, _DECIMAL[notation]
    number = rf"[-+]?(\d{{1,3}}([{group}]\d{{3}})+|\d+)([{decimal}]\d*)?"
    before, after = rf"[-+]?[{_SPACE}]*[{_CURRENCY}]?[{_SPACE}]*", rf"[{_SPACE}]*[{_CURRENCY}%]?"
    bare = rf"regexp_replace({cell}, '[^-+\d{decimal}]', '', 'g')"
    if notation == "comma":
        plainly = (
            f"case when not contains({cell}, '.') then try_cast(replace({cell}, ',', '.') as double) end"
        )
        bare = f"replace({bare}, ',', '.')"
    pattern = f"^{before}{number}{after}$".replace("'", "''")
    dressed = f"case when regexp_matches({cell}, '{pattern}') then try_cast({bare} as double) end"
    return f"coalesce({plainly}, {dressed})"


def time_sql(cell: str, time_format: str) -> str:
    """A filled cell as a time."""
    time_format = reading(time_format)
    if not time_format:
        # As `timestamp` alone the cast would drop an offset such as +02:00 instead of applying it.
        marked = rf"regexp_replace({cell}, '^{_BARE_WITH_OFFSET}$', '\1-\2-\3T\4:\5:\6\7')"
        zoned = f"coalesce(try_cast({cell} as timestamptz), try_cast({marked} as timestamptz))"
        time = f"make_timestamp(epoch_us({zoned}))"
        found = f"year({time}) >= {_FIRST_YEAR}"
    elif time_format in _SINCE_1970:
        passed, second = f"try_cast({cell} as double)", 1e6 / _SINCE_1970[time_format]
        found = f"{passed} between {_FIRST_SECOND * second} and {_LAST_SECOND * second}"
        time = f"make_timestamp(({passed} * {_SINCE_1970[time_format]})::bigint)"
    elif time_format in (_QUARTER, _QUARTER_OF_YEAR):
        parts = (1, 2) if time_format == _QUARTER else (2, 1)
        year, quarter = (f"try_cast(regexp_extract({cell}, '{time_format}', {k}) as bigint)" for k in parts)
        found, time = f"{year} is not null", f"make_timestamp({year}, 3 * {quarter} - 2, 1, 0, 0, 0)"
    elif time_format == _WEEK:
        monday = rf"regexp_replace({cell}, '{_WEEK}', '\1-\2-1')"
        found, time = f"regexp_matches({cell}, '{_WEEK}')", f"try_strptime({monday}, '%G-%V-%u')"
    else:
        time = f"try_strptime({cell}, '{time_format}')"
        found = f"year({time}) >= {_FIRST_YEAR}"
        if time_format in _BARE:
            found += f" and length({cell}) = {_BARE[time_format]}"
    return f"(case when {found} then {time} end)"


def offset_sql(cell: str) -> str:
    """The offset of a filled cell that is a time in ISO 8601, such as Z or +02:00, or a zone; empty for
    none.
    """
    return rf"regexp_extract({cell}, '(?::\d\d|T\d{{4}})[\d.,:]*\s*([-+]\d\d(:?\d\d)?|[A-Za-z][\w/+-]*)$', 1)"


def zone_of(offsets: Iterable[str]) -> str:
    """The zone of times that have such offsets: the one that all have, such as +02:00, or UTC."""
    minutes = set(map(_minutes, offsets))
    return zones.offset(minutes.pop()) if len(minutes) == 1 and minutes != {0} else "UTC"


def _minutes(offset: str) -> int:
    """What an offset adds to UTC."""
    found = re.fullmatch(r"([-+])(\d\d):?(\d\d)?", offset)
    return int(f"{found[1]}1") * (60 * int(found[2]) + int(found[3] or 0)) if found else 0


def parse_time(text: str, time_format: str, zone: str | None = None) -> np.datetime64:
    """A time as the source writes its own, or in ISO 8601; ValueError where it is neither.

    It is UTC where it has an offset, and where there is a zone, on whose clock it is read.
    """
    if found := _WITH_OFFSET.fullmatch(text):
        return np.datetime64(found[1], "us") - np.timedelta64(_minutes(found[2]), "m")
    if found := re.fullmatch(_BARE_WITH_OFFSET, text):
        year, month, day, hour, minute, second, offset = found.groups("00")
        clock = np.datetime64(f"{year}-{month}-{day}T{hour}:{minute}:{second}", "us")
        return clock - np.timedelta64(_minutes(offset), "m")
    time = _parse_clock(text, time_format)
    return time if zone is None else zones.to_utc(np.array([time]), zone)[0]


def _parse_clock(text: str, time_format: str) -> np.datetime64:
    time_format = reading(time_format)
    try:
        if time_format in _SINCE_1970:
            return np.datetime64(round(float(text) * _SINCE_1970[time_format]), "us")
        if period := time_format in _PERIODS and re.match(time_format, text):
            first, second = (int(part) for part in period.groups())
            if time_format == _WEEK:
                return np.datetime64(datetime.date.fromisocalendar(first, second, 1), "us")
            year, quarter = (first, second) if time_format == _QUARTER else (second, first)
            return np.datetime64(datetime.date(year, 3 * quarter - 2, 1), "us")
        if "%" in time_format:
            return np.datetime64(datetime.datetime.strptime(text, time_format), "us")
    except (ValueError, OverflowError):
        pass
    if not re.match(r"\d{4}-\d\d", text):
        raise ValueError(f"{text!r} is no time")  # to NumPy any number is a year
    return np.datetime64(text, "us")


def format_times(times: NDArray[Any], time_format: str, zone: str | None = None) -> list[str]:
    """Times [N] as texts, as the source writes its own; ISO 8601 days where all of them are whole days.

    With a zone the times are in UTC, and written by its clock with the offset.
    """
    if times.dtype.kind != "M":
        return [str(int(time)) for time in times]
    distinct, which = np.unique(times, return_inverse=True)
    texts: Sequence[str]
    if zone is not None:
        distinct, utc = zones.to_local(distinct, zone), distinct
        texts = [
            text + ("Z" if zone == "UTC" else zones.offset(minutes))
            for text, minutes in zip(
                _iso_times(distinct), (distinct - utc) // np.timedelta64(1, "m"), strict=True
            )
        ]
    elif is_since_1970(time_format):
        texts = [str(one) for one in since_1970(distinct, time_format)]
    elif time_format:
        written = writings(time_format)[0]
        texts = [_written(time, written) for time in distinct.astype("datetime64[s]").tolist()]
    elif np.all(distinct == distinct.astype("datetime64[D]")):
        texts = np.datetime_as_string(distinct, unit="D").tolist()
    else:
        texts = [text.replace("T", " ") for text in _iso_times(distinct)]
    return [texts[number] for number in which]


def is_since_1970(time_format: str) -> bool:
    """Whether times are written as numbers, of what has passed since 1970."""
    return time_format in _SINCE_1970


def since_1970(times: NDArray[Any], time_format: str) -> list[int | float]:
    """Times [N] as the numbers that such a source has."""
    passed = times.astype("datetime64[us]").astype(np.int64) / _SINCE_1970[time_format]
    return [int(one) if one.is_integer() else one for one in passed.tolist()]


def _written(time: datetime.datetime, time_format: str) -> str:
    numbers = {
        "%q": (time.month + 2) // 3,
        "%-m": time.month,
        "%-d": time.day,
        "%-H": time.hour,
        "%-I": time.hour % 12 or 12,
    }
    for code, number in numbers.items():
        time_format = time_format.replace(code, str(number))
    return time.strftime(time_format)


def _iso_times(times: NDArray[Any]) -> list[str]:
    fine = np.any(times != times.astype("datetime64[s]"))
    texts: list[str] = np.datetime_as_string(times, unit="us" if fine else "s").tolist()
    return texts
