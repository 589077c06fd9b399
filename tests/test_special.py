"""Special days: what stands out on a date, or on a weekday of the year, is known from the years before."""

from __future__ import annotations

import datetime

import numpy as np

from karusel.forecasting.features import Reader, specials
from karusel.forecasting.special import LENGTH, special_days

FIRST = datetime.date(1990, 1, 1)


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
    got = special_days(u, np.ones_like(u, bool), 6)
    t = u.shape[1] - 1
    for k in range(1, 7):
        dates, weekdays = [], []
        for years, days in ((1, 365), (2, 730), (3, 1096), (4, 1461), (5, 1826)):
            for deviations, back in ((dates, days), (weekdays, 7 * round(365.25 * years / 7))):
                at = t + k - back
                usual = (u[:, at - 14] + u[:, at - 7] + u[:, at + 7] + u[:, at + 14]) / 4
                deviations.append(u[:, at] - usual)
        np.testing.assert_allclose(got[:, k - 1, 0], np.mean(dates, axis=0))
        np.testing.assert_allclose(got[:, k - 1, 1], np.mean(weekdays, axis=0))


def test_years_before_the_start_of_a_series_are_left_out():
    u = np.random.default_rng(1).normal(size=(1, LENGTH))
    known = np.ones_like(u, bool)
    known[0, : LENGTH - 900] = False  # two years are left
    changed = u.copy()
    changed[~known] += 5
    np.testing.assert_array_equal(special_days(u, known, 9), special_days(changed, known, 9))
    known[0, : LENGTH - 300] = False
    assert not special_days(u, known, 9).any()


def test_holidays_are_learned_where_there_are_any():
    values, days = year_of_days(3600)
    reader = Reader(horizon=40, seasons=(7, 364), look_back=28, patch=7, anchor=((7, 8),))
    cutoffs = np.arange(LENGTH, 3600 - 41, 3)
    inputs = values[cutoffs[:, None] + np.arange(1 - LENGTH, 1)]
    targets = values[cutoffs[:, None] + np.arange(1, 41)]
    plain, special = specials(reader, inputs, targets)
    assert plain == reader
    christmas = next(k for k, day in enumerate(days) if (day.year, day.month, day.day) == (1997, 12, 10))
    window = values[None, christmas + 1 - LENGTH : christmas + 1]
    steps = slice(14, 16)  # the 25th and the 26th
    truth = values[christmas + 15 : christmas + 17]
    missed = np.abs(plain.anchor_alone(window)[0, steps] - truth).sum()
    assert np.abs(special.anchor_alone(window)[0, steps] - truth).sum() < 0.6 * missed
    assert min(special.special) > 0.3
    hours = Reader(horizon=40, seasons=(24, 168), look_back=48, patch=24, anchor=((24, 1),))
    assert list(specials(hours, inputs, targets)) == [hours]
