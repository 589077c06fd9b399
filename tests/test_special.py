"""Special days: what stands out on a date, or on a weekday of the year, is known from the years before."""

from __future__ import annotations

import calendar
import datetime

import numpy as np

from karusel.forecasting.features import Reader, specials
from karusel.forecasting.panel import from_columns
from karusel.forecasting.special import LENGTH, special_days
from karusel.forecasting.windows import Cutoffs

FIRST = datetime.date(1990, 1, 1)


def since_1970(days: list[datetime.date]) -> np.ndarray:
    return np.array(days, "M8[D]").astype(np.int64)


def year_of_days(rows: int) -> tuple[np.ndarray, list[datetime.date]]:
    """A week's pattern with a dip of 4 on Christmas, and one of 3 on the fourth Thursday of November."""
    days = [FIRST + datetime.timedelta(k) for k in range(rows)]
    values = np.array([20.0 + day.weekday() for day in days])
    values[[k for k, day in enumerate(days) if (day.month, day.day) == (12, 25)]] -= 4
    thanksgiving = [day.month == 11 and day.weekday() == 3 and 22 <= day.day <= 28 for day in days]
    values[thanksgiving] -= 3
    return values, days


def test_a_deviation_is_found_by_its_date_and_by_its_weekday():
    random = np.random.default_rng(0)
    u = random.normal(size=(2, LENGTH + 3))
    lasts = [datetime.date(2004, 2, 26), datetime.date(1999, 12, 23)]  # February 29 lies ahead of the first
    got = special_days(u, np.ones_like(u, bool), since_1970(lasts), 6)
    t = u.shape[1] - 1
    for row, last in enumerate(lasts):
        for k in range(1, 7):
            day = last + datetime.timedelta(k)
            dates, weekdays = [], []
            for years in range(1, 6):
                last_day = calendar.monthrange(day.year - years, day.month)[1]
                same = datetime.date(day.year - years, day.month, min(day.day, last_day))
                back = (day - same).days
                for deviations, at in (
                    (dates, t + k - back),
                    (weekdays, t + k - 7 * round(365.25 * years / 7)),
                ):
                    usual = (u[row, at - 14] + u[row, at - 7] + u[row, at + 7] + u[row, at + 14]) / 4
                    deviations.append(u[row, at] - usual)
            np.testing.assert_allclose(got[row, k - 1], [np.mean(dates), np.mean(weekdays)])


def test_years_before_the_start_of_a_series_are_left_out():
    u = np.random.default_rng(1).normal(size=(1, LENGTH))
    known = np.ones_like(u, bool)
    known[0, : LENGTH - 900] = False  # two years are left
    changed = u.copy()
    changed[~known] += 5
    days = since_1970([FIRST])
    np.testing.assert_array_equal(special_days(u, known, days, 9), special_days(changed, known, days, 9))
    known[0, : LENGTH - 300] = False
    assert not special_days(u, known, days, 9).any()


def test_a_window_knows_the_date_of_its_end():
    times = np.datetime64("1999-03-01") + np.arange(9)
    daily = from_columns(np.arange(9.0), times, ["a"] * 4 + ["b"] * 5)
    at = np.array([2, 3, 4, 8])
    assert Cutoffs(daily, at).days.tolist() == times[at].astype(int).tolist()
    assert Cutoffs(from_columns(np.arange(9.0)), at).days is None
    assert Cutoffs(from_columns(np.arange(9.0), times.astype("M8[h]")[0] + np.arange(9)), at).days is None


def test_holidays_are_learned_where_there_are_any():
    values, days = year_of_days(3600)
    reader = Reader(horizon=40, seasons=(7, 364), look_back=28, patch=7, anchor=((7, 8),))
    cutoffs = np.arange(LENGTH, 3600 - 41, 3)
    inputs = values[cutoffs[:, None] + np.arange(1 - LENGTH, 1)]
    targets = values[cutoffs[:, None] + np.arange(1, 41)]
    ends = since_1970([days[cutoff] for cutoff in cutoffs])
    plain, special = specials(reader, inputs, ends, targets)
    assert plain == reader
    for year in (1997, 1996):  # after a common year, and a leap year
        cutoff = days.index(datetime.date(year, 12, 10))
        window = values[None, cutoff + 1 - LENGTH : cutoff + 1]
        steps = slice(14, 16)  # the 25th and the 26th
        truth = values[cutoff + 15 : cutoff + 17]
        missed = np.abs(plain.anchor_alone(plain.see(window))[0, steps] - truth).sum()
        found = special.anchor_alone(special.see(window), since_1970([days[cutoff]]))
        assert np.abs(found[0, steps] - truth).sum() < 0.4 * missed
    assert min(special.special) > 0.5
    assert list(specials(reader, inputs, None, targets)) == [reader]  # no calendar
    hours = Reader(horizon=40, seasons=(24, 168), look_back=48, patch=24, anchor=((24, 1),))
    assert list(specials(hours, inputs, ends, targets)) == [hours]
