"""Time zones against the standard library, one time at a time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.errors import DataError
from karusel.forecasting import zones

ZONES = [
    "Europe/Riga",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "UTC",
]
SECONDS = st.integers(-1_500_000_000, 3_000_000_000)


def naive(seconds: int) -> np.datetime64:
    return np.datetime64(seconds, "s").astype("datetime64[us]")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.lists(SECONDS, min_size=1, max_size=20))
def test_clocks_agree_with_the_standard_library(zone, seconds):
    times = np.array([naive(second) for second in seconds])
    plain = [datetime(1970, 1, 1) + timedelta(seconds=second) for second in seconds]
    local = [
        one.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for one in plain
    ]
    np.testing.assert_array_equal(zones.to_local(times, zone), np.array(local, "datetime64[us]"))
    utc = [one.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc).replace(tzinfo=None) for one in plain]
    np.testing.assert_array_equal(zones.to_utc(times, zone), np.array(utc, "datetime64[us]"))


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-03-31T02:59", "2024-03-31T00:59"),
        ("2024-03-31T03:30", "2024-03-31T01:30"),  # never was: read with the offset before the change
        ("2024-03-31T04:00", "2024-03-31T01:00"),
        ("2024-10-27T02:59", "2024-10-26T23:59"),
        ("2024-10-27T03:30", "2024-10-27T00:30"),  # was twice: the first
        ("2024-10-27T04:00", "2024-10-27T02:00"),
    ],
)
def test_a_clock_is_changed_at_the_right_minute(local, utc):
    made = zones.to_utc(np.array([local], "datetime64[us]"), "Europe/Riga")
    np.testing.assert_array_equal(made, np.array([utc], "datetime64[us]"))


def test_offsets_are_zones_too():
    noon = np.array(["2024-06-01T12:00"], "datetime64[us]")
    for name in ("+05:45", "UTC+05:45", "UTC+0545"):
        np.testing.assert_array_equal(zones.to_local(noon, name), noon + np.timedelta64(345, "m"))
    np.testing.assert_array_equal(zones.to_local(noon, "-03:30"), noon - np.timedelta64(210, "m"))


def test_an_unknown_zone_is_refused_by_name():
    with pytest.raises(DataError, match='time zone "Mars/Olympus" is not known here'):
        zones.check_zone("Mars/Olympus")
    with pytest.raises(DataError, match="years from 1 to 9999"):
        zones.to_local(np.array(["12000-01-01"], "datetime64[us]"), "Europe/Riga")
