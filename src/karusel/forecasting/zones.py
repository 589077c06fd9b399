"""Time zones: between UTC and a zone's local clock, for whole arrays at once.

Where the clock is put forward, a local time that never was is read as if the clock had not been touched yet
(02:30 becomes 03:30); where it is put back, a local time that was twice is its first. That is `fold=0` of
PEP 495.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError

__all__ = ["check_zone", "offset", "to_local", "to_utc"]

_DAY = 86_400
_FIRST, _LAST = (np.datetime64(day, "s").astype(np.int64) for day in ("0001-01-03", "9999-12-29"))


def check_zone(name: str) -> None:
    """Raise `DataError` unless the zone is known here."""
    _zone(name)


def offset(minutes: int) -> str:
    """What a clock adds to UTC, as ISO 8601 writes it: +02:00."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def to_local(utc: NDArray[Any], zone: str) -> NDArray[Any]:
    """Times of the zone's clock, datetime64[us], from UTC ones, datetime64[us], of any shape."""
    changes, offsets = _changes_between(utc, zone)
    seconds = utc.astype("datetime64[s]").astype(np.int64)
    at = np.searchsorted(changes, seconds, side="right")
    return np.asarray(utc + offsets[at].astype("timedelta64[s]"))


def to_utc(local: NDArray[Any], zone: str) -> NDArray[Any]:
    """UTC times, datetime64[us], from times of the zone's clock, datetime64[us], of any shape."""
    changes, offsets = _changes_between(local, zone)
    seconds = local.astype("datetime64[s]").astype(np.int64)
    at = np.searchsorted(changes + np.maximum(offsets[:-1], offsets[1:]), seconds, side="right")
    return np.asarray(local - offsets[at].astype("timedelta64[s]"))


def _changes_between(times: NDArray[Any], zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The changes of a zone's clock around some times: C seconds since 1970 in UTC, C + 1 offsets in
    seconds.
    """
    if times.size == 0:
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    ends = (times.min(), times.max())
    first, last = (int(end.astype("datetime64[s]").astype(np.int64)) // _DAY for end in ends)
    if first * _DAY < _FIRST or last * _DAY > _LAST:
        raise DataError(f"times from {ends[0]} to {ends[1]} have no time zone; give years from 1 to 9999")
    return _changes(zone, first - 2, last + 3)


@lru_cache(maxsize=32)
def _changes(zone: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All changes from day `first` to day `last` since 1970; one at most in a day."""
    info = _zone(zone)
    known = [_offset(info, day * _DAY) for day in range(first, last + 1)]
    changes, offsets = [], [known[0]]
    for number in np.flatnonzero(np.diff(known)):
        low, high = (first + int(number)) * _DAY, (first + int(number) + 1) * _DAY
        while high - low > 1:  # the offset before holds at `low`, the one after at `high`
            middle = (low + high) // 2
            low, high = (low, middle) if _offset(info, middle) == known[number + 1] else (middle, high)
        changes.append(high)
        offsets.append(known[number + 1])
    return np.array(changes, np.int64), np.array(offsets, np.int64)


def _offset(info: tzinfo, second: int) -> int:
    """What the clock adds to UTC at a second since 1970, in seconds."""
    utc = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=second)
    offset = utc.astimezone(info).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


@lru_cache(maxsize=32)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    fixed = re.fullmatch(r"(?:UTC)?([+-])(\d\d):?(\d\d)", name)
    if fixed:
        size = timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
        return timezone(-size if fixed[1] == "-" else size)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f'the time zone "{name}" is not known here; install tzdata, or convert the times to UTC'
        ) from None
