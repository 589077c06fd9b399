"""Live forecasts: those of the batch, value by value, with what was outside its interval."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from karusel import Forecaster
from karusel.errors import DataError, UsageError
from karusel.forecasting import members

SMALL = {"hidden_size": 8}


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)


def wave(rows: int = 100, seed: int = 0, level: float = 30) -> np.ndarray:
    t = np.arange(rows)
    return level + 0.2 * t + 5 * np.sin(2 * np.pi * t / 6) + np.random.default_rng(seed).normal(size=rows)


def fitted(y: np.ndarray, **settings) -> Forecaster:
    return Forecaster(4, season_length=6, **SMALL, **settings).fit(y)


@pytest.mark.parametrize("level", [-100.0, 30.0])  # plain values and logarithms
@pytest.mark.parametrize("season", [1, 6])
def test_live_forecasts_are_those_of_the_batch(level, season):
    y = wave(120, level=level)
    model = Forecaster(4, season_length=season, **SMALL).fit(y[:90])
    live, batch = model.live(level=80), Forecaster(4, season_length=season, **SMALL).fit(y[:90])
    np.testing.assert_allclose(live.forecast.values, batch.predict(), rtol=1e-6)
    for t in range(90, 120):
        got = live.observe(t, y[t])
        usual = batch.update(y[t : t + 1]).predict(level=[80])
        np.testing.assert_allclose(got.values, usual["LSTM"], rtol=1e-5)
        np.testing.assert_allclose(got.low, usual["LSTM-lo-80"], rtol=1e-5)
        np.testing.assert_allclose(got.high, usual["LSTM-hi-80"], rtol=1e-5)


def test_windows_without_change_have_the_bounds_of_the_batch():
    y = np.where(np.arange(260) % 40 < 22, 0.0, 200 + 9 * wave(260))
    model, batch = (Forecaster(2, season_length=1, **SMALL).fit(y[:220]) for _ in range(2))
    live, still = model.live(level=80), 0
    for t in range(220, 260):
        made = live.observe(None, y[t])
        usual = batch.update(y[t : t + 1]).predict(level=[80])
        np.testing.assert_allclose(
            [made.low, made.high], [usual["LSTM-lo-80"], usual["LSTM-hi-80"]], rtol=1e-6
        )
        still += np.ptp(y[t + 1 - model.model_.length : t + 1]) == 0
    assert 0 < still < 40


def test_a_value_is_held_against_the_interval_made_before_it():
    y = wave(90)
    live = fitted(y).live()
    before = live.forecast
    assert live.observe(None, before.values[0]).outside is False
    far = live.forecast.high[0] + 1
    assert live.observe(None, far).outside is True
    assert live.observe(None, live.forecast.low[0] - 1).outside is True
    assert live.observe(None, None).outside is False


def test_missing_values_and_steps_are_passed_over():
    y = wave(90)
    one, two = fitted(y).live(), fitted(y).live()
    one.observe(None, np.nan)
    one.observe(None, None)
    np.testing.assert_array_equal(one.observe(None, 50.0).values, two.observe(92, 50.0).values)


def test_many_series_at_once_are_those_of_the_batch():
    y = [wave(70, k) for k in range(21)]
    model = Forecaster(4, season_length=6, num_layers=1, n_members=1, **SMALL).fit([one[:66] for one in y])
    live = model.live()
    for t in range(66, 70):
        values = np.array([one[t] for one in y])
        values[3] = np.nan if t == 67 else values[3]
        got = live.observe(t, dict(enumerate(values)) if t % 2 else values)
        assert got.outside.shape == (21,)
    usual = model.predict([[*one[:66], *(np.nan if k == 3 and t == 67 else one[t] for t in range(66, 70))]
                           for k, one in enumerate(y)])  # fmt: skip
    np.testing.assert_allclose(got.values, usual, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:fewer rows")
def test_a_short_series_among_others_grows_as_in_the_batch():
    days = pd.date_range("2024-01-01", periods=90)
    table = pd.concat(
        [pd.DataFrame({"unique_id": name, "ds": days, "y": wave(90, k)}) for k, name in enumerate("ab")]
    )
    model = fitted(table[table["ds"] < days[70]])
    new = table[(table["unique_id"] == "b") & (table["ds"] >= days[65])].assign(unique_id="c")
    live = model.update(new[new["ds"] < days[70]]).live()
    np.testing.assert_array_equal(live.forecast.values.ravel(), model.predict()["LSTM"])
    for day in days[70:]:
        values = [float(table[(table["unique_id"] == x) & (table["ds"] == day)]["y"].iloc[0]) for x in "abb"]
        got = live.observe(day.to_pydatetime(), values)
    model.update(pd.concat([table, new])[lambda rows: rows["ds"] >= days[70]])
    np.testing.assert_allclose(got.values.ravel(), model.predict()["LSTM"], rtol=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_state_is_saved_and_goes_on(tmp_path, many):
    y = [wave(75, k) for k in range(3 if many else 1)]
    model = fitted([one[:70] for one in y] if many else y[0][:70])
    live = model.live()
    for t in range(70, 73):
        live.observe(None, [one[t] for one in y] if many else y[0][t])
    live.save(tmp_path / "live.karusel")
    again = Forecaster.load(tmp_path / "live.karusel").live()
    np.testing.assert_allclose(again.forecast.values, live.forecast.values, rtol=1e-6)
    for t in range(73, 75):
        value = [one[t] for one in y] if many else y[0][t]
        np.testing.assert_allclose(again.observe(t, value).values, live.observe(t, value).values, rtol=1e-6)
    assert model.panel_.lengths.tolist() == [70] * len(y)  # the forecaster itself is as it was


def test_more_values_than_storage_has_room_for():
    y = wave(9000)
    model = fitted(y[:90])
    live = model.live()
    for value in y[90:]:
        live.observe(None, value)
    np.testing.assert_allclose(live.forecast.values, model.predict(y), rtol=1e-5)


def test_dates_are_read_in_any_form_and_must_go_on():
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=90), "y": wave(90)})
    model = Forecaster(4, season_length=6, **SMALL).fit(frame)
    day = datetime(2024, 3, 31)
    for step, form in enumerate((str, np.datetime64, pd.Timestamp, lambda t: t)):
        live = model.live()
        live.observe(form(day), 40.0)
        live.observe(form(day + timedelta(days=1 + step)), 41.0)
    with pytest.raises(
        DataError, match="2024-03-30 is not after the last value; the next step is 2024-04-05"
    ):
        live.observe("2024-03-30", 1.0)
    with pytest.raises(DataError, match="2024-04-05 06:00 lies on no step"):
        live.observe("2024-04-05T06:00", 1.0)
    with pytest.raises(DataError, match="must be a date"):
        live.observe("soon", 1.0)
    with pytest.raises(DataError, match="steps are missing before 2300"):
        live.observe("2300-01-01", 1.0)
    assert live.observe("2024-04-05", 40.0).values.shape == (4,)


def test_what_cannot_be_taken_is_refused_and_changes_nothing():
    model = fitted(wave(90))
    live = model.live()
    before = live.forecast.values
    bad = ((np.inf, "must be finite"), ([1.0, 2.0], "one value for each of 1"), ({"x": 1.0}, 'no series "x"'))
    for y, words in bad:
        with pytest.raises(DataError, match=words):
            live.observe(None, y)
    if model.model_.units.log:
        with pytest.raises(DataError, match="above 0"):
            live.observe(None, -1.0)
    np.testing.assert_array_equal(live.forecast.values, before)
    np.testing.assert_array_equal(
        live.observe(90, 48.0).values, fitted(wave(90)).live().observe(None, 48.0).values
    )
    with pytest.raises(UsageError, match="backtest"):
        Forecaster(4, backtest=False, **SMALL).fit(wave(90)).live()
    with pytest.raises(UsageError, match="end together"):
        Forecaster(4, season_length=6, **SMALL).fit(
            pd.DataFrame(
                {"unique_id": ["a"] * 80 + ["b"] * 70, "ds": [*range(80), *range(70)], "y": wave(150)}
            )
        ).live()


def test_both_executors():
    script = """
import numpy as np
from karusel import Forecaster
y = 30 + 5 * np.sin(np.arange(90) / 3) + np.random.default_rng(0).normal(size=90)
model = Forecaster(3, hidden_size=5, n_members=1, season_length=1).fit(y[:80])
live = model.live()
for t in range(80, 90):
    got = live.observe(t, y[t]).values
np.testing.assert_allclose(got, model.predict(y), rtol=1e-6)
"""
    for executor in ("native", "reference"):
        subprocess.run(
            [sys.executable, "-c", script], check=True, env={"KARUSEL_EXECUTOR": executor, "PATH": ""}
        )
